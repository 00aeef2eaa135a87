"""The past and the present as cases: what every source said at an issue time, on one axis of leads, and what came of it.

A source's newest usable cycle known at the issue time is taken, as :meth:`skyproof.archive.inputs.Inputs.gather` takes it, and
put where its valid times meet those of the run; an older cycle simply reaches less far.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from skyproof.archive.cycles import Cycles
from skyproof.archive.observations import Observations
from skyproof.domain.cases import Cases, Place
from skyproof.domain.cycles import SourceCycle
from skyproof.domain.forecasts import ForecastGrid
from skyproof.domain.times import Instants, floor_to_hours, from_datetime64, to_datetime64
from skyproof.domain.variables import find_variable

_HOUR = np.timedelta64(3600, "s")
_ONE_HOUR = timedelta(hours=1)


def gather_cases(
    cycles: Cycles,
    observations: Observations,
    grid: ForecastGrid,
    source_ids: Sequence[str],
    issue_times: Sequence[datetime],
    *,
    max_age: timedelta,
    as_of: datetime,
    delay_hours: float = 1.0,
) -> tuple[Cases, ...]:
    """The cases of each variable of a grid.

    Args:
        cycles: what sources said.
        observations: what happened.
        grid: sites, variables and leads.
        source_ids: the sources looked for; one that never spoke of a variable is left out of its members.
        issue_times: increasing.
        max_age: cycles whose init time is further back than this from the issue time count as absent.
        as_of: observations recorded later do not exist. What a source said is what was known at each issue time.
        delay_hours: how long after its valid time an observation counts as known.

    Returns:
        For each variable its cases. Their issue times are init times: issue times rounded down to the step. Predictors
        are the means of each source for the other variables, named ``variable:source``.
    """
    newest = {
        source_id: [cycles.newest(source_id, as_of=issue, max_age=max_age) for issue in issue_times]
        for source_id in source_ids
    }
    return cases_of_cycles(cycles, observations, grid, newest, issue_times, as_of=as_of, delay_hours=delay_hours)


def cases_of_cycles(
    cycles: Cycles,
    observations: Observations,
    grid: ForecastGrid,
    newest: Mapping[str, Sequence[SourceCycle | None]],
    issue_times: Sequence[datetime],
    *,
    as_of: datetime,
    delay_hours: float = 1.0,
) -> tuple[Cases, ...]:
    """The cases of each variable, given the cycle of each source at each issue time; else as :func:`gather_cases`."""
    inits = np.array([to_datetime64(floor_to_hours(issue, grid.step_hours)) for issue in issue_times])
    inits = inits.astype("datetime64[s]")
    members = {source_id: _align(cycles, grid, inits, held) for source_id, held in newest.items()}
    observed = _outcomes(observations, grid, inits, as_of)
    places = tuple(Place(site.site_id, site.latitude, site.longitude, site.elevation_m) for site in grid.sites)
    means = {source_id: _mean_of_members(values) for source_id, values in members.items()}
    return tuple(
        Cases(
            variable=find_variable(name),
            issue_times=inits,
            lead_hours=grid.lead_hours,
            sites=places,
            members={
                source_id: values[:, index]
                for source_id, values in members.items()
                if np.isfinite(means[source_id][:, index]).any()
            },
            predictors={
                f"{other}:{source_id}": values[:, place]
                for source_id, values in means.items()
                for place, other in enumerate(grid.variables)
                if other != name and np.isfinite(values[:, place]).any()
            },
            observed=observed[index],
            delay_hours=delay_hours,
            age_hours={source_id: _ages(held, issue_times) for source_id, held in newest.items()},
        )
        for index, name in enumerate(grid.variables)
    )


def _align(
    cycles: Cycles, grid: ForecastGrid, inits: Instants, newest: Sequence[SourceCycle | None]
) -> NDArray[np.float32]:
    """What a source said at each issue time: (issue, variable, lead, site, member)."""
    entries = list(dict.fromkeys(cycle for cycle in newest if cycle is not None))
    leads, values = cycles.read_all(entries, site_ids=grid.site_ids, variables=grid.variables)
    shape = (len(inits), len(grid.variables), len(grid.lead_hours), len(grid.sites), max(values.shape[-1], 1))
    aligned = np.full(shape, np.nan, dtype=np.float32)
    place = {cycle: number for number, cycle in enumerate(entries)}
    for issue, cycle in enumerate(newest):
        if cycle is not None:
            here, there = _meeting_leads(grid.lead_hours, inits[issue], leads, cycle)
            aligned[issue][:, here] = values[place[cycle]][:, there]
    return aligned


def _ages(newest: Sequence[SourceCycle | None], issue_times: Sequence[datetime]) -> NDArray[np.float64]:
    """Hours from the start of each cycle to the issue time, NaN where there is none."""
    pairs = zip(newest, issue_times, strict=True)
    return np.array([np.nan if cycle is None else (issue - cycle.init_time) / _ONE_HOUR for cycle, issue in pairs])


def _meeting_leads(
    wanted: tuple[int, ...], init: np.datetime64, held: tuple[int, ...], cycle: SourceCycle
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Positions of the run's leads, and of the cycle's, that speak of the same valid times."""
    shift = int((init - to_datetime64(cycle.init_time)) / _HOUR)
    position = {lead: number for number, lead in enumerate(held)}
    pairs = [(number, position[lead + shift]) for number, lead in enumerate(wanted) if lead + shift in position]
    both = np.array(pairs, dtype=np.intp).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def _mean_of_members(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean over the members there, NaN where none is: (issue, variable, lead, site)."""
    there = np.isfinite(values)
    count = there.sum(axis=-1)
    total = np.where(there, values, np.float32(0)).sum(axis=-1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)


def _outcomes(observations: Observations, grid: ForecastGrid, inits: Instants, as_of: datetime) -> NDArray[np.float32]:
    """Observations of every lead as known at ``as_of``: (variable, issue, lead, site)."""
    shape = (len(grid.variables), len(inits), len(grid.lead_hours), len(grid.sites))
    if not len(inits):
        return np.full(shape, np.nan, dtype=np.float32)
    wanted = inits[:, None] + np.array(grid.lead_hours) * _HOUR
    times, values = observations.grid(
        variables=grid.variables,
        site_ids=grid.site_ids,
        valid_from=from_datetime64(wanted.min()),
        valid_until=from_datetime64(wanted.max()),
        step_hours=grid.step_hours,
        as_of=as_of,
    )
    return np.asarray(values[:, np.searchsorted(times, wanted)])
