"""The ledger: hand-worked days, chained, rebuilt from the receipts, closed for good, and silent about others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256

import pytest
import sqlalchemy as sa
from archive_samples import T0, at, make_receipt

from skyproof.archive.archive import Archive
from skyproof.archive.health import check_archive
from skyproof.archive.tables import ledger_days, receipts
from skyproof.domain.deliveries import Receipt
from skyproof.domain.errors import IntegrityError, NotAvailableError, NotFoundError, StoreUnavailableError

SECONDS = 30
DAY = T0.date()
LATER = T0 + timedelta(days=5)


def write(archive: Archive, *given: Receipt) -> None:
    with archive.deliveries.start_writer() as writer:
        for future in [writer.record(receipt, receipt.forecast_id.encode()) for receipt in given]:
            future.result(SECONDS)


def leaf(receipt: Receipt) -> bytes:
    """A leaf as the documentation says it."""
    lines = (receipt.receipt_id, receipt.forecast_id, receipt.bytes_digest, f"{receipt.served_at:%Y-%m-%dT%H:%M:%SZ}")
    return sha256(b"\0" + "\n".join(lines).encode()).digest()


def chained(previous: str, tree: bytes, count: int, day: date) -> str:
    return sha256(b"\2" + bytes.fromhex(previous) + tree + count.to_bytes(8, "big") + str(day).encode()).hexdigest()


def check(leaf: bytes, index: int, count: int, path: Sequence[str], root: str) -> bool:
    """A customer's own check: the recursion of RFC 6962 turned round, unlike the walk of the product."""

    def climb(index: int, count: int, path: list[str]) -> bytes:
        if count == 1:
            assert not path
            return leaf
        half = 1 << (count - 1).bit_length() - 1
        sibling = bytes.fromhex(path[-1])
        if index < half:
            return sha256(b"\1" + climb(index, half, path[:-1]) + sibling).digest()
        return sha256(b"\1" + sibling + climb(index - half, count - half, path[:-1])).digest()

    try:
        return climb(index, count, list(path)).hex() == root
    except (AssertionError, IndexError):
        return False


def test_days_of_one_two_and_three_receipts_by_hand(archive: Archive) -> None:
    one, two, three = (
        [make_receipt(1)],
        [make_receipt(n, hour=26) for n in (2, 3)],
        [make_receipt(n, hour=50) for n in (4, 5, 6)],
    )
    write(archive, *one, *two, *three)
    first, second, third, fourth = (archive.ledger.day(DAY + timedelta(days=n), now=LATER) for n in range(4))
    assert [day.count for day in (first, second, third, fourth)] == [1, 2, 3, 0]
    (a,), (b, c), (d, e, f) = (sorted(map(leaf, group)) for group in (one, two, three))
    trees = [
        a,
        sha256(b"\1" + b + c).digest(),
        sha256(b"\1" + sha256(b"\1" + d + e).digest() + f).digest(),
        sha256().digest(),
    ]
    assert [day.tree_root for day in (first, second, third, fourth)] == [tree.hex() for tree in trees]
    previous = "00" * 32
    for day, tree in zip((first, second, third, fourth), trees, strict=True):
        assert day.previous_root == previous
        previous = chained(previous, tree, day.count, day.day)
        assert day.root == previous


def test_every_receipt_is_proved_and_nothing_else_is(archive: Archive) -> None:
    given = [make_receipt(n, customer_id="acme" if n % 2 else "bolt", hour=n) for n in range(1, 14)]
    write(archive, *given)
    root = archive.ledger.day(DAY, now=LATER).tree_root
    for receipt in given:
        proof = archive.ledger.proof(receipt.forecast_id, customer_id=receipt.customer_id, now=LATER)
        assert proof.receipt == receipt
        assert proof.day.tree_root == root
        size, index, path = proof.day.count, proof.leaf_index, proof.audit_path
        assert check(leaf(receipt), index, size, path, root)
        for at_bit in range(0, 256 * len(path), 7):
            which, bit = divmod(at_bit, 256)
            flipped = f"{int(path[which], 16) ^ (1 << bit):064x}"
            assert not check(leaf(receipt), index, size, (*path[:which], flipped, *path[which + 1 :]), root)
        for wrong in set(range(size)) - {index}:
            assert not check(leaf(receipt), wrong, size, path, root)
    assert not check(leaf(make_receipt(99)), index, size, path, root)


def test_a_proof_is_for_who_was_served(archive: Archive) -> None:
    write(archive, make_receipt(1), make_receipt(2, customer_id="bolt"))
    for forecast_id in ("fc_00000002", "fc_none"):
        with pytest.raises(NotFoundError, match="was not delivered to you"):
            archive.ledger.proof(forecast_id, customer_id="acme", now=LATER)


def test_a_day_closes_ten_minutes_after_it_is_over(archive: Archive) -> None:
    write(archive, make_receipt(1, hour=23.9))
    midnight = datetime(2025, 1, 2, tzinfo=UTC)
    for now in (at(23), midnight, midnight + timedelta(minutes=9, seconds=59)):
        with pytest.raises(NotAvailableError, match="is not closed yet"):
            archive.ledger.day(DAY, now=now)
        with pytest.raises(NotAvailableError):
            archive.ledger.proof("fc_00000001", customer_id="acme", now=now)
    assert archive.ledger.day(DAY, now=midnight + timedelta(minutes=10)).count == 1
    with pytest.raises(NotFoundError, match="there is no ledger"):
        archive.ledger.day(DAY - timedelta(days=1), now=LATER)


def test_there_is_no_ledger_before_the_first_receipt(archive: Archive) -> None:
    with pytest.raises(NotFoundError):
        archive.ledger.day(DAY, now=LATER)
    write(archive, make_receipt(1, hour=30))
    with pytest.raises(NotFoundError):
        archive.ledger.day(DAY, now=LATER)
    assert archive.ledger.day(DAY + timedelta(days=1), now=LATER).previous_root == "00" * 32


def test_a_receipt_that_comes_after_its_day_was_closed_is_refused_and_spoils_no_other(
    archive: Archive, reopen: Callable[[], Archive]
) -> None:
    with archive.deliveries.start_writer() as writer:  # of a process that knows nothing of the closing
        writer.record(make_receipt(1), b"x").result(SECONDS)
        with reopen() as other:
            closed = other.ledger.day(DAY, now=at(30))
        futures = [writer.record(make_receipt(n, hour=hour), b"x") for n, hour in ((2, 23.9), (3, 24), (4, 30))]
        with pytest.raises(StoreUnavailableError, match="closed in the ledger"):
            futures[0].result(SECONDS)
        for future in futures[1:]:
            future.result(SECONDS)
    assert [receipt.receipt_id for receipt in archive.deliveries.receipts()] == [
        "rc_00000001",
        "rc_00000003",
        "rc_00000004",
    ]
    assert archive.ledger.rebuild(DAY, previous_root="00" * 32) == closed


def test_closing_waits_for_a_transaction_that_writes_receipts(archive: Archive, reopen: Callable[[], Archive]) -> None:
    write(archive, make_receipt(1))
    found = []
    with reopen() as other:
        closing = threading.Thread(target=lambda: found.append(other.ledger.day(DAY, now=LATER)))
        with archive.database.writing() as connection:
            row = connection.execute(sa.select(receipts)).mappings().one()
            connection.execute(sa.insert(receipts), {**row, "receipt_id": "rc_2"})
            closing.start()
            closing.join(0.3)
            assert not found
        closing.join(SECONDS)
    assert [day.count for day in found] == [2]


def test_what_is_kept_can_be_dropped_and_comes_back_byte_for_byte(
    archive: Archive, reopen: Callable[[], Archive]
) -> None:
    write(archive, *(make_receipt(n, hour=n * 7) for n in range(1, 9)))
    days = [DAY + timedelta(days=n) for n in range(4)]
    closed = [archive.ledger.day(day, now=LATER) for day in days]
    with archive.database.writing() as connection:
        connection.execute(sa.delete(ledger_days))
    with reopen() as fresh:
        assert [fresh.ledger.day(day, now=LATER) for day in reversed(days)] == closed[::-1]
    # What a crash between sealing and hashing leaves behind.
    with archive.database.writing() as connection:
        connection.execute(sa.update(ledger_days).where(ledger_days.c.day > DAY).values(root=None, count=None))
    assert [archive.ledger.day(day, now=LATER) for day in days] == closed


@pytest.mark.parametrize("change", [{"bytes_digest": "c"}, {"served_at": at(21)}, {"forecast_id": "fc_00000002"}])
def test_a_receipt_that_was_changed_is_noticed(archive: Archive, change: dict[str, object]) -> None:
    write(archive, make_receipt(1), make_receipt(2))
    archive.ledger.day(DAY, now=LATER)
    with archive.database.writing() as connection:
        connection.execute(sa.update(receipts).where(receipts.c.receipt_id == "rc_00000001").values(change))
    with pytest.raises(IntegrityError, match="not those of its ledger"):
        archive.ledger.proof("fc_00000002", customer_id="acme", now=LATER)
    assert list(archive.ledger.changed_days()) == [DAY]


def test_the_doctor_finds_days_that_were_changed(archive: Archive) -> None:
    write(archive, *(make_receipt(n, hour=n * 10) for n in range(1, 10)))
    for number in range(4):
        archive.ledger.day(DAY + timedelta(days=number), now=LATER)
    assert check_archive(archive, minimum_free_bytes=0) == ()
    with archive.database.writing() as connection:
        connection.execute(sa.delete(receipts).where(receipts.c.receipt_id == "rc_00000003"))
        # Whoever mends a day's hashes has to mend those of all days after it.
        forged = archive.ledger.rebuild(DAY, previous_root="11" * 32)
        values = {"root": forged.root, "previous_root": forged.previous_root}
        connection.execute(sa.update(ledger_days).where(ledger_days.c.day == DAY).values(values))
    found = check_archive(archive, minimum_free_bytes=0)
    assert {finding.kind for finding in found} == {"changed_receipts"}
    assert list(archive.ledger.changed_days()) == [DAY, DAY + timedelta(days=1)]
