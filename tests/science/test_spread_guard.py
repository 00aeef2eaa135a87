"""One factor per group of leads: it finds how wide is wide enough, slowly, and sees nothing before it arrived."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from skyproof.domain.quantiles import INDEX_MEDIAN, INDEX_P10, INDEX_P90, LEVEL_ARRAY
from skyproof.science.coverage import coverage_80
from skyproof.science.scores import crps_from_quantiles
from skyproof.science.spread_guard import fit_spread, guard_spread, stretch

_SCORES = stats.norm.ppf(LEVEL_ARRAY)


def _forecasts(
    issues: int, *, said: float, true: float, sites: int = 1, seed: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    chance = np.random.default_rng(seed)
    centre = chance.normal(10, 3, (issues, 1, sites))
    observed = centre + true * chance.normal(size=centre.shape)
    return (centre[..., None] + said * _SCORES).astype(np.float32), observed.astype(np.float32)


def _next_day(issues: int) -> np.ndarray:
    return np.arange(1, issues + 1)[:, None]


def _guard(forecasts: np.ndarray, observed: np.ndarray, arrivals: np.ndarray) -> np.ndarray:
    groups = np.zeros(forecasts.shape[1], dtype=np.intp)
    return guard_spread(forecasts, observed, arrivals, LEVEL_ARRAY, lead_groups=groups)


def _coverage(quantiles: np.ndarray, observed: np.ndarray) -> float:
    inside = (observed >= quantiles[..., INDEX_P10]) & (observed <= quantiles[..., INDEX_P90])
    return float(inside.mean())


@pytest.mark.parametrize(("said", "true"), [(1.0, 1.6), (1.6, 1.0)])
def test_intervals_too_narrow_or_too_wide_come_to_cover_four_of_five(said: float, true: float) -> None:
    forecasts, observed = _forecasts(900, said=said, true=true)
    guarded = _guard(forecasts, observed, _next_day(900))
    assert abs(_coverage(forecasts[400:], observed[400:]) - 0.8) > 0.1
    assert abs(_coverage(guarded[400:], observed[400:]) - 0.8) < 0.04
    before, after = (crps_from_quantiles(values[400:], observed[400:]).mean() for values in (forecasts, guarded))
    assert after < before


def test_a_calibrated_forecast_is_left_nearly_alone() -> None:
    forecasts, observed = _forecasts(400, said=1.0, true=1.0)
    guarded = _guard(forecasts, observed, _next_day(400))
    before, after = (crps_from_quantiles(values, observed).mean() for values in (forecasts, guarded))
    assert after < 1.003 * before


def test_nothing_changes_before_the_first_outcome_arrives() -> None:
    forecasts, observed = _forecasts(30, said=1.0, true=3.0)
    guarded = _guard(forecasts, observed, _next_day(30) + 9)
    np.testing.assert_allclose(guarded[:10], forecasts[:10], rtol=1e-5)
    assert (guarded[12:, ..., INDEX_P90] > forecasts[12:, ..., INDEX_P90]).all()


def test_outcomes_that_arrive_later_change_no_earlier_forecast() -> None:
    forecasts, observed = _forecasts(60, said=1.0, true=2.0)
    other = observed.copy()
    other[40:] = 99.0
    arrivals = _next_day(60)
    before, after = _guard(forecasts, observed, arrivals), _guard(forecasts, other, arrivals)
    np.testing.assert_array_equal(before[:41], after[:41])
    assert not np.array_equal(before[41:], after[41:])


def test_the_factor_is_the_one_at_which_a_fifth_was_missed() -> None:
    # Every outcome lies 1.6 half-widths from the median: after very long, 1.6 is where misses fall from all to none.
    forecasts = np.broadcast_to(_SCORES.astype(np.float32), (3000, 1, 1, len(_SCORES))).copy()
    observed = np.full((3000, 1, 1), 1.6 * _SCORES[INDEX_P90], dtype=np.float32)
    guarded = _guard(forecasts, observed, _next_day(3000))
    factor = guarded[-1, 0, 0, INDEX_P90] / forecasts[-1, 0, 0, INDEX_P90]
    assert 1.5 < factor < 1.7


def test_many_stations_of_one_day_count_as_one() -> None:
    forecasts, observed = _forecasts(6, said=1.0, true=4.0, sites=500)
    guarded = _guard(forecasts, observed, _next_day(6))
    factor = guarded[-1, 0, 0, INDEX_P90] - guarded[-1, 0, 0, INDEX_MEDIAN]
    assert factor < 1.6 * (forecasts[-1, 0, 0, INDEX_P90] - forecasts[-1, 0, 0, INDEX_MEDIAN])


def test_missing_forecasts_and_observations_are_passed_over() -> None:
    forecasts, observed = _forecasts(50, said=1.0, true=2.0, sites=2)
    forecasts[20] = np.nan
    observed[25] = np.nan
    guarded = _guard(forecasts, observed, _next_day(50))
    assert np.isnan(guarded[20]).all()
    assert np.isfinite(np.delete(guarded, 20, axis=0)).all()


def test_coverage_by_hand_counts_borders_and_leaves_out_what_is_missing() -> None:
    quantiles = np.tile(np.arange(21.0), (5, 1))
    quantiles[4] = np.nan
    # The 80 % interval is [2, 18].
    assert coverage_80(quantiles, np.array([2.0, 18.0, 18.5, np.nan, 5.0])) == (pytest.approx(2 / 3), 3)
    assert np.isnan(coverage_80(quantiles[4:], np.array([5.0]))[0])


def _fit(forecasts: np.ndarray, observed: np.ndarray) -> np.ndarray:
    return fit_spread(forecasts, observed, LEVEL_ARRAY, lead_groups=np.arange(forecasts.shape[1]))


def test_the_factor_of_a_record_undoes_its_wrong_spread_lead_by_lead() -> None:
    parts = [_forecasts(600, said=1.0, true=true, seed=seed) for seed, true in enumerate((0.8, 1.0, 1.5))]
    forecasts, observed = (np.concatenate(part, axis=1) for part in zip(*parts, strict=True))
    factors = _fit(forecasts[:300], observed[:300])
    assert factors == pytest.approx([0.8, 1.0, 1.5], rel=0.12)
    stretched = stretch(forecasts[300:], factors[:, None], LEVEL_ARRAY)
    assert abs(_coverage(stretched, observed[300:]) - 0.8) < 0.03
    # Leads of one group share their factor.
    together = fit_spread(forecasts, observed, LEVEL_ARRAY, lead_groups=np.zeros(3, dtype=np.intp))
    assert together[0] == together[1] == together[2]


def test_few_issue_times_change_little_and_none_change_nothing() -> None:
    forecasts, observed = _forecasts(4, said=1.0, true=50.0, sites=200)
    assert 1.0 < _fit(forecasts, observed)[0] < 1.6
    assert _fit(forecasts, np.full_like(observed, np.nan))[0] == pytest.approx(1.0, abs=0.01)


def test_dry_forecasts_are_not_stretched_and_do_not_spoil_the_wet_ones() -> None:
    chance = np.random.default_rng(3)
    wet = np.maximum(_SCORES + 1, 0)
    quantiles = np.concatenate([np.tile(wet, (600, 1, 5, 1)), np.zeros((600, 1, 5, 21))]).astype(np.float32)
    truth = np.concatenate([np.maximum(1 + 1.5 * chance.normal(size=(600, 1, 5)), 0), np.zeros((600, 1, 5))])
    factors = _fit(quantiles, truth.astype(np.float32))
    stretched = np.maximum(stretch(quantiles, factors[:, None], LEVEL_ARRAY), 0)
    assert (stretched[600:] == 0).all()
    # Dry days are neither hits nor misses: with a dry median a wet bound is passed as often as it says.
    assert 1.0 < factors[0] < 1.5


@given(st.lists(st.floats(-50, 50), min_size=21, max_size=21), st.floats(0.5, 2.0))
def test_stretched_quantiles_keep_their_median_and_never_cross(values: list[float], factor: float) -> None:
    quantiles = np.sort(np.array(values))
    stretched = stretch(quantiles, np.array(factor), LEVEL_ARRAY)
    assert stretched[INDEX_MEDIAN] == pytest.approx(quantiles[INDEX_MEDIAN])
    assert (np.diff(stretched) >= -1e-9).all()
