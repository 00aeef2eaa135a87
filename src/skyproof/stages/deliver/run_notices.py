"""What customers are told of runs: each that is published, each that is late, and how the sources come and go.

Notices follow from what is kept and the present alone, so whoever makes them again makes the same ones, and each is told once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from skyproof.archive.archive import Archive
from skyproof.domain.forecasts import Run
from skyproof.domain.notices import Notice
from skyproof.domain.sites import Site
from skyproof.domain.times import format_instant, hours
from skyproof.stages.deliver.run_view import MODEL, regime_facts

#: Runs published longer ago are told no more: a service that was away for a day has newer things to say.
_TELL_WITHIN = timedelta(days=1)
#: How far back the run before is looked for.
_LOOK_BACK = timedelta(days=10)
_FULL = "full"
_MIDNIGHT_HOURS = 24


@dataclass(frozen=True, slots=True)
class Timetable:
    """When runs are issued: every ``every_hours`` from ``first_hour`` UTC on, and how long after that one is late."""

    every_hours: int
    first_hour: int
    late_after: timedelta

    def slot(self, instant: datetime) -> datetime:
        """The last nominal issue time at or before an instant."""
        midnight = instant.replace(hour=0, minute=0, second=0, microsecond=0)
        # The day before counts too: its last issue times reach into this day's first hours.
        slots = [
            midnight + hours(day + hour)
            for day in (-_MIDNIGHT_HOURS, 0)
            for hour in range(self.first_hour, _MIDNIGHT_HOURS, self.every_hours)
        ]
        return max((slot for slot in slots if slot <= instant), default=slots[0])

    def next_slot(self, instant: datetime) -> datetime:
        """The first nominal issue time after an instant."""
        hour = instant.replace(minute=0, second=0, microsecond=0)
        for later in range(1, 2 * _MIDNIGHT_HOURS + 1):
            if self.slot(hour + hours(later)) == hour + hours(later):
                return hour + hours(later)
        return hour + hours(_MIDNIGHT_HOURS)


@dataclass(frozen=True, slots=True)
class RunEvent:
    """Something that happened to runs, the same for all customers."""

    event_id: str
    kind: str
    occurred_at: datetime
    data: dict[str, Any]
    run: Run | None


def event_id(kind: str, subject: str) -> str:
    """The name of an event: the same whoever finds it, and whenever."""
    return f"evt_{hashlib.sha256(f'{kind} {subject}'.encode()).hexdigest()[:24]}"


def find_events(archive: Archive, timetable: Timetable, now: datetime) -> tuple[RunEvent, ...]:
    """What happened to runs lately, oldest first."""
    runs = archive.runs.between(issue_from=now - _LOOK_BACK, issue_until=now, as_of=now)
    late_ids = [_late_id(timetable.slot(run.issue_time)) for run in runs if _is_recent(run, now)]
    told_late = archive.notices.told(late_ids)
    events = [event for place, run in enumerate(runs) for event in _of_run(runs, place, run, timetable, now, told_late)]
    events += _late(runs, timetable, now)
    return tuple(sorted(events, key=lambda event: event.occurred_at))


def notices_for(archive: Archive, customer_id: str, events: Iterable[RunEvent]) -> Iterator[Notice]:
    """The events as one customer is told of them, with what they mean for its places."""
    sites = archive.sites.all(customer_id=customer_id)
    for event in events:
        data = {**event.data, "customer_impact": _impact(archive, sites, event.run)}
        yield Notice(event.event_id, customer_id, event.kind, event.occurred_at, data)


def render_notice(notice: Notice) -> dict[str, Any]:
    """A notice as it is pushed and read: the members of CloudEvents 1.0 (its JSON format)."""
    return {
        "specversion": "1.0",
        "type": f"skyproof.{notice.kind}",
        "source": f"/models/{MODEL}",
        "id": notice.event_id,
        "time": format_instant(notice.occurred_at),
        "data": dict(notice.data),
    }


def _of_run(
    runs: Sequence[Run], place: int, run: Run, timetable: Timetable, now: datetime, told_late: frozenset[str]
) -> Iterator[RunEvent]:
    if not _is_recent(run, now):
        return
    before = runs[place - 1].regime if place else None
    data = {
        "run_id": run.run_id,
        "model_version": run.release_id,
        "init_time": format_instant(run.init_time),
        "issued_at": format_instant(run.issue_time),
        "regime": regime_facts(run),
        "next_expected": format_instant(timetable.next_slot(run.issue_time)),
    }

    def event(kind: str, cause: str) -> RunEvent:
        more = {"cause": cause} if cause else {}
        return RunEvent(event_id(kind, run.run_id), kind, run.published_at, {**data, **more}, run)

    yield event("run.available", "")
    regime = run.regime
    if regime.regime_id != _FULL and (before is None or before.regime_id != regime.regime_id):
        missing = [f"{name} missing" for name in regime.missing] + [f"{name} late" for name in regime.late]
        yield event("run.degraded", ", ".join(missing) or regime.regime_id)
    was_degraded = before is not None and before.regime_id != _FULL and regime.regime_id == _FULL
    was_late = _late_id(timetable.slot(run.issue_time)) in told_late
    if was_degraded or was_late:
        yield event("run.recovered", "all sources are back" if was_degraded else "the late run is there")


def _late(runs: Sequence[Run], timetable: Timetable, now: datetime) -> Iterator[RunEvent]:
    slot = timetable.slot(now - timetable.late_after)
    # A service that never made a run is not late, and one that has just begun owes nothing from before.
    if not runs or runs[-1].issue_time >= slot or slot < now - _TELL_WITHIN:
        return
    data = {
        "expected": format_instant(slot),
        "newest_run": runs[-1].run_id,
        "newest_issued_at": format_instant(runs[-1].issue_time),
        "cause": f"no run of {format_instant(slot)} was published by {format_instant(slot + timetable.late_after)}",
        "next_expected": format_instant(timetable.next_slot(now)),
    }
    yield RunEvent(_late_id(slot), "run.late", slot + timetable.late_after, data, runs[-1])


def _late_id(slot: datetime) -> str:
    return event_id("run.late", format_instant(slot))


def _is_recent(run: Run, now: datetime) -> bool:
    return run.published_at >= now - _TELL_WITHIN


def _impact(archive: Archive, sites: Sequence[Site], run: Run | None) -> dict[str, object]:
    if run is None:
        return {"sites": 0, "median_band_widening": None}
    held = set(archive.runs.open(run).site_ids)
    return {"sites": sum(site.site_id in held for site in sites), "median_band_widening": run.regime.widening}
