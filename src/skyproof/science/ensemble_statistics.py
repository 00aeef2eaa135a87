"""Mean, spread and wet share of ensembles, in one pass and without copies."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray

Transform = Literal["identity", "sqrt"]


def ensemble_statistics(
    members: NDArray[np.float32],
    *,
    transform: Transform = "identity",
    lower: float = -math.inf,
    wet_above: float = 0.05,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Statistics over the members that arrived.

    Args:
        members: (..., member), NaN for a member that did not arrive.
        transform: taken of every member, above ``lower``, before the mean and spread.
        lower: members below it count as it; sqrt needs one.
        wet_above: members above this, in their own unit, are wet.

    Returns:
        Mean, standard deviation (with the count less one; 0 for one member) and share of wet members, each (...) float32;
        the mean is NaN where no member arrived.
    """
    shape = members.shape[:-1]
    flat = members.reshape(-1, members.shape[-1])
    out = np.empty((3, len(flat)), dtype=np.float32)
    _statistics(flat, transform == "sqrt", lower, wet_above, out)
    mean, spread, wet = out.reshape(3, *shape)
    return mean, spread, wet


@njit(cache=True, nogil=True)
def _statistics(members: Any, root: bool, lower: float, wet_above: float, out: Any) -> None:
    for i in range(len(members)):
        total = square = wet = 0.0
        first, count = math.nan, 0
        for j in range(members.shape[1]):
            value = float(members[i, j])
            if math.isnan(value):
                continue
            wet += value > wet_above
            value = max(value, lower)
            if root:
                value = math.sqrt(value - lower)
            if count == 0:
                first = value
            # Deviations from the first member: no digits are lost where all are near 1000 hPa.
            total += value - first
            square += (value - first) * (value - first)
            count += 1
        if count == 0:
            out[0, i], out[1, i], out[2, i] = math.nan, 0.0, 0.0
            continue
        mean = total / count
        out[0, i] = first + mean
        out[1, i] = math.sqrt(max(square - count * mean * mean, 0.0) / (count - 1)) if count > 1 else 0.0
        out[2, i] = wet / count


def mean_of_known(stacked: NDArray[Any]) -> NDArray[np.float32]:
    """Mean over the first axis of what is known; NaN where nothing is."""
    known = np.isfinite(stacked)
    count = known.sum(axis=0)
    total = np.where(known, stacked, 0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)
