"""The calibration guard: coverage comes and stays, the score is not paid for it, limits and ties are kept."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import ndtri

from skyproof.domain.quantiles import INDEX_MEDIAN, LEVEL_ARRAY
from skyproof.science.calibration_guard import empty_guard, guard_rolling, make_guard_plan
from skyproof.science.coverage import coverage_80
from skyproof.science.guard_kernels import mean_moments, move_quantiles, quantile_at, score_interval, share_beyond
from skyproof.science.scores import crps_from_quantiles

NORMAL = ndtri(LEVEL_ARRAY)
PLAN = make_guard_plan(LEVEL_ARRAY)
WHOLE_LINE = np.array([-np.inf, np.inf])


def _series(seed: int, *, issues: int = 180, leads: int = 1, sites: int = 10, spread: object = 1.0, bias: float = 0.0):
    """Normal forecasts whose spread is too small or large by a factor (or factors per issue time), sites that err together."""
    rng = np.random.default_rng(seed)
    error = np.sqrt(0.5) * (rng.normal(size=(issues, leads, 1)) + rng.normal(size=(issues, leads, sites)))
    centre = 3 * rng.normal(size=(issues, leads, sites))
    factor = np.broadcast_to(np.asarray(spread, dtype=float), (issues,))[:, None, None, None]
    return (centre[..., None] + factor * NORMAL).astype(np.float32), (centre + error + bias).astype(np.float32)


def _next(issues: int, leads: int = 1) -> np.ndarray:
    return np.repeat(np.arange(issues)[:, None] + 1, leads, axis=1)


def _rain(seed: int, issues: int, *, spread: float):
    """Rain at a lower limit of zero, dry in more than half of the cases."""
    rng = np.random.default_rng(seed)
    centre = rng.normal(-0.3, 1.0, size=(issues, 1, 8))
    observed = np.maximum(centre + rng.normal(size=centre.shape), 0)
    return np.maximum(centre[..., None] + spread * NORMAL, 0).astype(np.float32), observed.astype(np.float32)


def test_normal_scores_by_hand() -> None:
    assert score_interval(NORMAL, NORMAL, 1.0) == pytest.approx((1.0, 1.0))
    # Beyond the outermost quantiles the line goes on, but no outcome counts as further out than 3.5.
    assert score_interval(NORMAL, NORMAL, -2.5) == pytest.approx((-2.5, -2.5))
    assert score_interval(NORMAL, NORMAL, 99.0) == (3.5, 3.5)
    dry = np.maximum(NORMAL, 0.0)
    # Dry, as in half of the cases: anywhere below the median.
    assert score_interval(dry, NORMAL, 0.0) == (-np.inf, 0.0)
    assert score_interval(np.minimum(NORMAL, 0.0), NORMAL, 0.0) == (0.0, np.inf)
    assert share_beyond(-np.inf, 0.0, -NORMAL[18]) == pytest.approx(0.8)


@given(st.floats(-3, 3), st.floats(0.01, 3))
def test_moments_between_two_scores_are_those_of_a_truncated_normal(low: float, width: float) -> None:
    mean, square = mean_moments(low, low + width)
    truncated = stats.truncnorm(low, low + width)
    assert mean == pytest.approx(truncated.mean(), abs=1e-6)
    assert square == pytest.approx(truncated.var() + truncated.mean() ** 2, abs=1e-6)


def test_moving_normal_quantiles_by_hand() -> None:
    moved = np.empty(21)
    move_quantiles(5 + 2 * NORMAL, NORMAL, np.array([0.5, np.log(1.5), 0.0, np.log(2.0)]), WHOLE_LINE, moved)
    # Median 5 + 2 * 0.5, below it 1.5 times as wide, above it 3 times.
    assert moved[:INDEX_MEDIAN] == pytest.approx(6 + 3 * NORMAL[:INDEX_MEDIAN])
    assert moved[INDEX_MEDIAN:] == pytest.approx(6 + 6 * NORMAL[INDEX_MEDIAN:])


def test_one_outcome_by_hand_moves_little() -> None:
    forecasts = np.broadcast_to(NORMAL, (2, 1, 1, 21)).astype(np.float32)
    rolled = guard_rolling(forecasts, np.full((2, 1, 1), 2.0, dtype=np.float32), _next(2), PLAN)
    # Before it nothing moves. After it: mean 2, of whose square 3 of 4 may be chance, against twenty cases of none; squares 4
    # about that mean, and what is not known, against twenty cases of a spread of one; 0 of 0.1 below, 1 of 0.1 above, with a
    # gain of 2 / (10 + 1).
    trust = 0.25 / 21
    spread = (0.5 * np.log(4 - 4 * 2 * trust + 4 * trust**2) + 0.5 * trust**2 + 0.5) / 21
    mean = 2 * trust
    assert rolled.correction[0, 0] == pytest.approx(np.zeros(4))
    assert rolled.correction[1, 0] == pytest.approx([mean, spread, -0.1 * 2 / 11, 0.15], abs=1e-4)
    assert np.array_equal(rolled.quantiles[0], forecasts[0])


@pytest.mark.parametrize(("spread", "bias"), [(1.0, 0.0), (0.7, 0.0), (1.4, 0.0), (0.7, 0.3), (1.4, -0.5)])
def test_coverage_is_held_over_many_series_and_the_score_not_paid_for_it(spread: float, bias: float) -> None:
    covered, ratio = [], []
    for seed in range(12):
        forecasts, observed = _series(seed, spread=spread, bias=bias)
        rolled = guard_rolling(forecasts, observed, _next(180), PLAN)
        covered.append(coverage_80(rolled.quantiles, observed)[0])
        given = crps_from_quantiles(forecasts, observed).mean()
        ratio.append(crps_from_quantiles(rolled.quantiles, observed).mean() / given)
    assert all(0.77 <= share <= 0.83 for share in covered)
    assert np.mean(ratio) <= 1.004
    if spread != 1.0:
        assert np.mean(ratio) < 0.99


def test_when_the_spread_turns_from_too_wide_to_too_narrow_coverage_comes_back() -> None:
    covered = []
    for seed in range(8):
        forecasts, observed = _series(seed, issues=300, spread=np.where(np.arange(300) < 120, 1.5, 0.7))
        rolled = guard_rolling(forecasts, observed, _next(300), PLAN)
        covered.append(coverage_80(rolled.quantiles[200:], observed[200:])[0])
    assert np.mean(covered) == pytest.approx(0.8, abs=0.03)


def test_each_regime_gets_its_own_correction_and_a_new_one_leans_on_all() -> None:
    spread = np.where(np.arange(200) % 2, 0.7, 1.4)
    forecasts, observed = _series(1, issues=200, spread=spread)
    regimes = (np.arange(200) % 2)[:, None]
    rolled = guard_rolling(forecasts, observed, _next(200), PLAN, regimes=regimes)
    for regime in (0, 1):
        chosen = slice(100 + regime, None, 2)
        assert coverage_80(rolled.quantiles[chosen], observed[chosen])[0] == pytest.approx(0.8, abs=0.04)
    narrow, truth = _series(2, issues=80, spread=0.7)
    late = np.where(np.arange(80) < 79, 0, 1)[:, None]
    first_of_its_kind = guard_rolling(narrow, truth, _next(80), PLAN, regimes=late).correction[-1, 0]
    assert first_of_its_kind[1] > 0.15


def test_groups_of_leads_are_apart() -> None:
    forecasts, observed = _series(3, leads=2)
    forecasts[:, 1] += 1.5 * (forecasts[:, 1] - forecasts[:, 1, :, INDEX_MEDIAN, None])
    rolled = guard_rolling(forecasts, observed, _next(180, 2), PLAN, lead_groups=np.array([0, 1]))
    assert abs(rolled.correction[-1, 0, 1]) < 0.2
    assert rolled.correction[-1, 1, 1] < -0.5


@pytest.mark.parametrize("spread", [0.7, 1.0, 1.4])
def test_dry_weather_is_no_miss_and_stays_dry(spread: float) -> None:
    forecasts, observed = _rain(4, 200, spread=spread)
    rolled = guard_rolling(forecasts, observed, _next(200), make_guard_plan(LEVEL_ARRAY, lower=0.0))
    assert coverage_80(rolled.quantiles, observed)[0] == pytest.approx(0.8, abs=0.03)
    assert rolled.quantiles.min() == 0.0
    given = crps_from_quantiles(forecasts, observed).mean()
    assert crps_from_quantiles(rolled.quantiles, observed).mean() <= 1.004 * given


def test_a_guard_that_does_harm_is_turned_off() -> None:
    """It was taught, with all weight, that outcomes are twice as far out as they are."""
    forecasts, observed = _series(5, issues=120)
    wrong = empty_guard(1, 1)
    wrong.sums[...] = 1e6 * np.array([1, 0, 1, 4, 0, 0])
    rolled = guard_rolling(forecasts, observed, _next(120), PLAN, memory=wrong)
    assert rolled.strength[0, 0] == 1.0
    assert rolled.strength[20:].max() < 0.1
    late = crps_from_quantiles(rolled.quantiles[20:], observed[20:]).mean()
    assert late <= 1.002 * crps_from_quantiles(forecasts[20:], observed[20:]).mean()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 38), st.integers(0, 3))
def test_no_correction_knows_what_had_not_arrived(seed: int, now: int, delay: int) -> None:
    forecasts, observed = _series(seed, issues=40, leads=2, spread=0.8)
    arrivals = _next(40, 2) + np.array([0, 2]) + delay
    changed = np.where((arrivals > now)[..., None], 77.0, observed).astype(np.float32)
    before, after = (guard_rolling(forecasts, values, arrivals, PLAN) for values in (observed, changed))
    assert np.array_equal(before.quantiles[: now + 1], after.quantiles[: now + 1])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 0.8))
def test_quantiles_never_cross_nor_leave_their_limits_and_missing_stays_missing(seed: int, missing: float) -> None:
    rng = np.random.default_rng(seed)
    forecasts = np.clip(np.sort(rng.normal(0.5, 1.0, size=(12, 2, 3, 21)), axis=-1), 0, 1).astype(np.float32)
    forecasts[rng.random((12, 2, 3)) < missing] = np.nan
    observed = np.clip(rng.normal(0.5, 2.0, size=(12, 2, 3)), 0, 1).astype(np.float32)
    observed[rng.random(observed.shape) < missing] = np.nan
    plan = make_guard_plan(LEVEL_ARRAY, lower=0.0, upper=1.0)
    moved = guard_rolling(forecasts, observed, _next(12, 2), plan).quantiles
    assert np.array_equal(np.isnan(moved), np.isnan(forecasts))
    spoken = moved[np.isfinite(moved[..., 0])]
    assert (np.diff(spoken, axis=-1) >= 0).all()
    assert spoken.min(initial=0.0) >= 0.0
    assert spoken.max(initial=1.0) <= 1.0


def test_a_period_cut_in_two_goes_on_where_it_stopped_and_the_order_of_sites_does_not_matter() -> None:
    forecasts, observed = _series(6, issues=60, spread=0.7)
    whole = guard_rolling(forecasts, observed, _next(60), PLAN)
    first = guard_rolling(forecasts[:31], observed[:31], _next(31), PLAN)
    second = guard_rolling(forecasts[30:], observed[30:], _next(30), PLAN, memory=first.memory)
    assert np.array_equal(second.quantiles, whole.quantiles[30:])
    turned = guard_rolling(forecasts[:, :, ::-1], observed[:, :, ::-1], _next(60), PLAN)
    assert turned.quantiles[:, :, ::-1] == pytest.approx(whole.quantiles, abs=1e-4)


def test_ninety_nine_levels_are_guarded_as_well() -> None:
    levels = np.linspace(0.01, 0.99, 99)
    rng = np.random.default_rng(7)
    observed = rng.normal(size=(150, 1, 5)).astype(np.float32)
    forecasts = np.broadcast_to(0.7 * ndtri(levels), (150, 1, 5, 99)).astype(np.float32)
    moved = guard_rolling(forecasts, observed, _next(150), make_guard_plan(levels)).quantiles[30:]
    inside = (observed[30:] >= moved[..., 9]) & (observed[30:] <= moved[..., 89])
    assert inside.mean() == pytest.approx(0.8, abs=0.03)


def test_walking_a_period_is_what_plain_numpy_says() -> None:
    """The same rules, written again over whole arrays with scipy's distributions; one regime, one group, one site."""
    forecasts, observed = _series(8, issues=30, leads=1, sites=1, spread=0.8)
    rolled = guard_rolling(forecasts, observed, _next(30), PLAN)
    sums, stretch, losses = np.zeros(4), np.zeros(2), np.zeros(3)
    for now in range(30):
        correction = _plain_correction(sums, stretch)
        share = 1.0
        if losses[0] >= 5:
            mean = losses[1] / losses[0]
            share = np.clip((2 - mean / np.sqrt((losses[2] / losses[0] - mean**2) / losses[0])) / 2, 0, 1)
        assert rolled.quantiles[now, 0, 0] == pytest.approx(
            _plain_moved(forecasts[now, 0, 0], share * correction), abs=1e-4
        )
        given, value = forecasts[now, 0, 0].astype(float), np.float64(observed[now, 0, 0])
        score = np.clip((value - given[INDEX_MEDIAN]) / 0.8, -3.5, 3.5)
        moved = _plain_moved(given, correction)
        harm = crps_from_quantiles(moved, value) - crps_from_quantiles(given, value)
        sums = 0.985 * sums + np.array([1, score, 1, score**2])
        missed = np.array([value < moved[2], value > moved[18]])
        stretch = np.clip(
            stretch + np.clip(max(2 / (10 + sums[2]), 0.06) * (missed - 0.1), -0.15, 0.15), *np.log([1 / 1.6, 1.6])
        )
        losses = 0.985 * losses + np.array([1, harm, harm**2])


def _plain_correction(sums: np.ndarray, stretch: np.ndarray) -> np.ndarray:
    if sums[0] == 0:
        return np.concatenate([[0.0, 0.0], stretch])
    mean = sums[1] / sums[0]
    trust = max(1 - 3 / (mean**2 * sums[0]), 0) * sums[0] / (sums[0] + 20)
    centre = trust * mean
    spread = 0.5 * np.log(sums[3] / sums[2] - 2 * centre * mean + centre**2) + 0.5 * (trust**2 + 1) / sums[0]
    return np.concatenate([[centre, spread * sums[2] / (sums[2] + 20)], stretch])


def _plain_moved(given: np.ndarray, correction: np.ndarray) -> np.ndarray:
    """Normal quantiles are a line over normal scores: slope 0.8, wherever they are."""
    middle = given[INDEX_MEDIAN] + 0.8 * correction[0]
    stretch = np.exp(np.where(NORMAL < 0, correction[2], correction[3]))
    return np.asarray(middle + stretch * 0.8 * np.exp(correction[1]) * NORMAL)


def test_a_quantile_at_a_level_given_is_that_quantile() -> None:
    values = np.sort(np.random.default_rng(9).normal(size=21))
    assert [quantile_at(values, NORMAL, score) for score in NORMAL] == pytest.approx(values)


def test_arrays_of_other_cells_and_lone_levels_are_refused() -> None:
    forecasts, observed = _series(10, issues=4)
    with pytest.raises(ValueError, match="observed: got shape"):
        guard_rolling(forecasts, observed[:3], _next(4), PLAN)
    with pytest.raises(ValueError, match="too few for"):
        guard_rolling(forecasts, observed, _next(4), PLAN, regimes=np.ones((4, 1), dtype=int), memory=empty_guard(1, 1))
    with pytest.raises(ValueError, match="at least two levels"):
        make_guard_plan(np.array([0.5]))
