"""Scores of quantile and ensemble forecasts. Lower is better, units are the variable's unless said otherwise.

Arrays broadcast; quantiles end in an axis of the 21 levels of :data:`skyproof.domain.quantiles.LEVELS`. NaN in, NaN out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.quantiles import LEVEL_ARRAY

Floats = NDArray[Any]
#: Probability each level stands for: borders midway between levels, the outer ones reaching to 0 and 1. Sums to 1.
LEVEL_WEIGHTS = np.diff(np.concatenate([[0.0], (LEVEL_ARRAY[1:] + LEVEL_ARRAY[:-1]) / 2, [1.0]]))
LEVEL_WEIGHTS.setflags(write=False)


def pinball(quantiles: Floats, observed: Floats, levels: Floats | float) -> Floats:
    """Quantile (pinball) loss. Source: Koenker and Bassett (1978), doi:10.2307/1913643."""
    miss = observed - quantiles
    return np.asarray(np.maximum(levels * miss, (np.asarray(levels) - 1) * miss))


def crps_from_quantiles(quantiles: Floats, observed: Floats) -> Floats:
    """Continuous ranked probability score of a forecast given as 21 quantiles.

    Twice the integral of the pinball loss over the levels, each level standing for the probability midway to its
    neighbours. For a normal forecast it differs from the exact score by less than 1 % of it.

    Args:
        quantiles: (..., 21), sorted.
        observed: (...), the same unit.

    Source:
        Gneiting and Ranjan (2011), doi:10.1198/jbes.2010.08110, equation 17.
    """
    return np.asarray(2 * (pinball(quantiles, observed[..., None], LEVEL_ARRAY) @ LEVEL_WEIGHTS))


def crps_ensemble(members: Floats, observed: Floats, *, fair: bool = True) -> Floats:
    """Continuous ranked probability score of an ensemble.

    Args:
        members: (..., member), finite.
        observed: (...), the same unit.
        fair: correct for the finite number of members; needs at least two.

    Source:
        Zamo and Naveau (2018), doi:10.1007/s11004-017-9709-7, equations for eFAIR and eNRG.
    """
    count = members.shape[-1]
    ordered = np.sort(members, axis=-1)
    distance = np.abs(ordered - observed[..., None]).mean(axis=-1)
    rank_weights = 2 * np.arange(1, count + 1) - count - 1
    spread = (ordered * rank_weights).sum(axis=-1) / (count * (count - 1 if fair else count))
    return np.asarray(distance - spread)


def brier(probability: Floats, happened: Floats) -> Floats:
    """Brier score of a probability, no unit. Source: Brier (1950)."""
    return np.asarray(np.square(probability - happened))
