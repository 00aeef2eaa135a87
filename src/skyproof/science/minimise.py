"""Many small unconstrained minimisations at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Parameters = NDArray[np.float64]


def minimise_batch(
    objective: Callable[[Parameters], NDArray[np.float64]],
    start: Parameters,
    *,
    iterations: int = 12,
    step: float = 1e-4,
    longest_move: float = 1.0,
) -> Parameters:
    """Minimise one smooth function per row by BFGS with central differences and halved steps.

    All rows share the calls to ``objective``, so that its array work is done once for the whole batch.

    Args:
        objective: (batch, parameter) to (batch,); must be finite near the start.
        start: (batch, parameter).
        iterations: BFGS steps; each costs 2 x parameter + at most 6 calls. A row whose step fails starts again downhill,
            ten times as carefully each time.
        step: half width of the central difference.
        longest_move: no parameter moves further in one step.

    Returns:
        (batch, parameter): never worse than the start.

    Source:
        Nocedal and Wright (2006), Numerical Optimization, algorithm 6.1.
    """
    x = np.array(start, dtype=np.float64)
    value, gradient = objective(x), _gradient(objective, x, step)
    inverse, stalled = _downhill(gradient), np.zeros(len(x), dtype=np.intp)
    for _ in range(iterations):
        move = -np.einsum("bij,bj->bi", inverse, gradient)
        move *= np.minimum(1.0, longest_move / np.maximum(np.abs(move).max(axis=1), 1e-12))[:, None]
        downhill = np.einsum("bi,bi->b", move, gradient)
        scale, accepted = np.ones(len(x)), np.zeros(len(x), dtype=bool)
        for _ in range(6):
            trial_value = objective(x + scale[:, None] * move)
            accepted = trial_value <= value + 1e-4 * scale * downhill
            if accepted.all():
                break
            scale = np.where(accepted, scale, scale / 3)
        taken = np.where(accepted, scale, 0.0)[:, None] * move
        stalled = np.where(np.abs(taken).max(axis=1) > 1e-6, 0, stalled + 1)
        if (stalled > 2).all():
            break
        x = x + taken
        value = np.where(accepted, trial_value, value)
        new_gradient = _gradient(objective, x, step)
        inverse = _update(inverse, taken, new_gradient - gradient)
        inverse = np.where(accepted[:, None, None], inverse, _downhill(new_gradient) * 0.1 ** stalled[:, None, None])
        gradient = new_gradient
    return x


def _downhill(gradient: Parameters) -> NDArray[np.float64]:
    """An inverse curvature that makes the first step of length one, or less where the slope is tiny."""
    steepest = np.maximum(np.abs(gradient).max(axis=1), 1e-3)
    return np.asarray(np.eye(gradient.shape[1]) / steepest[:, None, None])


def _gradient(objective: Callable[[Parameters], NDArray[np.float64]], x: Parameters, step: float) -> Parameters:
    columns = []
    for index in range(x.shape[1]):
        shift = np.zeros(x.shape[1])
        shift[index] = step
        columns.append((objective(x + shift) - objective(x - shift)) / (2 * step))
    return np.stack(columns, axis=1)


def _update(inverse: NDArray[np.float64], s: Parameters, y: Parameters) -> NDArray[np.float64]:
    curvature = np.einsum("bi,bi->b", s, y)
    good = curvature > 1e-10
    rho = np.where(good, 1 / np.where(good, curvature, 1.0), 0.0)[:, None, None]
    left = np.eye(s.shape[1]) - rho * s[:, :, None] * y[:, None, :]
    updated = left @ inverse @ np.swapaxes(left, 1, 2) + rho * s[:, :, None] * s[:, None, :]
    return np.where(good[:, None, None], updated, inverse)
