"""Power curves: physics by hand, learning against the truth, calibrated and within limits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import isotonic_regression

from skyproof.domain.errors import InvalidValueError
from skyproof.domain.quantiles import INDEX_MEDIAN, INDEX_P10, INDEX_P90, LEVEL_ARRAY
from skyproof.science.power_curve import (
    PowerCurve,
    fit_power_curve,
    power_of_members,
    predict_power,
    solar_power,
    wind_power,
)
from skyproof.science.scores import pinball


def metered(n=3000, seed=1):
    """A turbine whose curve is a cube up to 12 m/s, with errors that are largest where it is steep."""
    chance = np.random.default_rng(seed)
    speed = chance.weibull(2.0, n) * 8
    truth = np.clip((speed / 12) ** 3, 0, 1)
    return speed, np.clip(truth + 0.3 * truth * (1 - truth) * chance.standard_normal(n), 0, 1)


def test_wind_power_by_hand():
    share = wind_power(np.array([0.0, 2.9, 3.0, 8.3, 20.0, 25.1, np.nan]))
    start = 1 / (1 + np.exp((8.3 - 3) / 1.35))
    np.testing.assert_allclose(share, [0, 0, 0, (0.5 - start) / (1 - start), 1, 0, np.nan], atol=2e-4)
    thin = wind_power(np.array([8.3]), density=1.0)
    np.testing.assert_allclose(thin, wind_power(np.array([8.3 * (1 / 1.225) ** (1 / 3)])))


def test_solar_power_by_hand():
    # Test conditions: a cell of 25 Cel at 1000 W/m2 gives its rated power less the losses.
    air = 25 - 1000 / 800 * 25
    assert solar_power(np.array([1000.0]), air)[0] == pytest.approx(0.86)
    # 10 K warmer: 4 % less
    assert solar_power(np.array([1000.0]), air + 10)[0] == pytest.approx(0.86 * 0.96)
    assert solar_power(np.array([0.0]))[0] == 0
    assert solar_power(np.array([1200.0]), -20, inverter_limit=0.8)[0] == 0.8


def test_the_curve_learned_is_monotone_and_near_the_truth():
    speed, power = metered()
    curve = fit_power_curve(speed, power)
    assert (np.diff(curve.expected) >= 0).all()
    at = np.array([4.0, 8.0, 11.0])
    np.testing.assert_allclose(np.interp(at, curve.knots, curve.expected), (at / 12) ** 3, atol=0.03)
    assert curve.metered == len(speed)


def test_with_a_class_for_each_pair_the_curve_is_the_isotonic_regression_of_scipy():
    chance = np.random.default_rng(2)
    speed = np.repeat(np.arange(40.0), 300)
    power = np.clip(speed / 40 + 0.2 * chance.standard_normal(len(speed)), 0, 1)
    curve = fit_power_curve(speed, power)
    means = power.reshape(40, 300).mean(axis=1)
    np.testing.assert_allclose(curve.expected, isotonic_regression(means).x, atol=0.01)


def test_quantiles_are_calibrated_and_better_than_those_of_the_first_guess():
    speed, power = metered()
    curve = fit_power_curve(speed, power, wind_power(speed))
    speed, power = metered(4000, seed=2)
    quantiles = predict_power(curve, speed)
    inside = (power >= quantiles[:, INDEX_P10]) & (power <= quantiles[:, INDEX_P90])
    assert 0.77 < inside[(power > 0.02) & (power < 0.98)].mean() < 0.85
    plain = pinball(wind_power(speed), power, 0.5).mean()
    assert pinball(quantiles[:, INDEX_MEDIAN], power, 0.5).mean() < 0.8 * plain


def test_few_hours_stay_near_the_first_guess():
    speed = np.linspace(4, 12, 24)
    curve = fit_power_curve(speed, np.zeros(24), wind_power(speed))
    bare = fit_power_curve(speed, np.zeros(24))
    assert curve.expected[-1] > 0.3
    assert bare.expected[-1] == pytest.approx(0)


@given(seed=st.integers(0, 50))
def test_predictions_rise_with_the_level_and_stay_within_capacity(seed):
    speed, power = metered(200, seed)
    quantiles = predict_power(fit_power_curve(speed, power), np.linspace(0, 40, 30), np.arange(1, 100) / 100)
    assert (np.diff(quantiles, axis=-1) >= 0).all()
    assert quantiles.min() >= 0
    assert quantiles.max() <= 1


def test_members_have_the_distribution_that_is_predicted():
    speed, power = metered()
    curve = fit_power_curve(speed, power)
    chance = np.random.default_rng(5).random(20000)
    drawn = power_of_members(curve, np.full(20000, 9.0), chance)
    wanted = predict_power(curve, np.array([9.0]))[0]
    np.testing.assert_allclose(np.quantile(drawn, LEVEL_ARRAY), wanted, atol=0.02)
    assert np.isnan(power_of_members(curve, np.array([np.nan]), np.array([0.5]))).all()
    assert np.isnan(predict_power(curve, np.array([np.nan]))).all()


def test_a_curve_is_the_same_after_it_was_kept():
    speed, power = metered(300)
    curve = fit_power_curve(speed, power)
    again = PowerCurve.from_arrays(curve.to_arrays())
    np.testing.assert_array_equal(predict_power(again, speed), predict_power(curve, speed))


def test_nights_of_equal_features_do_not_break_the_curve():
    radiation = np.concatenate([np.zeros(300), np.linspace(0, 1, 300)])
    curve = fit_power_curve(radiation, 0.8 * radiation)
    assert predict_power(curve, np.array([0.0]))[0, INDEX_MEDIAN] == pytest.approx(0, abs=0.02)


def test_wrong_meters_are_refused():
    with pytest.raises(InvalidValueError, match="too few"):
        fit_power_curve(np.arange(10.0), np.zeros(10))
    with pytest.raises(InvalidValueError, match="divide by the capacity"):
        fit_power_curve(np.arange(30.0), np.arange(30.0) * 100)
