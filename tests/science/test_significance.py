"""Intervals that cover as often as they say although errors are correlated, and verdicts that do not overreach."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.signal import lfilter

from skyproof.science.significance import (
    Estimate,
    block_bootstrap_interval,
    decide,
    effective_sample_size,
    mean_with_interval,
    skill_with_interval,
)

DAYS = 90
series = st.lists(st.floats(-100, 100), min_size=3, max_size=40).map(np.array)


def correlated(memory: float, *, days: int = DAYS, draws: int = 1500, seed: int = 1) -> np.ndarray:
    """First-order autoregressive series of mean zero: (draw, day)."""
    noise = np.random.default_rng(seed).normal(size=(draws, days + 100))
    return lfilter([1], [1, -memory], noise)[:, 100:]


def holds_zero(low: float, high: float) -> bool:
    return low <= 0 <= high


# By hand


def test_the_interval_of_four_days_by_hand() -> None:
    # Departures -1.5, 0.5, -0.5, 1.5; covariances 1.25, -0.4375, 0.375, -0.5625; bandwidth 3, weights 3/4, 2/4, 1/4:
    # long-run variance 1.25 + 2 (-0.328125 + 0.1875 - 0.140625) = 0.6875. With b = 1 the critical value is
    # 1.96 + 2.9694 + 0.4160 - 0.5324 = 4.813.
    found = mean_with_interval(np.array([1.0, 3.0, 2.0, 4.0]))
    half = 4.813 * np.sqrt(0.6875 / 4)
    assert (found.value, found.n) == (2.5, 4)
    assert (found.low, found.high) == (pytest.approx(2.5 - half), pytest.approx(2.5 + half))


def test_the_effective_sample_size_by_hand() -> None:
    # Alternating values have a negative correlation: it is held at none.
    assert effective_sample_size(np.array([1.0, -1.0] * 10)) == 20
    # Eight days, departures of -1 four times and +1 four times: r = (6 - 1) / 8, corrected by (1 + 3 r) / 8 = 0.359375.
    r = 0.625 + 0.359375
    assert effective_sample_size(np.array([-1.0] * 4 + [1.0] * 4)) == pytest.approx(max(8 * (1 - r) / (1 + r), 1))
    # A constant series tells nothing about its memory.
    assert effective_sample_size(np.full(7, 3.0)) == 7
    assert effective_sample_size(np.array([1.0, 2.0])) == 2


def test_skill_by_hand_is_one_minus_the_ratio_of_the_means() -> None:
    score, baseline = np.array([1.0, 2.0, 3.0, 2.0]), np.array([2.0, 4.0, 4.0, 6.0])
    found = skill_with_interval(score, baseline)
    assert found.value == pytest.approx(1 - 2 / 4)
    difference = mean_with_interval(baseline - score)
    assert (found.low, found.high) == (pytest.approx(difference.low / 4), pytest.approx(difference.high / 4))


def test_a_verdict_is_given_only_when_the_interval_does_not_touch_zero() -> None:
    def verdict(low: float, high: float) -> str:
        return decide(Estimate((low + high) / 2, low, high, 30, 20.0))

    assert [verdict(0.1, 0.3), verdict(-0.3, -0.1), verdict(-0.1, 0.1)] == ["better", "worse", "cannot decide"]
    assert [verdict(0.0, 0.3), verdict(-0.3, 0.0), verdict(np.nan, np.nan)] == ["cannot decide"] * 3


def test_days_without_pairs_are_left_out_and_too_few_give_no_interval() -> None:
    few = mean_with_interval(np.array([1.0, np.nan, 3.0]))
    assert (few.value, few.n) == (2.0, 2)
    assert np.isnan([few.low, few.high]).all()
    assert mean_with_interval(np.array([np.nan])).n == 0
    assert np.isnan(mean_with_interval(np.array([])).value)
    values = np.array([1.0, np.nan, 3.0, 2.0, 4.0, np.inf])
    assert mean_with_interval(values) == mean_with_interval(np.array([1.0, 3.0, 2.0, 4.0]))


def test_skill_needs_days_on_which_both_spoke_and_a_baseline_that_errs() -> None:
    gap = np.array([1.0, np.nan, 2.0, np.nan])
    assert np.isnan(skill_with_interval(gap, np.array([2.0, 2.0, np.nan, 2.0])).value)
    assert skill_with_interval(gap, np.array([2.0, 2.0, np.nan, 2.0])).n == 1
    assert np.isnan(skill_with_interval(np.ones(5), np.zeros(5)).value)
    assert decide(skill_with_interval(np.ones(5), np.zeros(5))) == "cannot decide"


# Against others


def test_the_standard_error_is_the_quadratic_form_of_the_bartlett_kernel() -> None:
    values = correlated(0.5, draws=1)[0]
    bandwidth = int(np.ceil(1.3 * np.sqrt(DAYS)))
    distance = np.abs(np.subtract.outer(np.arange(DAYS), np.arange(DAYS)))
    kernel = np.maximum(0, 1 - distance / (bandwidth + 1))
    departure = values - values.mean()
    error = np.sqrt(departure @ kernel @ departure) / DAYS
    b = (bandwidth + 1) / DAYS
    half = (1.96 + 2.9694 * b + 0.4160 * b**2 - 0.5324 * b**3) * error
    found = mean_with_interval(values)
    assert found.high - found.value == pytest.approx(half)


def test_the_block_bootstrap_with_blocks_of_one_day_agrees_with_scipy() -> None:
    values = np.random.default_rng(3).gamma(2, 1, 200)
    ours = block_bootstrap_interval(values, block=1, draws=4000)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(4)
    ).confidence_interval
    # Each end varies by about 0.005 from one resampling to the next.
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.025)


def test_the_effective_sample_size_approaches_that_of_a_known_memory() -> None:
    for memory in (0.0, 0.3, 0.7):
        sizes = [effective_sample_size(values) for values in correlated(memory, days=2000, draws=20)]
        assert np.mean(sizes) == pytest.approx(2000 * (1 - memory) / (1 + memory), rel=0.05)


# Coverage. With 1,500 draws the sampling error of a coverage near 0.95 is 0.006, with 500 draws 0.01.


@pytest.mark.parametrize(("memory", "at_least"), [(0.0, 0.935), (0.3, 0.92), (0.6, 0.905)])
def test_the_interval_covers_about_as_often_as_it_says(memory: float, at_least: float) -> None:
    found = [mean_with_interval(values) for values in correlated(memory)]
    assert at_least <= np.mean([holds_zero(f.low, f.high) for f in found]) <= 0.97


def test_the_interval_covers_about_as_often_as_it_says_at_another_level() -> None:
    found = [mean_with_interval(values, level=0.9) for values in correlated(0.3)]
    assert 0.87 <= np.mean([holds_zero(f.low, f.high) for f in found]) <= 0.93


def test_the_block_bootstrap_covers_nearly_as_often_as_it_says_and_less_than_the_kernel() -> None:
    draws = correlated(0.3, draws=500)
    bootstrap = np.mean([holds_zero(*block_bootstrap_interval(values, draws=500)) for values in draws])
    kernel = np.mean([holds_zero(f.low, f.high) for f in map(mean_with_interval, draws)])
    assert 0.88 <= bootstrap <= 0.96
    assert bootstrap <= kernel


def test_a_naive_interval_covers_far_less_than_it_says() -> None:
    draws = correlated(0.6)
    half = stats.t.ppf(0.975, DAYS - 1) * draws.std(axis=1, ddof=1) / np.sqrt(DAYS)
    assert np.mean(np.abs(draws.mean(axis=1)) <= half) < 0.75


def test_a_verdict_between_equals_is_wrong_about_one_time_in_twenty() -> None:
    shared = correlated(0.6, draws=1500, seed=5)
    apart = correlated(0.3, draws=3000, seed=6).reshape(2, 1500, DAYS)
    verdicts = [
        decide(skill_with_interval(10 + common + mine, 10 + common + theirs))
        for common, mine, theirs in zip(shared, *apart, strict=True)
    ]
    assert 0.03 <= np.mean([verdict != "cannot decide" for verdict in verdicts]) <= 0.08


def test_pairing_finds_a_small_difference_that_separate_intervals_would_hide() -> None:
    weather = 10 + 3 * correlated(0.7, draws=1, seed=7)[0]
    mine, theirs = weather, weather + 0.3 + 0.1 * correlated(0.0, draws=1, seed=8)[0]
    a, b = mean_with_interval(mine), mean_with_interval(theirs)
    assert a.high > b.low
    assert decide(skill_with_interval(mine, theirs)) == "better"
    assert decide(skill_with_interval(theirs, mine)) == "worse"


# Properties


@given(series)
def test_the_mean_lies_in_its_interval_and_no_more_days_count_than_there_are(values: np.ndarray) -> None:
    found = mean_with_interval(values)
    assert found.low <= found.value <= found.high
    assert 1 <= found.n_effective <= found.n == len(values)


@given(series, st.floats(-50, 50), st.floats(0.1, 10))
def test_the_interval_follows_a_change_of_unit(values: np.ndarray, shift: float, factor: float) -> None:
    here, there = mean_with_interval(values), mean_with_interval(factor * values + shift)
    for name in ("value", "low", "high"):
        assert getattr(there, name) == pytest.approx(factor * getattr(here, name) + shift, abs=1e-4)


@given(series, st.integers(0, 5))
def test_the_bootstrap_stays_within_the_data_and_repeats_itself(values: np.ndarray, seed: int) -> None:
    low, high = block_bootstrap_interval(values, draws=50, seed=seed)
    assert values.min() - 1e-9 <= low <= high <= values.max() + 1e-9
    assert block_bootstrap_interval(values, draws=50, seed=seed) == (low, high)


@given(series)
def test_nothing_is_better_than_itself(values: np.ndarray) -> None:
    baseline = np.abs(values) + 1
    found = skill_with_interval(baseline, baseline)
    assert found.value == 0
    assert decide(found) == "cannot decide"
