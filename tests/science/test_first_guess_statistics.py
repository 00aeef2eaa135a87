"""The first guess finds biases, spreads and tails that were planted, and is made of nothing that came later."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from skyproof.domain.cases import Cases
from skyproof.domain.quantiles import LEVEL_ARRAY
from skyproof.science.first_guess import (
    FirstGuess,
    apply_first_guess,
    guess_quantiles,
    walk_first_guess,
    with_first_guess,
)
from skyproof.science.recent import with_recent
from tests.science.engine_cases import DAY, HOUR, START, make_cases

_LATE = slice(100, None)


def said_and_seen(
    *, issues: int = 250, sites: int = 3, members: int = 1, seed: int = 1, spread: float | str = 1.0
) -> tuple[Cases, np.ndarray]:
    """One ensemble whose every draw and the observation differ from the same mean by ``spread``; ``calm`` on odd days."""
    chance = np.random.default_rng(seed)
    shape = (issues, 1, sites)
    mean = chance.normal(10, 4, shape)
    size = np.full(shape, 1.0 if isinstance(spread, str) else spread)
    if spread == "calm":
        size[::2], size[1::2] = 2.0, 0.5
    said = mean[..., None] + size[..., None] * chance.normal(0, 1, (*shape, members))
    return make_cases(mean + size * chance.normal(0, 1, shape), members={"alba": said}), size


def guess_of(cases: Cases, settled: int = 20) -> FirstGuess:
    return walk_first_guess(with_recent(cases), settled=settled)


def test_quantiles_of_a_normal_shape_are_the_location_and_so_many_scales() -> None:
    # 240 bins, a uniform on the two in the middle: the quartiles lie half a bin from the location.
    shape = np.zeros((1, 1, 240))
    shape[0, 0, 119:121] = 0.5
    half = np.sinh(3 / 120) / 2
    guess = FirstGuess(np.array([[[10.0]]]), np.array([[[2.0]]]), shape, np.array([0]))
    quartiles = guess_quantiles(guess, np.array([0.25, 0.5, 0.75]))[0, 0, 0]
    np.testing.assert_allclose(quartiles, [10 - 2 * half, 10, 10 + 2 * half], atol=1e-6)


def test_before_anything_arrived_the_shape_is_normal() -> None:
    cases, _ = said_and_seen(issues=5)
    guess = replace(guess_of(cases), location=np.zeros((5, 1, 3)), scale=np.ones((5, 1, 3)))
    first = guess_quantiles(guess, LEVEL_ARRAY)[0, 0, 0]
    np.testing.assert_allclose(first, stats.norm.ppf(LEVEL_ARRAY), atol=0.01)


def test_a_bias_of_every_site_is_taken_off() -> None:
    cases, _ = said_and_seen(spread=0.5)
    bias = np.array([-2.0, 0.5, 3.0], dtype=np.float32)
    biased = replace(cases, members={"alba": cases.members["alba"] + bias[:, None]})
    error = (guess_of(biased).location - cases.observed)[_LATE]
    assert np.abs(error.mean(axis=(0, 1))).max() < 0.25
    assert error.std() < 1.1 * np.std((cases.members["alba"][..., 0] - cases.observed)[_LATE])


def test_the_scale_follows_an_ensemble_that_knows_calm_days_from_wild_ones() -> None:
    cases, size = said_and_seen(members=20, spread="calm")
    guess = guess_of(cases)
    standard = ((cases.observed - guess.location) / guess.scale)[_LATE]
    wild = size[_LATE] > 1
    # What is added before a logarithm is taken keeps scales a little wide; the shape takes that back.
    assert 0.6 < np.var(standard) < 1.2
    assert 0.6 < np.var(standard[~wild]) / np.var(standard[wild]) < 1.6
    assert guess.scale[_LATE][size[_LATE] > 1].mean() > 2 * guess.scale[_LATE][size[_LATE] < 1].mean()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_four_of_five_observations_lie_in_the_interval_for_four_of_five(seed: int) -> None:
    # 450 late cases: a binomial standard error of 2 %, and the guess still learns.
    cases, size = said_and_seen(members=20, spread="calm", seed=seed)
    low, high = np.moveaxis(guess_quantiles(guess_of(cases), np.array([0.1, 0.9])), -1, 0)
    inside = ((cases.observed >= low) & (cases.observed <= high))[_LATE]
    assert inside.mean() == pytest.approx(0.8, abs=0.06)
    for chosen in (size[_LATE] > 1, size[_LATE] < 1):
        assert inside[chosen].mean() == pytest.approx(0.8, abs=0.1)


def test_the_shape_follows_heavy_tails() -> None:
    chance = np.random.default_rng(5)
    cases, _ = said_and_seen(issues=300, sites=6, spread=0.0)
    tails = {}
    for name, draws in (("heavy", chance.standard_t(2.2, (300, 1, 6))), ("normal", chance.normal(0, 1, (300, 1, 6)))):
        guess = guess_of(replace(cases, observed=(cases.observed + draws).astype(np.float32)))
        unit = replace(guess, location=np.zeros(guess.location.shape), scale=np.ones(guess.scale.shape))
        quantiles = guess_quantiles(unit, np.array([0.05, 0.25, 0.75, 0.95]))[-1, 0, 0]
        tails[name] = (quantiles[3] - quantiles[0]) / (quantiles[2] - quantiles[1])
    exact = stats.norm.ppf(0.95) / stats.norm.ppf(0.75)
    assert tails["normal"] == pytest.approx(exact, abs=0.35)
    assert tails["heavy"] > tails["normal"] + 0.4


@pytest.mark.parametrize("with_members", [True, False])
def test_what_arrives_or_is_said_after_an_issue_time_changes_no_guess_of_it(with_members: bool) -> None:
    chance = np.random.default_rng(6)
    cases, _ = said_and_seen(issues=60)
    cases = replace(cases, predictors={"wind": chance.normal(5, 2, (60, 1, 3)).astype(np.float32)})
    if not with_members:
        cases = replace(cases, members={})
    issue = 30
    known = cases.known(cases.issue_times[issue])
    members = {name: np.where(np.arange(60)[:, None, None, None] > issue, 99, v) for name, v in cases.members.items()}
    wind = np.where(np.arange(60)[:, None, None] > issue, np.float32(-40), cases.predictors["wind"])
    later = replace(
        cases, observed=np.where(known, cases.observed, np.float32(999)), members=members, predictors={"wind": wind}
    )
    before, after = (with_first_guess(each, settled=20) for each in (cases, later))
    for name in ("location", "scale", "shape"):
        first, second = getattr(before[1], name), getattr(after[1], name)
        # Guesses of the first issue times know the units that settle with the 20th.
        np.testing.assert_array_equal(first[: issue + 1], second[: issue + 1], err_msg=name)
    for name, values in before[0].recent.items():
        np.testing.assert_array_equal(values[: issue + 1], after[0].recent[name][: issue + 1], err_msg=name)


def test_a_source_that_is_never_there_changes_little() -> None:
    cases, _ = said_and_seen(issues=120)
    silent = replace(cases, members={**cases.members, "corvus": np.full_like(cases.members["alba"], np.nan)})
    alone, beside = guess_of(cases).location[60:], guess_of(silent).location[60:]
    assert np.isfinite(beside).all()
    assert np.sqrt(np.mean(np.square(beside - cases.observed[60:]))) < 1.05 * np.sqrt(
        np.mean(np.square(alone - cases.observed[60:]))
    )


def test_one_site_and_one_lead_are_enough() -> None:
    cases, _ = said_and_seen(issues=80, sites=1)
    guess = guess_of(cases)
    assert np.isfinite(guess.location[1:]).all()
    assert np.isfinite(guess.scale).all()
    assert (guess.scale > 0).all()


def test_a_bounded_quantity_that_only_features_tell_of_is_followed_through_its_bends() -> None:
    # A power curve: nothing below 4 m/s, rated from 12 m/s on, a straight line between.
    chance = np.random.default_rng(7)
    east, north = chance.normal(0, 6, (2, 200, 1, 4))
    power = np.clip((np.hypot(east, north) - 4) / 8, 0, 1) * 100
    cases = make_cases(
        power + chance.normal(0, 1, power.shape),
        predictors={"u10": east, "v10": north},
        variable="relative_humidity_2m",
    )
    cases, guess = with_first_guess(cases, settled=40)
    error = (guess.location - power)[_LATE]
    assert np.sqrt(np.mean(np.square(error))) < 0.3 * power.std()
    late = cases.recent["guess"][_LATE]
    assert late.min() >= 0
    assert late.max() <= 100


def test_six_and_eighteen_hours_are_told_apart() -> None:
    # Their cosines are the same: a quantity that is high at 18 UTC and low at 6 UTC needs the sine.
    chance = np.random.default_rng(8)
    late = chance.random(120) < 0.5
    evening = np.where(late, 5.0, -5.0)[:, None, None] + np.zeros((120, 1, 2))
    cases = make_cases(
        evening + chance.normal(0, 0.5, evening.shape),
        members={"alba": chance.normal(0, 0.1, evening.shape)},
        issue_times=START + np.where(late, 18, 6) * HOUR + np.arange(120) * DAY,
    )
    wrong = guess_of(cases).location[60:] - evening[60:]
    assert np.sqrt(np.mean(np.square(wrong))) < 1


def test_a_single_later_run_goes_on_from_a_walk_over_several_hours() -> None:
    chance = np.random.default_rng(9)
    observed = chance.normal(10, 2, (60, 1, 2))
    cases = make_cases(
        observed,
        members={"alba": observed + chance.normal(0, 1, observed.shape)},
        issue_times=START + np.arange(60) * 12 * HOUR,
    )
    cases, guess = with_first_guess(cases, settled=20)
    applied = apply_first_guess(cases.take(slice(-1, None)), guess.state)
    np.testing.assert_allclose(applied.location, guess.location[-1:], rtol=1e-5)
    np.testing.assert_allclose(applied.scale, guess.scale[-1:], rtol=1e-5)


def test_the_guess_is_remembered_like_a_source() -> None:
    cases, guess = with_first_guess(said_and_seen(issues=40)[0], settled=10)
    names = {"guess", "guess_scale", "error_last:guess", "error_fast:guess", "error_slow:guess"}
    assert names <= set(cases.recent)
    wanted = cases.observed[19, 0] - guess.location[19, 0].astype(np.float32)
    np.testing.assert_allclose(cases.recent["error_last:guess"][20, 0], wanted, atol=1e-5)
    assert (cases.issue_times[20] - cases.issue_times[19]) == DAY
