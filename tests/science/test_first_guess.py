"""The first guess: out of sample at every issue time, and taken on from where its walk ended."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from skyproof.domain.cases import Cases, Place
from skyproof.domain.quantiles import LEVEL_ARRAY
from skyproof.domain.variables import find_variable
from skyproof.science.first_guess import apply_first_guess, guess_quantiles, with_first_guess

_ISSUES, _LEADS, _SETTLED = 60, (6, 12, 30), 20


def make_cases(*, sources: bool = True, sites: int = 9, seed: int = 3) -> Cases:
    """Two sources with biases; or none, and a quantity that is a bent line in a predictor."""
    chance = np.random.default_rng(seed)
    shape = (_ISSUES, len(_LEADS), sites)
    wind = chance.gamma(4, 2, shape).astype(np.float32)
    observed = 12 + 4 * chance.normal(size=shape) if sources else np.clip(wind - 4, 0, 8) + chance.normal(0, 0.3, shape)
    members = {
        "alba": observed[..., None] + 1.5 + chance.normal(0, 1.0, (*shape, 5)),
        "corvus": observed[..., None] - 0.5 + chance.normal(0, 1.5, (*shape, 1)),
    }
    return Cases(
        find_variable("temperature_2m"),
        np.datetime64("2026-01-01T00:00:00", "s") + np.arange(_ISSUES) * np.timedelta64(86_400, "s"),
        _LEADS,
        tuple(Place(f"s{number}", 47.0, 8.0, 400.0) for number in range(sites)),
        {name: values.astype(np.float32) for name, values in members.items()} if sources else {},
        {"wind": wind},
        observed.astype(np.float32),
    )


@pytest.mark.parametrize("sources", [True, False])
def test_going_on_from_the_walks_end_gives_its_last_guess(*, sources: bool) -> None:
    cases, guess = with_first_guess(make_cases(sources=sources), settled=_SETTLED)
    last = cases.take(slice(-1, None))
    applied = apply_first_guess(last, {name: np.array(values) for name, values in guess.state.items()})
    np.testing.assert_allclose(applied.location, guess.location[-1:], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(applied.scale, guess.scale[-1:], rtol=1e-5)
    np.testing.assert_array_equal(applied.shape, guess.shape[-1:])
    quantiles = guess_quantiles(applied, LEVEL_ARRAY)
    np.testing.assert_allclose(quantiles, guess_quantiles(guess, LEVEL_ARRAY)[-1:], rtol=1e-4, atol=1e-4)


def test_going_on_looks_at_no_observation_and_at_no_other_issue_time() -> None:
    cases, guess = with_first_guess(make_cases(), settled=_SETTLED)
    whole = apply_first_guess(cases, guess.state)
    blind = apply_first_guess(replace(cases, observed=np.full_like(cases.observed, np.nan)), guess.state)
    np.testing.assert_array_equal(blind.location, whole.location)
    one = apply_first_guess(cases.take(slice(30, 31)), guess.state)
    np.testing.assert_array_equal(one.location, whole.location[30:31])
    np.testing.assert_array_equal(one.scale, whole.scale[30:31])


def test_a_source_gone_leaves_a_guess_and_all_gone_none() -> None:
    cases, guess = with_first_guess(make_cases(), settled=_SETTLED)
    last = cases.take(slice(-1, None))
    gone = {name: np.full_like(values, np.nan) for name, values in last.members.items()}
    without = apply_first_guess(replace(last, members={**last.members, "corvus": gone["corvus"]}), guess.state)
    assert np.isfinite(without.location).all()
    assert np.isnan(apply_first_guess(replace(last, members=gone), guess.state).location).all()


def test_the_guess_is_better_than_the_sources_mean_and_its_scale_fits_its_error() -> None:
    cases, guess = with_first_guess(make_cases(), settled=_SETTLED)
    late = slice(_SETTLED, None)
    error = (guess.location - cases.observed)[late]
    mean = np.mean([members.mean(axis=-1) for members in cases.members.values()], axis=0)
    assert np.sqrt(np.square(error).mean()) < 0.8 * np.sqrt(np.square(mean - cases.observed)[late].mean())
    assert 0.85 < np.sqrt(np.mean(np.square(error / guess.scale[late]))) < 1.15


def test_a_bend_is_learned_where_no_source_forecasts_the_quantity() -> None:
    cases, guess = with_first_guess(make_cases(sources=False), settled=_SETTLED)
    error = (guess.location - cases.observed)[_SETTLED:]
    assert np.sqrt(np.square(error).mean()) < 0.5
