"""What customers are told of runs: followed by hand over a few days, and told once whoever looks how often."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from skyproof.archive.archive import Archive
from skyproof.domain.errors import InvalidValueError, UnknownNameError
from skyproof.domain.notices import check_kinds
from skyproof.domain.sites import Customer
from skyproof.stages.deliver.run_notices import Timetable, find_events, notices_for, render_notice
from tests.surfaces.api.served import SITES, draft

DAY_ONE = datetime(2025, 3, 29, tzinfo=UTC)
TWICE_A_DAY = Timetable(12, 0, timedelta(hours=1))


def after(hours: float) -> datetime:
    return DAY_ONE + timedelta(hours=hours)


def issue(archive: Archive, hours: float, regime: str = "full") -> str:
    """Publish a run of that hour, half an hour later."""
    return archive.runs.publish(draft(int(hours) + 1, after(hours), "rel_a", regime_id=regime)).run_id


def tell(archive: Archive, hours: float) -> list[tuple[str, str]]:
    """Tell acme what happened by that hour; gives kind and cause of what is new."""
    known = {notice.event_id for _, notice in archive.notices.page("acme", limit=1000)}
    events = find_events(archive, TWICE_A_DAY, after(hours))
    archive.notices.add(notices_for(archive, "acme", events), now=after(hours))
    new = [notice for _, notice in archive.notices.page("acme", limit=1000) if notice.event_id not in known]
    return [(notice.kind, str(notice.data.get("cause", ""))) for notice in new]


@pytest.fixture
def told(archive: Archive) -> Archive:
    archive.customers.add(Customer("acme", "Acme"))
    archive.sites.add(SITES)
    return archive


def test_three_days_by_hand(told):
    assert tell(told, 0) == []  # nothing was ever made, so nothing is late
    issue(told, 0)
    assert tell(told, 0.6) == [("run.available", "")]
    assert tell(told, 0.7) == []
    issue(told, 12, "without-boreas")
    assert tell(told, 12.6) == [("run.available", ""), ("run.degraded", "boreas missing")]
    issue(told, 24, "without-boreas")
    assert tell(told, 24.6) == [("run.available", "")]  # still degraded: told once
    assert tell(told, 36.9) == []
    late = "no run of 2025-03-30T12:00:00Z was published by 2025-03-30T13:00:00Z"
    assert tell(told, 37) == [("run.late", late)]
    assert tell(told, 40) == []
    issue(told, 38)  # the late run, whole again
    assert tell(told, 41) == [("run.available", ""), ("run.recovered", "all sources are back")]
    assert tell(told, 49)[0][0] == "run.late"
    issue(told, 48)
    assert tell(told, 50) == [("run.available", ""), ("run.recovered", "the late run is there")]


def test_what_is_told_says_what_it_means_for_the_customer(told):
    run_id = issue(told, 12, "without-boreas")
    tell(told, 13)
    event = render_notice(told.notices.page("acme")[1][1])
    assert {name: event[name] for name in ("specversion", "type", "source", "time")} == {
        "specversion": "1.0", "type": "skyproof.run.degraded", "source": "/models/skyproof", "time": "2025-03-29T12:30:00Z",
    }  # fmt: skip
    assert event["data"]["run_id"] == run_id
    assert event["data"]["next_expected"] == "2025-03-30T00:00:00Z"
    assert event["data"]["customer_impact"] == {"sites": 2, "median_band_widening": 1.25}  # its roof, and Zurich


def test_old_runs_and_old_lateness_are_told_no_more(told):
    issue(told, 0)
    assert tell(told, 24 * 9) == [("run.late", tell_late(24 * 9 - 12))]
    assert find_events(told, Timetable(24, 0, timedelta(hours=24)), after(0.6))[0].kind == "run.available"


def tell_late(hours: float) -> str:
    slot = TWICE_A_DAY.slot(after(hours + 11))
    return f"no run of {slot:%Y-%m-%dT%H:%M:%SZ} was published by {slot + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"


@pytest.mark.parametrize(
    ("every", "first", "hour", "slot", "following"),
    [
        (24, 12, 11.9, -12, 12),
        (24, 12, 12, 12, 36),
        (12, 0, 23.9, 12, 24),
        (6, 3, 2, -3, 3),
        (6, 3, 3, 3, 9),
        (7, 1, 23, 22, 25),
        (1, 0, 5.5, 5, 6),
    ],
)
def test_nominal_issue_times_by_hand(every, first, hour, slot, following):
    timetable = Timetable(every, first, timedelta(0))
    assert timetable.slot(after(hour)) == after(slot)
    assert timetable.next_slot(after(hour)) == after(following)


def test_kinds_are_checked():
    assert check_kinds(("run.late", "run.available", "run.late")) == ("run.available", "run.late")
    with pytest.raises(UnknownNameError, match=r"'alert\.prior'"):
        check_kinds(("alert.prior",))
    with pytest.raises(InvalidValueError):
        check_kinds(())


def test_two_that_tell_at_once_tell_once(told):
    issue(told, 12, "without-boreas")
    notices = list(notices_for(told, "acme", find_events(told, TWICE_A_DAY, after(13))))
    assert [told.notices.add(notices, now=after(13)) for _ in range(2)] == [2, 0]
    assert [number for number, _ in told.notices.page("acme")] == sorted(
        number for number, _ in told.notices.page("acme")
    )
