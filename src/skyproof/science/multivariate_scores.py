"""Scores of forecasts of several things at once, given as members. Lower is better.

Members have dims (..., dimension, member), observations (..., dimension): a dimension is any cell (variable, site, lead) of the
whole that is judged. Divide variables of different units by a scale first, or the largest numbers decide alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
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
    found = np.array([_energy(x * scale[:, None], y * scale) for x, y in _cases(members, observed)])
    return found.reshape(observed.shape[:-1])


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
    found = np.array([_variogram(x, y, pairs, p) for x, y in _cases(members, observed)])
    return found.reshape(observed.shape[:-1])


def distance_weights(*coordinates: Floats) -> NDArray[np.float64]:
    """Weights 1 / (1 + distance) of all pairs, for :func:`variogram_score`: near pairs count most.

    Args:
        coordinates: (dimension,) each, in units of their typical decay (leads in days, sites in hundreds of km).
    """
    square = sum(np.square(np.subtract.outer(values, values)) for values in coordinates)
    return np.asarray(1 / (1 + np.sqrt(square)))


def _cases(members: Floats, observed: Floats) -> Iterator[tuple[Floats, Floats]]:
    """Members (dimension, member) and observations (dimension,) of each case."""
    count = math.prod(observed.shape[:-1])
    yield from zip(
        members.reshape(count, *members.shape[-2:]), observed.reshape(count, observed.shape[-1]), strict=True
    )


def _energy(members: Floats, observed: Floats) -> float:
    """One case: (dimension, member) and (dimension,)."""
    # Distances through one matrix product, about the mean so that large common parts do not eat the digits.
    x = members - members.mean(axis=1, keepdims=True)
    squares = np.einsum("dm,dm->m", x, x)
    total, count = 0.0, x.shape[1]
    step = max(_BLOCK // count, 1)
    for start in range(0, count, step):
        part = slice(start, start + step)
        between = squares[part, None] + squares - 2 * (x[:, part].T @ x)
        own = np.arange(len(between))
        between[own, start + own] = 0  # the root of a rounding error is none
        total += float(np.sqrt(np.maximum(between, 0)).sum())
    distance = float(np.sqrt(np.square(members - observed[:, None]).sum(axis=0)).mean())
    return float(distance - total / (2 * count * count))


def _variogram(members: Floats, observed: Floats, weights: Floats, p: float) -> float:
    """One case; each pair once, counted twice."""
    total, (size, count) = 0.0, members.shape
    x = np.ascontiguousarray(members, dtype=np.float64)
    step = max(_BLOCK // count, 1)
    for i in range(size - 1):
        for start in range(i + 1, size, step):
            part = slice(start, min(start + step, size))
            difference = np.abs(x[part] - x[i])
            expected = (np.sqrt(difference) if p == 0.5 else difference**p).mean(axis=1)
            happened = np.abs(observed[part] - observed[i]) ** p
            total += 2 * float(weights[i, part] @ np.square(happened - expected))
    return total
