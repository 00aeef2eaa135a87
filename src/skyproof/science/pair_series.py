"""Forecasts and observations as departures from what the season and the hour would suggest, on one axis of time.

Whatever two series share because it is July or noon says nothing about whether they belong together; these departures do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.cases import Cases
from skyproof.domain.times import Instants

Floats = NDArray[Any]
_DAY = 86_400
_YEAR = 365.2425 * _DAY
#: Sites and values of the axis of time looked at; more sites are sampled evenly.
_MOST_SITES, _MOST_VALUES = 1500, 20_000_000
_FEWEST = 8


@dataclass(frozen=True, slots=True)
class TruthGrid:
    """Observations and their departures on a regular axis of time, (time, site), NaN where there are none.

    ``sites`` are positions in the cases. ``start`` and ``step`` in seconds.
    """

    start: int
    step: int
    sites: NDArray[np.intp]
    observed: NDArray[np.float32]
    departures: NDArray[np.float32]

    def places(self, valid: Instants) -> NDArray[np.int64]:
        """Positions of instants on the axis."""
        return np.asarray((valid.astype("datetime64[s]").astype(np.int64) - self.start) // self.step)


def truth_grid(cases: Cases) -> TruthGrid:
    """Departures of the observations of all cases."""
    valid = cases.valid_times.astype("datetime64[s]").astype(np.int64)
    times = np.unique(valid)
    step = int(np.gcd.reduce(np.diff(times))) if len(times) > 1 else _DAY
    count = int((times[-1] - times[0]) // step) + 1
    most = max(min(_MOST_SITES, _MOST_VALUES // count), 1)
    total = len(cases.sites)
    sites = np.arange(total) if total <= most else np.linspace(0, total - 1, most).astype(np.intp)
    grid = np.full((count, len(sites)), np.nan, dtype=np.float32)
    for lead in range(len(cases.lead_hours)):
        place = (valid[:, lead] - times[0]) // step
        observed = cases.observed[:, lead, sites]
        grid[place] = np.where(np.isfinite(observed), observed, grid[place])
    seconds = times[0] + np.arange(count, dtype=np.int64) * step
    return TruthGrid(int(times[0]), step, sites, grid, departures(grid, seconds))


def departures(values: Floats, seconds: NDArray[np.int64]) -> NDArray[np.float32]:
    """Values less what hour of the day, season and trend suggest, site by site.

    Args:
        values: (time, site), NaN where missing.
        seconds: (time,) since 1970.

    Returns:
        (time, site) float32; NaN where missing and at sites with too few values.
    """
    design = _design(seconds)
    known = np.isfinite(values)
    result = np.full(values.shape, np.nan, dtype=np.float32)
    fewest = _FEWEST + 2 * design.shape[1]
    if known.sum(axis=0).max(initial=0) < fewest:  # a short record can only lose its mean
        design, fewest = np.ones((len(seconds), 1)), _FEWEST
    ridge = 1e-6 * np.eye(design.shape[1])
    for site in np.flatnonzero(known.sum(axis=0) >= fewest):
        rows = known[:, site]
        x, y = design[rows], values[rows, site].astype(np.float64)
        middle = y.mean()
        weights = np.linalg.solve(x.T @ x / len(y) + ridge, x.T @ (y - middle) / len(y))
        result[rows, site] = y - middle - x @ weights
    return result


def _design(seconds: NDArray[np.int64]) -> NDArray[np.float64]:
    """Hours of the day, a trend, and the year's course where the record is long enough to tell it from weather."""
    span = int(np.ptp(seconds)) if len(seconds) else 0
    hours, index = np.unique(seconds % _DAY // 3600, return_inverse=True)
    columns = [(index == k).astype(np.float64) for k in range(len(hours))]
    if span > 20 * _DAY:
        middle = (seconds - seconds.mean()) / max(span, 1)
        columns.append(middle)
        if 60 * _DAY < span < 300 * _DAY:
            columns.append(middle**2)
    if span >= 300 * _DAY:
        angle = 2 * np.pi * seconds / _YEAR
        columns += [np.cos(angle), np.sin(angle), np.cos(2 * angle), np.sin(2 * angle)]
    return np.stack(columns, axis=1)


@dataclass(frozen=True, slots=True)
class PairSeries:
    """Departures of a forecast at some leads, one below the other in order of valid time.

    ``forecast`` has dims (row, site); ``place`` (row,) is the position of its valid time on the axis of the truth.
    """

    forecast: NDArray[np.float32]
    place: NDArray[np.int64]

    def observed(self, truth: TruthGrid, steps: int = 0) -> NDArray[np.float32]:
        """Departures observed so many steps later, (row, site), NaN where there are none."""
        there = self.place + steps
        inside = (there >= 0) & (there < len(truth.departures))
        values = truth.departures[np.clip(there, 0, len(truth.departures) - 1)]
        return np.where(inside[:, None], values, np.float32(np.nan))


def with_course(truth: TruthGrid) -> TruthGrid:
    """The truth with its course of day and year: departures from each site's mean alone."""
    return replace(truth, departures=_from_mean(truth.observed))


def course_series(cases: Cases, truth: TruthGrid, forecast: Floats) -> PairSeries:
    """A forecast (issue, lead, site) with its course of day and year, less each site's mean, at all leads."""
    issues, leads, sites = cases.observed.shape
    place = truth.places(cases.valid_times.reshape(issues * leads))
    order = np.argsort(place, kind="stable")
    return PairSeries(_from_mean(forecast.reshape(issues * leads, sites)[:, truth.sites])[order], place[order])


def pair_series(cases: Cases, truth: TruthGrid, forecast: Floats, *, most_leads: int = 6) -> PairSeries:
    """Departures of a forecast (issue, lead, site) at a few leads spread over all."""
    count = len(cases.lead_hours)
    leads = np.unique(np.linspace(0, count - 1, min(most_leads, count)).astype(np.intp))
    valid = cases.valid_times.astype("datetime64[s]")
    rows = [departures(forecast[:, k][:, truth.sites], valid[:, k].astype(np.int64)) for k in leads]
    place = np.concatenate([truth.places(valid[:, k]) for k in leads])
    order = np.argsort(place, kind="stable")
    return PairSeries(np.concatenate(rows)[order], place[order])


def _from_mean(values: Floats) -> NDArray[np.float32]:
    """Values (time, site) less the mean of each site; NaN where missing."""
    known = np.isfinite(values)
    mean = np.where(known, values, 0).sum(axis=0, dtype=np.float64) / np.maximum(known.sum(axis=0), 1)
    return np.asarray(values - mean, dtype=np.float32)


def mean_of_members(members: Floats) -> NDArray[np.float32]:
    """Mean over the members that are there, NaN where none is."""
    known = np.isfinite(members)
    count = known.sum(axis=-1)
    total = np.where(known, members, 0).sum(axis=-1)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan), dtype=np.float32)
