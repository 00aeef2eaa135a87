"""The regularised incomplete beta function for compiled loops, where scipy's cannot be called.

Scalars only; every function is compiled once per machine and holds no lock.
"""

from __future__ import annotations

import math

from numba import njit

_TINY = 1e-300
#: Relative change at which the fraction counts as summed.
_DONE = 1e-15
_MOST_TERMS = 2000


@njit(cache=True, nogil=True)
def log_beta(a: float, b: float) -> float:
    """Natural logarithm of the beta function, a and b above 0."""
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


@njit(cache=True, nogil=True)
def beta_probability(a: float, b: float, x: float) -> float:
    """Probability of at most ``x`` under a beta distribution: the regularised incomplete beta function.

    Args:
        a: above 0.
        b: above 0.
        x: any; nothing lies below 0 or above 1.

    Source:
        Abramowitz and Stegun (1964), 26.5.8 (continued fraction) and 26.5.2 (reflection, right of the bulk).
    """
    if x <= 0.0:
        return 0.0
    if x >= 1.0:
        return 1.0
    front = math.exp(a * math.log(x) + b * math.log1p(-x) - log_beta(a, b))
    if x < (a + 1.0) / (a + b + 2.0):
        return min(front * _fraction(a, b, x) / a, 1.0)
    return max(1.0 - front * _fraction(b, a, 1.0 - x) / b, 0.0)


@njit(cache=True, nogil=True)
def _fraction(a: float, b: float, x: float) -> float:
    """The continued fraction, by Lentz's method as modified so that it never divides by zero."""
    d = 1.0 - (a + b) * x / (a + 1.0)
    d = 1.0 / (d if abs(d) > _TINY else _TINY)
    c, fraction = 1.0, d
    for m in range(1, _MOST_TERMS):
        for term in (
            m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0)),
        ):
            d = 1.0 + term * d
            d = 1.0 / (d if abs(d) > _TINY else _TINY)
            c = 1.0 + term / c
            c = c if abs(c) > _TINY else _TINY
            factor = c * d
            fraction *= factor
        if abs(factor - 1.0) < _DONE:
            break
    return fraction
