"""Many small ridge regressions: by hand, beside numpy, and as a property."""

from __future__ import annotations

import numpy as np
import pytest

from skyproof.science.ridge_kernels import solve_ridges


def problems(count: int = 30, terms: int = 7, seed: int = 1) -> tuple[np.ndarray, ...]:
    chance = np.random.default_rng(seed)
    # Fewer rows than terms: the sums alone say too little, as for a site with a short record.
    rows = chance.normal(size=(count, 5, terms))
    target = chance.normal(size=(count, 5))
    start, hold = chance.normal(size=(count, terms)), chance.uniform(0.1, 5, terms)
    return rows.swapaxes(1, 2) @ rows, np.einsum("krt,kr->kt", rows, target), start, hold


def test_one_term_by_hand() -> None:
    # Held near 1 as hard as the two pairs with x = 1 speak for 4: half way of the 3 between them.
    found = solve_ridges(np.array([[[2.0]]]), np.array([[8.0]]), np.array([[1.0]]), np.array([2.0]))
    assert found.tolist() == [[2.5]]


def test_numpy_solves_the_same() -> None:
    gram, cross, start, hold = problems()
    rest = cross - np.einsum("kij,kj->ki", gram, start)
    expected = start + np.linalg.solve(gram + np.diag(hold), rest[..., None])[..., 0]
    np.testing.assert_allclose(solve_ridges(gram, cross, start, hold), expected, rtol=1e-10, atol=1e-12)


def test_without_any_pair_the_start_stays() -> None:
    gram, cross, start, hold = problems()
    np.testing.assert_array_equal(solve_ridges(0 * gram, 0 * cross, start, hold), start)


def test_the_order_of_problems_does_not_matter() -> None:
    gram, cross, start, hold = problems()
    turned = solve_ridges(gram[::-1], cross[::-1], start[::-1], hold)[::-1]
    np.testing.assert_array_equal(turned, solve_ridges(gram, cross, start, hold))


def test_arrays_that_do_not_belong_together_are_refused() -> None:
    gram, cross, start, hold = problems()
    with pytest.raises(ValueError, match="hold"):
        solve_ridges(gram, cross, start, hold[1:])
