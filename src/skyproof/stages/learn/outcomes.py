"""What came of earlier issue times, and when it was known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from skyproof.archive.archive import Archive
from skyproof.domain.forecasts import ForecastGrid
from skyproof.domain.times import Instants, floor_to_hours, from_datetime64, to_datetime64


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Outcomes of every lead of some issue times.

    ``observed``: (issue, variable, site, lead), NaN where not known at the end. ``known_from``: the first issue time, by
    number, at which each was known (any value; a revision changes nothing); the count of issue times for what was known
    only at the end, one more for what never was.
    """

    issue_times: tuple[datetime, ...]
    observed: NDArray[np.float32]
    known_from: NDArray[np.int16]


def gather_outcomes(
    archive: Archive, grid: ForecastGrid, issue_times: Sequence[datetime], *, as_of: datetime
) -> Outcomes:
    """Outcomes as known at ``as_of``, and when they first were."""
    observed = _outcomes(archive, grid, issue_times, as_of)
    never = len(issue_times) + 1
    known_from = np.full(observed.shape, never, dtype=np.int16)
    for number, now in enumerate((*issue_times, as_of)):
        earlier = issue_times[:number]
        if earlier:
            arrived = np.isfinite(_outcomes(archive, grid, earlier, now))
            known_from[:number][arrived & (known_from[:number] == never)] = number
    # What was withdrawn before the end teaches nothing.
    known_from[~np.isfinite(observed)] = never
    return Outcomes(tuple(issue_times), observed, known_from)


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


def _valid_times(grid: ForecastGrid, issue_time: datetime) -> Instants:
    init_time = to_datetime64(floor_to_hours(issue_time, grid.step_hours))
    return np.asarray(init_time + np.array(grid.lead_hours) * np.timedelta64(3600, "s"))
