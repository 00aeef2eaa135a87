"""Many small ridge regressions at once, compiled: each is solved on its own, in place of copies of all."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.science.compiled import check_shape, compiled

Floats = NDArray[Any]


def solve_ridges(gram: Floats, cross: Floats, start: Floats, hold: Floats) -> Floats:
    """Coefficients of many problems that share their shrinkage towards starting values.

    Use it where there are hundreds of problems of some tens of terms; one large problem is better left to numpy.

    Args:
        gram: sums of products of terms, (problem, term, term), symmetric, no eigenvalue below zero.
        cross: sums of products of terms and target, (problem, term).
        start: values the coefficients are held near, (problem, term).
        hold: how hard each is held, above zero, (term,).

    Returns:
        (problem, term): ``start + inverse(gram + diagonal(hold)) (cross - gram start)``.

    Raises:
        ValueError: shapes that do not belong together.

    Source:
        Cholesky factorisation row by row; Golub and Van Loan (2013), Matrix Computations, section 4.2.
    """
    problems, terms = cross.shape
    check_shape("gram", gram.shape, (problems, terms, terms))
    check_shape("start", start.shape, (problems, terms))
    check_shape("hold", hold.shape, (terms,))
    result = np.empty((problems, terms))
    _solve(_plain(gram), _plain(cross), _plain(start), _plain(hold), result)
    return result


def _plain(array: Floats) -> Floats:
    return np.require(array, dtype=np.float64, requirements=["C", "W"])


@compiled
def _solve(gram: Floats, cross: Floats, start: Floats, hold: Floats, result: Floats) -> None:
    problems, terms = cross.shape
    root = np.empty((terms, terms))
    for k in range(problems):
        for j in range(terms):
            for i in range(j + 1):
                value = gram[k, j, i]
                if i == j:
                    value += hold[j]
                for t in range(i):
                    value -= root[j, t] * root[i, t]
                root[j, i] = np.sqrt(value) if i == j else value / root[i, i]
        for j in range(terms):
            value = cross[k, j]
            for i in range(terms):
                value -= gram[k, j, i] * start[k, i]
            for i in range(j):
                value -= root[j, i] * result[k, i]
            result[k, j] = value / root[j, j]
        for j in range(terms - 1, -1, -1):
            value = result[k, j] / root[j, j]
            for i in range(j):
                result[k, i] -= root[j, i] * value
            result[k, j] = value
        for j in range(terms):
            result[k, j] += start[k, j]
