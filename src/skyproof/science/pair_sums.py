"""Everything verification keeps of a pair of forecast and observation, added up in one pass over the quantiles.

A business has ten million pairs a day. Whole-array expressions read the quantiles once for each statistic and write as much
again; here a pair stays in the processor's registers. The definitions are those of :mod:`skyproof.science.scores` and
:mod:`skyproof.science.coverage`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.quantiles import INDEX_MEDIAN, INDEX_P10, INDEX_P90, LEVEL_ARRAY, LEVELS
from skyproof.domain.scores import PIT_BINS, STATISTICS
from skyproof.science.compiled import compiled
from skyproof.science.scores import LEVEL_WEIGHTS

Floats = NDArray[Any]
_INDEX_P25, _INDEX_P75 = LEVELS.index(0.25), LEVELS.index(0.75)
_COUNT = len(LEVELS)
_EDGES = np.linspace(0, 1, PIT_BINS + 1)
_N, _CRPS, _ABSOLUTE_ERROR, _ERROR, _SQUARED_ERROR, _COVERED_80, _WIDTH_80, _COVERED_50 = (
    STATISTICS.index(name)
    for name in ("n", "crps", "absolute_error", "error", "squared_error", "covered_80", "width_80", "covered_50")
)
_BRIER = np.array([STATISTICS.index("brier_1"), STATISTICS.index("brier_2")])
_EVENT = np.array([STATISTICS.index("event_1"), STATISTICS.index("event_2")])
_PINBALL = np.array([STATISTICS.index(name) for name in STATISTICS if name.startswith("pinball_p")])
_PINBALL_LEVEL = np.array(
    [LEVELS.index(int(name.removeprefix("pinball_p")) / 100) for name in STATISTICS if name.startswith("pinball_p")]
)


def add_pairs(
    quantiles: Floats, observed: Floats, events: Sequence[float], *, places: NDArray[np.intp], sums: Floats, pit: Floats
) -> None:
    """Add the statistics of one model's pairs of one variable, in place; a missing pair adds nothing.

    A case of the probability integral transform (PIT) with ties is spread evenly over the bins between the two ends of its
    interval, so that the histogram of a calibrated rain forecast is flat.

    Args:
        quantiles: (site, lead, 21), sorted, float32 or float64; NaN where the model said nothing.
        observed: (site, lead), NaN where there is no pair; compared in the precision of ``quantiles``.
        events: up to two thresholds; the event is a value above.
        places: (lead,) position of each lead on the lead axis of what is added to.
        sums: (statistic, site, lead of the run), in the order of :data:`skyproof.domain.scores.STATISTICS`.
        pit: (site, lead of the run, bin).

    Source:
        Czado, Gneiting and Held (2009), doi:10.1111/j.1541-0420.2009.01191.x, for the PIT of forecasts with ties.
    """
    precision = quantiles.dtype
    _add(
        quantiles,
        observed.astype(precision, copy=False),
        np.array(events[:2], dtype=precision),
        places,
        sums,
        pit,
    )


@compiled
def _add(quantiles: Any, observed: Any, events: Any, places: Any, sums: Any, pit: Any) -> None:
    for site in range(quantiles.shape[0]):
        for lead in range(quantiles.shape[1]):
            q, y, place = quantiles[site, lead], float(observed[site, lead]), places[lead]
            if math.isnan(y) or math.isnan(q[INDEX_MEDIAN]):
                continue
            _add_errors(q, y, site, place, sums)
            for number in range(len(events)):
                happened = 1.0 if y > events[number] else 0.0
                sums[_BRIER[number], site, place] += (1.0 - _at_or_below(q, float(events[number])) - happened) ** 2
                sums[_EVENT[number], site, place] += happened
            start, end = _pit_interval(q, y)
            sums[_COVERED_80, site, place] += _covered(q, y, INDEX_P10, INDEX_P90, start, end)
            sums[_COVERED_50, site, place] += _covered(q, y, _INDEX_P25, _INDEX_P75, start, end)
            _add_pit(start, end, pit[site, place])


@compiled
def _add_errors(q: Any, y: float, site: int, place: int, sums: Any) -> None:
    crps = 0.0
    for level in range(_COUNT):
        crps += LEVEL_WEIGHTS[level] * _pinball(q, y, level)
    error = q[INDEX_MEDIAN] - y
    sums[_N, site, place] += 1
    sums[_CRPS, site, place] += 2 * crps
    sums[_ABSOLUTE_ERROR, site, place] += abs(error)
    sums[_ERROR, site, place] += error
    sums[_SQUARED_ERROR, site, place] += error * error
    sums[_WIDTH_80, site, place] += q[INDEX_P90] - q[INDEX_P10]
    for number in range(len(_PINBALL)):
        sums[_PINBALL[number], site, place] += _pinball(q, y, _PINBALL_LEVEL[number])


@compiled
def _pinball(q: Any, y: float, level: int) -> Any:
    miss = y - q[level]
    return max(LEVEL_ARRAY[level] * miss, (LEVEL_ARRAY[level] - 1) * miss)


@compiled
def _at_or_below(q: Any, limit: float) -> Any:
    """Probability of a value at or below ``limit``: see :func:`skyproof.science.quantile_functions.probability_of_exceeding`."""
    count = 0
    while count < _COUNT and q[count] <= limit:
        count += 1
    if count == 0:
        return LEVEL_ARRAY[0] / 2
    if count == _COUNT:
        return 1 - LEVEL_ARRAY[0] / 2
    low, high = LEVEL_ARRAY[count - 1], LEVEL_ARRAY[count]
    return low + (limit - q[count - 1]) / (q[count] - q[count - 1]) * (high - low)


@compiled
def _pit_interval(q: Any, y: float) -> tuple[float, float]:
    """Probability below the observation, and at or below it."""
    end = _at_or_below(q, y)
    for level in range(_COUNT):
        if q[level] >= y:
            if q[level] > y:
                return end, end
            return (0.0 if level == 0 else min(LEVEL_ARRAY[level], end)), end
    return end, end


@compiled
def _covered(q: Any, y: float, low: int, high: int, start: float, end: float) -> Any:
    """How much of an observation lies between two levels: see :func:`skyproof.science.coverage.covered_share`."""
    if y < q[low] or y > q[high]:
        return 0.0
    if (y > q[low] and y < q[high]) or end <= start:
        return 1.0
    first, last = LEVEL_ARRAY[low], LEVEL_ARRAY[high]
    return (min(max(end, first), last) - min(max(start, first), last)) / max(end - start, 1e-12)


@compiled
def _add_pit(start: float, end: float, bins: Any) -> None:
    if end - start <= 1e-9:
        middle = min(max((start + end) / 2, 1e-9), 1 - 1e-9)
        start, end = middle - 5e-10, middle + 5e-10
    for number in range(PIT_BINS):
        share = min(end, _EDGES[number + 1]) - max(start, _EDGES[number])
        if share > 0:
            bins[number] += share / (end - start)
