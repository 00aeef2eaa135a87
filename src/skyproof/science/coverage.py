"""Whether intervals hold as many outcomes as they say, where forecasts have ties, too."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.quantiles import INDEX_MEDIAN, INDEX_P10, INDEX_P90, LEVEL_ARRAY
from skyproof.science.quantile_functions import probability_of_exceeding

Floats = NDArray[Any]


def coverage_80(quantiles: Floats, observed: Floats) -> tuple[float, int]:
    """Share of observations inside the 80 % interval (see :func:`covered_share`) and the number of pairs."""
    known = np.isfinite(observed) & np.isfinite(quantiles[..., INDEX_MEDIAN])
    count = int(known.sum())
    if not count:
        return float("nan"), 0
    return float(covered_share(quantiles[known], observed[known], INDEX_P10, INDEX_P90).sum()) / count, count


def covered_share(quantiles: Floats, observed: Floats, low: int, high: int) -> NDArray[np.float64]:
    """How much of each observation lies inside the interval between two levels, 0 to 1.

    An observation strictly inside counts whole, one outside not at all. One on a border where the forecast has a tie
    (dry weather at a lower bound of zero) counts with the share of the tie's probability that belongs to the interval:
    else a calibrated rain forecast would seem to cover far more often than it says.

    Args:
        quantiles: (..., 21), sorted.
        observed: (...).
        low: index of the lower level.
        high: index of the upper level.
    """
    bottom, top = quantiles[..., low], quantiles[..., high]
    covered = np.asarray((observed >= bottom) & (observed <= top), dtype=np.float64)
    border = (observed == bottom) | (observed == top)
    if border.any():
        start, end = pit_interval(quantiles[border], observed[border])
        inside = np.clip(end, LEVEL_ARRAY[low], LEVEL_ARRAY[high]) - np.clip(start, LEVEL_ARRAY[low], LEVEL_ARRAY[high])
        covered[border] = np.where(end > start, inside / np.maximum(end - start, 1e-12), 1.0)
    return covered


def pit_interval(quantiles: Floats, observed: Floats) -> tuple[Floats, Floats]:
    """Probability below the observation, and at or below it: they differ where a forecast has ties, as in dry weather."""
    at_or_below = 1 - probability_of_exceeding(quantiles, observed)
    tied = np.any(quantiles == observed[..., None], axis=-1)
    first = np.argmax(quantiles >= observed[..., None], axis=-1)
    below_tie = np.where(first == 0, 0.0, LEVEL_ARRAY[np.maximum(first, 0)])
    return np.where(tied, np.minimum(below_tie, at_or_below), at_or_below), at_or_below
