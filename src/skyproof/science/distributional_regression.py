"""Distributional regression by minimum CRPS: many problems at once, compiled, the same to the bit on one machine.

Location = X a, log scale = Z b, and for the censored shifted gamma one log shift c; a, b and c minimise the weighted mean
CRPS plus a ridge that pulls them towards given values (a pooled fit, for example). Gradients are analytic; BFGS begins with
the curvature the distribution is expected to have, so that a handful of steps is enough.

Problems are independent and share nothing but their form: a lead, a site or both. Their rows follow each other in one table;
each problem is solved by one thread from beginning to end, so the number of threads changes nothing but the time.

Sources:
    Gneiting et al. (2005), doi:10.1175/MWR2904.1 (minimum CRPS estimation); Messner et al. (2014), doi:10.1175/MWR-D-13-00271.1
    (log link of the scale); Nocedal and Wright (2006), Numerical Optimization, algorithm 6.1 (BFGS).
"""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray

from skyproof.science.crps_kernels import SHIFTED_GAMMA, crps_and_slopes, curvature

Floats = NDArray[np.float64]
Distribution = Literal["normal", "logistic", "truncated", "log_normal", "shifted_gamma", "beta"]

#: Numbers by which the compiled kernels know the distributions.
NUMBERS: dict[Distribution, int] = {
    "normal": 0,
    "logistic": 1,
    "truncated": 2,
    "log_normal": 3,
    "shifted_gamma": 4,
    "beta": 5,
}
#: Rows from which a second thread pays.
_ROWS_PER_THREAD = 20_000


@dataclass(frozen=True, slots=True)
class Rows:
    """Cases of one or more problems, one after the other.

    ``location`` (row, p) and ``log_scale`` (row, q) are the regressors, a constant column included; ``weight`` at least 0;
    the rows of problem i are ``first[i]`` to ``first[i + 1]``. Nothing may be missing.
    """

    observed: Floats
    location: Floats
    log_scale: Floats
    weight: Floats
    first: NDArray[np.int64]

    @classmethod
    def one_problem(cls, observed: Floats, location: Floats, log_scale: Floats, weight: Floats | None = None) -> Rows:
        """Rows of a single problem, all of weight one unless said otherwise."""
        weight = np.ones(len(observed)) if weight is None else weight
        return cls(observed, location, log_scale, weight, np.array([0, len(observed)]))


@dataclass(frozen=True, slots=True)
class Fit:
    """What minimum CRPS found: ``coefficients`` (problem, p + q + shift), ``loss`` (problem,) with the ridge, ``steps``."""

    coefficients: Floats
    loss: Floats
    steps: NDArray[np.int64]


def coefficient_count(distribution: Distribution, p: int, q: int) -> int:
    """Coefficients of one problem: location, log scale, and the log shift where there is one."""
    return p + q + (distribution == "shifted_gamma")


def fit_regressions(
    distribution: Distribution,
    rows: Rows,
    start: Floats,
    *,
    lower: float = -math.inf,
    upper: float = math.inf,
    prior: Floats | None = None,
    penalty: Floats | None = None,
    tolerance: float = 1e-9,
    most_steps: int = 100,
    threads: int | None = None,
) -> Fit:
    """Minimise the mean CRPS of every problem.

    Use regressors of about unit size, and observations too: scales beyond exp(-9) and exp(6) are not told apart.

    Args:
        distribution: normal and logistic are censored at finite limits; the others begin at ``lower``, and beta ends at
            ``upper``.
        rows: the cases.
        start: (problem, coefficient) where the search begins, for example the last solution.
        lower: lower limit; required by all but normal and logistic.
        upper: upper limit, for normal and logistic; required by beta.
        prior: (problem, coefficient) or (coefficient,), what the ridge pulls towards; zero if not given.
        penalty: same shape, strength of the ridge: half of it times the squared distance is added to the mean CRPS. The mean
            CRPS of the standard normal curves by 0.56 in its location and 0.28 in its log scale.
        tolerance: done when a Newton step promises less than this share of the loss.
        most_steps: of BFGS.
        threads: None for as many as pay.

    Returns:
        The solutions; a problem without weight keeps its start.
    """
    problems = len(rows.first) - 1
    count = coefficient_count(distribution, rows.location.shape[1], rows.log_scale.shape[1])
    shape = (problems, count)
    towards = np.ascontiguousarray(np.broadcast_to(0.0 if prior is None else prior, shape), dtype=np.float64)
    ridge = np.ascontiguousarray(np.broadcast_to(0.0 if penalty is None else penalty, shape), dtype=np.float64)
    solution = np.array(np.broadcast_to(start, shape), dtype=np.float64, order="C")
    table = _table(rows)
    loss, steps = np.zeros(problems), np.zeros(problems, dtype=np.int64)
    first = np.ascontiguousarray(rows.first, dtype=np.int64)
    kind = (NUMBERS[distribution], float(lower), float(upper))

    def solve(begin: int, end: int) -> None:
        _solve_many(
            kind, table, (first, begin, end), (towards, ridge), (solution, loss, steps), (tolerance, most_steps)
        )

    share_work(solve, problems, int(first[-1]), threads)
    return Fit(solution, loss, steps)


def share_work(work: Any, count: int, rows: int, threads: int | None) -> None:
    """Call ``work(begin, end)`` on parts of ``range(count)`` in as many threads as pay; the parts share nothing."""
    wanted = min(os.cpu_count() or 1, rows // _ROWS_PER_THREAD + 1) if threads is None else threads
    wanted = max(min(wanted, count), 1)
    if wanted == 1:
        work(0, count)
        return
    # Small parts keep all threads busy until the end.
    parts = np.unique(np.linspace(0, count, min(count, 4 * wanted) + 1).astype(int))
    with ThreadPoolExecutor(wanted) as pool:
        list(pool.map(work, parts[:-1].tolist(), parts[1:].tolist()))


def mean_crps(
    distribution: Distribution,
    rows: Rows,
    coefficients: Floats,
    *,
    lower: float = -math.inf,
    upper: float = math.inf,
) -> Floats:
    """Weighted mean CRPS of every problem, (problem,), and its gradient is what the fit drives to zero."""
    return loss_and_gradient(distribution, rows, coefficients, lower=lower, upper=upper)[0]


def loss_and_gradient(
    distribution: Distribution,
    rows: Rows,
    coefficients: Floats,
    *,
    lower: float = -math.inf,
    upper: float = math.inf,
) -> tuple[Floats, Floats]:
    """Weighted mean CRPS of every problem and its gradient, (problem,) and (problem, coefficient)."""
    table, kind = _table(rows), (NUMBERS[distribution], float(lower), float(upper))
    problems = len(rows.first) - 1
    at = np.ascontiguousarray(np.broadcast_to(coefficients, (problems, np.shape(coefficients)[-1])), dtype=np.float64)
    gradient, nothing = np.zeros_like(at), np.zeros(at.shape[1])
    loss = np.zeros(problems)
    for i in range(problems):
        span = (int(rows.first[i]), int(rows.first[i + 1]))
        loss[i] = _loss(kind, table, span, at[i], (nothing, nothing), gradient[i])
    return loss, gradient


def _table(rows: Rows) -> tuple[Floats, Floats, Floats, Floats]:
    columns = (rows.observed, rows.location, rows.log_scale, rows.weight)
    y, x, z, w = (np.ascontiguousarray(column, dtype=np.float64) for column in columns)
    return y, x, z, w


@njit(cache=True, nogil=True)
def _loss(kind: Any, table: Any, span: Any, at: Any, pull: Any, gradient: Any) -> float:
    """Mean CRPS plus ridge of one problem; writes the gradient."""
    (family, lower, upper), (y, x, z, w), (begin, end), (towards, ridge) = kind, table, span, pull
    p, q = x.shape[1], z.shape[1]
    log_shift = at[p + q] if family == SHIFTED_GAMMA else 0.0
    gradient[:] = 0.0
    total = weight = 0.0
    for i in range(begin, end):
        if w[i] <= 0.0:
            continue
        location = log_scale = 0.0
        for j in range(p):
            location += x[i, j] * at[j]
        for j in range(q):
            log_scale += z[i, j] * at[p + j]
        value, by_location, by_log_scale, by_log_shift = crps_and_slopes(
            family, y[i], location, log_scale, log_shift, (lower, upper)
        )
        weight += w[i]
        total += w[i] * value
        by_location *= w[i]
        by_log_scale *= w[i]
        for j in range(p):
            gradient[j] += by_location * x[i, j]
        for j in range(q):
            gradient[p + j] += by_log_scale * z[i, j]
        if family == SHIFTED_GAMMA:
            gradient[p + q] += w[i] * by_log_shift
    weight = max(weight, 1e-300)
    loss = total / weight
    for j in range(len(at)):
        away = at[j] - towards[j]
        gradient[j] = gradient[j] / weight + ridge[j] * away
        loss += 0.5 * ridge[j] * away * away
    return loss


@njit(cache=True, nogil=True)
def _expected_curvature(kind: Any, table: Any, span: Any, at: Any, ridge: Any, into: Any) -> float:
    """Expected second derivatives of the mean CRPS, plus the ridge; returns the sum of weights."""
    (family, lower, upper), (_, x, z, w), (begin, end) = kind, table, span
    p, q = x.shape[1], z.shape[1]
    into[:] = 0.0
    weight = 0.0
    for i in range(begin, end):
        if w[i] <= 0.0:
            continue
        location = log_scale = 0.0
        for j in range(p):
            location += x[i, j] * at[j]
        for j in range(q):
            log_scale += z[i, j] * at[p + j]
        aa, ab, bb, cc = curvature(family, location, log_scale, lower, upper)
        weight += w[i]
        for j in range(p):
            for k in range(j + 1):
                into[j, k] += w[i] * aa * x[i, j] * x[i, k]
        for j in range(q):
            for k in range(j + 1):
                into[p + j, p + k] += w[i] * bb * z[i, j] * z[i, k]
            for k in range(p):
                into[p + j, k] += w[i] * ab * z[i, j] * x[i, k]
        if family == SHIFTED_GAMMA:
            into[p + q, p + q] += w[i] * cc
    for j in range(len(at)):
        for k in range(j + 1):
            into[j, k] /= max(weight, 1e-300)
            into[k, j] = into[j, k]
    largest = 0.0
    for j in range(len(at)):
        into[j, j] += ridge[j]
        largest = max(largest, into[j, j])
    for j in range(len(at)):
        # Keeps regressors that say nothing, or the same as another, solvable.
        into[j, j] += 1e-6 * into[j, j] + 1e-10 * largest + 1e-12
    return weight


@njit(cache=True, nogil=True)
def _product(matrix: Any, vector: Any, into: Any) -> None:
    """Plain loops: the same order of sums whatever BLAS is there."""
    for j in range(len(vector)):
        total = 0.0
        for k in range(len(vector)):
            total += matrix[j, k] * vector[k]
        into[j] = total


@njit(cache=True, nogil=True)
def invert(matrix: Any) -> Any:
    """Inverse of a positive definite matrix by Gauss-Jordan elimination, without pivots."""
    n = len(matrix)
    left, right = matrix.copy(), np.eye(n)
    for i in range(n):
        pivot = 1.0 / max(left[i, i], 1e-300)
        for k in range(n):
            left[i, k] *= pivot
            right[i, k] *= pivot
        for j in range(n):
            if j != i and left[j, i] != 0.0:
                factor = left[j, i]
                for k in range(n):
                    left[j, k] -= factor * left[i, k]
                    right[j, k] -= factor * right[i, k]
    return right


@njit(cache=True, nogil=True)
def _update(inverse: Any, moved: Any, change: Any, work: Any) -> None:
    """BFGS update of the inverse curvature; left alone where the slope did not rise along the move."""
    n = len(moved)
    rise = 0.0
    for j in range(n):
        rise += moved[j] * change[j]
    _product(inverse, change, work)
    along = 0.0
    for j in range(n):
        along += change[j] * work[j]
    if rise <= 1e-12 * along or rise <= 0.0:
        return
    factor = (1.0 + along / rise) / rise
    for j in range(n):
        for k in range(n):
            inverse[j, k] += factor * moved[j] * moved[k] - (work[j] * moved[k] + moved[j] * work[k]) / rise


@njit(cache=True, nogil=True)
def _search(kind: Any, table: Any, span: Any, pull: Any, state: Any, from_loss: float) -> tuple[float, bool]:
    """Shorten the move until the loss falls enough; writes the trial and its gradient, returns its loss and whether it fell."""
    at, gradient, move, trial, new_gradient = state
    promise = 0.0
    for j in range(len(at)):
        promise += move[j] * gradient[j]
    length, new = 1.0, from_loss
    for _ in range(30):
        for j in range(len(at)):
            trial[j] = at[j] - length * move[j]
        new = _loss(kind, table, span, trial, pull, new_gradient)
        if new <= from_loss - 1e-4 * length * promise:
            return new, True
        # The minimum of the parabola through what is known, kept within reason.
        bend = new - from_loss + length * promise
        best = 0.5 * length * length * promise / bend if bend > 0.0 else 0.5 * length
        length = min(max(best, 0.1 * length), 0.5 * length)
    return new, False


@njit(cache=True, nogil=True)
def _solve_many(kind: Any, table: Any, problems: Any, pull: Any, results: Any, control: Any) -> None:
    """BFGS with shortened steps for some of the problems; writes solution, losses and steps."""
    (first, problem_begin, problem_end), (towards, ridge) = problems, pull
    (solution, losses, steps), (tolerance, most_steps) = results, control
    n = solution.shape[1]
    gradient, new_gradient, move, trial, work = np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n)
    metric = np.zeros((n, n))
    for i in range(problem_begin, problem_end):
        span, at, own = (first[i], first[i + 1]), solution[i], (towards[i], ridge[i])
        if _expected_curvature(kind, table, span, at, ridge[i], metric) <= 0.0:
            continue
        inverse, fresh = invert(metric), True
        loss = _loss(kind, table, span, at, own, gradient)
        for step in range(most_steps):
            steps[i] = step
            _product(inverse, gradient, move)
            promise = 0.0
            for j in range(n):
                promise += move[j] * gradient[j]
            if promise <= tolerance * abs(loss):
                break
            new, fell = _search(kind, table, span, own, (at, gradient, move, trial, new_gradient), loss)
            if not fell and fresh:
                break
            if not fell:
                _expected_curvature(kind, table, span, at, ridge[i], metric)
                inverse, fresh = invert(metric), True
                continue
            for j in range(n):
                move[j], work[j] = trial[j] - at[j], new_gradient[j] - gradient[j]
                at[j], gradient[j] = trial[j], new_gradient[j]
            _update(inverse, move, work, trial)
            loss, fresh = new, False
        losses[i] = loss
