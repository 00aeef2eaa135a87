"""Climatology and persistence on simulated seasons with weather that remembers."""

from __future__ import annotations

import numpy as np
import pytest

from skyproof.domain.quantiles import INDEX_MEDIAN, LEVEL_ARRAY
from skyproof.science.calendar import harmonics
from skyproof.science.climatology import (
    climatology_mean,
    climatology_quantiles,
    estimation_inflation,
    fit_climatology,
)
from skyproof.science.coverage import coverage_80
from skyproof.science.persistence import (
    fit_persistence,
    fit_wet_persistence,
    persistence_quantiles,
    wet_persistence_quantiles,
)

STEP = np.timedelta64(6, "h")
TRAIN_DAYS, TEST_DAYS, SITES = 340, 90, 24


def _times(days: int, start: str = "2025-01-01") -> np.ndarray:
    return np.datetime64(start, "s") + np.arange(days * 4) * STEP


def _memory(rng: np.random.Generator, count: int, persistence: float) -> np.ndarray:
    """Standard AR(1) weather, (valid_time, site)."""
    weather = rng.normal(size=(count, SITES))
    for index in range(1, count):
        weather[index] = persistence * weather[index - 1] + np.sqrt(1 - persistence**2) * weather[index]
    return weather


def _season(times: np.ndarray) -> np.ndarray:
    terms = harmonics(times)
    return (10 - 9 * terms[:, 0] + 2 * terms[:, 1] - 3 * terms[:, 2] - 2 * terms[:, 0] * terms[:, 2])[:, None]


@pytest.mark.parametrize("start", ["2025-01-01", "2025-07-01"])
@pytest.mark.parametrize("persistence", [0.7, 0.93])
def test_intervals_cover_a_season_that_was_seen_at_most_once(start: str, persistence: float) -> None:
    times, rng = _times(TRAIN_DAYS + TEST_DAYS, start), np.random.default_rng(1)
    observed = _season(times) + 4 * _memory(rng, len(times), persistence) + 3 * rng.normal(size=SITES)
    past = TRAIN_DAYS * 4
    state = fit_climatology(observed[:past], times[:past], zero_inflated=False)
    covered, count = coverage_80(climatology_quantiles(state, times[past:]), observed[past:])
    assert count == TEST_DAYS * 4 * SITES
    assert 0.75 <= covered <= 0.85


def test_mean_follows_season_and_hour() -> None:
    times, rng = _times(365), np.random.default_rng(2)
    observed = _season(times) + rng.normal(size=(len(times), SITES))
    state = fit_climatology(observed, times, zero_inflated=False)
    assert np.abs(climatology_mean(state, times) - _season(times)).max() < 0.8


def test_a_short_record_is_not_given_a_season() -> None:
    times = _times(100)
    observed = _season(times) + np.zeros(SITES)
    state = fit_climatology(observed, times, zero_inflated=False)
    noons = _times(365)[2::4]
    assert np.ptp(climatology_mean(state, noons), axis=0) == pytest.approx(0.0, abs=1e-9)


def test_amounts_keep_their_share_of_dry_spells_and_never_fall_below_zero() -> None:
    times, rng = _times(TRAIN_DAYS), np.random.default_rng(3)
    amounts = np.maximum(0.0, 3 * _memory(rng, len(times), 0.8) - 2)
    quantiles = climatology_quantiles(fit_climatology(amounts, times, zero_inflated=True), times)
    assert quantiles.min() == 0
    assert np.mean(quantiles[..., INDEX_MEDIAN] == 0) > 0.99
    exceeded = np.mean(amounts[..., None] > quantiles, axis=(0, 1))
    # The stretch for days not seen makes upper quantiles rarer in the record itself than they say.
    assert (exceeded[-5:] <= 1.1 * (1 - LEVEL_ARRAY[-5:])).all()


def test_a_site_without_record_has_no_climatology_and_gaps_do_no_harm() -> None:
    times, rng = _times(TRAIN_DAYS), np.random.default_rng(4)
    observed = _season(times) + rng.normal(size=(len(times), SITES))
    gaps = observed.copy()
    gaps[rng.random(gaps.shape) < 0.3] = np.nan
    gaps[:, 0] = np.nan
    whole, holed = (
        climatology_quantiles(fit_climatology(values, times, zero_inflated=False), times) for values in (observed, gaps)
    )
    assert np.isnan(holed[:, 0]).all()
    assert np.abs(whole - holed)[:, 1:].mean() < 0.15


def test_independent_weather_is_hardly_stretched_and_weather_with_memory_more() -> None:
    rng, count = np.random.default_rng(5), TRAIN_DAYS * 4
    factors = [estimation_inflation(_memory(rng, count, memory), 340.0, seasonal=True) for memory in (0.0, 0.9, 0.98)]
    assert factors[0] < 1.02
    assert factors[0] < factors[1] < factors[2] <= 1.5


def test_damping_is_the_autocorrelation_and_errors_are_as_large_as_they_should_be() -> None:
    weather = 5 * _memory(np.random.default_rng(6), 4000, 0.9)
    state = fit_persistence(weather, [1, 4, 20])
    assert state["damping"] == pytest.approx([0.9, 0.9**4, 0.9**20], abs=0.03)
    # Half the 80 % interval of a normal error of sd sqrt(1 - damping^2), in units of the weather's own.
    half = (state["errors"][:, 18] - state["errors"][:, 2]) / 2
    assert half == pytest.approx(1.2816 * np.sqrt(1 - np.square(state["damping"])), rel=0.05)


def test_persistence_intervals_cover_at_every_lead() -> None:
    weather = 5 * _memory(np.random.default_rng(7), 4000, 0.9)
    steps, past = [1, 4, 20], 2800
    state = fit_persistence(weather[:past], steps)
    for index, step in enumerate(steps):
        starts = range(past, 4000 - step, 7)
        quantiles = np.stack([persistence_quantiles(state, weather[k], np.zeros((3, SITES)))[index] for k in starts])
        covered, _ = coverage_80(quantiles, np.stack([weather[k + step] for k in starts]))
        assert 0.76 <= covered <= 0.84


def test_persistence_sleeps_where_nothing_arrived() -> None:
    state = fit_persistence(_memory(np.random.default_rng(8), 400, 0.9), [1])
    latest = np.zeros(SITES)
    latest[3] = np.nan
    quantiles = persistence_quantiles(state, latest, np.zeros((1, SITES)))
    assert np.array_equal(np.isnan(quantiles).all(axis=-1)[0], np.arange(SITES) == 3)


def test_rain_follows_rain_and_drought_follows_drought() -> None:
    amounts = np.maximum(0.0, _memory(np.random.default_rng(9), 3000, 0.9) - 0.5)
    state = fit_wet_persistence(amounts, [1, 40])
    latest = np.zeros(SITES)
    latest[0], latest[1] = 2.0, np.nan
    quantiles = wet_persistence_quantiles(state, latest)
    assert quantiles[0, 0, INDEX_MEDIAN] > 0.5
    assert quantiles[0, 2, INDEX_MEDIAN] == 0
    assert np.isnan(quantiles[:, 1]).all()
    assert quantiles[1, 0, INDEX_MEDIAN] == pytest.approx(quantiles[1, 2, INDEX_MEDIAN], abs=0.3)
    assert np.nanmin(quantiles) == 0


def test_a_lead_longer_than_the_record_has_no_persistence() -> None:
    state = fit_persistence(np.ones((3, 2)), [1, 5])
    assert np.isnan(state["errors"][1]).all()
