"""Scores of quantile and ensemble forecasts. Lower is better, units are the variable's unless said otherwise.

Arrays broadcast; quantiles end in an axis of the 21 levels of :data:`skyproof.domain.quantiles.LEVELS`. NaN in, NaN out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.quantiles import INDEX_MEDIAN, INDEX_P10, INDEX_P90, LEVEL_ARRAY, LEVELS
from skyproof.domain.scores import PIT_BINS, STATISTICS
from skyproof.science.coverage import covered_share, pit_interval
from skyproof.science.quantile_functions import probability_of_exceeding

Floats = NDArray[Any]
#: Probability each level stands for: borders midway between levels, the outer ones reaching to 0 and 1. Sums to 1.
LEVEL_WEIGHTS = np.diff(np.concatenate([[0.0], (LEVEL_ARRAY[1:] + LEVEL_ARRAY[:-1]) / 2, [1.0]]))
LEVEL_WEIGHTS.setflags(write=False)
_INDEX_P25, _INDEX_P75 = LEVELS.index(0.25), LEVELS.index(0.75)
_PINBALL = tuple(
    (STATISTICS.index(name), LEVELS.index(int(name[-2:]) / 100)) for name in STATISTICS if name.startswith("pinball_p")
)


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


def pit_counts(quantiles: Floats, observed: Floats) -> NDArray[np.float64]:
    """One case's share of each equal bin of the probability integral transform: (..., bin), summing to 1; 0 where missing.

    A case with ties is spread evenly over the bins between the two ends of its interval (Czado et al. 2009,
    doi:10.1111/j.1541-0420.2009.01191.x), so that the histogram of a calibrated rain forecast is flat.
    """
    low, high = pit_interval(quantiles, observed)
    edges = np.linspace(0, 1, PIT_BINS + 1)
    width = np.maximum(high - low, 1e-9)
    middle = np.clip((low + high) / 2, 1e-9, 1 - 1e-9)
    start, end = (
        np.where(high - low > 1e-9, low, middle - width / 2),
        np.where(high - low > 1e-9, high, middle + width / 2),
    )
    share = (np.clip(end[..., None], edges[:-1], edges[1:]) - np.clip(start[..., None], edges[:-1], edges[1:])) / (
        end - start
    )[..., None]
    return np.asarray(np.nan_to_num(share))


def pair_statistics(quantiles: Floats, observed: Floats, events: Sequence[float]) -> NDArray[np.float64]:
    """Everything kept of each pair, in the order of :data:`skyproof.domain.scores.STATISTICS`.

    Args:
        quantiles: (..., 21), NaN where a model said nothing.
        observed: (...), broadcast against the cells of ``quantiles``.
        events: up to two thresholds; the event is a value above.

    Returns:
        (..., statistic) in the precision of ``quantiles``, zeros where a pair is missing, so that sums need no mask.
    """
    q = quantiles
    y = np.broadcast_to(observed, q.shape[:-1]).astype(q.dtype)
    known = np.isfinite(y) & np.isfinite(q[..., INDEX_MEDIAN])
    losses = pinball(q, y[..., None], LEVEL_ARRAY.astype(q.dtype))
    result = np.moveaxis(np.zeros((len(STATISTICS), *y.shape), dtype=q.dtype), 0, -1)
    low, high = q[..., INDEX_P10], q[..., INDEX_P90]
    error = q[..., INDEX_MEDIAN] - y
    columns: dict[str, Floats] = {
        "n": np.ones_like(y),
        "crps": 2 * (losses @ LEVEL_WEIGHTS.astype(q.dtype)),
        "absolute_error": np.abs(error),
        "error": error,
        "squared_error": np.square(error),
        "covered_80": covered_share(q, y, INDEX_P10, INDEX_P90),
        "width_80": high - low,
        "covered_50": covered_share(q, y, _INDEX_P25, _INDEX_P75),
    }
    for number, threshold in enumerate(events[:2], start=1):
        happened = (y > threshold).astype(q.dtype)
        columns[f"brier_{number}"] = brier(probability_of_exceeding(q, threshold), happened)
        columns[f"event_{number}"] = happened
    for name, values in columns.items():
        np.copyto(result[..., STATISTICS.index(name)], values, where=known, casting="same_kind")
    for position, level in _PINBALL:
        np.copyto(result[..., position], losses[..., level], where=known)
    return result
