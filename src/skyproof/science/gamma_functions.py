"""The regularised incomplete gamma function for compiled loops, where scipy's cannot be called.

Scalars only; every function is compiled once per machine and holds no lock.
"""

from __future__ import annotations

import math

from numba import njit

_TINY = 1e-300
#: Relative change at which a series or fraction counts as summed.
_DONE = 1e-15
_MOST_TERMS = 2000


@njit(cache=True, nogil=True)
def gamma_density(shape: float, x: float) -> float:
    """Density of the gamma distribution of unit scale at ``x`` > 0."""
    return math.exp((shape - 1.0) * math.log(x) - x - math.lgamma(shape))


@njit(cache=True, nogil=True)
def gamma_probability(shape: float, x: float) -> float:
    """Probability of at most ``x`` under a gamma distribution of unit scale: the regularised lower incomplete gamma function.

    Args:
        shape: above 0.
        x: any; nothing lies below 0.

    Source:
        Abramowitz and Stegun (1964), 6.5.29 (series, left of the bulk) and 6.5.31 (continued fraction, right of it).
    """
    if x <= 0.0:
        return 0.0
    front = math.exp(shape * math.log(x) - x - math.lgamma(shape + 1.0))
    if x < shape + 1.0:
        term = total = 1.0
        for n in range(1, _MOST_TERMS):
            term *= x / (shape + n)
            total += term
            if term < _DONE * total:
                break
        return min(front * total, 1.0)
    # Modified Lentz evaluation, which never divides by zero.
    b = x + 1.0 - shape
    c = 1.0 / _TINY
    d = 1.0 / b
    fraction = d
    for n in range(1, _MOST_TERMS):
        a = -n * (n - shape)
        b += 2.0
        d = a * d + b
        d = 1.0 / (d if abs(d) > _TINY else _TINY)
        c = b + a / c
        c = c if abs(c) > _TINY else _TINY
        factor = c * d
        fraction *= factor
        if abs(factor - 1.0) < _DONE:
            break
    return max(1.0 - front * shape * fraction, 0.0)
