"""Dependence templates from the archive: the ensembles a run was made from, and what was observed on days like its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.archive.archive import Archive
from skyproof.domain.forecasts import Run
from skyproof.domain.times import Instants, hours, to_datetime64
from skyproof.science.scenarios import ensemble_template, history_template
from skyproof.stages.forecast.axes import valid_times

#: An ensemble of fewer members has no dependence to speak of.
_FEWEST_MEMBERS = 4
#: Days of history that make a template, at most.
_MOST_DAYS = 90
#: Days around the run's own day of the year that earlier years give.
_SEASON_DAYS = 30
_YEARS_BACK = 3
#: A past day with fewer of its cells observed is left out.
_OBSERVED_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Cells:
    """What a template must cover."""

    run: Run
    variables: tuple[str, ...]
    site_ids: tuple[str, ...]
    lead_hours: tuple[int, ...]


def read_ensemble_template(archive: Archive, cells: Cells) -> tuple[NDArray[np.float32], dict[str, int]] | None:
    """Ranks (variable, site, lead, trajectory) of all members of the run's inputs, and members by source.

    The run's lineage names each cycle by its digest, so that a revision which came later changes nothing. None where no
    source has four members.
    """
    wanted = valid_times(cells.run.init_time, cells.lead_hours)
    sources, counts = [], {}
    for entry in cells.run.inputs:
        if entry.init_time is None or not entry.digest:
            continue
        cycle = archive.cycles.find(entry.source_id, entry.init_time, entry.digest)
        data = archive.cycles.read(cycle, site_ids=cells.site_ids, variables=cells.variables)
        members = data.values.shape[-1]
        held = valid_times(entry.init_time, data.lead_hours)
        if members < _FEWEST_MEMBERS or not len(held):
            continue
        place = np.clip(np.searchsorted(held, wanted), 0, len(held) - 1)
        found = np.where((held[place] == wanted)[:, None], data.values[:, place].swapaxes(1, 2), np.nan)
        if np.isfinite(found).any():
            sources.append(found)
            counts[entry.source_id] = members
    return (ensemble_template(sources), counts) if sources else None


def read_history_template(archive: Archive, cells: Cells) -> tuple[NDArray[np.float32], list[datetime]] | None:
    """Ranks (variable, site, lead, trajectory) of past days' observations, and those days, oldest first.

    Days begin at the hour of the run's ``init_time``; all their leads lie before its issue time; observations are those
    known then. The last 90 days come first, then days of the same season in the three years before, up to 90 in all.
    None where no day was observed.
    """
    days: list[datetime] = []
    parts: list[NDArray[np.float32]] = []
    for first, last in _periods(cells):
        if len(days) < _MOST_DAYS:
            starts, observed = _observed_days(archive, cells, first, last)
            keep = np.isfinite(observed).mean(axis=(1, 2, 3)) >= _OBSERVED_SHARE
            # The newest of a period first: when there are more than needed, the nearest to the run stay.
            order = np.flatnonzero(keep)[::-1][: _MOST_DAYS - len(days)]
            days += [starts[number] for number in order]
            parts.append(observed[order])
    if not days:
        return None
    by_time = np.argsort(np.array([to_datetime64(day) for day in days]))
    return history_template(np.concatenate(parts)[by_time]), [days[number] for number in by_time]


def _periods(cells: Cells) -> Sequence[tuple[datetime, datetime]]:
    """First and last day of each period to look at."""
    init_time = cells.run.init_time
    last = init_time - hours(-(-max(cells.lead_hours) // 24) * 24)
    recent = [(last - timedelta(days=_MOST_DAYS - 1), last)]
    earlier = [init_time - timedelta(days=round(365.25 * year)) for year in range(1, _YEARS_BACK + 1)]
    season = timedelta(days=_SEASON_DAYS)
    return recent + [(day - season, min(day + season, recent[0][0] - timedelta(days=1))) for day in earlier]


def _observed_days(
    archive: Archive, cells: Cells, first: datetime, last: datetime
) -> tuple[list[datetime], NDArray[np.float32]]:
    """Days from ``first`` to ``last``, and what was observed (day, variable, site, lead) as known at the issue time."""
    step = int(np.gcd.reduce([*cells.lead_hours, 24]))
    times, values = archive.observations.grid(
        variables=cells.variables,
        site_ids=cells.site_ids,
        valid_from=first,
        valid_until=last + hours(max(cells.lead_hours)),
        step_hours=step,
        as_of=cells.run.issue_time,
    )
    count = max((last - first).days + 1, 0)
    starts = [first + timedelta(days=day) for day in range(count)]
    if not starts:
        empty: NDArray[Any] = np.empty(
            (0, len(cells.variables), len(cells.site_ids), len(cells.lead_hours)), np.float32
        )
        return starts, empty
    wanted = np.stack([valid_times(start, cells.lead_hours) for start in starts])
    return starts, _at(times, values, wanted)


def _at(times: Instants, values: NDArray[np.float32], wanted: Instants) -> NDArray[np.float32]:
    """Values (variable, valid_time, site) at instants (day, lead), as (day, variable, site, lead); NaN off the axis."""
    place = np.clip(np.searchsorted(times, wanted), 0, len(times) - 1)
    found = values[:, place].transpose(1, 0, 3, 2)
    return np.where((times[place] == wanted)[:, None, None, :], found, np.float32(np.nan))
