"""What is kept of a pair, in whole-array expressions: slow, plain, and written apart from what it checks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.quantiles import INDEX_MEDIAN, INDEX_P10, INDEX_P90, LEVEL_ARRAY, LEVELS
from skyproof.domain.scores import PIT_BINS, STATISTICS
from skyproof.science.coverage import covered_share, pit_interval
from skyproof.science.pair_sums import add_pairs
from skyproof.science.quantile_functions import probability_of_exceeding
from skyproof.science.scores import LEVEL_WEIGHTS, brier, pinball

Floats = NDArray[Any]
_INDEX_P25, _INDEX_P75 = LEVELS.index(0.25), LEVELS.index(0.75)
_PINBALL = tuple(
    (STATISTICS.index(name), LEVELS.index(int(name[-2:]) / 100)) for name in STATISTICS if name.startswith("pinball_p")
)


def kept_of_pairs(quantiles: Floats, observed: Floats, events: Sequence[float] = ()) -> tuple[Floats, Floats]:
    """Statistics (..., statistic) and PIT counts (..., bin) of single pairs, by what is under test."""
    q = np.asarray(quantiles)
    y = np.broadcast_to(observed, q.shape[:-1])
    sums = np.zeros((len(STATISTICS), 1, y.size), dtype=q.dtype)
    pit = np.zeros((1, y.size, PIT_BINS), dtype=q.dtype)
    add_pairs(
        q.reshape(1, y.size, len(LEVELS)), y.reshape(1, y.size), events, places=np.arange(y.size), sums=sums, pit=pit
    )
    return np.moveaxis(sums[:, 0], 0, -1).reshape(*y.shape, len(STATISTICS)), pit[0].reshape(*y.shape, PIT_BINS)


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
        happened = (y > q.dtype.type(threshold)).astype(q.dtype)
        columns[f"brier_{number}"] = brier(probability_of_exceeding(q, q.dtype.type(threshold)), happened)
        columns[f"event_{number}"] = happened
    for name, values in columns.items():
        np.copyto(result[..., STATISTICS.index(name)], values, where=known, casting="same_kind")
    for position, level in _PINBALL:
        np.copyto(result[..., position], losses[..., level], where=known)
    return result
