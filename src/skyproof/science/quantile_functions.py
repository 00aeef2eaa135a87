"""Work on forecasts given as quantiles at the fixed levels of :data:`skyproof.domain.quantiles.LEVELS`.

Arrays end in an axis of 21 levels. NaN means that the whole forecast of that cell is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from skyproof.domain.quantiles import LEVEL_ARRAY
from skyproof.domain.variables import Variable

Floats = NDArray[Any]

#: Normal scores of the levels: tails are extended linearly in these, which is exact for a normal distribution.
_NORMAL_SCORES = ndtri(LEVEL_ARRAY)


def sort_quantiles(quantiles: Floats) -> Floats:
    """Quantiles in rising order: the rearrangement of Chernozhukov et al. (2010), doi:10.3982/ECTA7880."""
    return np.sort(quantiles, axis=-1)


def clip_to_limits(quantiles: Floats, lower: float | None, upper: float | None) -> Floats:
    """Quantiles held inside physical limits; None is no limit."""
    return quantiles if lower is None and upper is None else np.clip(quantiles, lower, upper)


def drop_traces(quantiles: Floats, smallest: float) -> Floats:
    """Quantiles with amounts below ``smallest`` as zero.

    A gauge that resolves 0.1 mm reports less than half of that as none (WMO-No. 8, volume I, chapter 6, calls less than
    0.1 mm a trace); a forecast of so little rain and a dry observation are then the tie that scoring knows how to count.
    """
    return quantiles if smallest <= 0 else np.where(quantiles < smallest, quantiles.dtype.type(0), quantiles)


def within_limits(quantiles: Floats, variable: Variable) -> Floats:
    """Quantiles or members inside a variable's physical limits, traces as none."""
    return drop_traces(clip_to_limits(quantiles, variable.lower, variable.upper), variable.smallest)


def ensemble_quantiles(members: Floats) -> NDArray[np.float32]:
    """Quantiles of an ensemble, members taken as equally likely draws.

    Use it to show a raw ensemble beside a calibrated forecast. Plotting position (k - 1/3) / (m + 1/3), Hyndman and
    Fan (1996) type 8, doi:10.1080/00031305.1996.10473566; beyond the outermost members the quantile stays there.

    Args:
        members: (..., member), NaN for a member that did not arrive.

    Returns:
        (..., 21) float32; NaN where no member arrived.
    """
    ordered = np.sort(members.astype(np.float32, copy=False), axis=-1)
    if not np.isnan(ordered[..., -1]).any():
        low, weight = _positions(ordered.shape[-1])
        return _between(ordered[..., low], ordered[..., np.minimum(low + 1, ordered.shape[-1] - 1)], weight)
    result = np.full((*ordered.shape[:-1], len(LEVEL_ARRAY)), np.nan, dtype=np.float32)
    counts = np.sum(~np.isnan(ordered), axis=-1)
    for count in np.unique(counts[counts > 0]):
        chosen = counts == count
        low, weight = _positions(int(count))
        some = ordered[chosen]
        result[chosen] = _between(some[:, low], some[:, np.minimum(low + 1, count - 1)], weight)
    return result


def _between(below: Floats, above: Floats, weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """A point between two members; rounding never makes it decrease in the weight, nor exceed the upper one."""
    return np.minimum(below + (above - below) * weight, above)


def _positions(count: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    place = np.clip(LEVEL_ARRAY * (count + 1 / 3) - 2 / 3, 0, count - 1)
    low = np.minimum(np.floor(place).astype(np.intp), max(count - 2, 0))
    return low, (place - low).astype(np.float32)


def interpolate_quantiles(
    quantiles: Floats, levels: Sequence[float] | Floats, *, known: Floats = LEVEL_ARRAY
) -> NDArray[np.float64]:
    """Quantiles at any levels in (0, 1).

    Linear in the normal score of the level, so it never crosses; the tails go on with the slope of the outermost pair.

    Args:
        quantiles: (..., level), sorted.
        levels: (k,), each strictly between 0 and 1.
        known: levels of the quantiles.

    Returns:
        (..., k) float64; clip to physical limits afterwards, because tails reach beyond the given quantiles.
    """
    scores = ndtri(np.asarray(levels, dtype=np.float64))
    held = _NORMAL_SCORES if known is LEVEL_ARRAY else ndtri(known)
    low = np.clip(np.searchsorted(held, scores, side="right") - 1, 0, len(held) - 2)
    weight = (scores - held[low]) / (held[low + 1] - held[low])
    values = np.asarray(quantiles, dtype=np.float64)
    start, end = values[..., low], values[..., low + 1]
    # A weight of exactly 0 or 1 must return the quantile itself, not a rounding of it.
    return np.where(weight == 0, start, np.where(weight == 1, end, start + (end - start) * weight))


def quantile_mean(quantiles: Floats) -> Floats:
    """Mean of the distribution: the integral of the quantile function of :func:`interpolate_quantiles`, tails included.

    Exact for a normal distribution; low by 2 % for a lognormal with unit log scale, whose tail no quantile shows.

    Returns:
        (...), the dtype of ``quantiles``. A weighted mean of the quantiles: inside any limits that they keep.
    """
    return np.asarray(quantiles @ MEAN_WEIGHTS.astype(quantiles.dtype))


def probability_of_exceeding(quantiles: Floats, threshold: float | Floats) -> NDArray[np.float64]:
    """Probability of a value above ``threshold``.

    The distribution function is linear between quantiles; ties (dry weather) put their mass on the tied value.
    Outside the outermost quantiles the tail probability is the nearest level's, halved: only its size is known.

    Args:
        quantiles: (..., 21), sorted.
        threshold: scalar or (...).

    Returns:
        (...) float64, NaN where the forecast or the threshold is missing.
    """
    values = np.asarray(quantiles, dtype=np.float64)
    limit = np.broadcast_to(np.asarray(threshold, dtype=np.float64), values.shape[:-1])[..., None]
    # Levels at or below the threshold; ties count, because "above" is strict.
    count = np.sum(values <= limit, axis=-1)
    low = np.clip(count - 1, 0, len(LEVEL_ARRAY) - 2)
    start = np.take_along_axis(values, low[..., None], axis=-1)[..., 0]
    end = np.take_along_axis(values, low[..., None] + 1, axis=-1)[..., 0]
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(end > start, (limit[..., 0] - start) / (end - start), 1.0)
    below = LEVEL_ARRAY[low] + np.clip(share, 0, 1) * (LEVEL_ARRAY[low + 1] - LEVEL_ARRAY[low])
    below = np.where(count == 0, LEVEL_ARRAY[0] / 2, np.where(count == len(LEVEL_ARRAY), 1 - LEVEL_ARRAY[0] / 2, below))
    return np.where(np.isnan(values[..., 0]) | np.isnan(limit[..., 0]), np.nan, 1 - below)


def _mean_weights() -> NDArray[np.float64]:
    # The integral of the normal score z over levels from p to q is density(z(p)) - density(z(q)); 0 and 1 have none.
    edges = np.concatenate([[0.0], LEVEL_ARRAY[1:-1], [1.0]])
    density = np.exp(-0.5 * np.square(_NORMAL_SCORES)) / np.sqrt(2 * np.pi)
    density = np.concatenate([[0.0], density[1:-1], [0.0]])
    mass, first_moment = np.diff(edges), -np.diff(density)
    upper = (first_moment - _NORMAL_SCORES[:-1] * mass) / np.diff(_NORMAL_SCORES)
    weights = np.zeros(len(LEVEL_ARRAY))
    weights[:-1] += mass - upper
    weights[1:] += upper
    return weights


#: What each quantile contributes to the mean; all above zero, sum 1. The outer pairs carry the tails beyond them.
MEAN_WEIGHTS = _mean_weights()
MEAN_WEIGHTS.setflags(write=False)
