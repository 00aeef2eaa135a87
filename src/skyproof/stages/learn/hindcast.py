"""What experts that had not seen the tail of the history would have said during it, and how the blend would have learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.archive.archive import Archive
from skyproof.domain.forecasts import ForecastGrid, ForecastInputs
from skyproof.domain.progress import Progress, silent
from skyproof.domain.protocols import Blend, ForecastModel
from skyproof.domain.times import Instants, floor_to_hours, from_datetime64, hours, to_datetime64
from skyproof.domain.variables import find_variable
from skyproof.science.quantile_functions import clip_to_limits

State = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Hindcast:
    """Held-out forecasts and their outcomes.

    ``experts``: (issue, expert, variable, site, lead, level); ``observed``: (issue, variable, site, lead), NaN where not
    known at the end; ``states``: the blend's state at each issue time; ``final``: after everything known was seen.
    """

    issue_times: tuple[datetime, ...]
    experts: NDArray[np.float32]
    observed: NDArray[np.float32]
    states: tuple[State, ...]
    final: State


def hindcast(
    archive: Archive,
    models: Sequence[ForecastModel],
    blend: Blend,
    grid: ForecastGrid,
    source_ids: Sequence[str],
    issue_times: Sequence[datetime],
    *,
    max_age_hours: int,
    as_of: datetime,
    progress: Progress = silent,
) -> Hindcast:
    """Ask the experts at each issue time with what was known then, and let the blend learn in order of arrival."""
    answers = []
    for done, issue_time in enumerate(issue_times):
        progress("hindcast", done, len(issue_times))
        inputs = archive.inputs.gather(grid, source_ids, issue_time=issue_time, max_age=hours(max_age_hours))
        answers.append(_ask(models, inputs))
    progress("hindcast", len(issue_times), len(issue_times))
    experts = np.stack(answers)
    observed = _outcomes(archive, grid, issue_times, as_of)
    states, final = _learn_in_order(archive, blend, grid, issue_times, experts=experts, observed=observed, as_of=as_of)
    return Hindcast(tuple(issue_times), experts, observed, states, final)


def _ask(models: Sequence[ForecastModel], inputs: ForecastInputs) -> NDArray[np.float32]:
    answers = np.stack([model.predict(inputs).quantiles for model in models])
    for index, name in enumerate(inputs.grid.variables):
        variable = find_variable(name)
        answers[:, index] = clip_to_limits(answers[:, index], variable.lower, variable.upper)
    return answers


def _valid_times(grid: ForecastGrid, issue_time: datetime) -> Instants:
    init_time = to_datetime64(floor_to_hours(issue_time, grid.step_hours))
    return np.asarray(init_time + np.array(grid.lead_hours) * np.timedelta64(3600, "s"))


def _outcomes(
    archive: Archive, grid: ForecastGrid, issue_times: Sequence[datetime], as_of: datetime
) -> NDArray[np.float32]:
    """Observations of every issue time's leads as known at ``as_of``: (issue, variable, site, lead)."""
    wanted = np.stack([_valid_times(grid, issue_time) for issue_time in issue_times])
    times, values = archive.observations.grid(
        variables=grid.variables,
        site_ids=grid.site_ids,
        valid_from=from_datetime64(wanted.min()),
        valid_until=from_datetime64(wanted.max()),
        step_hours=grid.step_hours,
        as_of=as_of,
    )
    return values[:, np.searchsorted(times, wanted)].transpose(1, 0, 3, 2)


def _learn_in_order(
    archive: Archive,
    blend: Blend,
    grid: ForecastGrid,
    issue_times: Sequence[datetime],
    *,
    experts: NDArray[np.float32],
    observed: NDArray[np.float32],
    as_of: datetime,
) -> tuple[tuple[State, ...], State]:
    """The blend's state at each issue time: only outcomes that had arrived by then were shown to it."""
    state = blend.initial_state(experts.shape[1], len(grid.variables), len(grid.lead_hours))
    states: list[State] = []
    shown = np.zeros(observed.shape, dtype=bool)
    for number, now in enumerate((*issue_times, as_of)):
        arrived = np.isfinite(_outcomes(archive, grid, issue_times[:number], now)) if number else shown[:0]
        for earlier in range(number):
            fresh = arrived[earlier] & ~shown[earlier]
            if fresh.any():
                seen = np.where(fresh, observed[earlier], np.nan).astype(np.float32)
                state = blend.update(state, experts[earlier], seen)
                shown[earlier] |= fresh
        states.append(state)
    return tuple(states[:-1]), states[-1]
