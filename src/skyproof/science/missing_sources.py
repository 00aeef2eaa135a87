"""What the sources that are there imply about one that is missing."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]

#: How much wider than the differences between sources the weather itself is taken to be: nothing is assumed about it.
_FLAT = 1e4
_FEWEST_ROWS = 30


def deviation_covariance(values: Floats) -> NDArray[np.float64]:
    """Covariance of each source's deviation from the mean of all, over the cases in which all are there.

    Args:
        values: (case, source), NaN where missing.

    Returns:
        (source, source); with fewer than 30 whole cases that of independent sources, with the mean variance of what is known.
    """
    sources = values.shape[1]
    whole = values[np.isfinite(values).all(axis=1)]
    if len(whole) >= _FEWEST_ROWS:
        away = whole - whole.mean(axis=1, keepdims=True)
        away = away - away.mean(axis=0)
        covariance = away.T @ away / len(away)
        return np.asarray(covariance + 1e-3 * np.trace(covariance) / sources * np.eye(sources) + 1e-9 * np.eye(sources))
    count = np.isfinite(values).sum(axis=1)
    several = values[count > 1]
    if not len(several):
        return np.eye(sources)
    there = np.isfinite(several)
    mean = np.where(there, several, 0.0).sum(axis=1, keepdims=True) / there.sum(axis=1, keepdims=True)
    square = np.square(np.where(there, several - mean, 0.0)).sum() / np.maximum((there.sum(axis=1) - 1).sum(), 1)
    return np.asarray((square + 1e-9) * np.eye(sources))


def conditional_weights(covariance: Floats, present: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """How to replace the missing sources: the conditional mean of normal deviations around an unknown common value.

    Args:
        covariance: of the deviations, (source, source).
        present: which sources are there, at least one.

    Returns:
        Weights (missing, present), each row summing to 1 but for one part in ten thousand, and the conditional covariance
        (missing, missing).
    """
    missing = ~present
    whole = covariance + _FLAT * float(np.mean(np.diag(covariance)))
    weights = np.linalg.solve(whole[np.ix_(present, present)], whole[np.ix_(present, missing)]).T
    left = whole[np.ix_(missing, missing)] - weights @ whole[np.ix_(present, missing)]
    return weights, np.maximum(left, 0.0) * np.eye(len(left)) + left * (1 - np.eye(len(left)))
