"""Operations on forecasts given as quantiles: by hand, against scipy and numpy, and as properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from skyproof.domain.quantiles import INDEX_MEDIAN, LEVEL_ARRAY
from skyproof.science.quantile_functions import (
    MEAN_WEIGHTS,
    clip_to_limits,
    drop_traces,
    ensemble_quantiles,
    interpolate_quantiles,
    probability_of_exceeding,
    quantile_mean,
    sort_quantiles,
)

NORMAL = stats.norm.ppf(LEVEL_ARRAY)
forecasts = arrays(np.float64, 21, elements=st.floats(-100, 100)).map(np.sort)


def test_one_member_is_every_quantile_of_its_ensemble() -> None:
    assert np.array_equal(ensemble_quantiles(np.array([[7.5]])), np.full((1, 21), 7.5, dtype=np.float32))


def test_three_members_by_hand() -> None:
    # Type 8: the k-th of 3 members has level (k - 1/3) / (3 + 1/3): 0.2, 0.5, 0.8.
    quantiles = ensemble_quantiles(np.array([30.0, 10.0, 20.0]))
    by_level = dict(zip(LEVEL_ARRAY, quantiles, strict=True))
    assert [by_level[level] for level in (0.025, 0.2, 0.35, 0.5, 0.8, 0.975)] == pytest.approx(
        [10, 10, 15, 20, 30, 30], abs=1e-5
    )


def test_ensemble_quantiles_are_numpys_type_8_whatever_members_are_missing() -> None:
    rng = np.random.default_rng(1)
    members = rng.normal(size=(5, 7, 12)).astype(np.float32)
    members[rng.random(members.shape) < 0.3] = np.nan
    members[0, 0] = np.nan
    found = ensemble_quantiles(members)
    assert np.isnan(found[0, 0]).all()
    for index in np.ndindex(5, 7):
        if index != (0, 0):
            held = members[index][np.isfinite(members[index])]
            assert found[index] == pytest.approx(np.quantile(held, LEVEL_ARRAY, method="median_unbiased"), abs=1e-5)


def test_complete_ensembles_give_the_same_as_incomplete_ones_padded_with_missing_members() -> None:
    members = np.random.default_rng(2).normal(size=(4, 8)).astype(np.float32)
    padded = np.concatenate([members, np.full((4, 3), np.nan, dtype=np.float32)], axis=1)
    assert np.array_equal(ensemble_quantiles(members), ensemble_quantiles(padded))


def test_interpolation_and_tails_are_exact_for_a_normal_distribution() -> None:
    levels = [0.001, 0.01, 0.025, 0.333, 0.5, 0.61, 0.975, 0.999]
    found = interpolate_quantiles(3 + 2 * NORMAL, levels)
    assert found == pytest.approx(stats.norm.ppf(levels, 3, 2), abs=1e-9)


@given(forecasts, arrays(np.float64, 9, elements=st.floats(0.001, 0.999)))
def test_interpolated_quantiles_never_cross_and_meet_the_given_ones(quantiles: np.ndarray, levels: np.ndarray) -> None:
    assert (np.diff(interpolate_quantiles(quantiles, np.sort(levels))) >= 0).all()
    assert np.array_equal(interpolate_quantiles(quantiles, LEVEL_ARRAY), quantiles)


def test_missing_forecasts_stay_missing() -> None:
    missing = np.full((2, 21), np.nan)
    assert np.isnan(interpolate_quantiles(missing, [0.5])).all()
    assert np.isnan(quantile_mean(missing)).all()
    assert np.isnan(probability_of_exceeding(missing, 0.0)).all()


def test_mean_is_exact_for_a_normal_distribution_and_near_for_a_skewed_one() -> None:
    assert quantile_mean(3 + 2 * NORMAL) == pytest.approx(3.0, abs=1e-12)
    assert quantile_mean(stats.expon.ppf(LEVEL_ARRAY)) == pytest.approx(1.0, rel=0.005)
    assert quantile_mean(stats.gamma.ppf(LEVEL_ARRAY, 2.0)) == pytest.approx(2.0, rel=0.005)


@given(forecasts)
def test_mean_lies_inside_the_quantiles(quantiles: np.ndarray) -> None:
    assert quantiles[0] - 1e-9 <= quantile_mean(quantiles) <= quantiles[-1] + 1e-9


def test_mean_weights_are_positive_and_sum_to_one() -> None:
    assert MEAN_WEIGHTS.min() > 0
    assert MEAN_WEIGHTS.sum() == pytest.approx(1.0)


def test_probability_of_exceeding_by_hand() -> None:
    quantiles = np.arange(21.0)
    # 10 is the median; 10.5 lies midway between the levels 0.5 and 0.55.
    assert probability_of_exceeding(quantiles, 10.0) == pytest.approx(0.5)
    assert probability_of_exceeding(quantiles, 10.5) == pytest.approx(0.475)
    assert probability_of_exceeding(quantiles, -1.0) == pytest.approx(0.9875)
    assert probability_of_exceeding(quantiles, 99.0) == pytest.approx(0.0125)


def test_dry_quantiles_put_their_mass_on_zero() -> None:
    quantiles = np.where(LEVEL_ARRAY <= 0.7, 0.0, LEVEL_ARRAY)
    assert probability_of_exceeding(quantiles, 0.0) == pytest.approx(0.3)


@settings(max_examples=50)
@given(forecasts, st.floats(-120, 120), st.floats(-120, 120))
def test_a_higher_threshold_is_never_more_likely_exceeded(quantiles: np.ndarray, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert probability_of_exceeding(quantiles, low) >= probability_of_exceeding(quantiles, high) - 1e-12


def test_exceeding_agrees_with_the_normal_distribution() -> None:
    thresholds = np.array([-1.5, -0.3, 0.0, 0.8, 1.9])
    found = probability_of_exceeding(np.broadcast_to(NORMAL, (5, 21)), thresholds)
    assert found == pytest.approx(stats.norm.sf(thresholds), abs=0.004)


def test_limits_and_order() -> None:
    crossed = np.array([3.0, 1.0, 2.0])
    assert np.array_equal(sort_quantiles(crossed), [1.0, 2.0, 3.0])
    assert np.array_equal(clip_to_limits(crossed, 1.5, None), [3.0, 1.5, 2.0])
    assert clip_to_limits(crossed, None, None) is crossed
    assert LEVEL_ARRAY[INDEX_MEDIAN] == 0.5


def test_amounts_no_gauge_reports_count_as_none_and_nothing_else_changes():
    quantiles = np.array([[0.0, 0.02, 0.0499, 0.05, 1.0], [np.nan] * 5], dtype=np.float32)
    dropped = drop_traces(quantiles, 0.05)
    np.testing.assert_array_equal(dropped, np.array([[0, 0, 0, 0.05, 1], [np.nan] * 5], dtype=np.float32))
    assert dropped.dtype == np.float32
    assert drop_traces(quantiles, 0.0) is quantiles
