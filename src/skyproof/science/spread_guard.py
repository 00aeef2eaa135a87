"""The spread guard: intervals that keep covering as often as they say, at next to no cost in sharpness.

Per group of leads it keeps, with a fading memory, how often outcomes fell below and above the 80 % interval, had that been
stretched by each of a grid of factors; the factor in force is the one at which a tenth fell outside on each side that can be
stretched. Issue times count, not cases: many stations on one day share one day's error. A prior of a perfect forecast
holds it while the record is short. One factor cannot learn much by heart: over real sets it changed the CRPS by less than
0.1 %.

Source:
    The idea of tracking the miss rate online is that of Gibbs and Candes (2021), Adaptive conformal inference under
    distribution shift, arXiv:2106.00170; the shrunken fading record replaces their step size.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[Any]

_FACTORS = np.exp(np.linspace(-0.5, 0.7, 25))
#: Share of outcomes beyond each bound of the 80 % interval.
_BEYOND = 0.1
#: Memory, and weight of the perfect forecast, both in issue times.
_HALF_LIFE, _PRIOR = 200.0, 20.0


def guard_spread(
    forecasts: NDArray[np.float32],
    observed: NDArray[np.float32],
    arrivals: NDArray[np.intp],
    levels: NDArray[np.float64],
    *,
    lead_groups: NDArray[np.intp],
) -> NDArray[np.float32]:
    """Stretch forecasts about their median by what had been missed too often, or too seldom, by each issue time.

    Args:
        forecasts: (issue, lead, site, level), rising; NaN where there is none.
        observed: (issue, lead, site), NaN where never observed.
        arrivals: (issue, lead), the number of the issue time by which the outcome was known.
        levels: (level,).
        lead_groups: (lead,), number of the group of each lead.

    Returns:
        (issue, lead, site, level) float32, rising; limits are the caller's business.
    """
    misses, seen = _misses(forecasts, observed, levels)
    guarded = np.empty_like(forecasts)
    groups = int(lead_groups.max()) + 1
    record, weight = np.zeros((groups, len(_FACTORS))), np.zeros(groups)
    share = 1 / np.bincount(lead_groups)
    for now in range(len(forecasts)):
        record *= 0.5 ** (1 / _HALF_LIFE)
        weight *= 0.5 ** (1 / _HALF_LIFE)
        for earlier, lead in zip(*np.nonzero(arrivals[:now] == now), strict=True):
            group = lead_groups[lead]
            record[group] += share[group] * misses[earlier, lead]
            weight[group] += share[group] * seen[earlier, lead]
        guarded[now] = stretch(forecasts[now], _factors(record, weight)[lead_groups][:, None], levels)
    return guarded


def fit_spread(
    forecasts: NDArray[np.float32],
    observed: NDArray[np.float32],
    levels: NDArray[np.float64],
    *,
    lead_groups: NDArray[np.intp],
) -> NDArray[np.float64]:
    """The factor of each lead at which past forecasts would have covered as often as they say, (lead,).

    Args:
        forecasts: (issue, lead, site, level), rising; NaN where there is none.
        observed: (issue, lead, site), NaN where never observed.
        levels: (level,).
        lead_groups: (lead,), number of the group of each lead.
    """
    misses, seen = _misses(forecasts, observed, levels)
    share = np.zeros((int(lead_groups.max()) + 1, len(lead_groups)))
    share[lead_groups, np.arange(len(lead_groups))] = (1 / np.bincount(lead_groups))[lead_groups]
    return _factors(share @ misses.sum(axis=0), share @ seen.sum(axis=0))[lead_groups]


def stretch(quantiles: Floats, factors: Floats, levels: Floats) -> Floats:
    """Quantiles (..., level) stretched about their median by factors that broadcast to (...)."""
    middle = _at_level(quantiles, levels, 0.5)[..., None]
    return np.asarray(middle + (quantiles - middle) * np.asarray(factors, dtype=quantiles.dtype)[..., None])


def _factors(record: Floats, weight: Floats) -> NDArray[np.float64]:
    """The factor of each group, from how often outcomes were missed at each factor of the grid and how much was seen."""
    prior = stats.norm.sf(-float(stats.norm.ppf(_BEYOND)) * _FACTORS)
    rate = (record + _PRIOR * prior) / (weight + _PRIOR)[:, None]
    return np.array([np.interp(_BEYOND, row[::-1], _FACTORS[::-1]) for row in rate])


def _misses(forecasts: Floats, observed: Floats, levels: Floats) -> tuple[Floats, Floats]:
    """Share of bounds passed at each factor, (issue, lead, factor), and whether any could be, (issue, lead)."""
    middle = _at_level(forecasts, levels, 0.5)
    low, high = (_at_level(forecasts, levels, level) for level in (_BEYOND, 1 - _BEYOND))
    passed = np.zeros((*observed.shape[:2], len(_FACTORS)))
    count = np.zeros(observed.shape[:2])
    for beyond, half in ((middle - observed, middle - low), (observed - middle, high - middle)):
        # A side without width (below a dry median) cannot be stretched, so that its bound takes no part.
        use = np.isfinite(beyond) & (half > 1e-6)
        away = np.where(use, beyond, 0.0) / np.where(use, half, 1.0)
        count += use.sum(axis=-1)
        passed += np.stack([(away > factor).sum(axis=-1) for factor in _FACTORS], axis=-1)
    return passed / np.maximum(count, 1)[..., None], (count > 0).astype(np.float64)


def _at_level(forecasts: Floats, levels: Floats, wanted: float) -> Floats:
    """The quantile at a level, linear between its neighbours: (issue, lead, site)."""
    above = int(np.clip(np.searchsorted(levels, wanted - 1e-9), 1, len(levels) - 1))
    share = np.clip((wanted - levels[above - 1]) / (levels[above] - levels[above - 1]), 0.0, 1.0)
    return np.asarray((1 - share) * forecasts[..., above - 1] + share * forecasts[..., above])
