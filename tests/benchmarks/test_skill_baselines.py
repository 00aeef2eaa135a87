"""The published methods our model is measured against do what their papers say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scoringrules as sr
from scipy import stats
from scipy.optimize import minimize

from skyproof.domain.quantiles import LEVEL_ARRAY
from skyproof.science.scores import crps_from_quantiles

pd = pytest.importorskip("pandas", reason="the baselines work on data frames")

from benchmarks.skill.bma import mixture_quantiles  # noqa: E402
from benchmarks.skill.compare import against_all, as_markdown, compare  # noqa: E402
from benchmarks.skill.csg import csg_crps, gamma_quantiles  # noqa: E402
from benchmarks.skill.emos_fit import CENSORED_LOGISTIC, GAUSSIAN, censored_logistic, fit_emos  # noqa: E402
from benchmarks.skill.emos_roll import emos  # noqa: E402
from benchmarks.skill.idr import idr_distribution, idr_quantiles  # noqa: E402
from benchmarks.skill.rolling import covered, last_days, roll, scores, widen  # noqa: E402
from benchmarks.skill.tables import HUNDREDTHS, PRODUCT_LEVELS, Table  # noqa: E402

CHANCE = np.random.default_rng(3)
DAY = pd.Timedelta(days=1)


def small_table(days: int = 60) -> Table:
    """Two sites, one lead of 48 h, two sources."""
    valid = np.repeat(pd.date_range("2020-01-01", periods=days), 2)
    truth = CHANCE.normal(10, 5, 2 * days)
    frame = pd.DataFrame({
        "site": np.tile(["a", "b"], days), "valid_time": valid, "issue_time": valid - 2 * DAY, "lead": 48, "observed": truth,
        "x": truth + CHANCE.normal(1, 1, 2 * days), "z": truth + CHANCE.normal(0, 2, 2 * days),
    })  # fmt: skip
    return Table("small", "temperature", frame, {"X": ("x",), "Z": ("z",)}, (), pd.Timestamp("2020-02-15"))


def test_the_levels_and_the_score_are_the_products() -> None:
    assert np.array_equal(PRODUCT_LEVELS, LEVEL_ARRAY)
    q, y = np.sort(CHANCE.normal(size=(50, 21)), axis=1), CHANCE.normal(size=50)
    assert np.allclose(scores(q, y, PRODUCT_LEVELS), crps_from_quantiles(q, y))


def test_with_99_levels_the_score_is_the_mean_pinball_loss() -> None:
    q = np.zeros((1, 99))
    assert scores(q, np.array([1.0]), HUNDREDTHS)[0] == pytest.approx(0.5)


def test_a_forecast_sees_only_observations_that_had_arrived() -> None:
    table = small_table()
    fit = emos(table)
    first = roll(table, fit, refit=DAY, known=last_days(table, 25))
    last = pd.Timestamp("2020-02-20")
    late = table.frame["valid_time"] > last - 2 * DAY
    spoilt = replace(table, frame=table.frame.assign(observed=table.frame["observed"].where(~late, -99.0)))
    again = roll(spoilt, emos(spoilt), refit=DAY, known=last_days(spoilt, 25))
    same = (table.frame["valid_time"] <= last).to_numpy() & table.scored()
    assert same.any()
    assert np.allclose(first[same], again[same])
    assert not np.allclose(first[table.scored()], again[table.scored()])


def test_emos_has_the_smallest_crps_that_another_optimiser_finds() -> None:
    x = np.column_stack([np.ones(300), CHANCE.normal(10, 4, 300), CHANCE.normal(10, 4, 300)])
    variance = CHANCE.gamma(2, 1, 300)
    y = 1 + 0.7 * x[:, 1] + 0.2 * x[:, 2] + np.sqrt(0.5 + 0.8 * variance) * CHANCE.normal(size=300)
    v = np.column_stack([np.ones(300), variance])
    fitted = fit_emos(GAUSSIAN, x, v, y, nonnegative=np.array([False, True, True]))
    ours = sr.crps_normal(y, *fitted.parameters(x, v)).mean()

    def loss(theta: np.ndarray) -> float:
        scale = np.sqrt(np.maximum(v @ np.square(theta[3:]), 1e-6))
        return float(sr.crps_normal(y, x @ theta[:3], scale).mean())

    theirs = minimize(loss, [0, 0.5, 0.5, 1, 1], method="Nelder-Mead", options={"maxiter": 4000, "fatol": 1e-10}).fun
    assert ours == pytest.approx(theirs, rel=1e-4)


def test_the_censored_logistic_score_is_the_integral_over_its_quantiles_and_its_slopes_are_its_own() -> None:
    levels = (np.arange(40000) + 0.5) / 40000
    for y, location, scale in ((0.0, 0.5, 0.4), (2.0, -1.0, 0.4), (1.0, 3.0, 2.0)):
        miss = y - np.maximum(stats.logistic.ppf(levels, location, scale), 0)
        score, by_location, by_scale = censored_logistic(np.array([y]), np.array([location]), np.array([scale]))
        assert score[0] == pytest.approx(2 * np.maximum(levels * miss, (levels - 1) * miss).mean(), rel=1e-3)
        moved = censored_logistic(np.full(2, y), location + np.array([1e-5, 0]), scale + np.array([0, 1e-5]))[0]
        assert (moved - score) / 1e-5 == pytest.approx([by_location[0], by_scale[0]], abs=1e-4)


def test_censored_logistic_emos_finds_the_line_rain_was_drawn_from() -> None:
    x = np.column_stack([np.ones(4000), CHANCE.uniform(0, 4, 4000)])
    y = np.maximum(-0.5 + 1.0 * x[:, 1] + 0.4 * CHANCE.logistic(size=4000), 0)
    fitted = fit_emos(CENSORED_LOGISTIC, x, np.ones((4000, 1)), y, nonnegative=np.array([False, False]), log_link=True)
    location, scale = fitted.parameters(x, np.ones((4000, 1)))
    assert np.allclose(location, -0.5 + x[:, 1], atol=0.1)
    assert scale[0] == pytest.approx(0.4, abs=0.03)
    assert (fitted.quantiles(x, np.ones((4000, 1)), PRODUCT_LEVELS) >= 0).all()


def test_mixture_quantiles_of_one_kernel_are_the_normal_ones() -> None:
    q = mixture_quantiles(np.array([[2.0, 2.0]]), np.array([0.3, 0.7]), 1.5, PRODUCT_LEVELS)
    assert np.allclose(q[0], stats.norm.ppf(PRODUCT_LEVELS, 2, 1.5), atol=1e-6)


def test_isotonic_regression_pools_the_pair_out_of_order() -> None:
    below = idr_distribution(
        np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0]), np.array([1.0, 2.5, 3.0]), np.array([1.0, 2.0])
    )
    assert np.allclose(below, [[1, 1], [0, 0.5], [0, 0.5]])


def test_isotonic_quantiles_never_fall_with_the_index() -> None:
    x = CHANCE.normal(size=200)
    q = idr_quantiles(x, x + CHANCE.normal(size=200), np.linspace(-2, 2, 9), PRODUCT_LEVELS, bags=5)
    assert (np.diff(q, axis=0) >= 0).all()
    assert (np.diff(q, axis=1) >= 0).all()


def test_the_shifted_gamma_score_is_the_integral_over_its_quantiles() -> None:
    levels = (np.arange(4000) + 0.5) / 4000
    q = gamma_quantiles(np.array([3.0]), np.array([2.0]), 0.7, levels)
    miss = 1.2 - q[0]
    integral = 2 * np.maximum(levels * miss, (levels - 1) * miss).mean()
    assert csg_crps(np.array([1.2]), np.array([3.0]), np.array([2.0]), 0.7)[0] == pytest.approx(integral, rel=1e-3)


def test_normal_quantiles_are_prolonged_to_their_tails() -> None:
    given = np.arange(1, 20) / 20
    q = widen(stats.norm.ppf(given, 5, 2)[None], given, HUNDREDTHS)
    assert np.allclose(q[0], stats.norm.ppf(HUNDREDTHS, 5, 2))


def test_coverage_of_a_calibrated_rain_forecast_is_eighty_percent() -> None:
    y = np.maximum(CHANCE.normal(size=20000), 0)
    q = np.tile(np.maximum(stats.norm.ppf(PRODUCT_LEVELS), 0), (20000, 1))
    assert covered(q, y, PRODUCT_LEVELS).mean() == pytest.approx(0.8, abs=0.02)


def test_a_forecast_with_half_the_score_has_a_ratio_of_one_half() -> None:
    days = pd.date_range("2020-01-01", periods=40)
    theirs = pd.DataFrame({"site": "a", "valid_time": days, "lead": 24, "score": CHANCE.uniform(1, 2, 40)})
    ratio = compare(theirs.assign(score=theirs["score"] / 2), theirs, "twice")
    assert ratio.value == pytest.approx(0.5)
    assert ratio.low <= 0.5 <= ratio.high < 1


def test_forecasts_at_other_levels_are_compared_at_those_both_have(tmp_path: Path) -> None:
    days = pd.date_range("2020-01-01", periods=40)
    y = CHANCE.normal(size=40)
    ours = pd.DataFrame({"site": "a", "valid_time": days, "lead": np.tile([12, 24], 20), "observed": y})
    theirs = ours.assign(**{f"q{p:g}": np.float32(stats.norm.ppf(p)) for p in PRODUCT_LEVELS}, score=0.0)
    theirs.to_parquet(tmp_path / "normal.parquet")
    said = pd.DataFrame({f"q{p:g}": np.full(40, stats.norm.ppf(p), np.float32) for p in HUNDREDTHS})
    ours = pd.concat([ours, said], axis=1)
    ratios = against_all(ours, tmp_path, ((1, 12), (13, 24)))
    assert [(r.leads, r.cases) for r in ratios] == [("all", 40), ("1-12", 20), ("13-24", 20)]
    assert all(r.value == pytest.approx(1) for r in ratios)
    assert "| normal | all | 40 |" in as_markdown("set", ratios)


def test_forecasts_of_something_else_are_not_compared(tmp_path: Path) -> None:
    days = pd.date_range("2020-01-01", periods=5)
    ours = pd.DataFrame({"site": "a", "valid_time": days, "lead": 24, "observed": 280.0, "q0.5": 280.0})
    ours.assign(observed=7.0).to_parquet(tmp_path / "celsius.parquet")
    with pytest.raises(ValueError, match="not the same unit"):
        against_all(ours, tmp_path)
