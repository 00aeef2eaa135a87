"""Wind at other heights and gusts: by hand, against the textbook, and as properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyproof.science.near_surface_wind import (
    INLAND_GUST_FACTOR,
    LITERATURE_GUSTS,
    ONSHORE_EXPONENT,
    fit_gust_model,
    fit_shear_model,
    log_profile,
    power_law,
    shear_exponent,
    wind_between,
)


def test_power_law_by_hand():
    # Doubling of height with exponent 1 doubles the wind; 0.2 from 10 to 100 m gives 10 ** 0.2.
    np.testing.assert_allclose(power_law(np.array([5.0]), from_m=10, to_m=20, exponent=1.0), [10.0])
    np.testing.assert_allclose(power_law(np.array([5.0]), from_m=10, to_m=100, exponent=0.2), [7.924466], rtol=1e-6)


def test_log_profile_by_hand_and_near_the_power_law_of_the_same_slope():
    # ln(100 / 0.1) / ln(10 / 0.1) = 1.5
    np.testing.assert_allclose(log_profile(np.array([6.0]), from_m=10, to_m=100, roughness_m=0.1), [9.0])
    np.testing.assert_allclose(
        log_profile(np.array([6.0]), from_m=20, to_m=110, roughness_m=0.1, displacement_m=10), [9.0]
    )
    # The slope of the logarithm at the geometric mean height is the exponent of the tangent power law.
    exponent = 1 / np.log(np.sqrt(10 * 30) / 0.1)
    near = power_law(np.array([6.0]), from_m=10, to_m=30, exponent=exponent)
    np.testing.assert_allclose(log_profile(np.array([6.0]), from_m=10, to_m=30, roughness_m=0.1), near, rtol=0.002)


@given(st.floats(1, 20), st.floats(0, 0.5), st.floats(30, 200))
def test_the_exponent_of_two_heights_gives_the_wind_at_a_third(speed, exponent, height):
    upper = power_law(np.array([speed]), from_m=10, to_m=100, exponent=exponent)
    np.testing.assert_allclose(shear_exponent(np.array([speed]), upper), [exponent], atol=1e-9)
    between = wind_between(np.array([speed]), upper, height_m=height)
    np.testing.assert_allclose(
        between, power_law(np.array([speed]), from_m=10, to_m=height, exponent=exponent), rtol=1e-9
    )


def test_calm_air_has_no_exponent_and_takes_the_norm_and_missing_stays_missing():
    lower, upper = np.array([0.1, 3.0, np.nan]), np.array([0.2, 3.0, 5.0])
    np.testing.assert_allclose(shear_exponent(lower, upper), [np.nan, 0.0, np.nan])
    np.testing.assert_allclose(wind_between(lower, upper, height_m=120), [0.2 * 1.2**ONSHORE_EXPONENT, 3.0, np.nan])


def stable_nights(n=6000, seed=1):
    """Exponent 0.35 at night (20 to 8 h), 0.1 by day."""
    chance = np.random.default_rng(seed)
    hour = chance.integers(0, 24, n).astype(float)
    lower = chance.weibull(2.0, n) * 5 + 0.5
    exponent = np.where((hour < 6) | (hour >= 21), 0.35, 0.1)
    return lower, lower * 10**exponent * np.exp(0.05 * chance.standard_normal(n)), hour


def test_stability_is_found_by_the_hour_and_beats_one_exponent():
    lower, upper, hour = stable_nights()
    model = fit_shear_model(lower, upper, hour)
    np.testing.assert_allclose(model.exponents[0], 0.35, atol=0.03)
    np.testing.assert_allclose(model.exponents[4], 0.10, atol=0.03)
    lower, upper, hour = stable_nights(seed=2)
    learned = power_law(lower, from_m=10, to_m=100, exponent=model.exponent(lower, hour))
    norm = power_law(lower, from_m=10, to_m=100, exponent=ONSHORE_EXPONENT)
    assert np.abs(learned - upper).mean() < 0.5 * np.abs(norm - upper).mean()


def test_few_pairs_hold_to_the_mean_of_all_and_none_to_the_norm():
    lower, upper, hour = (values[:30] for values in stable_nights())
    model = fit_shear_model(lower, upper, hour)
    assert np.ptp(model.exponents) < 0.1
    assert (fit_shear_model(lower[:0], upper[:0], hour[:0]).exponents == ONSHORE_EXPONENT).all()
    assert (fit_shear_model(lower * np.nan, upper, hour).exponents == ONSHORE_EXPONENT).all()


def test_gust_factor_of_a_site_is_learned_by_speed():
    chance = np.random.default_rng(3)
    mean = chance.weibull(2.0, 5000) * 6 + 0.6
    factor = 1.4 + 1.5 / mean
    gust = mean * factor * np.exp(0.08 * chance.standard_normal(5000))
    model = fit_gust_model(mean, gust)
    for speed in (3.0, 6.0, 10.0):
        assert model.gusts(np.array([speed]))[0] == pytest.approx(speed * (1.4 + 1.5 / speed), rel=0.05)
    assert model.scatter == pytest.approx(0.08, abs=0.02)
    # Members with noise exceed the 90 % point as often as gusts do.
    drawn = model.gusts(mean, chance.standard_normal(5000))
    bound = model.gusts(mean, 1.2816)
    assert np.mean(gust > bound) == pytest.approx(0.1, abs=0.025)
    assert np.mean(drawn > bound) == pytest.approx(0.1, abs=0.02)


def test_without_measurements_the_literature_is_taken():
    assert fit_gust_model(np.array([]), np.array([])) is LITERATURE_GUSTS
    np.testing.assert_allclose(LITERATURE_GUSTS.gusts(np.array([0.0, 10.0])), [0.0, 10 * INLAND_GUST_FACTOR])
    few = fit_gust_model(np.linspace(3, 9, 12), 2 * np.linspace(3, 9, 12))
    assert (few.factors < 1.8).all(), "twelve hours do not overrule it"


@given(st.floats(0, 60), st.floats(-4, 4))
def test_a_gust_is_never_below_the_mean_wind(speed, noise):
    assert LITERATURE_GUSTS.gusts(np.array([speed]), noise)[0] >= speed
    assert set(LITERATURE_GUSTS.to_arrays()) == {"speeds", "factors", "scatter"}
