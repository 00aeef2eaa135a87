"""Scores of forecasts of several things at once, given as members. Lower is better.

Members have dims (..., dimension, member), observations (..., dimension): a dimension is any cell (variable, site, lead) of the
whole that is judged. Divide variables of different units by a scale first, or the largest numbers decide alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]

#: Numbers of a block: a few hundred kilobytes stay in a core's own cache.
_BLOCK = 1 << 15


def energy_score(members: Floats, observed: Floats, *, weights: Floats | None = None) -> NDArray[np.float64]:
    """Energy score: the CRPS of a vector.

    Use it to compare whole scenario sets. It sees errors of the margins well and of the dependence poorly; put
    :func:`variogram_score` beside it.

    Args:
        members: (..., dimension, member), finite.
        observed: (..., dimension), the same units.
        weights: (dimension,), factors of the differences; 1 by default.

    Returns:
        (...) in the unit of the weighted values; NaN where an observation is missing.

    Source:
        Gneiting and Raftery (2007), doi:10.1198/016214506000001437, equation 22 with beta 1.
    """
    scale = np.ones(observed.shape[-1]) if weights is None else np.asarray(weights, dtype=np.float64)
    return _by_blocks(lambda x, y: _energy(x * scale[:, None], y * scale), members, observed)


def variogram_score(
    members: Floats, observed: Floats, *, weights: Floats | None = None, p: float = 0.5
) -> NDArray[np.float64]:
    """Variogram score: how well differences between any two dimensions are foreseen.

    Use it to compare the dependence of scenario sets with the same margins. It cannot see an error that all dimensions share.

    Args:
        members: (..., dimension, member), finite.
        observed: (..., dimension), the same units.
        weights: (dimension, dimension), symmetric, of each pair; 1 by default. Less weight for distant pairs makes it sharper.
        p: order of the variogram; 0.5 for weather with its skewed differences.

    Returns:
        (...), unit to the power of 2 p, the sum over all ordered pairs; NaN where an observation is missing.

    Source:
        Scheuerer and Hamill (2015), doi:10.1175/MWR-D-14-00269.1, equation 11.
    """
    size = observed.shape[-1]
    pairs = np.ones((size, size)) if weights is None else np.asarray(weights, dtype=np.float64)
    return _by_blocks(lambda x, y: _variogram(x, y, pairs, p), members, observed)


def distance_weights(*coordinates: Floats) -> NDArray[np.float64]:
    """Weights 1 / (1 + distance) of all pairs, for :func:`variogram_score`: near pairs count most.

    Args:
        coordinates: (dimension,) each, in units of their typical decay (leads in days, sites in hundreds of km).
    """
    square = sum(np.square(np.subtract.outer(values, values)) for values in coordinates)
    return np.asarray(1 / (1 + np.sqrt(square)))


def _by_blocks(score: Callable[[Floats, Floats], Floats], members: Floats, observed: Floats) -> NDArray[np.float64]:
    """The score of every case, many small cases at once and a large one alone."""
    (size, count), cases = members.shape[-2:], math.prod(observed.shape[:-1])
    x, y = members.reshape(cases, size, count), observed.reshape(cases, size)
    step = max(_BLOCK // (max(size, count) * count), 1)
    parts = [score(x[k : k + step].astype(np.float64), y[k : k + step]) for k in range(0, cases, step)]
    return (np.concatenate(parts) if parts else np.empty(0)).reshape(observed.shape[:-1])


def _energy(members: Floats, observed: Floats) -> NDArray[np.float64]:
    """Some cases: (case, dimension, member) and (case, dimension)."""
    # Distances through one matrix product, about the mean so that large common parts do not eat the digits.
    x = members - members.mean(axis=2, keepdims=True)
    squares = np.einsum("cdm,cdm->cm", x, x)
    count = x.shape[2]
    total = np.zeros(len(x))
    step = max(_BLOCK // count, 1)
    for start in range(0, count, step):
        part = slice(start, start + step)
        between = squares[:, part, None] + squares[:, None] - 2 * (x[:, :, part].swapaxes(1, 2) @ x)
        own = np.arange(between.shape[1])
        between[:, own, start + own] = 0  # the root of a rounding error is none
        total += np.sqrt(np.maximum(between, 0)).sum(axis=(1, 2))
    distance = np.sqrt(np.square(members - observed[..., None]).sum(axis=1)).mean(axis=1)
    return np.asarray(distance - total / (2 * count * count))


def _variogram(members: Floats, observed: Floats, weights: Floats, p: float) -> NDArray[np.float64]:
    """Some cases; each pair once, counted twice."""
    cases, size, count = members.shape
    total = np.zeros(cases)
    step = max(_BLOCK // (cases * count), 1)
    for i in range(size - 1):
        for start in range(i + 1, size, step):
            part = slice(start, min(start + step, size))
            difference = np.abs(members[:, part] - members[:, i : i + 1])
            expected = (np.sqrt(difference) if p == 0.5 else difference**p).mean(axis=2)
            happened = np.abs(observed[:, part] - observed[:, i : i + 1]) ** p
            total += 2 * (np.square(happened - expected) @ weights[i, part])
    return total
