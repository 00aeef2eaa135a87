"""What came of earlier issue times, and when it was known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.archive.archive import Archive
from skyproof.domain.forecasts import ForecastGrid
from skyproof.domain.times import Instants, floor_to_hours, from_datetime64, to_datetime64, to_epoch_seconds


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
    wanted = np.stack([_valid_times(grid, issue_time) for issue_time in issue_times])
    first, last = from_datetime64(wanted.min()), from_datetime64(wanted.max())
    places = (wanted - wanted.min()) // np.timedelta64(3600 * grid.step_hours, "s")
    moments = np.array([to_epoch_seconds(moment) for moment in (*issue_times, as_of)])
    shape = (len(issue_times), len(grid.variables), len(grid.sites), len(grid.lead_hours))
    observed = np.full(shape, np.nan, dtype=np.float32)
    known_from = np.full(shape, len(issue_times) + 1, dtype=np.int16)
    for index, variable in enumerate(grid.variables):
        rows = archive.observations.revisions(
            variable=variable, site_ids=grid.site_ids, axis=(first, last, grid.step_hours), as_of=as_of
        )
        cells = np.full((int(places.max()) + 1, len(grid.sites)), np.nan, dtype=np.float32)
        cells[rows["valid"], rows["site"]] = rows["value"]
        seen = _Seen(rows, moments)
        for number, place in enumerate(places):
            observed[number, index] = cells[place].T
            known_from[number, index] = seen.first_known(number, place, len(grid.sites)).T
    # What was withdrawn before the end teaches nothing.
    known_from[~np.isfinite(observed)] = len(issue_times) + 1
    return Outcomes(tuple(issue_times), observed, known_from)


class _Seen:
    """From which issue time on the values of one variable were there to be seen.

    Args:
        rows: all that was said of it, by valid time and site, oldest first.
        moments: the issue times and the end, epoch seconds.
    """

    def __init__(self, rows: NDArray[Any], moments: NDArray[np.int64]) -> None:
        self._moments = moments
        # A row speaks until the next one about the same cell was recorded.
        ends = np.full(len(rows), np.iinfo(np.int64).max)
        again = (rows["valid"][1:] == rows["valid"][:-1]) & (rows["site"][1:] == rows["site"][:-1])
        ends[:-1][again] = rows["recorded_at"][1:][again]
        known = np.isfinite(rows["value"])
        self._rows, self._ends = rows[known], ends[known]
        self._from = np.searchsorted(moments, self._rows["recorded_at"])
        self._borders = np.searchsorted(self._rows["valid"], np.arange(int(rows["valid"].max(initial=-1)) + 2))

    def first_known(self, number: int, places: NDArray[np.int64], sites: int) -> NDArray[np.int16]:
        """The first of the later moments at which each valid time of an issue was known, (lead, site); else their count."""
        first = np.full((len(places), sites), len(self._moments), dtype=np.int16)
        for lead, place in enumerate(places):
            if place + 1 < len(self._borders):
                rows = slice(self._borders[place], self._borders[place + 1])
                moment = np.maximum(self._from[rows], number + 1)
                spoke = self._moments[moment] < self._ends[rows]
                np.minimum.at(first[lead], self._rows["site"][rows][spoke], moment[spoke].astype(np.int16))
        return first


def _valid_times(grid: ForecastGrid, issue_time: datetime) -> Instants:
    init_time = to_datetime64(floor_to_hours(issue_time, grid.step_hours))
    return np.asarray(init_time + np.array(grid.lead_hours) * np.timedelta64(3600, "s"))
