"""Closed forms against scoringrules, scipy and numerical integration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scoringrules
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from skyproof.domain.quantiles import LEVEL_ARRAY
from skyproof.science import distributions as d

Case = tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any], tuple[float, ...]]
CASES: dict[str, Case] = {
    "normal": (d.gaussian_crps, d.gaussian_cdf, d.gaussian_quantiles, (1.3, 2.1)),
    "truncated": (d.truncated_crps, d.truncated_cdf, d.truncated_quantiles, (1.3, 2.1)),
    "truncated below zero": (d.truncated_crps, d.truncated_cdf, d.truncated_quantiles, (-2.0, 1.1)),
    "gamma": (d.shifted_gamma_crps, d.shifted_gamma_cdf, d.shifted_gamma_quantiles, (2.0, 1.5, 0.7)),
    "mostly dry gamma": (d.shifted_gamma_crps, d.shifted_gamma_cdf, d.shifted_gamma_quantiles, (0.5, 0.9, 0.6)),
}
each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def test_crps_of_the_standard_normal_at_its_centre_by_hand() -> None:
    # 2 phi(0) - 1 / sqrt(pi) = 0.797885 - 0.564190.
    assert d.gaussian_crps(np.array(0.0), np.array(0.0), np.array(1.0)) == pytest.approx(0.233695, abs=1e-6)


def test_crps_of_a_dry_day_by_hand() -> None:
    # Exponential of mean 1 moved down by 1: F(x) = 1 - exp(-1 - x), so the integral of (1 - F)^2 is exp(-2) / 2.
    found = d.shifted_gamma_crps(np.array(0.0), np.array(1.0), np.array(1.0), np.array(1.0))
    assert found == pytest.approx(np.exp(-2) / 2, abs=1e-12)


@each_case
@pytest.mark.parametrize("observed", [0.0, 0.4, 3.0])
def test_crps_is_the_integral_of_squared_differences(case: Case, observed: float) -> None:
    crps, cdf, _, parameters = case
    arguments = [np.array(value) for value in parameters]
    lowest = -40.0 if cdf is d.gaussian_cdf else 0.0
    below = integrate.quad(lambda x: float(cdf(np.array(x), *arguments)) ** 2, lowest, observed)[0]
    above = integrate.quad(lambda x: (1 - float(cdf(np.array(x), *arguments))) ** 2, observed, 60.0, limit=200)[0]
    assert crps(np.array(observed), *arguments) == pytest.approx(below + above, abs=1e-6)


@each_case
def test_distribution_function_undoes_quantiles(case: Case) -> None:
    _, cdf, quantiles, parameters = case
    arguments = [np.array(value) for value in parameters]
    found = quantiles(*arguments, LEVEL_ARRAY)
    probability = cdf(found, *arguments)
    inside = found > 0 if cdf is not d.gaussian_cdf else np.ones(21, dtype=bool)
    assert probability[inside] == pytest.approx(LEVEL_ARRAY[inside], abs=2e-4)
    assert (probability[~inside] >= LEVEL_ARRAY[~inside] - 2e-4).all()
    assert (np.diff(found) >= 0).all()


def test_normal_and_truncated_crps_agree_with_scoringrules() -> None:
    rng = np.random.default_rng(3)
    observed, location, scale = np.abs(rng.normal(size=200)) * 3, rng.normal(size=200) * 2 + 1, rng.uniform(0.8, 3, 200)
    assert d.gaussian_crps(observed, location, scale) == pytest.approx(
        scoringrules.crps_normal(observed, location, scale)
    )
    # Where the location lies many scales below zero, their form loses digits sooner than ours; the integral is the judge there.
    location = np.maximum(location, -2 * scale)
    theirs = scoringrules.crps_tnormal(observed, location, scale, lower=0.0)
    assert d.truncated_crps(observed, location, scale) == pytest.approx(theirs, abs=1e-7)


def test_shifted_gamma_crps_agrees_with_scoringrules() -> None:
    rng = np.random.default_rng(4)
    observed = np.maximum(rng.gamma(0.8, 3, 200) - 2, 0)
    mean, sd, shift = rng.uniform(0.3, 6, 200), rng.uniform(0.4, 4, 200), rng.uniform(0.05, 2, 200)
    shape, rate = np.square(mean / sd), mean / np.square(sd)
    theirs = scoringrules.crps_csg0(observed, shape=shape, rate=rate, shift=shift)
    assert d.shifted_gamma_crps(observed, mean, sd, shift) == pytest.approx(theirs, abs=1e-9)


def test_truncated_quantiles_agree_with_scipy() -> None:
    location, scale = np.array([4.0, 0.2, -3.0]), np.array([1.0, 2.0, 1.0])
    theirs = stats.truncnorm.ppf(LEVEL_ARRAY, (-location / scale)[:, None], np.inf, location[:, None], scale[:, None])
    assert d.truncated_quantiles(location, scale, LEVEL_ARRAY) == pytest.approx(theirs, abs=1e-8)


@given(st.floats(0.01, 50), st.floats(0.02, 20), st.floats(0, 20))
def test_shifted_gamma_quantiles_agree_with_scipy_for_all_parameters(
    mean: float, variation: float, shift: float
) -> None:
    sd = mean * variation
    shape, scale = (mean / sd) ** 2, sd**2 / mean
    theirs = np.maximum(stats.gamma.ppf(LEVEL_ARRAY, shape, scale=scale) - shift, 0)
    found = d.shifted_gamma_quantiles(np.array(mean), np.array(sd), np.array(shift), LEVEL_ARRAY)
    assert found == pytest.approx(theirs, rel=1e-3, abs=2e-3 * (mean + sd + shift))
