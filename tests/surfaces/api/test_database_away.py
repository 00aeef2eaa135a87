"""With its database away or locked the server goes on giving what it knows, says so, and loses no receipt."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import sqlalchemy as sa

from skyproof.archive.archive import DATABASE_FILE, Archive
from skyproof.domain.errors import StoreUnavailableError
from tests.away import door_to, sqlite_lock
from tests.surfaces.api.served import LIFETIME, NOW, Caller, MovableClock, Served, calling, fill
from tests.surfaces.api.test_problems import check_problem

PATIENCE_S = 0.2
#: Longer than any try to find out whether the database is back.
SOON_S = 30
ASKED = {"site": "zurich", "hourly": "temperature_2m", "quantiles": "0.1,0.9"}


@dataclass
class Outage:
    """A served archive whose database can be taken away. ``reads``: what is away then: reading, too, or writing alone."""

    served: Served
    archive: Archive
    take_away: Callable[[], None]
    bring_back: Callable[[], None]
    reads: bool

    def wait_until_back(self) -> None:
        """Until the server has noticed, and has written what waited."""
        wait_until_back(self.archive)


def wait_until_back(archive: Archive) -> None:
    """The same of an archive."""
    ends = time.monotonic() + SOON_S
    while archive.is_away or archive.journal.files():
        assert time.monotonic() < ends, "the server did not notice that its database is back"
        time.sleep(0.02)


@pytest.fixture
def outage(archive: Archive, database_url: str | None) -> Iterator[Outage]:
    served = fill(archive)
    if database_url is None:
        lock, unlock = sqlite_lock(archive.home)
        with Archive.open(archive.home, patience_s=PATIENCE_S) as opened:
            yield Outage(served, opened, lock, unlock, reads=False)
        return
    with (
        door_to(database_url) as (door, url),
        Archive.open(archive.home, database_url=url, patience_s=PATIENCE_S) as opened,
    ):
        yield Outage(served, opened, door.shut, door.open, reads=True)


def warnings(answer: object) -> list[str]:
    return [warning["code"] for warning in answer.json()["meta"]["warnings"]]  # type: ignore[attr-defined]


def test_the_newest_known_run_is_given_with_a_warning_and_every_receipt_is_kept(outage: Outage) -> None:
    tokens = outage.served.tokens
    with calling(outage.archive, tokens) as ask:
        before = ask.forecast(ASKED)
        outage.take_away()
        during = [ask.forecast(ASKED | {"quantiles": levels}) for levels in ("0.1,0.9", "0.2", "0.1,0.9", "0.3")]
        outage.bring_back()
        outage.wait_until_back()
        after = ask.forecast(ASKED)
        # The first to meet it may have been rendered before anyone knew.
        assert [answer.status_code for answer in (before, *during, after)] == [200] * 6
        assert all("database_away" in warnings(answer) for answer in during[1:])
        assert all(answer.headers["forecast-warning"] == "database_away" for answer in during[1:])
        assert "database_away" not in warnings(before) + warnings(after)
        assert after.content == before.content
        same, other = before.json(), during[2].json()
        assert (other["hourly"], other["meta"]["run_id"]) == (same["hourly"], outage.served.second.run_id)
        for answer in (before, *during, after):  # the very bytes, under the name they were sent with
            again = ask(f"/v1/forecasts/{answer.json()['meta']['forecast_id']}")
            assert again.content == answer.content
    given = (before, *during, after)
    kept = outage.served.archive.deliveries.receipts()
    assert len(kept) == 2 * len(given)
    digests = {hashlib.sha256(answer.content).hexdigest() for answer in given}
    assert {receipt.bytes_digest for receipt in kept} == digests


def test_warm_and_cold_answers_say_the_same_and_none_comes_from_before(outage: Outage) -> None:
    with calling(outage.archive, outage.served.tokens, refresh_s=1e9, remember_keys_s=1e9) as ask:
        known = [ask.forecast(ASKED) for _ in range(2)]
        outage.take_away()
        first = ask.forecast(ASKED | {"quantiles": "0.5"})
        during = [ask.forecast(ASKED) for _ in range(3)]
        outage.bring_back()
        outage.wait_until_back()
        after = ask.forecast(ASKED)
    assert first.status_code == 200
    assert {answer.status_code for answer in during} == {200}
    # Where reading works and nobody has to read, nobody notices before a receipt is refused; from then on all say so.
    assert [warnings(answer)[-1:] for answer in during] == [["database_away"]] * 3
    assert after.content == known[0].content == known[1].content


def test_what_needs_the_database_is_503_with_retry_after_at_once(outage: Outage) -> None:
    with calling(outage.archive, outage.served.tokens) as ask:
        assert ask.forecast(ASKED).status_code == 200
        outage.take_away()
        ask.forecast(ASKED | {"quantiles": "0.5"})
        paths = ["/v1/runs", "/v1/sites", "/v1/keys", "/v1/usage", "/v1/status", "/v1/models", "/v1/portfolios"]
        for path in paths:
            answer = ask(path)
            if outage.reads:
                check_problem(answer, 503, "database_away")
                assert answer.headers["retry-after"]
            else:
                assert answer.status_code == 200
        answer = ask.post("/v1/keys", {"scopes": ["forecast:read"]})
        check_problem(answer, 503, "database_away")
        assert answer.headers["retry-after"]
        ready = ask("/readyz", key=None)
        assert (ready.status_code, ready.json()) == (200, {"status": "degraded"})
        if outage.reads:  # who never asked before is not known
            check_problem(ask.forecast(ASKED, key="bolt"), 503, "database_away")
        outage.bring_back()
        outage.wait_until_back()
        assert ask("/readyz", key=None).json() == {"status": "ready"}
        assert ask.forecast(ASKED, key="bolt").status_code == 200


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_a_key_outlives_the_database_for_a_while_and_never_its_own_end(outage: Outage) -> None:
    clock = MovableClock()

    def statuses(ask: Caller) -> list[int]:
        outage.take_away()
        try:
            first = ask.forecast(ASKED).status_code
            clock.instant = NOW + LIFETIME
            return [first, ask.forecast(ASKED).status_code]
        finally:
            clock.instant = NOW
            outage.bring_back()
            outage.wait_until_back()

    for outlive_s, wanted in ((3600.0, [200, 401]), (0.0, [503, 503])):
        with calling(outage.archive, outage.served.tokens, clock=clock, keys_outlive_s=outlive_s) as ask:
            assert ask.forecast(ASKED).status_code == 200
            assert statuses(ask) == wanted


def test_where_no_receipt_can_be_kept_there_is_no_answer(outage: Outage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outage.archive.journal, "_most_bytes", 10)
    with calling(outage.archive, outage.served.tokens) as ask:
        assert ask.forecast(ASKED).status_code == 200
        outage.take_away()
        answers = [ask.forecast(ASKED | {"quantiles": "0.5"}) for _ in range(2)]
        outage.bring_back()
        outage.wait_until_back()
        for answer in answers:
            check_problem(answer, 503, "store_unavailable")
            assert answer.headers["retry-after"]
        assert ask.forecast(ASKED).status_code == 200
    assert outage.served.archive.deliveries.count() == 2


def test_a_receipt_that_fails_on_the_hot_path_counts_once(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise StoreUnavailableError("disk full")

    with calling(served.archive, served.tokens, refresh_s=1e9, remember_keys_s=1e9) as ask:
        left = [ask.forecast(ASKED).headers["ratelimit"] for _ in range(2)]
        with monkeypatch.context() as patch:
            patch.setattr("skyproof.archive.deliveries.ReceiptWriter._write", refuse)
            left.append(ask.forecast(ASKED).headers["ratelimit"])
    remaining = [int(each.split("r=")[1].split(";")[0]) for each in left]
    assert remaining == [remaining[0], remaining[0] - 1, remaining[0] - 2]


def test_with_its_disk_full_receipts_wait_until_there_is_space(sqlite_archive: Archive) -> None:
    served, is_full = fill(sqlite_archive), False

    def limit(connection: Any, *_: object) -> None:
        # No larger than it is: what an insert needs beyond that is refused as if the disk were full.
        connection.execute(f"PRAGMA max_page_count = {1 if is_full else 1 << 30}").close()

    with Archive.open(sqlite_archive.home, patience_s=PATIENCE_S) as opened:
        sa.event.listen(opened.engine, "checkout", limit)
        with calling(opened, served.tokens) as ask:
            assert ask.forecast(ASKED).status_code == 200
            is_full = True
            answers = [ask.forecast(ASKED | {"quantiles": f"0.{number}"}) for number in range(10, 90)]
            assert {answer.status_code for answer in answers} == {200}
            assert opened.journal.count() > 0
            is_full = False
            wait_until_back(opened)
    assert sqlite_archive.deliveries.count() == 81


def test_a_database_file_that_was_moved_away_is_not_begun_anew(sqlite_archive: Archive) -> None:
    served = fill(sqlite_archive)
    file = sqlite_archive.home / DATABASE_FILE
    with Archive.open(sqlite_archive.home, patience_s=PATIENCE_S) as opened:
        with calling(opened, served.tokens) as ask:
            first = ask.forecast(ASKED)
            for each in (sqlite_archive, opened):
                each.engine.dispose()
            away = file.rename(file.with_name("elsewhere"))
            during = ask.forecast(ASKED)
            assert not file.exists()
            away.rename(file)
            wait_until_back(opened)
            assert ask.forecast(ASKED).content == first.content
        assert warnings(during)[-1:] == ["database_away"]
    assert sqlite_archive.deliveries.count() == 3


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_a_database_that_neither_answers_nor_refuses_is_away_too(archive: Archive, database_url: str) -> None:
    served = fill(archive)
    with (
        door_to(database_url) as (door, url),
        Archive.open(archive.home, database_url=url, patience_s=PATIENCE_S) as opened,
        calling(opened, served.tokens) as ask,
    ):
        first = ask.forecast(ASKED)
        door.freeze()
        during = [ask.forecast(ASKED) for _ in range(3)]
        check_problem(ask("/v1/sites"), 503, "database_away")
        door.thaw()
        wait_until_back(opened)
        after = ask.forecast(ASKED)
    assert [answer.status_code for answer in during] == [200] * 3
    assert all("database_away" in warnings(answer) for answer in during)
    assert after.content == first.content
    assert archive.deliveries.count() == 5
