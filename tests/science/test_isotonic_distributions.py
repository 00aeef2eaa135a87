"""Isotonic distributions: by hand, against scipy and the min-max formula, isotone, and best of all that are."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import isotonic_regression

from skyproof.science.isotonic_distributions import (
    IsotonicDistributions,
    fit_isotonic,
    index_bins,
    isotonic_quantiles,
    pool_violators,
    threshold_grid,
)

_LEVELS = np.array([0.05, 0.25, 0.5, 0.75, 0.95])


def plain(index: np.ndarray, target: np.ndarray, **kwargs: int) -> IsotonicDistributions:
    return fit_isotonic(index, target, np.ones((1, len(index)), dtype=bool), **kwargs)


def told(seed: int, count: int = 80) -> tuple[np.ndarray, np.ndarray]:
    """An index with ties, and outcomes that mostly rise with it, a third of them zero."""
    chance = np.random.default_rng(seed)
    index = np.round(chance.normal(0, 1, count), 1)
    return index, np.round(np.maximum(index + chance.normal(0, 0.7, count) - 0.4, 0.0), 2)


def grid_crps(below: np.ndarray, thresholds: np.ndarray, target: np.ndarray) -> float:
    """Mean over cases of the CRPS of distributions (case, threshold) that step at the thresholds."""
    square = np.square(below - (target[:, None] <= thresholds))
    return float((square[:, :-1] * np.diff(thresholds)).sum(axis=1).mean())


def test_three_cases_by_hand() -> None:
    # The larger index came to less in cases two and three: they are pooled, and each outcome has half of both.
    fitted = plain(np.array([1.0, 2.0, 3.0]), np.array([0.0, 5.0, 4.0]))
    np.testing.assert_array_equal(fitted.nodes, [1, 2, 3])
    np.testing.assert_array_equal(fitted.thresholds, [0, 4, 5])
    np.testing.assert_allclose(fitted.below, [[1, 1, 1], [0, 0.5, 1], [0, 0.5, 1]])


def test_quantiles_by_hand() -> None:
    # Half dry, the other half between 0 and 2 mm; at the larger index a quarter dry.
    fitted = IsotonicDistributions(
        np.array([1.0, 3.0]), np.array([0.0, 2.0, 4.0]), np.array([[0.5, 1.0, 1.0], [0.25, 0.5, 1.0]])
    )
    levels = np.array([0.2, 0.5, 0.75])
    np.testing.assert_allclose(isotonic_quantiles(fitted, np.array([1.0]), levels), [[0, 0, 1]], atol=1e-6)
    # Half way: 0.375, 0.75, 1.
    np.testing.assert_allclose(isotonic_quantiles(fitted, np.array([2.0]), levels), [[0, 2 / 3, 2]], atol=1e-6)
    # Two beyond the last node everything is two larger.
    np.testing.assert_allclose(isotonic_quantiles(fitted, np.array([5.0]), levels), [[2, 4, 5]], atol=1e-6)
    assert np.isnan(isotonic_quantiles(fitted, np.array([np.nan]), levels)).all()


@pytest.mark.parametrize("seed", range(5))
def test_against_the_isotonic_regression_of_scipy(seed: int) -> None:
    index, target = told(seed)
    fitted = plain(index, target, most_nodes=1000, most_thresholds=1000)
    for column, threshold in enumerate(fitted.thresholds):
        values, place, counts = np.unique(index, return_inverse=True, return_counts=True)
        share = np.bincount(place, target <= threshold) / counts
        wanted = isotonic_regression(share, weights=counts, increasing=False).x
        np.testing.assert_allclose(fitted.below[:, column], wanted, atol=1e-12)
    assert len(values) == len(fitted.nodes)


def test_against_the_min_max_formula() -> None:
    # Henzi et al., equation 2: the smallest, over beginnings, of the largest mean over ends; written for a falling function.
    chance = np.random.default_rng(3)
    count = chance.integers(1, 6, 9).astype(float)
    below = np.cumsum(chance.integers(0, 3, (9, 4)), axis=1).astype(float)
    below = np.minimum(below, count[:, None])
    fitted = pool_violators(below, count)
    for node in range(9):
        for t in range(4):
            means = [
                [below[k : m + 1, t].sum() / count[k : m + 1].sum() for k in range(node + 1)] for m in range(node, 9)
            ]
            assert fitted[node, t] == pytest.approx(max(min(row) for row in means), abs=1e-12)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.integers(3, 60), st.integers(2, 12), st.integers(2, 10))
def test_quantiles_rise_with_the_index_and_along_levels_and_stay_among_outcomes(
    seed: int, count: int, nodes: int, thresholds: int
) -> None:
    index, target = told(seed, count)
    bags = np.random.default_rng(seed).random((3, count)) < 0.6
    bags[:, 0] = True
    fitted = fit_isotonic(index, target, bags, most_nodes=nodes, most_thresholds=thresholds)
    assert len(fitted.nodes) <= nodes
    assert len(fitted.thresholds) <= thresholds
    assert (np.diff(fitted.below, axis=0) <= 1e-12).all()
    assert (np.diff(fitted.below, axis=1) >= -1e-12).all()
    np.testing.assert_allclose(fitted.below[:, -1], 1.0)
    asked = np.linspace(index.min() - 1, index.max() + 1, 60)
    said = isotonic_quantiles(fitted, asked, _LEVELS)
    assert (np.diff(said, axis=0) >= -1e-5).all()
    assert (np.diff(said, axis=1) >= 0).all()
    inside = (asked >= fitted.nodes[0]) & (asked <= fitted.nodes[-1])
    assert said[inside].min() >= target.min() - 1e-6
    assert said[inside].max() <= target.max() + 1e-6


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000))
def test_no_other_isotone_fit_has_a_lower_score_in_sample(seed: int) -> None:
    index, target = told(seed)
    fitted = plain(index, target, most_nodes=1000, most_thresholds=1000)
    place = np.searchsorted(fitted.nodes, index)
    own = grid_crps(fitted.below[place], fitted.thresholds, target)
    steps = target[:, None] <= fitted.thresholds
    constant = np.broadcast_to(steps.mean(axis=0), steps.shape)
    assert own <= grid_crps(constant, fitted.thresholds, target) + 1e-12
    # Five bins, made to fall from bin to bin by sorting; and the fit itself pulled towards the constant.
    edges = np.quantile(index, [0.2, 0.4, 0.6, 0.8])
    bins = np.searchsorted(edges, index, side="right")
    binned = np.stack([steps[bins == b].mean(axis=0) if (bins == b).any() else constant[0] for b in range(5)])
    binned = -np.sort(-binned, axis=0)
    assert all((upper >= lower).all() for upper, lower in pairwise(binned))
    assert own <= grid_crps(binned[bins], fitted.thresholds, target) + 1e-12
    for share in (0.1, 0.5):
        pulled = (1 - share) * fitted.below[place] + share * constant
        assert own <= grid_crps(pulled, fitted.thresholds, target) + 1e-12


def test_in_sample_each_share_of_outcomes_is_the_probability_said() -> None:
    # Calibrated at every threshold: where the fit says p, a share of p lay below.
    index, target = told(11, 200)
    fitted = plain(index, target, most_nodes=1000, most_thresholds=1000)
    place = np.searchsorted(fitted.nodes, index)
    for column in range(0, len(fitted.thresholds), 7):
        said = np.round(fitted.below[place, column], 12)
        for value in np.unique(said):
            happened = target[said == value] <= fitted.thresholds[column]
            assert happened.mean() == pytest.approx(value, abs=1e-9)


def test_bins_and_thresholds_are_bounded_and_keep_ties_together() -> None:
    index = np.repeat([0.0, 0.0, 1.0, 2.0, 3.0], 40)
    means, place = index_bins(index, 3)
    assert len(means) <= 3
    assert (np.diff(means) > 0).all()
    for value in np.unique(index):
        assert len(np.unique(place[index == value])) == 1
    many = np.random.default_rng(1).normal(0, 1, 5000)
    assert len(index_bins(many, 50)[0]) == 50
    assert len(threshold_grid(many, 20)) == 20
    np.testing.assert_array_equal(threshold_grid(index, 20), [0, 1, 2, 3])


def test_more_cases_take_no_more_memory_in_what_is_kept() -> None:
    kept = []
    for count in (2000, 20_000):
        chance = np.random.default_rng(count)
        index = chance.normal(0, 1, count)
        kept.append(plain(index, index + chance.normal(0, 1, count)).below.size)
    assert kept[0] == kept[1] == 100 * 150


def test_with_many_cases_quantiles_come_near_the_true_ones() -> None:
    chance = np.random.default_rng(5)
    index = chance.uniform(-2, 2, 20_000)
    target = index + np.exp(0.3 * index) * chance.normal(0, 1, len(index))
    bags = chance.random((8, len(index))) < 0.5
    said = isotonic_quantiles(fit_isotonic(index, target, bags), np.array([-1.0, 0.0, 1.0]), np.array([0.1, 0.5, 0.9]))
    at = np.array([-1.0, 0.0, 1.0])
    wanted = at[:, None] + np.exp(0.3 * at)[:, None] * np.array([-1.2816, 0.0, 1.2816])
    np.testing.assert_allclose(said, wanted, atol=0.12)


def test_a_bag_without_cases_is_refused() -> None:
    with pytest.raises(ValueError, match="bag without cases"):
        fit_isotonic(np.arange(3.0), np.arange(3.0), np.zeros((1, 3), dtype=bool))
