"""Minimum CRPS regression: closed forms, slopes, planted coefficients, scipy's minimum, ridges and batches."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scoringrules as sr
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, optimize, special, stats

from skyproof.science import distributions
from skyproof.science.beta_functions import beta_probability, log_beta
from skyproof.science.crps_kernels import crps_and_slopes
from skyproof.science.distributional_regression import (
    NUMBERS,
    Distribution,
    Rows,
    coefficient_count,
    fit_regressions,
    invert,
    loss_and_gradient,
    mean_crps,
)
from skyproof.science.gamma_functions import gamma_density, gamma_probability
from skyproof.science.regression_distributions import regression_mean, regression_quantiles

INF = math.inf
#: Every family with the limits it is tested at.
FAMILIES: list[tuple[Distribution, float, float]] = [
    ("normal", -INF, INF),
    ("normal", -0.5, INF),
    ("normal", -0.5, 1.0),
    ("logistic", -INF, INF),
    ("logistic", -0.5, INF),
    ("logistic", -0.5, 1.0),
    ("truncated", -0.5, INF),
    ("log_normal", -0.5, INF),
    ("shifted_gamma", -0.5, INF),
    ("beta", -0.5, 1.0),
]
LEVELS = np.array([0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99])


def crps(family: Distribution, y: float, location: float, log_scale: float, shift: float = 0.0, lower=-INF, upper=INF):
    return crps_and_slopes(NUMBERS[family], y, location, log_scale, shift, (lower, upper))


def draw(family: Distribution, location, log_scale, rng, lower=-INF, upper=INF, log_shift=-1.0):
    """Random draws from the distributions a regression speaks of, by inverting uniform numbers."""
    level = rng.uniform(size=np.shape(location))
    if family == "shifted_gamma":
        mean, sd = np.log1p(np.exp(location)), np.exp(log_scale)
        gamma = stats.gamma.ppf(level, np.square(mean / sd), scale=np.square(sd) / mean)
        return lower + np.maximum(gamma - math.exp(log_shift), 0)
    if family == "truncated":
        below = special.ndtr((lower - location) / np.exp(log_scale))
        return location + np.exp(log_scale) * special.ndtri(below + level * (1 - below))
    if family == "beta":
        mean, certainty = special.expit(location), np.exp(-2 * log_scale)
        return lower + (upper - lower) * stats.beta.ppf(level, mean * certainty, (1 - mean) * certainty)
    score = special.logit(level) if family == "logistic" else special.ndtri(level)
    value = location + np.exp(log_scale) * score
    return lower + np.exp(value) if family == "log_normal" else np.clip(value, lower, upper)


def planted(family: Distribution, lower: float, upper: float, cases: int, seed: int):
    """Rows whose coefficients are known: location 0.3 + 0.9 x + 0.1 u, log scale -0.5 + 0.3 v, log shift -1."""
    rng = np.random.default_rng(seed)
    x = np.column_stack([np.ones(cases), rng.normal(size=(cases, 2))])
    z = np.column_stack([np.ones(cases), rng.normal(size=cases)])
    truth = np.array([0.3, 0.9, 0.1, -0.5, 0.3] + [-1.0] * (family == "shifted_gamma"))
    y = draw(family, x @ truth[:3], z @ truth[3:5], rng, lower, upper)
    return Rows.one_problem(y, x, z), truth


def test_crps_by_hand() -> None:
    # Standard normal at its centre: 2 phi(0) - 1/sqrt(pi); standard logistic: 2 log 2 - 1.
    assert crps("normal", 0.0, 0.0, 0.0)[0] == pytest.approx(2 / math.sqrt(2 * math.pi) - 1 / math.sqrt(math.pi))
    assert crps("logistic", 0.0, 0.0, 0.0)[0] == pytest.approx(2 * math.log(2) - 1)
    # Censored far above its mass it is a certain forecast of the limit, and the observation is that limit.
    assert crps("normal", 5.0, -5.0, 0.0, lower=5.0)[0] == pytest.approx(0.0, abs=1e-12)
    assert crps("logistic", 0.0, 60.0, 0.0, lower=-1.0, upper=0.0)[0] == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_crps_agrees_with_scoringrules(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for location, log_scale, y in rng.normal(size=(40, 3)) * [1, 0.5, 1]:
        scale, inside = math.exp(log_scale), min(max(y, -1.0), 1.5)
        assert crps("normal", y, location, log_scale)[0] == pytest.approx(sr.crps_normal(y, location, scale))
        assert crps("logistic", y, location, log_scale)[0] == pytest.approx(sr.crps_logistic(y, location, scale))
        assert crps("logistic", inside, location, log_scale, lower=-1.0, upper=1.5)[0] == pytest.approx(
            sr.crps_clogistic(inside, location, scale, -1.0, 1.5)
        )
        assert crps("normal", inside, location, log_scale, lower=-1.0, upper=1.5)[0] == pytest.approx(
            sr.crps_cnormal(inside, location, scale, -1.0, 1.5)
        )
        above = max(location, -2 * scale)
        assert crps("truncated", abs(y), above, log_scale, lower=0.0)[0] == pytest.approx(
            sr.crps_tnormal(abs(y), above, scale, 0.0, INF)
        )
        assert crps("log_normal", abs(y), location, log_scale, lower=0.0)[0] == pytest.approx(
            sr.crps_lognormal(abs(y), location, scale)
        )
        mean = float(np.log1p(np.exp(location)))
        # Beyond a ratio of exp(3) the sd is held.
        sd = min(max(scale, mean / 19), 19 * mean)
        old = distributions.shifted_gamma_crps(np.array(max(y, 0)), np.array(mean), np.array(sd), np.array(0.3))
        new = crps("shifted_gamma", max(y, 0), location, math.log(sd), math.log(0.3), 0.0)[0]
        assert new == pytest.approx(float(old), abs=1e-7)


@pytest.mark.parametrize(("family", "lower", "upper"), FAMILIES)
def test_crps_is_the_integral_it_stands_for(family: Distribution, lower: float, upper: float) -> None:
    location, log_scale, y = np.array(0.2), np.array(-0.4), 0.7
    cells = 300 if family == "shifted_gamma" else 100_000
    levels = (np.arange(cells) + 0.5) / cells
    quantiles = regression_quantiles(family, location, log_scale, levels, log_shift=-1.0, lower=lower, upper=upper)
    # CRPS as twice the mean quantile loss over all levels: Laio and Tamea (2007), doi:10.5194/hess-11-1267-2007.
    loss = 2 * np.mean((levels - (y < quantiles)) * (y - quantiles))
    assert crps(family, y, 0.2, -0.4, -1.0, lower, upper)[0] == pytest.approx(loss, rel=5e-3)
    mean = regression_mean(family, location, log_scale, log_shift=-1.0, lower=lower, upper=upper)
    assert mean == pytest.approx(quantiles.mean(), abs=2e-3)


@pytest.mark.parametrize(("family", "lower", "upper"), FAMILIES)
@given(st.floats(-3, 3), st.floats(-1.5, 1.0), st.floats(0.0, 1.0))
def test_slopes_are_those_of_finite_differences(
    family: Distribution, lower: float, upper: float, location: float, log_scale: float, share: float
) -> None:
    y = min(max(-0.5, lower) + 2.5 * share, upper)
    at, step = np.array([location, log_scale, -0.7]), 1e-5
    slopes = crps(family, y, *at, lower, upper)[1:]
    for index in range(3):
        shift = np.eye(3)[index] * step
        rise = crps(family, y, *(at + shift), lower, upper)[0] - crps(family, y, *(at - shift), lower, upper)[0]
        # A truncated location that lies at its depth limit has a kink there.
        kink = family == "truncated" and abs((location - lower) / math.exp(log_scale) + 3.5) < 1e-3
        assert kink or slopes[index] == pytest.approx(rise / (2 * step), abs=2e-5, rel=1e-4)


@given(st.floats(-4, 4), st.floats(-4.5, 1.0), st.floats(0.0, 1.0))
def test_beta_crps_is_the_integral_of_the_squared_distance(location: float, log_scale: float, y: float) -> None:
    mean, certainty = float(special.expit(location)), math.exp(-2 * log_scale)
    a, b = mean * certainty, (1 - mean) * certainty
    # The mean distance to the outcome, less half that between two draws: the mean less that of the smaller of two.
    apart = mean - integrate.quad(lambda t: (1 - special.betainc(a, b, t)) ** 2, 0, 1, limit=400, points=[mean])[0]
    left = y - integrate.quad(lambda t: 1 - special.betainc(a, b, t), 0, y, limit=400)[0] if y > 0 else 0.0
    right = integrate.quad(lambda t: 1 - special.betainc(a, b, t), y, 1, limit=400)[0] if y < 1 else 0.0
    wanted = left + right - apart
    assert crps("beta", y, location, log_scale, lower=0.0, upper=1.0)[0] == pytest.approx(wanted, abs=2e-6)


def test_beta_crps_by_hand() -> None:
    # Both shapes one: even between the limits 2 and 5. Outcome at the middle: a quarter of the width less a sixth of it.
    found = crps("beta", 3.5, 0.0, -0.5 * math.log(2.0), lower=2.0, upper=5.0)[0]
    assert found == pytest.approx(3.0 * (1 / 4 - 1 / 6))
    # Outcome at a limit: half the width less a sixth of it.
    assert crps("beta", 2.0, 0.0, -0.5 * math.log(2.0), lower=2.0, upper=5.0)[0] == pytest.approx(3.0 * (1 / 2 - 1 / 6))


def test_incomplete_beta_agrees_with_scipy() -> None:
    a, b, x = np.meshgrid(np.geomspace(1e-3, 2e4, 25), np.geomspace(1e-3, 2e4, 25), np.linspace(0.001, 0.999, 41))
    ours = [beta_probability(*case) for case in zip(a.ravel(), b.ravel(), x.ravel(), strict=True)]
    np.testing.assert_allclose(ours, special.betainc(a, b, x).ravel(), rtol=1e-7, atol=1e-12)
    assert beta_probability(2.0, 3.0, -1.0) == 0.0
    assert beta_probability(2.0, 3.0, 1.5) == 1.0
    assert log_beta(2.0, 3.0) == pytest.approx(math.log(1 / 12))


def test_tabulated_beta_quantiles_are_those_of_scipy_but_for_a_thousandth() -> None:
    rng = np.random.default_rng(3)
    location, log_scale = rng.uniform(-4, 4, 400), rng.uniform(-4.5, 0.5, 400)
    mean, certainty = special.expit(location)[:, None], np.exp(-2 * log_scale)[:, None]
    wanted = 10 + 90 * stats.beta.ppf(LEVELS, mean * certainty, (1 - mean) * certainty)
    found = regression_quantiles("beta", location, log_scale, LEVELS, lower=10.0, upper=100.0)
    np.testing.assert_allclose(found, wanted, atol=0.09)
    many = np.linspace(0.001, 0.999, 300)
    exact = regression_quantiles("beta", location[:3], log_scale[:3], many, lower=10.0, upper=100.0)
    np.testing.assert_allclose(
        exact, 10 + 90 * stats.beta.ppf(many, (mean * certainty)[:3], ((1 - mean) * certainty)[:3]), rtol=1e-9
    )


def test_incomplete_gamma_agrees_with_scipy() -> None:
    shape, x = np.meshgrid(np.geomspace(1e-3, 900, 40), np.geomspace(1e-4, 2000, 60))
    ours = [gamma_probability(a, b) for a, b in zip(shape.ravel(), x.ravel(), strict=True)]
    np.testing.assert_allclose(ours, special.gammainc(shape, x).ravel(), rtol=1e-9, atol=1e-12)
    assert gamma_probability(2.0, -1.0) == 0.0
    assert gamma_density(3.0, 2.0) == pytest.approx(stats.gamma.pdf(2.0, 3.0))
    assert integrate.quad(lambda t: gamma_density(3.0, t), 0, 2)[0] == pytest.approx(gamma_probability(3.0, 2.0))


@pytest.mark.parametrize(("family", "lower", "upper"), FAMILIES)
def test_planted_coefficients_are_found_and_the_slope_there_is_zero(
    family: Distribution, lower: float, upper: float
) -> None:
    rows, truth = planted(family, lower, upper, 6000, 1)
    fit = fit_regressions(family, rows, np.zeros(len(truth)), lower=lower, upper=upper)
    np.testing.assert_allclose(fit.coefficients[0, :5], truth[:5], atol=0.12)
    loss, gradient = loss_and_gradient(family, rows, fit.coefficients, lower=lower, upper=upper)
    assert np.abs(gradient).max() < 1e-4 * loss[0]
    assert fit.loss[0] == loss[0] < mean_crps(family, rows, truth, lower=lower, upper=upper)[0]


@pytest.mark.parametrize(("family", "lower", "upper"), FAMILIES)
def test_scipy_reaches_the_same_loss(family: Distribution, lower: float, upper: float) -> None:
    rows, truth = planted(family, lower, upper, 400, 2)
    ridge, prior = np.full(len(truth), 0.05), np.full(len(truth), 0.2)

    def objective(at: np.ndarray) -> tuple[float, np.ndarray]:
        loss, gradient = loss_and_gradient(family, rows, at, lower=lower, upper=upper)
        return loss[0] + 0.5 * np.sum(ridge * np.square(at - prior)), gradient[0] + ridge * (at - prior)

    theirs = optimize.minimize(objective, np.zeros(len(truth)), jac=True, method="BFGS", options={"gtol": 1e-8})
    ours = fit_regressions(
        family, rows, np.zeros(len(truth)), lower=lower, upper=upper, prior=prior, penalty=ridge, tolerance=1e-12
    )
    assert ours.loss[0] == pytest.approx(theirs.fun, rel=1e-7)
    np.testing.assert_allclose(ours.coefficients[0], theirs.x, atol=1e-3)


def test_many_problems_are_solved_as_one_by_one_whatever_the_threads() -> None:
    parts = [planted("logistic", -0.5, INF, 50 + 10 * seed, seed)[0] for seed in range(9)]
    first = np.cumsum([0] + [len(part.observed) for part in parts])
    joined = Rows(
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("observed", "location", "log_scale", "weight")
        ),
        first,
    )
    together = fit_regressions("logistic", joined, np.zeros(5), lower=-0.5, threads=1)
    threaded = fit_regressions("logistic", joined, np.zeros(5), lower=-0.5, threads=3)
    np.testing.assert_array_equal(together.coefficients, threaded.coefficients)
    for index, part in enumerate(parts):
        alone = fit_regressions("logistic", part, np.zeros(5), lower=-0.5)
        np.testing.assert_array_equal(together.coefficients[index], alone.coefficients[0])


def test_weight_two_counts_as_two_cases_and_weight_zero_as_none() -> None:
    rows, _ = planted("normal", -INF, INF, 60, 3)
    twice = [np.concatenate([array, array[:20]]) for array in (rows.observed, rows.location, rows.log_scale)]
    weighted = Rows(rows.observed, rows.location, rows.log_scale, np.repeat([2.0, 1.0], [20, 40]), rows.first)
    doubled = fit_regressions("normal", Rows.one_problem(*twice), np.zeros(5))
    np.testing.assert_allclose(
        fit_regressions("normal", weighted, np.zeros(5)).coefficients, doubled.coefficients, atol=1e-4
    )
    kept = [array[:40] for array in (rows.observed, rows.location, rows.log_scale)]
    ignored = Rows(rows.observed, rows.location, rows.log_scale, np.repeat([1.0, 0.0], [40, 20]), rows.first)
    expected = fit_regressions("normal", Rows.one_problem(*kept), np.zeros(5)).coefficients
    np.testing.assert_array_equal(fit_regressions("normal", ignored, np.zeros(5)).coefficients, expected)


def test_a_strong_ridge_keeps_the_prior_and_no_weight_keeps_the_start() -> None:
    rows, _ = planted("normal", -INF, INF, 60, 4)
    prior = np.array([1.0, 2.0, 3.0, 0.5, 0.25])
    held = fit_regressions("normal", rows, np.zeros(5), prior=prior, penalty=np.full(5, 1e6))
    np.testing.assert_allclose(held.coefficients[0], prior, atol=1e-4)
    nothing = Rows(rows.observed, rows.location, rows.log_scale, np.zeros(60), rows.first)
    np.testing.assert_array_equal(fit_regressions("normal", nothing, prior).coefficients[0], prior)


def test_a_warm_start_at_the_solution_takes_no_step() -> None:
    rows, _ = planted("shifted_gamma", -0.5, INF, 500, 5)
    cold = fit_regressions("shifted_gamma", rows, np.zeros(6), lower=-0.5)
    warm = fit_regressions("shifted_gamma", rows, cold.coefficients, lower=-0.5, tolerance=1e-7)
    assert warm.steps[0] <= 1 < cold.steps[0]


def test_flat_and_repeated_regressors_do_no_harm() -> None:
    rows, _ = planted("normal", -INF, INF, 300, 6)
    x = np.column_stack([rows.location, rows.location[:, 1], np.zeros(300)])
    wide = fit_regressions("normal", Rows.one_problem(rows.observed, x, rows.log_scale), np.zeros(7))
    plain = fit_regressions("normal", rows, np.zeros(5))
    assert np.isfinite(wide.coefficients).all()
    assert wide.loss[0] == pytest.approx(plain.loss[0], rel=1e-6)


def test_a_perfect_forecast_gets_the_smallest_scale_there_is() -> None:
    x = np.column_stack([np.ones(50), np.linspace(-1, 1, 50)])
    fit = fit_regressions("normal", Rows.one_problem(x[:, 1].copy(), x, np.ones((50, 1))), np.zeros(3))
    assert fit.loss[0] < 1e-3
    np.testing.assert_allclose(fit.coefficients[0, :2], [0, 1], atol=1e-3)


@pytest.mark.parametrize(("family", "lower", "upper"), FAMILIES)
def test_quantiles_rise_stay_within_limits_and_sleep_where_a_parameter_is_missing(
    family: Distribution, lower: float, upper: float
) -> None:
    location, log_scale = np.array([0.3, -9.0, 4.0, np.nan]), np.array([-0.5, 0.4, -3.0, 0.0])
    quantiles = regression_quantiles(family, location, log_scale, LEVELS, log_shift=-1.0, lower=lower, upper=upper)
    assert quantiles.shape == (4, len(LEVELS))
    assert (np.diff(quantiles[:3], axis=-1) >= 0).all()
    assert (quantiles[:3] >= lower).all()
    assert (quantiles[:3] <= upper).all()
    assert np.isnan(quantiles[3]).all()


@pytest.mark.parametrize(("family", "lower", "upper"), FAMILIES)
def test_draws_fall_below_each_quantile_as_often_as_it_says(family: Distribution, lower: float, upper: float) -> None:
    rng = np.random.default_rng(7)
    location, log_scale = np.full(20_000, 0.4), np.full(20_000, -0.5)
    drawn = draw(family, location, log_scale, rng, lower, upper)
    quantiles = regression_quantiles(
        family, location[:1], log_scale[:1], LEVELS, log_shift=-1.0, lower=lower, upper=upper
    )[0]
    for level, quantile in zip(LEVELS, quantiles, strict=True):
        if lower < quantile < upper:
            assert np.mean(drawn <= quantile) == pytest.approx(level, abs=0.012)


def test_inverse_of_a_covariance_agrees_with_numpy() -> None:
    factor = np.random.default_rng(8).normal(size=(6, 6))
    matrix = factor @ factor.T + np.eye(6)
    np.testing.assert_allclose(invert(matrix), np.linalg.inv(matrix), atol=1e-10)
    assert coefficient_count("normal", 2, 3) == 5
    assert coefficient_count("shifted_gamma", 2, 3) == 6
