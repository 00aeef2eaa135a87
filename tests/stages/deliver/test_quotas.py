"""Counting: exact in one process, shared between several, and lost by no more than one share."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyproof.archive.archive import Archive
from skyproof.domain.accounts import Plan
from skyproof.domain.errors import StoreUnavailableError
from skyproof.stages.deliver.quotas import DAY_S, MINUTE_S, Meter

BEGAN = datetime(2025, 3, 30, tzinfo=UTC)
NUMBERS = itertools.count()
PLANS = {"standard": Plan(5, 8, 1, 1, 1)}


class Wall:
    """A clock on the wall, set by hand."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds

    def __call__(self) -> float:
        return BEGAN.timestamp() + self.seconds


def meters(archive: Archive, wall: Wall, count: int = 1, plans=PLANS) -> list[Meter]:
    return [Meter(archive.usage, plans=plans, wall=wall) for _ in range(count)]


def taken(meter: Meter, times: int, customer: str = "acme") -> int:
    """How many of so many requests went through."""
    account = meter.account(customer, "standard")
    return sum(meter.take(account) is not None for _ in range(times))


def days(archive: Archive, customer: str = "acme") -> list[int]:
    rows = archive.usage.spans(customer, DAY_S, since=BEGAN, until=BEGAN + timedelta(days=9))
    return [row.requests for row in rows]


def test_a_minute_and_a_day_begin_anew_by_hand(sqlite_archive: Archive):
    wall = Wall(59)
    (meter,) = meters(sqlite_archive, wall)
    assert taken(meter, 6) == 5
    wall.seconds = 60
    assert taken(meter, 6) == 3  # the eighth of the day
    wall.seconds = DAY_S - 1
    assert taken(meter, 1) == 0
    wall.seconds = DAY_S
    assert taken(meter, 6) == 5
    meter.share()
    assert days(sqlite_archive) == [5, 8]


def test_a_refusal_says_which_quota_and_how_long(sqlite_archive: Archive):
    wall = Wall(10)
    (meter,) = meters(sqlite_archive, wall)
    taken(meter, 6)
    account = meter.account("acme", "standard")
    error = meter.refuse(account)
    assert (error.retry_after_s, "this minute" in error.message) == (50, True)
    wall.seconds = 70
    taken(meter, 6)
    error = meter.refuse(account)
    assert (error.retry_after_s, "this day" in error.message) == (DAY_S - 70, True)


def test_processes_learn_of_one_another_when_they_share(archive: Archive):
    first, second = meters(archive, Wall(), 2)
    assert taken(first, 3) == 3
    first.share()
    assert taken(second, 4) == 4  # it does not know yet: the overshoot that is promised
    second.share()
    first.share()  # nothing new to add, so nothing is learned
    assert taken(first, 1) == 1
    first.share()
    assert taken(first, 1) == 0
    assert taken(second, 1) == 0
    assert days(archive) == [8]


def test_a_killed_process_loses_only_what_it_did_not_share(archive: Archive):
    first, second = meters(archive, Wall(), 2)
    taken(first, 4)
    first.share()
    taken(first, 1)
    del first
    assert taken(second, 1) == 1
    second.share()
    assert days(archive) == [5]


def test_what_could_not_be_kept_is_kept_later(sqlite_archive: Archive, monkeypatch):
    wall = Wall()
    (meter,) = meters(sqlite_archive, wall)
    taken(meter, 2)

    def away(rows):
        raise StoreUnavailableError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(sqlite_archive.usage, "add", away)
        with pytest.raises(StoreUnavailableError):
            meter.share()
        meter._share_or_say()
    wall.seconds = 61
    taken(meter, 1)
    meter.share()
    meter.share()
    assert days(sqlite_archive) == [3]
    minutes = sqlite_archive.usage.spans("acme", MINUTE_S, since=BEGAN, until=BEGAN + timedelta(days=1))
    assert [row.requests for row in minutes] == [1, 2]


def test_old_minutes_are_forgotten_and_days_are_not(archive: Archive):
    wall = Wall()
    (meter,) = meters(archive, wall)
    taken(meter, 1)
    meter.share()
    wall.seconds = 2 * 3600
    taken(meter, 1)
    meter.share()
    assert len(archive.usage.spans("acme", MINUTE_S, since=BEGAN, until=BEGAN + timedelta(days=1))) == 1
    assert days(archive) == [2]


@given(steps=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4), st.integers(0, 90), st.booleans()), max_size=30))
def test_however_processes_share_every_request_is_kept_once(served, steps):
    customer = f"customer-{next(NUMBERS)}"
    wall, total = Wall(), 0
    all_meters = meters(served.archive, wall, 3, {"standard": Plan(10**6, 10**6, 1, 1, 1)})
    for which, times, later, shares in steps:
        wall.seconds += later
        total += taken(all_meters[which], times, customer)
        if shares:
            all_meters[which].share()
    for meter in all_meters:
        meter.close()
    assert sum(days(served.archive, customer)) == total
