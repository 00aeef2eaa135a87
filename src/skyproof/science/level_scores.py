"""Scores and calibration of forecasts given as quantiles at any levels. Lower scores are better.

Quantiles end in an axis of ``levels`` (rising, between 0 and 1) and are sorted along it; observations have the axes
before it. Units are the variable's unless said otherwise. NaN in, NaN out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]


def level_weights(levels: Floats) -> NDArray[np.float64]:
    """Probability each level stands for: borders midway between levels, the outer ones reaching to 0 and 1. Sums to 1."""
    borders = np.concatenate([[0.0], (levels[1:] + levels[:-1]) / 2, [1.0]])
    return np.asarray(np.diff(borders))


def crps_at_levels(quantiles: Floats, observed: Floats, levels: Floats) -> NDArray[np.float64]:
    """Continuous ranked probability score: twice the integral of the pinball loss over the levels.

    Use it with the levels spread over 0 to 1; with few of them, or none in a tail, it is coarse.

    Source:
        Gneiting and Ranjan (2011), doi:10.1198/jbes.2010.08110, equation 17.
    """
    return np.asarray(2 * (_pinball(quantiles, observed, levels) @ level_weights(levels)))


def pinball_at_levels(quantiles: Floats, observed: Floats, levels: Floats) -> NDArray[np.float64]:
    """Mean quantile loss over the levels. Source: Koenker and Bassett (1978), doi:10.2307/1913643."""
    return np.asarray(_pinball(quantiles, observed, levels).mean(axis=-1))


def quantile_at(quantiles: Floats, levels: Floats, level: float) -> NDArray[np.float64]:
    """The quantile of one level, between two given ones by a straight line; NaN outside of the given levels."""
    if not levels[0] - 1e-9 <= level <= levels[-1] + 1e-9:
        return np.full(quantiles.shape[:-1], np.nan)
    above = min(int(np.searchsorted(levels, level - 1e-9)), len(levels) - 1)
    if abs(levels[above] - level) < 1e-9:
        return np.asarray(quantiles[..., above], dtype=np.float64)
    share = (level - levels[above - 1]) / (levels[above] - levels[above - 1])
    return np.asarray(quantiles[..., above - 1] * (1 - share) + quantiles[..., above] * share, dtype=np.float64)


def pit_range(quantiles: Floats, observed: Floats, levels: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Between which probabilities the observation lies: ends of an interval, no unit.

    The two are equal inside the given levels, and differ where the forecast has a tie at the observation (dry weather)
    or does not say more (beyond its outermost quantiles).

    Source:
        Czado et al. (2009), doi:10.1111/j.1541-0420.2009.01191.x, for ties.
    """
    y = np.asarray(observed)[..., None]
    count = len(levels)
    below = np.count_nonzero(quantiles < y, axis=-1)
    not_above = np.count_nonzero(quantiles <= y, axis=-1)
    # Straight line between the quantiles on both sides of an observation that equals none.
    left, right = np.clip(below - 1, 0, count - 1), np.clip(below, 0, count - 1)
    q_left = np.take_along_axis(quantiles, left[..., None], axis=-1)[..., 0]
    q_right = np.take_along_axis(quantiles, right[..., None], axis=-1)[..., 0]
    gap = q_right - q_left
    share = np.where(gap > 0, (observed - q_left) / np.where(gap > 0, gap, 1), 0.0)
    between = levels[left] + np.clip(share, 0, 1) * (levels[right] - levels[left])
    tied = not_above > below
    low = np.where(below == 0, 0.0, np.where(tied, levels[right], between))
    low = np.where((below == count), levels[-1], low)
    high = np.where(tied, levels[np.clip(not_above - 1, 0, count - 1)], between)
    high = np.where(not_above == count, 1.0, np.where(not_above == 0, levels[0], high))
    missing = np.isnan(quantiles[..., 0]) | np.isnan(observed)
    return np.where(missing, np.nan, low), np.where(missing, np.nan, high)


def covered_at_levels(
    quantiles: Floats, observed: Floats, levels: Floats, *, low: float = 0.1, high: float = 0.9
) -> NDArray[np.float64]:
    """How much of each observation lies inside the interval between two levels, 0 to 1.

    An observation on a border where the forecast has a tie (dry weather at a lower bound of zero) counts with the share
    of the tie's probability that belongs to the interval, as :func:`skyproof.science.coverage.covered_share` does.
    """
    bottom, top = quantile_at(quantiles, levels, low), quantile_at(quantiles, levels, high)
    covered = np.asarray((observed >= bottom) & (observed <= top), dtype=np.float64)
    border = (observed == bottom) | (observed == top)
    if border.any():
        start, end = pit_range(quantiles[border], observed[border], levels)
        inside = np.clip(end, low, high) - np.clip(start, low, high)
        covered[border] = np.where(end > start, inside / np.maximum(end - start, 1e-12), 1.0)
    return np.where(np.isnan(bottom) | np.isnan(top) | np.isnan(observed), np.nan, covered)


def share_at_or_below(low: Floats, high: Floats, edges: Floats) -> NDArray[np.float64]:
    """How much of the probability interval of each case lies at or below each edge: (..., edge), 0 to 1."""
    width = np.maximum(high - low, 1e-12)[..., None]
    return np.asarray(np.clip((np.asarray(edges) - low[..., None]) / width, 0.0, 1.0))


def _pinball(quantiles: Floats, observed: Floats, levels: Floats) -> NDArray[np.float64]:
    miss = np.asarray(observed)[..., None] - quantiles
    return np.asarray(np.maximum(levels * miss, (levels - 1) * miss))
