"""Intervals as wide as they should be: spread factors that make past coverage nominal.

A factor stretches the distance of the quantiles below (above) the median. It is the stretch at which the lower
(upper) bound of the interval would have been passed as often as it says.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.quantiles import INDEX_MEDIAN, INDEX_P10, INDEX_P90, LEVEL_ARRAY
from skyproof.science.quantile_functions import probability_of_exceeding

Floats = NDArray[Any]
#: Factors outside this range would say that the forecast is of no use; they are held at its ends.
FACTOR_RANGE = (0.4, 3.0)
#: Pairs that hold a factor at 1.
_SHRINKAGE = 50.0
#: Weights of a lead's neighbours when factors are smoothed over leads.
_KERNEL = np.array([0.25, 0.5, 0.25])


def fit_spread_factors(quantiles: Floats, observed: Floats) -> NDArray[np.float64]:
    """Factors for the lower and the upper side, per lead.

    Args:
        quantiles: (case, site, lead, 21), sorted; NaN where there is no forecast.
        observed: (case, site, lead), NaN where not observed.

    Returns:
        (lead, 2): lower and upper factor; 1 where there is nothing to learn from.
    """
    leads = observed.shape[-1]
    factors = np.ones((leads, 2))
    for lead in range(leads):
        factors[lead] = fit_spread_factor(quantiles[:, :, lead], observed[:, :, lead])
    padded = np.concatenate([factors[:1], factors, factors[-1:]])
    return np.asarray(sum(weight * padded[k : k + leads] for k, weight in enumerate(_KERNEL)))


def fit_spread_factor(quantiles: Floats, observed: Floats) -> tuple[float, float]:
    """Factors for the lower and the upper side of all pairs together.

    Args:
        quantiles: (..., 21), sorted; NaN where there is no forecast.
        observed: (...), NaN where not observed.

    Returns:
        Lower and upper factor; 1 where there is nothing to learn from.
    """
    q, y = quantiles.reshape(-1, quantiles.shape[-1]), observed.ravel()
    known = np.isfinite(y) & np.isfinite(q[:, INDEX_MEDIAN])
    q, y = q[known], y[known]
    middle = q[:, INDEX_MEDIAN]
    below = np.maximum(middle - q[:, INDEX_P10], 0.0)
    above = np.maximum(q[:, INDEX_P90] - middle, 0.0)
    return _fit_side(middle - y, below), _fit_side(y - middle, above)


def apply_spread_factors(quantiles: Floats, factors: Floats) -> Floats:
    """Stretch quantiles (..., lead, 21) about their median by factors (lead, 2), or all of them by factors (2,)."""
    middle = quantiles[..., INDEX_MEDIAN : INDEX_MEDIAN + 1]
    stretch = np.ones((*factors.shape[:-1], quantiles.shape[-1]), dtype=quantiles.dtype)
    stretch[..., :INDEX_MEDIAN] = factors[..., :1]
    stretch[..., INDEX_MEDIAN + 1 :] = factors[..., 1:]
    return np.asarray(middle + (quantiles - middle) * stretch)


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


def _fit_side(passed: Floats, width: Floats) -> float:
    """The factor f at which ``passed > f * width`` happens in one case of ten.

    Cases without width on this side (dry medians) cannot be stretched and take no part, nor does their tenth.
    """
    wide = width > 1e-6
    if wide.sum() < 20:
        return 1.0
    ratio = np.sort(passed[wide] / width[wide])
    # One more than the share of the sample: so that the next case, too, is inside nine times of ten.
    position = min(int(np.ceil(0.9 * (len(ratio) + 1))) - 1, len(ratio) - 1)
    raw = float(np.clip(ratio[position], *FACTOR_RANGE))
    return (raw * len(ratio) + _SHRINKAGE) / (len(ratio) + _SHRINKAGE)
