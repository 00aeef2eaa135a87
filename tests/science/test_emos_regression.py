"""EMOS on simulated weather whose truth is known, and at the edges of its input."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from scipy import optimize, special

from skyproof.domain.quantiles import INDEX_P10, INDEX_P90, LEVEL_ARRAY
from skyproof.science import distributions, emos
from skyproof.science.calendar import harmonics
from skyproof.science.emos import EmosFamily, emos_quantiles, fit_emos
from skyproof.science.quantile_functions import ensemble_quantiles

TRAIN, TEST, LEADS, SITES = 340, 300, 2, 8


@dataclass(frozen=True)
class Weather:
    """Cases first for training, then for testing: (case, lead, site); ``perfect`` are the true quantiles."""

    mean: np.ndarray
    spread: np.ndarray
    observed: np.ndarray
    terms: np.ndarray
    perfect: np.ndarray


def _terms(cases: int) -> np.ndarray:
    days = np.arange(cases)[:, None] % 365 * np.timedelta64(1, "D")
    return harmonics(np.datetime64("2025-01-01T00", "s") + days + np.arange(LEADS) * np.timedelta64(6, "h"))


def _simulate(family: EmosFamily, seed: int) -> Weather:
    rng, shape = np.random.default_rng(seed), (TRAIN + TEST, LEADS, SITES)
    spread = np.exp(0.4 * rng.normal(size=shape))
    bias, slope = 1.5 * rng.normal(size=shape[1:]), 1 + 0.1 * rng.normal(size=shape[1:])
    mean = 4 * rng.normal(size=shape) + 8 * np.cos(2 * np.pi * np.arange(shape[0]) / 365)[:, None, None]
    if family == "truncated":
        mean, bias = np.abs(3 + 3 * rng.normal(size=shape)), bias / 3
    location, scale = bias + slope * mean, np.sqrt((0.5 + 0.4 * rng.random(shape[1:])) ** 2 + np.square(0.8 * spread))
    if family == "gaussian":
        observed = location + scale * rng.normal(size=shape)
        perfect = distributions.gaussian_quantiles(location, scale, LEVEL_ARRAY)
    else:
        below = special.ndtr(-location / scale)
        observed = np.maximum(location + scale * special.ndtri(below + rng.random(shape) * (1 - below)), 0)
        perfect = distributions.truncated_quantiles(location, scale, LEVEL_ARRAY)
    return Weather(mean, spread, observed, _terms(shape[0]), perfect)


def _score(quantiles: np.ndarray, observed: np.ndarray) -> float:
    error = observed[..., None] - quantiles
    return float(2 * np.mean(np.maximum(LEVEL_ARRAY * error, (LEVEL_ARRAY - 1) * error)))


def _coverage(quantiles: np.ndarray, observed: np.ndarray) -> float:
    return float(np.mean((observed >= quantiles[..., INDEX_P10]) & (observed <= quantiles[..., INDEX_P90])))


def _one_by_one(family: EmosFamily, weather: Weather) -> np.ndarray:
    """Quantiles of the test cases by scipy's minimiser, every lead and site apart: the textbook way."""
    crps = {"gaussian": distributions.gaussian_crps, "truncated": distributions.truncated_crps}[family]
    quantiles = {"gaussian": distributions.gaussian_quantiles, "truncated": distributions.truncated_quantiles}[family]
    result = np.empty((TEST, LEADS, SITES, 21))
    for lead, site in np.ndindex(LEADS, SITES):
        m, s, y = (array[:, lead, site] for array in (weather.mean, weather.spread, weather.observed))

        def parameters(x: np.ndarray, m: np.ndarray = m, s: np.ndarray = s) -> tuple[np.ndarray, np.ndarray]:
            return x[0] + x[1] * m, np.sqrt(x[2] ** 2 + np.square(x[3] * s)) + 1e-3

        def loss(x: np.ndarray, y: np.ndarray = y, parameters=parameters) -> float:
            location, scale = parameters(x)
            return float(crps(y[:TRAIN], location[:TRAIN], scale[:TRAIN]).mean())

        best = optimize.minimize(loss, [0.0, 1.0, 1.0, 0.5], method="L-BFGS-B").x
        location, scale = parameters(best)
        result[:, lead, site] = quantiles(location[TRAIN:], scale[TRAIN:], LEVEL_ARRAY)
    return result


@pytest.mark.parametrize("family", ["gaussian", "truncated"])
def test_scores_match_the_textbook_minimiser_and_come_near_the_truth(family: EmosFamily) -> None:
    weather = _simulate(family, 1)
    past = [array[:TRAIN] for array in (weather.mean, weather.spread, weather.observed, weather.terms)]
    fitted = fit_emos(*past, family=family)
    quantiles = emos_quantiles(
        fitted, weather.mean[TRAIN:], weather.spread[TRAIN:], weather.terms[TRAIN:], family=family
    )
    outcome = weather.observed[TRAIN:]
    assert _score(quantiles, outcome) < 1.015 * _score(_one_by_one(family, weather), outcome)
    assert _score(quantiles, outcome) < 1.03 * _score(weather.perfect[TRAIN:], outcome)
    assert 0.78 <= _coverage(quantiles, outcome) <= 0.82


def test_wet_weather_is_calibrated_and_beats_its_ensemble() -> None:
    rng, cases = np.random.default_rng(2), TRAIN + TEST
    climate = np.exp(0.5 * rng.normal(size=SITES))
    signal = rng.normal(size=(cases, LEADS, SITES))

    def rain(noise: np.ndarray, level: float, gain: float) -> np.ndarray:
        return gain * np.maximum(0, 3 * (0.85 * signal[..., None] + noise) - level) ** 1.4 * climate[:, None]

    members = rain(0.35 * rng.normal(size=(cases, LEADS, SITES, 12)), 0.8, 1.3)
    observed = rain(0.53 * rng.normal(size=(cases, LEADS, SITES, 1)), 1.2, 1.0)[..., 0]
    mean, spread, wet, terms = members.mean(-1), members.std(-1, ddof=1), (members > 0.05).mean(-1), _terms(cases)
    fitted = fit_emos(mean[:TRAIN], spread[:TRAIN], observed[:TRAIN], terms[:TRAIN], family="censored", wet=wet[:TRAIN])
    quantiles = emos_quantiles(fitted, mean[TRAIN:], spread[TRAIN:], terms[TRAIN:], family="censored", wet=wet[TRAIN:])
    outcome = observed[TRAIN:]
    assert _score(quantiles, outcome) < 0.9 * _score(ensemble_quantiles(members[TRAIN:]), outcome)
    assert np.mean(outcome > quantiles[..., INDEX_P90]) == pytest.approx(0.1, abs=0.025)
    certain = quantiles[..., INDEX_P10] > 0.01
    assert 0.72 <= _coverage(quantiles[certain], outcome[certain]) <= 0.88
    assert quantiles.min() == 0


def test_one_source_without_spread_still_gets_calibrated_intervals() -> None:
    weather = _simulate("gaussian", 3)
    none = np.zeros_like(weather.spread)
    fitted = fit_emos(
        weather.mean[:TRAIN], none[:TRAIN], weather.observed[:TRAIN], weather.terms[:TRAIN], family="gaussian"
    )
    quantiles = emos_quantiles(fitted, weather.mean[TRAIN:], none[TRAIN:], weather.terms[TRAIN:], family="gaussian")
    assert 0.77 <= _coverage(quantiles, weather.observed[TRAIN:]) <= 0.83


def test_a_known_bias_is_removed_by_hand() -> None:
    # Forecasts 990..1039 hPa, always 2 hPa too high at the first site and right at the second.
    mean = np.tile(np.arange(990.0, 1040.0)[:, None, None], (1, 1, 2))
    noise = np.tile([[0.5], [-0.5]], (25, 1))[:, :, None]
    observed = mean - np.array([2.0, 0.0]) + noise
    fitted = fit_emos(mean, np.zeros_like(mean), observed, np.zeros((50, 1, 4)), family="gaussian", seasonal=False)
    median = emos_quantiles(fitted, mean[20], np.zeros((1, 2)), np.zeros((1, 4)), family="gaussian", seasonal=False)[
        ..., 10
    ]
    # Eight pseudo-cases beside fifty: of the offset of 1 hPa from the common bias a share 8 / 58 is held back.
    assert median[0] == pytest.approx([1010 - 1 - 50 / 58, 1010 - 1 + 50 / 58], abs=0.05)


def test_a_site_without_record_gets_what_holds_for_all_sites() -> None:
    weather = _simulate("gaussian", 4)
    observed = weather.observed[:TRAIN].copy()
    observed[:, :, 0] = np.nan
    fitted = fit_emos(weather.mean[:TRAIN], weather.spread[:TRAIN], observed, weather.terms[:TRAIN], family="gaussian")
    for name in ("location", "site_scale"):
        assert np.isfinite(fitted[name]).all()
    assert fitted["site_scale"][:, 0] == pytest.approx(1.0)


def test_leads_borrow_when_short_and_sleep_when_empty() -> None:
    weather = _simulate("gaussian", 5)
    mean, observed = (np.repeat(array[:60], 2, axis=1) for array in (weather.mean, weather.observed))
    terms, spread = np.repeat(weather.terms[:60], 2, axis=1), np.repeat(weather.spread[:60], 2, axis=1)
    observed[:, 1], observed[2:, 2] = np.nan, np.nan
    fitted = fit_emos(mean, spread, observed, terms, family="gaussian", seasonal=False)
    assert np.isnan(fitted["location"][1]).all()
    assert np.array_equal(fitted["location"][2], fitted["location"][3])
    quantiles = emos_quantiles(fitted, mean[0], spread[0], terms[0], family="gaussian", seasonal=False)
    assert np.isnan(quantiles[1]).all()
    assert np.isfinite(quantiles[[0, 2, 3]]).all()


def test_no_data_at_all_gives_a_sleeping_expert() -> None:
    nothing = np.full((40, 2, 3), np.nan)
    for family in ("gaussian", "truncated", "censored"):
        fitted = fit_emos(nothing, nothing, nothing, np.zeros((40, 2, 4)), family=family)
        assert np.isnan(emos_quantiles(fitted, np.ones((2, 3)), np.ones((2, 3)), np.zeros((2, 4)), family=family)).all()


@pytest.mark.parametrize("family", ["gaussian", "truncated", "censored"])
def test_missing_forecasts_sleep_and_the_rest_never_cross(family: EmosFamily) -> None:
    weather = _simulate("truncated", 6)
    mean = weather.mean[:80].copy()
    mean[np.random.default_rng(6).random(mean.shape) < 0.2] = np.nan
    fitted = fit_emos(
        mean, weather.spread[:80], weather.observed[:80], weather.terms[:80], family=family, seasonal=False
    )
    quantiles = emos_quantiles(fitted, mean, weather.spread[:80], weather.terms[:80], family=family, seasonal=False)
    assert quantiles.dtype == np.float32
    assert np.array_equal(np.isnan(quantiles).all(axis=-1), np.isnan(mean))
    assert (np.diff(quantiles[np.isfinite(mean)], axis=-1) >= 0).all()
    if family != "gaussian":
        assert np.nanmin(quantiles) >= 0


def test_many_forecasts_at_once_are_the_same_as_one_by_one() -> None:
    weather = _simulate("gaussian", 7)
    arrays = (weather.mean[:5], weather.spread[:5], weather.terms[:5])
    fitted = fit_emos(weather.mean, weather.spread, weather.observed, weather.terms, family="gaussian")
    together = emos_quantiles(fitted, *arrays, family="gaussian")
    apart = [emos_quantiles(fitted, *(array[k] for array in arrays), family="gaussian") for k in range(5)]
    assert np.array_equal(together, np.stack(apart))


def test_a_short_half_life_follows_a_change_of_bias() -> None:
    weather = _simulate("gaussian", 8)
    observed = weather.observed[:200].copy()
    observed[150:] += 3.0
    past = (weather.mean[:200], weather.spread[:200], observed, weather.terms[:200])
    new = weather.observed[200:260] + 3.0
    errors = []
    for half_life in (None, 20.0):
        fitted = fit_emos(*past, family="gaussian", seasonal=False, half_life_cases=half_life)
        quantiles = emos_quantiles(
            fitted,
            weather.mean[200:260],
            weather.spread[200:260],
            weather.terms[200:260],
            family="gaussian",
            seasonal=False,
        )
        errors.append(_score(quantiles, new))
    assert errors[1] < 0.8 * errors[0]


def test_leads_fitted_a_few_at_a_time_are_the_same_as_all_together(monkeypatch: pytest.MonkeyPatch) -> None:
    weather = _simulate("gaussian", 10)
    arrays = (weather.mean, weather.spread, weather.observed, weather.terms)
    together = fit_emos(*arrays, family="gaussian")
    monkeypatch.setattr(emos, "_CELLS_AT_ONCE", 1)
    apart = fit_emos(*arrays, family="gaussian")
    for name in together:
        assert apart[name] == pytest.approx(together[name], rel=1e-6, abs=1e-6)


def test_the_same_data_give_the_same_coefficients_to_the_bit() -> None:
    weather = _simulate("gaussian", 9)
    arrays = (weather.mean, weather.spread, weather.observed, weather.terms)
    one, other = (fit_emos(*arrays, family="gaussian") for _ in range(2))
    assert all(np.array_equal(one[name], other[name]) for name in one)
