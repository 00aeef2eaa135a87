"""How fresh everything is: the answer behind ``/v1/status`` and the console's status line."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from skyproof.archive.archive import Archive
from skyproof.domain.cycles import SourceCycle, SourceSpec
from skyproof.domain.errors import NoRunError
from skyproof.domain.forecasts import Run

_ANY_AGE = timedelta(days=36500)
_PERIOD_OF_RUNS = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class SourceFreshness:
    """A source and its newest usable cycle. ``overdue``: older than cadence and usual worst delay allow."""

    spec: SourceSpec
    newest: SourceCycle | None
    age_hours: float | None
    overdue: bool


@dataclass(frozen=True, slots=True)
class Freshness:
    """The newest run and all sources at an instant. ``status``: ok, degraded, stale or no_run."""

    now: datetime
    status: str
    newest_run: Run | None
    run_age_hours: float | None
    is_sandbox: bool
    sources: tuple[SourceFreshness, ...]


def read_freshness(archive: Archive, now: datetime) -> Freshness:
    """Ask the archive how fresh everything is."""
    sources = tuple(read_source(archive, spec, now) for spec in archive.sources.all())
    try:
        newest = archive.runs.newest(as_of=now)
    except NoRunError:
        return Freshness(now, "no_run", None, None, is_sandbox=False, sources=sources)
    age = now - newest.issue_time
    status = "ok" if newest.regime.regime_id == "full" else "degraded"
    if age > 2 * _usual_gap(archive, newest, now):
        status = "stale"
    is_sandbox = archive.runs.open(newest).attributes.get("sandbox") == "True"
    return Freshness(now, status, newest, age.total_seconds() / 3600, is_sandbox, sources)


def read_source(archive: Archive, spec: SourceSpec, now: datetime) -> SourceFreshness:
    """How fresh one source is."""
    newest = archive.cycles.newest(spec.source_id, as_of=now, max_age=_ANY_AGE)
    if newest is None:
        return SourceFreshness(spec, None, None, overdue=True)
    age = now - newest.init_time
    return SourceFreshness(spec, newest, age.total_seconds() / 3600, age > spec.cadence + spec.latency_p95)


def _usual_gap(archive: Archive, newest: Run, now: datetime) -> timedelta:
    """Time between the last two issue times; a day where there is only one."""
    before = archive.runs.between(
        issue_from=newest.issue_time - _PERIOD_OF_RUNS,
        issue_until=newest.issue_time - timedelta(seconds=1),
        as_of=now,
    )
    return newest.issue_time - before[-1].issue_time if before else timedelta(days=1)
