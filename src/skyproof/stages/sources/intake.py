"""The door: what sources and feeds say is checked and appended to the archive, and every row is accounted for.

One batch is one transaction of the archive, so a process that dies in between leaves whole batches and nothing else;
taking the same delivery in again stores what is missing and counts the rest as duplicates. In every report
``received == stored + duplicates + rejected``; what is flagged is stored too.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import numpy as np

from skyproof.archive.archive import Archive
from skyproof.domain.cycles import CycleBatch, IntakeReport, SourceCycle
from skyproof.domain.errors import ContractError
from skyproof.domain.progress import Progress, silent
from skyproof.domain.protocols import ObservationFeed, Source
from skyproof.domain.sites import Site
from skyproof.domain.times import format_instant, require_utc
from skyproof.stages.sources.contract import (
    MEMORY_CYCLES,
    OffersCells,
    PreviousCycle,
    SourceMemory,
    check_cycles,
    keep_credible_times,
    keep_known_names,
)
from skyproof.stages.sources.observation_checks import check_observations
from skyproof.stages.sources.problems import Problems, ReportsProblems
from skyproof.stages.sources.unit_slip import profiles

#: Earlier than anything a source can offer.
BEGINNING = datetime(1800, 1, 1, tzinfo=UTC)
#: How far back earlier cycles are looked up to compare with.
_MEMORY_SPAN = timedelta(days=60)


def take_in_cycles(
    archive: Archive,
    source: Source,
    sites: tuple[Site, ...],
    *,
    after: datetime | None,
    until: datetime,
    recorded_at: datetime | None = None,
    progress: Progress = silent,
) -> IntakeReport:
    """Take in the cycles of a source that became available in (after, until].

    Bad cycles are kept with their quality and reasons, and treated as absent by every forecast. Refused are cycles
    from the future, or available before they started.

    Args:
        archive: takes the cycles.
        source: gives them.
        sites: the places wanted.
        after: nothing earlier is asked for; None for everything.
        until: the present.
        recorded_at: when we took them in; for a history taken in afterwards (the default) when the last of a batch
            became available.
        progress: told after every batch.

    Returns:
        Counts of cycles (rows or messages that a file reader refused or found repeated count as one each), and up to
        a hundred messages.

    Raises:
        UnreadableFileError: the source sent something that is not what it should be.
    """
    spec, problems = source.spec, Problems()
    start, until = require_utc(after or BEGINNING, "after"), require_utc(until, "until")
    known_sites, site_ids = frozenset(site.site_id for site in sites), tuple(site.site_id for site in sites)
    memory: SourceMemory | None = None
    received = stored = flagged = 0
    first: datetime | None = after
    for raw in source.cycles(sites, start, until):
        _check_sender(raw.source_id, spec.source_id)
        received += len(raw.init_times)
        refused = problems.rejected
        batch = keep_known_names(raw, known_sites, problems)
        if not batch.variables or not batch.site_ids:
            problems.reject(
                f"{len(raw.init_times)} cycles of {spec.source_id} hold nothing known", count=len(raw.init_times)
            )
            continue
        batch = keep_credible_times(batch, until=until, problems=problems)
        if not batch.init_times:
            continue
        if memory is None:
            memory = _recall(archive, batch, until)
        offered = source.offered_cells(batch) if isinstance(source, OffersCells) else None
        checked = check_cycles(batch, spec, memory, site_ids=site_ids, offered=offered)
        new = archive.cycles.append(
            checked.batch,
            checked.verdicts,
            recorded_at=recorded_at or max(batch.available_ats),
            expected=checked.expected,
        )
        stored += len(new)
        problems.duplicates += len(raw.init_times) - (problems.rejected - refused) - len(new)
        flagged += _describe(new, problems)
        newest = max(batch.available_ats)
        first = first or min(batch.available_ats)
        progress(f"taking in {spec.source_id}", (newest - first).days, max((until - first).days, 1))
    if first is not None and received:
        progress(f"taking in {spec.source_id}", max((until - first).days, 1), max((until - first).days, 1))
    received += _add_problems(source, problems)
    return _report(spec.source_id, received, stored, flagged, problems)


def take_in_observations(
    archive: Archive,
    feed: ObservationFeed,
    sites: tuple[Site, ...],
    *,
    after: datetime | None,
    until: datetime,
    progress: Progress = silent,
) -> IntakeReport:
    """Take in the observations and revisions of a feed that were recorded in (after, until].

    Implausible rows are stored with a flag, so that they are never used as truth; rows of unknown sites or variables
    are refused. Arguments and errors as in :func:`take_in_cycles`; counts are of rows.
    """
    problems = Problems()
    start, until = require_utc(after or BEGINNING, "after"), require_utc(until, "until")
    known = frozenset(site.site_id for site in sites)
    received = stored = flagged = 0
    first: np.datetime64 | None = None
    for batch in feed.observations(sites, start, until):
        _check_sender(batch.source_id, feed.source_id)
        received += len(batch)
        if not len(batch):
            continue
        checked = check_observations(batch, site_ids=known, until=until, problems=problems)
        new = archive.observations.append(checked.batch, checked.flags)
        stored += new
        problems.duplicates += len(checked.batch) - new
        flagged += int(np.count_nonzero(checked.flags != ""))
        first = batch.recorded_ats.min() if first is None else first
        total = np.datetime64(until.replace(tzinfo=None), "s") - first
        done = batch.recorded_ats.max() - first
        progress(f"taking in {feed.source_id}", _days(done), max(_days(total), 1))
    received += _add_problems(feed, problems)
    return _report(feed.source_id, received, stored, min(flagged, stored), problems)


def _check_sender(got: str, wanted: str) -> None:
    if got != wanted:
        raise ContractError(f"source {wanted} sent a batch of {got}", hint="a source speaks for itself alone")


def _recall(archive: Archive, batch: CycleBatch, until: datetime) -> SourceMemory:
    """What the archive holds of the cycles before a batch."""
    memory, first = SourceMemory(), min(batch.init_times)
    before = [
        cycle
        for cycle in archive.cycles.catalogue(
            batch.source_id, as_of=until, init_from=first - _MEMORY_SPAN, init_until=first, usable_only=False
        )
        if cycle.init_time < first
    ]
    for cycle in before[-MEMORY_CYCLES:]:
        data = archive.cycles.read(cycle, site_ids=batch.site_ids, variables=batch.variables)
        memory.previous = PreviousCycle(cycle.init_time, data.variables, data.lead_hours, data.site_ids, data.values)
        if cycle.quality in ("ok", "partial"):
            for variable, profile in zip(data.variables, profiles(data.values), strict=True):
                memory.remember(variable, profile)
    return memory


def _describe(new: Iterable[SourceCycle], problems: Problems) -> int:
    """Say what is wrong with new cycles; returns how many are not wholly good."""
    flagged = 0
    for cycle in new:
        flagged += cycle.quality != "ok"
        if cycle.quality != "ok" or cycle.reasons:
            problems.note(
                f"cycle {format_instant(cycle.init_time)} of {cycle.source_id} is {cycle.quality}: {'; '.join(cycle.reasons)}"
            )
    return flagged


def _add_problems(giver: object, problems: Problems) -> int:
    """Take over what a reader says of its files; returns how many rows never became part of a batch."""
    if not isinstance(giver, ReportsProblems):
        return 0
    problems.add(giver.problems)
    return giver.problems.rejected + giver.problems.duplicates


def _report(source_id: str, received: int, stored: int, flagged: int, problems: Problems) -> IntakeReport:
    return IntakeReport(
        source_id=source_id,
        received=received,
        stored=stored,
        duplicates=problems.duplicates,
        flagged=flagged,
        rejected=problems.rejected,
        messages=problems.messages,
    )


def _days(span: np.timedelta64) -> int:
    return int(span / np.timedelta64(1, "D"))
