"""Batched minimisation against scipy, row by row."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize

from skyproof.science.minimise import minimise_batch


def test_quadratics_reach_their_centres() -> None:
    centres = np.array([[1.0, -2.0], [0.0, 3.0], [5.0, 5.0]])
    stretch = np.array([[1.0, 1.0], [1.0, 30.0], [0.1, 2.0]])
    found = minimise_batch(lambda x: np.sum(stretch * np.square(x - centres), axis=1), np.zeros((3, 2)), iterations=40)
    assert found == pytest.approx(centres, abs=1e-3)


def test_rosenbrock_rows_end_as_low_as_scipys() -> None:
    starts = np.array([[-1.2, 1.0], [2.0, 2.0], [0.0, 0.0]])

    def rosenbrock(x: np.ndarray) -> np.ndarray:
        return 100 * np.square(x[:, 1] - np.square(x[:, 0])) + np.square(1 - x[:, 0])

    found = rosenbrock(minimise_batch(rosenbrock, starts, iterations=200))
    theirs = [optimize.minimize(lambda x: float(rosenbrock(x[None])[0]), start, method="BFGS").fun for start in starts]
    assert found == pytest.approx(theirs, abs=1e-5)


def test_a_first_step_that_is_far_too_long_is_tried_again_shorter() -> None:
    # Along the second axis the first downhill step of length one overshoots ten thousandfold.
    scale = np.array([1.0, 1e8])
    found = minimise_batch(
        lambda x: np.sum(scale * np.square(x - 1e-4), axis=1), np.zeros((1, 2)), iterations=40, step=1e-7
    )
    assert np.sum(scale * np.square(found - 1e-4)) < 1e-4


def test_no_row_ends_worse_than_it_began() -> None:
    starts = np.random.default_rng(5).normal(size=(30, 3))

    def wild(x: np.ndarray) -> np.ndarray:
        return np.sum(np.abs(x) ** 1.5 + np.sin(8 * x), axis=1)

    assert (wild(minimise_batch(wild, starts)) <= wild(starts)).all()
