"""Factors that make coverage nominal."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtri

from skyproof.domain.quantiles import INDEX_MEDIAN, LEVEL_ARRAY
from skyproof.science.coverage import (
    FACTOR_RANGE,
    apply_spread_factors,
    coverage_80,
    fit_spread_factor,
    fit_spread_factors,
)

NORMAL = ndtri(LEVEL_ARRAY)


def test_coverage_by_hand_counts_borders_and_leaves_out_what_is_missing() -> None:
    quantiles = np.tile(np.arange(21.0), (5, 1))
    quantiles[4] = np.nan
    # The 80 % interval is [2, 18].
    assert coverage_80(quantiles, np.array([2.0, 18.0, 18.5, np.nan, 5.0])) == (pytest.approx(2 / 3), 3)
    assert np.isnan(coverage_80(quantiles[4:], np.array([5.0]))[0])


@pytest.mark.parametrize("too_narrow", [0.7, 1.0, 1.6])
def test_factors_undo_a_wrong_spread_on_cases_not_seen(too_narrow: float) -> None:
    rng = np.random.default_rng(1)
    observed = too_narrow * rng.normal(size=4000)
    quantiles = np.tile(NORMAL, (4000, 1))
    factors = np.array(fit_spread_factor(quantiles[:2000], observed[:2000]))
    assert factors == pytest.approx(too_narrow, rel=0.08)
    covered, _ = coverage_80(apply_spread_factors(quantiles[2000:], factors), observed[2000:])
    assert 0.78 <= covered <= 0.82


def test_each_side_has_its_own_factor() -> None:
    rng = np.random.default_rng(2)
    error = rng.normal(size=20_000)
    observed = np.where(error < 0, 0.5 * error, 2 * error)
    lower, upper = fit_spread_factor(np.tile(NORMAL, (20_000, 1)), observed)
    assert (lower, upper) == pytest.approx((0.5, 2.0), rel=0.05)


def test_dry_forecasts_are_not_stretched_and_do_not_spoil_the_wet_ones() -> None:
    rng = np.random.default_rng(3)
    wet = np.maximum(NORMAL + 1, 0)
    quantiles = np.concatenate([np.tile(wet, (3000, 1)), np.zeros((3000, 21))])
    observed = np.concatenate([np.maximum(1 + 1.5 * rng.normal(size=3000), 0), np.zeros(3000)])
    factors = np.array(fit_spread_factor(quantiles, observed))
    stretched = np.maximum(apply_spread_factors(quantiles, factors), 0)
    assert (stretched[3000:] == 0).all()
    assert np.mean(observed[:3000] > stretched[:3000, 18]) == pytest.approx(0.1, abs=0.02)
    assert factors[0] == pytest.approx(1.0, abs=0.02)


def test_few_cases_change_little_and_none_change_nothing() -> None:
    assert fit_spread_factor(np.tile(NORMAL, (10, 1)), np.full(10, 99.0)) == (1.0, 1.0)
    assert fit_spread_factor(np.full((30, 21), np.nan), np.zeros(30)) == (1.0, 1.0)
    lower, upper = fit_spread_factor(np.tile(NORMAL, (25, 1)), np.full(25, 9e9))
    assert lower == pytest.approx((0.4 * 25 + 50) / 75)
    assert upper == pytest.approx((3.0 * 25 + 50) / 75)


def test_factors_follow_the_lead_and_are_smoothed() -> None:
    rng = np.random.default_rng(4)
    spread = np.array([1.0, 1.0, 2.0, 2.0])
    observed = spread * rng.normal(size=(500, 8, 4))
    factors = fit_spread_factors(np.broadcast_to(NORMAL, (500, 8, 4, 21)), observed)
    assert factors.shape == (4, 2)
    assert factors[:, 1] == pytest.approx([1.0, 1.25, 1.75, 2.0], rel=0.06)


@given(st.lists(st.floats(-50, 50), min_size=21, max_size=21), st.floats(*FACTOR_RANGE), st.floats(*FACTOR_RANGE))
def test_stretched_quantiles_keep_their_median_and_never_cross(values: list[float], lower: float, upper: float) -> None:
    quantiles = np.sort(np.array(values))
    stretched = apply_spread_factors(quantiles, np.array([lower, upper]))
    assert stretched[INDEX_MEDIAN] == quantiles[INDEX_MEDIAN]
    assert (np.diff(stretched) >= -1e-9).all()
