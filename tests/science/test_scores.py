"""Scores by hand, against scoringrules, scores and scipy, and as properties."""

from __future__ import annotations

import numpy as np
import pytest
import scoringrules
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from pair_oracle import kept_of_pairs
from scipy import stats
from scores.continuous import quantile_score
from scores.probability import crps_for_ensemble

from skyproof.domain.quantiles import INDEX_MEDIAN, LEVEL_ARRAY, LEVELS
from skyproof.domain.scores import PIT_BINS, STATISTICS
from skyproof.science.scores import (
    LEVEL_WEIGHTS,
    brier,
    crps_ensemble,
    crps_from_quantiles,
    pinball,
)

NORMAL = stats.norm.ppf(LEVEL_ARRAY)
EVENTS = (0.0, 25.0)
#: A forecast whose quantile at each level is ten times the level: 0.25, 0.5, 1, 1.5, ... 9.5, 9.75.
UNIFORM = 10 * LEVEL_ARRAY

finite = st.floats(-60, 60)
forecasts = st.lists(finite, min_size=21, max_size=21).map(lambda values: np.sort(np.array(values)))


def pair_statistics(quantiles: np.ndarray, observed: np.ndarray, events: tuple[float, ...]) -> np.ndarray:
    return kept_of_pairs(quantiles, observed, events)[0]


def pit_counts(quantiles: np.ndarray, observed: np.ndarray) -> np.ndarray:
    return kept_of_pairs(quantiles, observed)[1]


def named(statistics: np.ndarray) -> dict[str, float]:
    return dict(zip(STATISTICS, statistics.tolist(), strict=True))


# By hand


def test_pinball_loss_by_hand() -> None:
    # The 90 % quantile is 5: an observation of 7 costs 0.9 * 2, one of 3 costs 0.1 * 2, one of 5 nothing.
    assert_allclose(pinball(np.full(3, 5.0), np.array([7.0, 3.0, 5.0]), 0.9), [1.8, 0.2, 0.0])


def test_each_level_stands_for_the_probability_midway_to_its_neighbours() -> None:
    # The outer levels 0.025 reach from 0 to 0.0375; 0.05 from there to 0.075; all others are 0.05 wide.
    assert_allclose(LEVEL_WEIGHTS[:3], [0.0375, 0.0375, 0.05])
    assert_allclose(LEVEL_WEIGHTS[2:-2], 0.05)
    assert LEVEL_WEIGHTS.sum() == pytest.approx(1)


def test_the_crps_of_a_point_forecast_is_its_absolute_error() -> None:
    # All quantiles equal: twice the weighted mean of the levels is 1, by symmetry.
    assert crps_from_quantiles(np.full((2, 21), 4.0), np.array([7.0, 1.0])) == pytest.approx([3.0, 3.0])


def test_the_crps_of_an_ensemble_of_two_by_hand() -> None:
    # Members 0 and 4, observed 1: mean distance (1 + 3) / 2 = 2. Fair: minus 4 / 2 = 2; not fair: minus 4 / 4 = 1.
    members, observed = np.array([4.0, 0.0]), np.array(1.0)
    assert crps_ensemble(members, observed) == 0
    assert crps_ensemble(members, observed, fair=False) == 1


def test_the_brier_score_by_hand() -> None:
    assert_allclose(brier(np.array([0.7, 0.7, 1.0]), np.array([1.0, 0.0, 0.0])), [0.09, 0.49, 1.0])


def test_the_probability_integral_transform_fills_one_bin_and_is_spread_over_the_bins_of_a_tie() -> None:
    # 0.43 of the probability lies below 4.3: the fifth bin of ten.
    assert_allclose(pit_counts(UNIFORM, np.array(4.3)), np.eye(PIT_BINS)[4], atol=1e-6)
    # Dry with probability 0.6 and dry observed: spread evenly over the six bins below 0.6.
    rain = np.maximum(LEVEL_ARRAY - 0.6, 0)
    assert_allclose(pit_counts(rain, np.array(0.0)), [1 / 6] * 6 + [0] * 4, atol=1e-9)
    assert_array_equal(pit_counts(UNIFORM, np.array(np.nan)), np.zeros(PIT_BINS))


def test_everything_kept_of_a_pair_by_hand() -> None:
    found = named(pair_statistics(UNIFORM, np.array(7.0), (4.0, 8.0)))
    expected = {
        "n": 1, "absolute_error": 2, "error": -2, "squared_error": 4, "covered_80": 1, "width_80": 8, "covered_50": 1,
        # P(> 4) = 0.6 and it happened; P(> 8) = 0.2 and it did not.
        "brier_1": 0.4**2, "event_1": 1, "brier_2": 0.2**2, "event_2": 0,
        "pinball_p05": 0.05 * 6.5, "pinball_p10": 0.1 * 6, "pinball_p25": 0.25 * 4.5, "pinball_p50": 0.5 * 2,
        "pinball_p75": 0.25 * 0.5, "pinball_p90": 0.1 * 2, "pinball_p95": 0.05 * 2.5,
    }  # fmt: skip
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    # The CRPS of a uniform forecast on [0, 10] at 0.7 of its way: 10 * (1/3 - 0.7 + 0.49) by integration.
    assert found["crps"] == pytest.approx(10 * (1 / 3 - 0.7 + 0.49), rel=0.01)


def test_an_observation_outside_is_not_covered_and_one_in_the_wings_only_by_the_wider_interval() -> None:
    found = pair_statistics(np.tile(UNIFORM, (3, 1)), np.array([9.9, 8.0, 0.9]), EVENTS)
    assert_array_equal(found[:, STATISTICS.index("covered_80")], [0, 1, 0])
    assert_array_equal(found[:, STATISTICS.index("covered_50")], [0, 0, 0])


def test_missing_forecasts_and_observations_leave_zeros_so_that_sums_need_no_mask() -> None:
    quantiles = np.tile(UNIFORM, (3, 1))
    quantiles[1] = np.nan
    found = pair_statistics(quantiles, np.array([5.0, 5.0, np.nan]), EVENTS)
    assert found[0, 0] == 1
    assert_array_equal(found[1:], 0)
    assert np.isnan(crps_from_quantiles(quantiles, np.array([5.0, 5.0, np.nan]))[1:]).all()


def test_scores_of_nothing_are_nothing() -> None:
    assert pair_statistics(np.empty((0, 21)), np.empty(0), EVENTS).shape == (0, len(STATISTICS))


def test_float32_in_gives_float32_out_and_the_same_numbers_to_six_digits() -> None:
    rng = np.random.default_rng(6)
    quantiles = (10 + 5 * NORMAL + rng.normal(size=(200, 1))).astype(np.float32)
    observed = (10 + 5 * rng.normal(size=200)).astype(np.float32)
    single = pair_statistics(quantiles, observed, EVENTS)
    assert single.dtype == np.float32
    double = pair_statistics(quantiles.astype(np.float64), observed.astype(np.float64), EVENTS)
    assert_allclose(single, double, rtol=2e-6, atol=2e-5)


# Against others


@pytest.fixture(scope="module")
def pairs() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    quantiles = np.sort(rng.normal(10, 4, (300, 21)), axis=-1)
    return quantiles, rng.normal(10, 5, 300)


def test_quantile_losses_agree_with_scoringrules_and_scores(pairs: tuple[np.ndarray, np.ndarray]) -> None:
    quantiles, observed = pairs
    ours = pinball(quantiles, observed[:, None], LEVEL_ARRAY)
    for index, level in enumerate(LEVELS):
        assert_allclose(ours[:, index], scoringrules.quantile_score(observed, quantiles[:, index], level))
        theirs = quantile_score(
            xr.DataArray(quantiles[:, index], dims="case"),
            xr.DataArray(observed, dims="case"),
            alpha=level,
            preserve_dims="all",
        )
        assert_allclose(ours[:, index], theirs)


def test_the_crps_of_equally_weighted_levels_agrees_with_scoringrules(pairs: tuple[np.ndarray, np.ndarray]) -> None:
    quantiles, observed = pairs
    # Only the weights differ: the outer two levels on each side stand for less than the others.
    losses = pinball(quantiles, observed[:, None], LEVEL_ARRAY)
    assert_allclose(2 * losses.mean(axis=1), scoringrules.crps_quantile(observed, quantiles, LEVEL_ARRAY))
    assert_allclose(crps_from_quantiles(quantiles, observed), 2 * losses @ LEVEL_WEIGHTS)


def test_the_crps_of_a_normal_forecast_is_within_one_percent_of_its_closed_form() -> None:
    observed = np.random.default_rng(2).normal(1, 2, 20_000)
    ours = crps_from_quantiles(1 + 2 * NORMAL, observed).mean()
    assert ours == pytest.approx(scoringrules.crps_normal(observed, 1.0, 2.0).mean(), rel=0.01)


@pytest.mark.parametrize(("fair", "estimator", "method"), [(True, "fair", "fair"), (False, "nrg", "ecdf")])
def test_the_crps_of_ensembles_agrees_with_scoringrules_and_scores(fair: bool, estimator: str, method: str) -> None:
    rng = np.random.default_rng(3)
    members, observed = rng.gamma(2, 2, (50, 8)), rng.gamma(2, 2, 50)
    ours = crps_ensemble(members, observed, fair=fair)
    assert_allclose(ours, scoringrules.crps_ensemble(observed, members, estimator=estimator), atol=1e-12)
    theirs = crps_for_ensemble(
        xr.DataArray(members, dims=("case", "member")),
        xr.DataArray(observed, dims="case"),
        "member",
        method=method,
        preserve_dims="all",
    )
    assert_allclose(ours, theirs, atol=1e-12)


def test_the_brier_score_agrees_with_scoringrules() -> None:
    rng = np.random.default_rng(4)
    probability, happened = rng.random(40), (rng.random(40) < 0.5).astype(float)
    assert_allclose(brier(probability, happened), scoringrules.brier_score(happened, probability))


def test_the_probability_integral_transform_agrees_with_the_normal_distribution_function() -> None:
    observed = np.random.default_rng(5).normal(size=2000)
    ours = pit_counts(np.tile(NORMAL, (2000, 1)), observed)
    place = stats.norm.cdf(observed) * PIT_BINS
    # Tail levels tell only that it is a tail; between levels the function is straight, so borders are not met exactly.
    clear = np.abs(place - np.round(place)) > 0.02
    assert clear.sum() > 1800
    assert_array_equal(ours[clear].argmax(axis=1), place[clear].astype(int))


# Properties


@given(forecasts, finite)
def test_the_crps_is_never_negative_and_never_beats_being_right(quantiles: np.ndarray, observed: float) -> None:
    score = crps_from_quantiles(quantiles, np.array(observed))
    assert score >= 0
    assert crps_from_quantiles(np.full(21, observed), np.array(observed)) == 0
    if np.abs(quantiles - observed).max() > 1e-6:
        assert score > 0


@given(forecasts, finite, st.floats(-30, 30), st.floats(0.1, 10))
def test_the_crps_follows_a_change_of_unit(q: np.ndarray, y: float, shift: float, factor: float) -> None:
    there = crps_from_quantiles(factor * q + shift, np.array(factor * y + shift))
    assert there == pytest.approx(factor * crps_from_quantiles(q, np.array(y)), abs=1e-8)


@given(forecasts, finite)
def test_shares_of_a_pair_stay_shares(quantiles: np.ndarray, observed: float) -> None:
    found = named(pair_statistics(quantiles, np.array(observed), EVENTS))
    for name in ("covered_80", "covered_50", "brier_1", "brier_2"):
        assert -1e-12 <= found[name] <= 1 + 1e-12
    assert found["crps"] == pytest.approx(crps_from_quantiles(quantiles, np.array(observed)))
    counts = pit_counts(quantiles, np.array(observed))
    assert counts.min() >= 0
    assert counts.sum() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(("shift", "factor"), [(0.5, 1.0), (-0.5, 1.0), (0.0, 0.6), (0.0, 1.6), (0.3, 1.3)])
def test_nobody_gains_by_saying_something_else_than_what_is_true(shift: float, factor: float) -> None:
    observed = np.random.default_rng(7).normal(size=20_000)
    honest = crps_from_quantiles(np.tile(NORMAL, (20_000, 1)), observed)
    other = crps_from_quantiles(np.tile(shift + factor * NORMAL, (20_000, 1)), observed)
    gain = other - honest
    # Paired over 20,000 draws the mean loss of the other forecast stands clear of its own sampling error.
    assert gain.mean() > 4 * gain.std() / np.sqrt(gain.size)


def test_a_true_rain_forecast_has_a_flat_histogram_and_nominal_coverage() -> None:
    rng = np.random.default_rng(8)
    observed = np.maximum(rng.normal(size=40_000), 0)
    quantiles = np.tile(np.maximum(NORMAL, 0), (40_000, 1))
    assert quantiles[0, INDEX_MEDIAN] == 0
    # The sampling error of a share of 0.1 in 40,000 draws is 0.0015, of 0.8 it is 0.002.
    assert_allclose(pit_counts(quantiles, observed).mean(axis=0), 0.1, atol=0.006)
    found = pair_statistics(quantiles, observed, (0.1, 2.0)).mean(axis=0)
    assert found[STATISTICS.index("covered_80")] == pytest.approx(0.8, abs=0.008)
    assert found[STATISTICS.index("covered_50")] == pytest.approx(0.5, abs=0.01)
    probability = stats.norm.sf(0.1)
    assert found[STATISTICS.index("brier_1")] == pytest.approx(probability * (1 - probability), abs=0.004)
