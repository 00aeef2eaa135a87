"""Scoring what is new: the days that runs, observations or revisions touched since the last time, and no other."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from skyproof.archive.archive import Archive
from skyproof.domain.progress import Progress, silent
from skyproof.domain.times import hours
from skyproof.stages.verify.score_day import score_day


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What a verification did."""

    release_id: str
    days_scored: int
    pairs: int
    first_day: date | None
    last_day: date | None


def verify_new(archive: Archive, release_id: str, *, as_of: datetime, progress: Progress = silent) -> VerifyReport:
    """Score every touched day of a release again, whole, and keep its sums; a day is replaced by its newest scoring."""
    days = touched_days(archive, release_id, as_of=as_of)
    pairs, scored = 0, []
    for done, day in enumerate(days):
        progress("verify", done, len(days))
        sums = score_day(archive, release_id, day, as_of=as_of)
        if sums is not None:
            pairs += archive.scores.add(sums, scored_at=as_of).pairs
            scored.append(day)
    progress("verify", len(days), len(days))
    return VerifyReport(release_id, len(scored), pairs, min(scored, default=None), max(scored, default=None))


def touched_days(archive: Archive, release_id: str, *, as_of: datetime) -> tuple[date, ...]:
    """Valid days of the release's runs with something to score that is newer than their scores."""
    begin = as_of - timedelta(days=36_500)
    runs = archive.runs.between(issue_from=begin, issue_until=as_of, as_of=as_of, release_id=release_id)
    if not runs:
        return ()
    reachable: dict[date, datetime] = {}
    for run in runs:
        for lead in archive.runs.open(run).lead_hours:
            day = (run.init_time + hours(lead)).date()
            reachable[day] = max(reachable.get(day, run.published_at), run.published_at)
    scored = {day.valid_day: day.scored_at for day in archive.scores.days(release_id, as_of=as_of)}
    observed = set(archive.observations.touched_days(recorded_after=None, as_of=as_of))
    found = {day for day in reachable if day in observed and (day not in scored or reachable[day] > scored[day])}
    for scored_at in set(scored.values()):
        newer = archive.observations.touched_days(recorded_after=scored_at, as_of=as_of)
        found |= {day for day in newer if scored.get(day) == scored_at}
    return tuple(sorted(found))
