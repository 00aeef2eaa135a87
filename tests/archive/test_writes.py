"""Writes that happen once: however many send the same at the same time, and whatever dies in between."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from archive_samples import at

from skyproof.archive.archive import Archive
from skyproof.archive.usage import UsageRow
from skyproof.archive.writes import Outcome, WriteRequest
from skyproof.domain.accounts import AuditEntry
from skyproof.domain.errors import ConflictError
from skyproof.domain.portfolios import Portfolio
from skyproof.domain.sites import Customer


def entry(action: str = "x.changed") -> AuditEntry:
    return AuditEntry(at(0), "acme", "key1", action, "x", {"n": 1})


def request(key: str = "k", digest: str = "d", hour: float = 0) -> WriteRequest:
    return WriteRequest("acme", key, digest, at(hour))


def test_many_that_send_the_same_at_once_change_once(archive: Archive) -> None:
    barrier = Barrier(6)

    def send(_: int) -> Outcome:
        barrier.wait()
        return archive.writes.once(request(), lambda _: Outcome(201, {"made": True}, entry(), {"key": "secret"}))

    with ThreadPoolExecutor(6) as pool:
        outcomes = list(pool.map(send, range(6)))
    assert sorted(outcome.is_replay for outcome in outcomes) == [False] + [True] * 5
    assert {outcome.status for outcome in outcomes} == {201}
    assert [outcome.secrets for outcome in outcomes if not outcome.is_replay] == [{"key": "secret"}]
    assert all(outcome.answer == {"made": True, "key": None} for outcome in outcomes if outcome.is_replay)
    assert len(archive.audit.page("acme")) == 1


def test_a_change_that_fails_leaves_nothing_behind_not_even_its_key(archive: Archive) -> None:
    def fail(transaction: object) -> Outcome:
        archive.portfolios.put(transaction, Portfolio("pf_1", "acme", "Park", "sum", {"s": 1.0}, at(0)))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        archive.writes.once(request(), fail)
    assert archive.portfolios.all("acme") == ()
    assert archive.audit.page("acme") == ()
    assert not archive.writes.once(request(), lambda _: Outcome(200, {})).is_replay


def test_a_key_stands_for_one_request_of_one_customer_for_a_day(archive: Archive) -> None:
    archive.writes.once(request(), lambda _: Outcome(200, {"n": 1}))
    with pytest.raises(ConflictError, match="another request"):
        archive.writes.once(request(digest="other"), lambda _: Outcome(200, {"n": 2}))
    other = WriteRequest("bolt", "k", "other", at(0))
    assert archive.writes.once(other, lambda _: Outcome(200, {"n": 3})).answer == {"n": 3}
    assert archive.writes.once(request(hour=24), lambda _: Outcome(200, {"n": 4})).answer == {"n": 1}
    assert archive.writes.once(request(hour=24.01), lambda _: Outcome(200, {"n": 5})).answer == {"n": 5}


def test_without_a_key_every_write_is_one(archive: Archive) -> None:
    for number in (1, 2):
        assert archive.writes.once(request(key=""), lambda _, n=number: Outcome(200, {"n": n})).answer == {"n": number}


def test_the_log_is_paged_newest_first_and_per_customer(archive: Archive) -> None:
    for number in range(5):
        archive.writes.once(request(key=""), lambda _, n=number: Outcome(200, {}, entry(f"x.{n}")))
    first = archive.audit.page("acme", limit=2)
    rest = archive.audit.page("acme", before=first[-1][0])
    assert [each.action for _, each in (*first, *rest)] == ["x.4", "x.3", "x.2", "x.1", "x.0"]
    assert archive.audit.page("bolt") == ()
    assert archive.audit.page("acme", since=at(1)) == ()
    assert first[0][1].detail == {"n": 1}


def test_counts_add_up_however_many_add_at_once(archive: Archive) -> None:
    rows = [UsageRow("acme", 60, at(0), 2, 1), UsageRow("acme", 86_400, at(0), 2, 1), UsageRow("bolt", 60, at(0), 1)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda k: archive.usage.add(rows if k % 2 else rows[::-1]), range(8)))
    assert archive.usage.add(rows)[0] == UsageRow("acme", 60, at(0), 18, 9)
    assert archive.usage.add(()) == ()
    assert archive.usage.forget(60, before=at(0) + timedelta(seconds=1)) == 2
    assert archive.usage.spans("acme", 86_400, since=at(0), until=at(0))[0].requests == 18


def test_the_order_of_a_portfolio_and_the_plan_of_a_customer_are_kept(archive: Archive) -> None:
    archive.customers.add(Customer("acme", "Acme", "trial"))
    assert archive.customers.find("acme").plan == "trial"
    members = {"z": 1.0, "a": -2.5, "m": 0.5}
    made = Portfolio("pf_1", "acme", "Park", "sum", members, at(0))
    archive.writes.once(request(), lambda transaction: (archive.portfolios.put(transaction, made), Outcome(200, {}))[1])
    (kept,) = archive.portfolios.all("acme")
    assert kept == made
    assert list(kept.members) == list(members)
