"""What the last observations said when a forecast was issued: the latest value, the latest errors, the usual errors.

Every quantity of an issue time is made of observations that had arrived by it, and of nothing later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.cases import Cases, Floats

_HOUR = np.timedelta64(3600, "s")
#: Half lives of the running mean errors, in days: the weather regime's, and the season's.
HALF_LIVES = {"fast": 4.0, "slow": 25.0}
#: Observations that hold a running mean error at zero, in effective numbers.
_SHRINKAGE = 2.0
#: An observation older than this says nothing about now, in hours.
_OLDEST_HOURS = 72


def with_recent(cases: Cases) -> Cases:
    """The cases with ``recent`` filled in.

    Returns:
        ``recent`` holds, dims (issue, lead, site):
        ``observed_last``, ``observed_age`` (hours from it to the valid time), ``observed_day`` (the latest observation
        known a whole number of days before the valid time); for each source ``error_last:S`` (observed minus mean of its
        members at the latest observation), ``error_fast:S`` and ``error_slow:S`` (running means at this lead, shrunk
        towards zero); for each predictor ``last:P``, its value for the time of the latest observation.
    """
    latest = _find_latest(cases)
    recent: dict[str, Floats] = {}
    if latest is not None:
        recent |= _latest_values(cases, latest)
        recent["observed_day"] = _same_hour_before(cases, latest)
    for source, members in cases.members.items():
        with np.errstate(invalid="ignore"):
            error = cases.observed - members.mean(axis=-1)
        for name, half_life in HALF_LIVES.items():
            recent[f"error_{name}:{source}"] = running_error(cases, error, half_life_days=half_life)
    return replace(cases, recent=recent)


def running_error(cases: Cases, error: Floats, *, half_life_days: float) -> Floats:
    """Exponentially forgetting mean of the errors known at each issue time, at the same lead, shrunk towards zero.

    Args:
        cases: they say which errors were known when.
        error: (issue, lead, site), NaN where unknown.
        half_life_days: an error this much older counts half.

    Returns:
        (issue, lead, site), 0 where nothing was known.
    """
    total, weight = running_sums(cases, error, half_life_days=half_life_days)
    return (total / (weight + _SHRINKAGE)).astype(np.float32)


def running_sums(cases: Cases, values: Floats, *, half_life_days: float) -> tuple[NDArray[np.float64], ...]:
    """Fading sum and count of the values known at each issue time, at the same lead: each (issue, lead, site)."""
    seen = np.isfinite(values)
    total, weight = np.where(seen, values, 0.0).astype(np.float64), seen.astype(np.float64)
    gap_days = np.diff(cases.issue_times, prepend=cases.issue_times[:1]) / np.timedelta64(86_400, "s")
    keep = 0.5 ** (gap_days / half_life_days)
    for issue in range(1, len(values)):
        total[issue] += keep[issue] * total[issue - 1]
        weight[issue] += keep[issue] * weight[issue - 1]
    newest = _newest_known_issue(cases)
    place, lead = np.maximum(newest, 0), np.arange(values.shape[1])
    known = newest[..., None] >= 0
    return np.where(known, total[place, lead], 0.0), np.where(known, weight[place, lead], 0.0)


@dataclass(frozen=True, slots=True)
class _Latest:
    """The latest observation of each (issue, site): its position on the axis of valid times, -1 where there is none."""

    axis: NDArray[np.datetime64]
    series: Floats
    place: NDArray[np.intp]


def _find_latest(cases: Cases) -> _Latest | None:
    axis, inverse = np.unique(cases.valid_times, return_inverse=True)
    if not len(axis):
        return None
    sites = cases.observed.shape[2]
    series = np.full((len(axis), sites), np.nan, dtype=np.float32)
    flat = cases.observed.reshape(-1, sites)
    for row, place in enumerate(inverse.ravel()):
        series[place] = np.where(np.isfinite(flat[row]), flat[row], series[place])
    newest = np.maximum.accumulate(np.where(np.isfinite(series), np.arange(len(axis))[:, None], -1), axis=0)
    delay = np.timedelta64(round(cases.delay_hours * 3600), "s")
    until = np.searchsorted(axis, cases.issue_times - delay, side="right") - 1
    latest = np.where(until[:, None] >= 0, newest[np.maximum(until, 0)], -1)
    age = (cases.issue_times[:, None] - axis[np.maximum(latest, 0)]) / _HOUR
    return _Latest(axis, series, np.where(age <= _OLDEST_HOURS + cases.delay_hours, latest, -1))


def _latest_values(cases: Cases, latest: _Latest) -> Mapping[str, Floats]:
    found = latest.place >= 0
    place = np.maximum(latest.place, 0)
    shape = cases.observed.shape
    value = np.where(found, latest.series[place, np.arange(shape[2])], np.nan).astype(np.float32)
    age = (cases.valid_times[:, :, None] - latest.axis[place][:, None, :]) / _HOUR
    recent = {
        "observed_last": np.broadcast_to(value[:, None], shape),
        "observed_age": np.where(found[:, None], age, np.nan).astype(np.float32),
    }
    issue, lead = _run_of_latest(cases, latest.axis[place], found)
    site = np.arange(shape[2])
    for source, members in cases.members.items():
        with np.errstate(invalid="ignore"):
            said = members.mean(axis=-1)[np.maximum(issue, 0), lead, site]
        recent[f"error_last:{source}"] = np.broadcast_to(np.where(issue >= 0, value - said, np.nan)[:, None], shape)
    for name, values in cases.predictors.items():
        said = np.where(issue >= 0, values[np.maximum(issue, 0), lead, site], np.nan).astype(np.float32)
        recent[f"last:{name}"] = np.broadcast_to(said[:, None], shape)
    return recent


def _run_of_latest(
    cases: Cases, instants: NDArray[np.datetime64], found: NDArray[np.bool_]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The newest issue time (not after the issue time asked about) whose leads hold an instant, and the lead's position.

    Both (issue, site); -1 where no run holds it.
    """
    leads = np.array(cases.lead_hours)
    issues = np.arange(len(cases.issue_times))
    run = np.full(instants.shape, -1, dtype=np.intp)
    place = np.zeros(instants.shape, dtype=np.intp)
    for back in range(len(issues)):
        earlier = np.maximum(issues - back, 0)
        wanted = (instants - cases.issue_times[earlier][:, None]) / _HOUR
        open_yet = found & (run < 0) & (issues >= back)[:, None] & (wanted <= leads[-1])
        # Going further back only makes a lead longer: once none is short enough, no older run holds anything.
        if not open_yet.any():
            break
        position = np.clip(np.searchsorted(leads, wanted), 0, len(leads) - 1)
        holds = open_yet & (leads[position] == wanted)
        run = np.where(holds, earlier[:, None], run)
        place = np.where(holds, position, place)
    return run, place


def _same_hour_before(cases: Cases, latest: _Latest) -> Floats:
    """The newest observation known a whole number of days (at most three) before each valid time."""
    valid = cases.valid_times
    arrived_until = cases.issue_times[:, None] - np.timedelta64(round(cases.delay_hours * 3600), "s")
    days = np.maximum(np.ceil((valid - arrived_until) / np.timedelta64(86_400, "s")), 1).astype(int)
    result = np.full(cases.observed.shape, np.nan, dtype=np.float32)
    for more in range(3):
        wanted = valid - (days + more) * np.timedelta64(86_400, "s")
        place = np.clip(np.searchsorted(latest.axis, wanted), 0, len(latest.axis) - 1)
        value = np.where((latest.axis[place] == wanted)[..., None], latest.series[place], np.nan)
        result = np.where(np.isfinite(result), result, value)
    return result


def _newest_known_issue(cases: Cases) -> NDArray[np.intp]:
    """For each (issue, lead) the newest issue whose observation at that lead had arrived; -1 where none had."""
    delay = np.timedelta64(round(cases.delay_hours * 3600), "s")
    arrived = cases.valid_times + delay
    return np.stack(
        [np.searchsorted(arrived[:, lead], cases.issue_times, side="right") - 1 for lead in range(arrived.shape[1])],
        axis=1,
    )
