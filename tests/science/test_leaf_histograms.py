"""Distributions from leaves: against Meinshausen's weights written out, ties kept whole, levels in order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skyproof.science.leaf_histograms import fill_leaves, find_bins, histogram_edges, leaf_quantiles

_LEVELS = np.array([0.05, 0.25, 0.5, 0.75, 0.95])


def weighted_quantiles(leaves: np.ndarray, asked: np.ndarray, target: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Meinshausen's: each case of the past weighs the mean over trees of one over the size of the leaf it shares."""
    order = np.argsort(target)
    result = np.empty((len(asked), len(levels)))
    for row, one in enumerate(asked):
        same = leaves == one
        weight = (same / same.sum(axis=0)).mean(axis=1)[order]
        result[row] = target[order][np.searchsorted(np.cumsum(weight) - 1e-12, levels)]
    return result


def test_one_leaf_by_hand() -> None:
    # Two bins of width 1, a quarter of the cases in the first: the quartile is its edge, the median a third further on.
    edges, target = np.array([0.0, 1.0, 2.0]), np.array([0.5, 1.2, 1.5, 1.9])
    leaves = np.zeros((4, 1), dtype=np.int32)
    shares = fill_leaves(leaves, target, edges)
    np.testing.assert_allclose(shares, [[[0.25, 0.75]]])
    found = leaf_quantiles(leaves[:1], shares, edges, np.array([0.125, 0.25, 0.5, 1.0]))
    np.testing.assert_allclose(found, [[0.5, 1.0, 4 / 3, 2.0]], atol=1e-6)


def test_trees_are_averaged() -> None:
    edges, target = np.array([0.0, 1.0, 2.0]), np.array([0.5, 1.5])
    leaves = np.array([[0, 0], [1, 0]], dtype=np.int32)
    shares = fill_leaves(leaves, target, edges)
    # The first tree says the first bin, the second either: three quarters lie below 1.
    np.testing.assert_allclose(leaf_quantiles(leaves[:1], shares, edges, np.array([0.75])), [[1.0]], atol=1e-6)


def test_a_fine_histogram_agrees_with_the_weights_written_out() -> None:
    chance = np.random.default_rng(1)
    target = chance.normal(0, 1, 400)
    leaves = chance.integers(0, 6, (400, 30)).astype(np.int32)
    # Trees that know something: the leaf follows the target.
    leaves[:, :15] = np.digitize(target + chance.normal(0, 0.3, 400), [-1, -0.3, 0.3, 1])[:, None]
    edges = histogram_edges(target)
    found = leaf_quantiles(leaves[:50], fill_leaves(leaves, target, edges), edges, _LEVELS)
    wanted = weighted_quantiles(leaves, leaves[:50], target, _LEVELS)
    widest = np.diff(edges).max()
    assert np.abs(found - wanted).max() <= widest
    assert np.abs(found - wanted).mean() < 0.05


def test_many_dry_days_keep_their_share_of_exact_zeros() -> None:
    chance = np.random.default_rng(2)
    target = np.where(chance.random(1000) < 0.6, 0.0, chance.gamma(1, 3, 1000))
    leaves = np.zeros((1000, 1), dtype=np.int32)
    edges = histogram_edges(target)
    levels = np.linspace(0.05, 0.95, 19)
    found = leaf_quantiles(leaves[:1], fill_leaves(leaves, target, edges), edges, levels)[0]
    dry = (target == 0).mean()
    np.testing.assert_array_equal(found[levels < dry - 0.01], 0.0)
    assert (found[levels > dry + 0.01] > 0).all()
    np.testing.assert_allclose(found, np.quantile(target, levels), atol=0.3)


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([0.0, 0.0, 1.0, 2.0], [0, 0, 2, 2]),
        ([1.0, 2.0, 2.0, 3.0], [0, 1, 1, 2]),
        ([1.0, 2.0, 3.0, 3.0], [0, 1, 2, 2]),
    ],
)
def test_a_value_that_recurs_has_a_bin_without_width(values: list[float], wanted: list[int]) -> None:
    edges = np.sort(values)
    assert find_bins(np.array(values), edges).tolist() == wanted


def test_values_outside_of_the_edges_fall_into_the_outermost_bins() -> None:
    assert find_bins(np.array([-5.0, 9.0]), np.array([0.0, 1.0, 2.0])).tolist() == [0, 1]


def test_a_target_that_never_varies_is_forecast_as_it_is() -> None:
    target, leaves = np.full(20, 3.5), np.zeros((20, 2), dtype=np.int32)
    edges = histogram_edges(target)
    found = leaf_quantiles(leaves[:1], fill_leaves(leaves, target, edges), edges, _LEVELS)
    np.testing.assert_array_equal(found, np.full((1, 5), 3.5, dtype=np.float32))


@settings(max_examples=25)
@given(seed=st.integers(0, 1000), zeros=st.floats(0, 1), bins=st.integers(1, 40))
def test_quantiles_rise_stay_within_what_was_seen_and_leaves_sum_to_one(seed: int, zeros: float, bins: int) -> None:
    chance = np.random.default_rng(seed)
    target = np.where(chance.random(60) < zeros, 0.0, np.round(chance.normal(0, 2, 60), 1))
    leaves = chance.integers(0, 4, (60, 5)).astype(np.int32)
    edges = histogram_edges(target, bins=bins)
    shares = fill_leaves(leaves, target, edges)
    held = np.stack([np.bincount(leaves[:, tree], minlength=shares.shape[1]) for tree in range(5)]) > 0
    np.testing.assert_allclose(shares.sum(axis=-1)[held], 1, atol=1e-5)
    found = leaf_quantiles(leaves, shares, edges, np.linspace(0.01, 0.99, 99))
    assert (np.diff(found, axis=-1) >= 0).all()
    assert found.min() >= np.float32(target.min())
    assert found.max() <= np.float32(target.max())
