"""Receipts that wait on disk: whole or not confirmed, written once into the tables, bounded, and never of a closed day."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
from archive_samples import at, make_receipt
from hypothesis import given
from hypothesis import strategies as st

from skyproof.archive import receipt_journal
from skyproof.archive.archive import Archive
from skyproof.archive.deliveries import ReceiptWriter
from skyproof.archive.health import check_archive
from skyproof.archive.ledger import SETTLING
from skyproof.archive.receipt_journal import ReceiptJournal, read_frames
from skyproof.domain.errors import (
    DatabaseAwayError,
    DayClosedError,
    IntegrityError,
    NotAvailableError,
    StoreUnavailableError,
)
from tests.away import Door, door_to, sqlite_lock

SECONDS = 30
PATIENCE_S = 0.2


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[ReceiptJournal]:
    opened = ReceiptJournal(tmp_path / "queue")
    yield opened
    opened.let_go()


def receipts_in(journal: ReceiptJournal) -> list[str]:
    return [receipt.receipt_id for path in journal.files() for frame in read_frames(path) for receipt in frame.receipts]


def test_what_is_appended_is_read_back_and_a_body_is_kept_once(journal: ReceiptJournal) -> None:
    first, second = make_receipt(1, forecast_id="fc_a"), make_receipt(2, forecast_id="fc_a")
    known = {"fc_known": hashlib.sha256(b"known").hexdigest()}
    journal.append([(first, b"body\n\x00"), (make_receipt(3, forecast_id="fc_known"), b"known")], known)
    journal.append([(second, b"body\n\x00")], {})
    (path,) = journal.files()
    frames = list(read_frames(path))
    assert [frame.receipts for frame in frames] == [(first, make_receipt(3, forecast_id="fc_known")), (second,)]
    assert [dict(frame.bodies) for frame in frames] == [{"fc_a": b"body\n\x00"}, {}]
    assert journal.count() == 3


@given(cut=st.integers(1, 600), garbage=st.binary(max_size=40))
def test_cut_short_anywhere_the_whole_frames_before_are_read(tmp_path_factory, cut: int, garbage: bytes) -> None:
    journal = ReceiptJournal(tmp_path_factory.mktemp("queue"))
    sizes = []
    for number in range(3):
        journal.append([(make_receipt(number), b"body %d" % number)], {})
        sizes.append(journal.own()[1])  # type: ignore[index]
    path, _ = journal.own()  # type: ignore[misc]
    journal.let_go()
    data = path.read_bytes()
    kept = max(sizes[-1] - cut, 0)
    path.write_bytes(data[:kept] + garbage)
    assert len(list(read_frames(path))) == sum(size <= kept for size in sizes)


def test_damage_before_whole_frames_is_no_torn_end(journal: ReceiptJournal) -> None:
    for number in range(3):
        journal.append([(make_receipt(number), b"x")], {})
    path, _ = journal.own()  # type: ignore[misc]
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match="damaged at byte 0"):
        list(read_frames(path))


def test_other_bytes_under_a_name_are_refused(journal: ReceiptJournal) -> None:
    journal.append([(make_receipt(1, forecast_id="fc_a"), b"one")], {})
    with pytest.raises(IntegrityError):
        journal.append([(make_receipt(2, forecast_id="fc_a"), b"two")], {})
    assert receipts_in(journal) == ["rc_00000001"]


def test_a_full_queue_and_a_full_disk_are_said_and_leave_nothing_torn(
    journal: ReceiptJournal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = ReceiptJournal(tmp_path / "small", most_bytes=2000)
    with pytest.raises(StoreUnavailableError, match="wait for the database"):  # noqa: PT012 which is refused is open
        for number in range(100):
            small.append([(make_receipt(number), os.urandom(200))], {})
    small.let_go()
    assert sum(path.stat().st_size for path in small.files()) <= 2000

    journal.append([(make_receipt(1), b"x")], {})
    before = journal.own()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(receipt_journal.os, "fsync", full)
        with pytest.raises(StoreUnavailableError, match="No space left"):
            journal.append([(make_receipt(2), b"x")], {})
    assert before is not None
    assert before[0].stat().st_size == before[1]
    journal.append([(make_receipt(3), b"x")], {})
    assert sorted(receipts_in(journal)) == ["rc_00000001", "rc_00000003"]


@pytest.fixture
def away(archive: Archive, database_url: str | None) -> Iterator[tuple[Archive, object, object]]:
    """An archive as a server opens it, and what takes its database away and brings it back."""
    if database_url is None:
        lock, unlock = sqlite_lock(archive.home)
        with Archive.open(archive.home, patience_s=PATIENCE_S) as opened:
            yield opened, lock, unlock
        return
    with (
        door_to(database_url) as (door, url),
        Archive.open(archive.home, database_url=url, patience_s=PATIENCE_S) as opened,
    ):
        assert isinstance(door, Door)
        yield opened, door.shut, door.open


def test_while_the_database_is_away_receipts_wait_and_then_are_written_once(archive: Archive, away) -> None:
    served, take_away, bring_back = away
    with served.deliveries.start_writer() as writer:
        writer.record(make_receipt(0, forecast_id="fc_same"), b"same").result(SECONDS)
        take_away()
        for number in range(1, 6):
            writer.record(make_receipt(number, forecast_id="fc_same" if number % 2 else None), b"same").result(SECONDS)
        assert served.is_away
        assert archive.deliveries.count() == 1
        assert served.journal.count() == 5
        assert {"queued_receipts"} <= {finding.kind for finding in check_archive(archive, minimum_free_bytes=0)}
        with pytest.raises(DatabaseAwayError):
            archive.deliveries.body("fc_00000002", customer_id="acme")
        bring_back()
    assert archive.deliveries.count() == 6
    assert served.journal.files() == ()
    assert archive.deliveries.body("fc_00000002", customer_id="acme") == (make_receipt(2), b"same")
    assert check_archive(archive, minimum_free_bytes=0) == ()


def test_with_the_database_back_nobody_has_to_ask_for_the_queue_to_be_written(archive: Archive, away) -> None:
    served, take_away, bring_back = away
    with served.deliveries.start_writer() as writer:
        take_away()
        writer.record(make_receipt(1), b"x").result(SECONDS)
        bring_back()
        for _ in range(SECONDS * 100):
            if not served.journal.files():
                break
            writer._replay._stopping.wait(0.01)  # type: ignore[union-attr]
        assert archive.deliveries.count() == 1


def test_what_was_written_already_is_not_written_again(archive: Archive) -> None:
    with archive.deliveries.start_writer() as writer:
        writer.record(make_receipt(1), b"x").result(SECONDS)
    for _ in range(2):  # a commit whose answer was lost, and a process that died before it removed the file
        archive.journal.append([(make_receipt(1), b"x"), (make_receipt(2), b"y")], {})
        archive.journal.let_go()
        assert archive.deliveries.bring_in() == 2
    assert [receipt.receipt_id for receipt in archive.deliveries.receipts()] == ["rc_00000001", "rc_00000002"]


def test_what_the_tables_never_take_is_kept_apart_and_the_rest_is_written(archive: Archive) -> None:
    with archive.deliveries.start_writer() as writer:
        writer.record(make_receipt(1, forecast_id="fc_a"), b"first").result(SECONDS)
    archive.journal.append([(make_receipt(2, forecast_id="fc_a"), b"other"), (make_receipt(3), b"x")], {})
    archive.journal.let_go()
    archive.deliveries.bring_in()
    assert [receipt.receipt_id for receipt in archive.deliveries.receipts()] == ["rc_00000001", "rc_00000003"]
    (refused,) = archive.journal.refused_files()
    assert b"rc_00000002" in refused.read_bytes()
    assert [finding.kind for finding in check_archive(archive, minimum_free_bytes=0)] == ["refused_receipts"]


def test_a_file_that_a_living_process_adds_to_is_left_to_it(archive: Archive) -> None:
    other = ReceiptJournal(archive.journal.folder)
    other.append([(make_receipt(1), b"x")], {})
    assert archive.deliveries.bring_in() == 0
    other.append([(make_receipt(2), b"y")], {})
    other.let_go()
    assert archive.deliveries.bring_in() == 2
    assert archive.journal.files() == ()


def test_the_ledger_closes_no_day_whose_receipts_wait_and_none_is_taken_afterwards(archive: Archive) -> None:
    day, later = date(2025, 1, 1), at(24) + SETTLING + timedelta(seconds=1)
    with archive.deliveries.start_writer() as writer:
        writer.record(make_receipt(1), b"x").result(SECONDS)
    archive.journal.append([(make_receipt(2), b"y")], {})
    with pytest.raises(NotAvailableError, match="still being written"):
        archive.ledger.day(day, now=later)
    archive.journal.let_go()
    archive.deliveries.bring_in()
    assert archive.ledger.day(day, now=later).count == 2
    with pytest.raises(DayClosedError):
        archive.journal.append([(make_receipt(3), b"z")], {})
    archive.journal.append([(make_receipt(4, hour=25), b"z")], {})
    assert list(archive.ledger.changed_days()) == []


CHILD = """
import itertools, os, sys
sys.path[:0] = {paths!r}
from pathlib import Path
from archive_samples import make_receipt
from skyproof.archive.receipt_journal import ReceiptJournal
journal = ReceiptJournal(Path({folder!r}))
for number in itertools.count({start}):
    journal.append([(make_receipt(number), b"body %d" % number * 50)], {{}})
    os.write(1, b"%d\\n" % number)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill")
def test_killed_at_any_instant_it_keeps_what_it_confirmed(archive: Archive) -> None:
    chance, confirmed = random.Random(7), []
    for start in (0, 1_000_000, 2_000_000):
        code = CHILD.format(
            paths=[str(Path(__file__).parent), *sys.path], folder=str(archive.journal.folder), start=start
        )
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            for _ in range(chance.randrange(1, 200)):
                confirmed.append(int(child.stdout.readline()))
            child.kill()
            confirmed += [int(line) for line in child.stdout.read().split()]
    archive.deliveries.bring_in()
    kept = {receipt.receipt_id for receipt in archive.deliveries.receipts()}
    assert {f"rc_{number:08d}" for number in confirmed} <= kept
    # The last one of each may have been written and not confirmed.
    assert len(kept) <= len(confirmed) + 3
    assert archive.journal.files() == ()


def test_a_writer_without_a_journal_says_that_the_database_is_away(archive: Archive, away) -> None:
    served, take_away, bring_back = away
    with ReceiptWriter(served.database) as writer:
        take_away()
        with pytest.raises(DatabaseAwayError):
            writer.record(make_receipt(1), b"x").result(SECONDS)
        bring_back()
