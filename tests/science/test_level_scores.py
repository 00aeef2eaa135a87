"""Scores of quantiles at any levels: by hand, against other implementations, and as they must behave."""

from __future__ import annotations

import numpy as np
import pytest
import scoringrules
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from skyproof.domain.quantiles import INDEX_P10, INDEX_P90, LEVEL_ARRAY
from skyproof.science import coverage, scores
from skyproof.science.level_scores import (
    covered_at_levels,
    crps_at_levels,
    level_weights,
    pinball_at_levels,
    pit_range,
    quantile_at,
    share_at_or_below,
)

PERCENTILES = np.arange(1, 100) / 100


def test_three_levels_by_hand():
    levels, quantiles = np.array([0.1, 0.5, 0.9]), np.array([0.0, 10.0, 20.0])
    np.testing.assert_allclose(level_weights(levels), [0.3, 0.4, 0.3])
    # Observed 12: losses 0.1 * 12, 0.5 * 2, 0.1 * 8.
    assert pinball_at_levels(quantiles, np.array(12.0), levels) == pytest.approx((1.2 + 1.0 + 0.8) / 3)
    assert crps_at_levels(quantiles, np.array(12.0), levels) == pytest.approx(2 * (0.3 * 1.2 + 0.4 * 1.0 + 0.3 * 0.8))
    assert quantile_at(quantiles, levels, 0.7) == pytest.approx(15)
    assert quantile_at(quantiles, levels, 0.9) == 20
    assert np.isnan(quantile_at(quantiles, levels, 0.05))
    assert pit_range(quantiles, np.array(15.0), levels) == (pytest.approx(0.7), pytest.approx(0.7))
    assert pit_range(quantiles, np.array(-1.0), levels) == (0.0, 0.1)
    assert pit_range(quantiles, np.array(30.0), levels) == (0.9, 1.0)


def test_a_dry_forecast_has_the_probability_of_its_tie():
    levels, quantiles = np.array([0.1, 0.3, 0.5, 0.7, 0.9]), np.array([0.0, 0.0, 0.0, 2.0, 8.0])
    assert pit_range(quantiles, np.array(0.0), levels) == (0.0, 0.5)
    # Of the probability 0 to 0.5 the part from 0.1 to 0.5 lies inside of the 80 % interval.
    assert covered_at_levels(quantiles, np.array(0.0), levels) == pytest.approx(0.8)
    assert covered_at_levels(quantiles, np.array(3.0), levels) == 1
    assert covered_at_levels(quantiles, np.array(9.0), levels) == 0


def test_an_upper_limit_is_a_tie_too():
    levels, quantiles = np.array([0.1, 0.5, 0.9]), np.array([0.2, 1.0, 1.0])
    assert pit_range(quantiles, np.array(1.0), levels) == (0.5, 1.0)
    assert covered_at_levels(quantiles, np.array(1.0), levels) == pytest.approx(0.8)


def test_scores_agree_with_other_implementations():
    chance = np.random.default_rng(2)
    for levels in (LEVEL_ARRAY, PERCENTILES):
        quantiles = np.sort(chance.normal(size=(50, len(levels))), axis=-1)
        observed = chance.normal(size=50)
        other = scoringrules.quantile_score(observed[:, None], quantiles, levels[None, :]).mean(axis=-1)
        np.testing.assert_allclose(pinball_at_levels(quantiles, observed, levels), other)
    np.testing.assert_allclose(
        crps_at_levels(quantiles[:, :21], observed, LEVEL_ARRAY),
        scores.crps_from_quantiles(quantiles[:, :21], observed),
    )


def test_percentiles_of_a_normal_distribution_give_its_exact_score():
    observed = np.linspace(-2.5, 2.5, 21)
    quantiles = np.broadcast_to(stats.norm.ppf(PERCENTILES), (21, 99))
    exact = scoringrules.crps_normal(observed, 0.0, 1.0)
    np.testing.assert_allclose(crps_at_levels(quantiles, observed, PERCENTILES), exact, rtol=0.01)


def test_coverage_at_the_products_levels_is_that_of_the_scorecard():
    chance = np.random.default_rng(4)
    raw = np.sort(chance.normal(0, 3, size=(400, 21)), axis=-1)
    quantiles, observed = np.maximum(raw, 0), np.maximum(chance.normal(0, 3, size=400), 0)
    mine = covered_at_levels(quantiles, observed, LEVEL_ARRAY)
    theirs = coverage.covered_share(quantiles, observed, INDEX_P10, INDEX_P90)
    inside = (quantiles[:, 0] > 0) | (quantiles[:, -1] > 0)
    np.testing.assert_allclose(mine[inside], theirs[inside], atol=0.03)


@pytest.mark.parametrize("dry", [0.0, 0.35])
def test_a_calibrated_forecast_covers_what_it_says_and_its_histogram_is_flat(dry):
    chance = np.random.default_rng(5)
    middle = chance.normal(0, 2, size=6000)
    observed = middle + chance.normal(size=6000)
    quantiles = middle[:, None] + stats.norm.ppf(LEVEL_ARRAY)
    if dry:
        floor = np.quantile(observed, dry)
        quantiles, observed = np.maximum(quantiles, floor), np.maximum(observed, floor)
    assert covered_at_levels(quantiles, observed, LEVEL_ARRAY).mean() == pytest.approx(0.8, abs=0.015)
    edges = np.linspace(0.1, 0.9, 9)
    below = share_at_or_below(*pit_range(quantiles, observed, LEVEL_ARRAY), edges).mean(axis=0)
    np.testing.assert_allclose(below, edges, atol=0.025)


@given(
    values=st.lists(st.floats(-50, 50), min_size=5, max_size=5),
    observed=st.floats(-60, 60),
    scale=st.floats(0.1, 10),
    offset=st.floats(-100, 100),
)
def test_scores_follow_the_unit_and_probabilities_do_not(values, observed, scale, offset):
    levels = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
    quantiles, y = np.sort(np.round(values, 1)), np.round(np.array(observed), 1)
    moved, there = quantiles * scale + offset, y * scale + offset
    for score in (crps_at_levels, pinball_at_levels):
        assert score(quantiles, y, levels) >= 0
        np.testing.assert_allclose(
            score(moved, there, levels), scale * score(quantiles, y, levels), rtol=1e-6, atol=1e-6
        )
    low, high = pit_range(quantiles, y, levels)
    assert 0 <= low <= high <= 1


def test_what_is_missing_stays_missing():
    quantiles, observed = np.array([[0.0, 1.0], [np.nan, np.nan]]), np.array([np.nan, 1.0])
    levels = np.array([0.1, 0.9])
    for found in (
        crps_at_levels(quantiles, observed, levels),
        pinball_at_levels(quantiles, observed, levels),
        covered_at_levels(quantiles, observed, levels),
        *pit_range(quantiles, observed, levels),
    ):
        assert np.isnan(found).all()
