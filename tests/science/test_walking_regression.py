"""Regression that walks: against ridge written out on the pairs known, and it finds, follows and pools what was planted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from skyproof.science import online_regression
from skyproof.science.online_regression import Walk, group_leads, plan_walk, walk_regression
from tests.science.engine_cases import DAY, HOUR, START

Floats = NDArray[Any]


def daily_walk(issues: int, leads: tuple[int, ...] = (24,), *, delay_hours: float = 0.0) -> Walk:
    times = START + np.arange(issues) * DAY
    arrived = times[:, None] + np.array(leads) * HOUR + np.timedelta64(round(delay_hours * 3600), "s")
    return plan_walk(arrived, times)


def predict(design: Floats, target: Floats, walk: Walk, *, penalty: Floats, per_site: bool = True) -> Floats:
    return walk_regression(design, target, walk, penalty=penalty, per_site=per_site).prediction


def planted(issues: int, leads: int, sites: int, *, noise: float = 0.1, seed: int = 1) -> tuple[Floats, Floats]:
    """A design (constant and two terms), and the target 1 + 2 a - 3 b with noise."""
    chance = np.random.default_rng(seed)
    design = np.concatenate(
        [np.ones((issues, leads, sites, 1)), chance.normal(0, 1, (issues, leads, sites, 2))], axis=-1
    )
    return design, design @ np.array([1.0, 2.0, -3.0]) + chance.normal(0, noise, (issues, leads, sites))


@pytest.fixture
def one_candidate(monkeypatch: pytest.MonkeyPatch) -> tuple[float, float]:
    """A single half life and strength, so that nothing is averaged."""
    half_life, strength = 10.0, 3.0
    monkeypatch.setattr(online_regression, "HALF_LIVES_DAYS", (half_life,))
    monkeypatch.setattr(online_regression, "STRENGTHS_DAYS", (strength,))
    return half_life, strength


def ridge(rows: Floats, values: Floats, weights: Floats, hold: Floats, centre: Floats | float = 0.0) -> Floats:
    """Least squares of weighted rows with pseudo-observations that hold the coefficients at ``centre``."""
    root = np.sqrt(weights)[:, None]
    stacked = np.concatenate([root * rows, np.diag(np.sqrt(hold))])
    wanted = np.concatenate([root[:, 0] * values, np.sqrt(hold) * centre])
    return np.linalg.lstsq(stacked, wanted, rcond=None)[0]


def test_the_walk_gives_each_pair_to_the_first_issue_time_that_knows_it() -> None:
    # Daily issue times, 24 and 30 hours ahead: what was said on day 0 arrives on day 1, and on day 2.
    walk = daily_walk(4, (24, 30))
    pairs = [list(zip(*map(list, arrived), strict=True)) for arrived in walk.arrivals]
    assert pairs == [[], [(0, 0)], [(0, 1), (1, 0)], [(1, 1), (2, 0)]]
    np.testing.assert_array_equal(walk.days, [0, 1, 2, 3])


def test_a_late_observation_makes_its_pair_arrive_later() -> None:
    assert [len(arrived[0]) for arrived in daily_walk(4, delay_hours=0.0).arrivals] == [0, 1, 1, 1]
    assert [len(arrived[0]) for arrived in daily_walk(4, delay_hours=1.0).arrivals] == [0, 0, 1, 1]


def test_leads_are_grouped_with_their_neighbours_and_each_is_its_own_while_few() -> None:
    np.testing.assert_array_equal(group_leads(3), [0, 1, 2])
    np.testing.assert_array_equal(group_leads(8, most=4), [0, 0, 1, 1, 2, 2, 3, 3])
    for count in (1, 5, 8, 9, 40, 41):
        group = group_leads(count)
        assert set(np.diff(group)) <= {0, 1}
        assert group[0] == 0
        assert group[-1] == min(count, 8) - 1
        assert np.ptp(np.bincount(group)) <= 1


def test_the_mean_of_what_arrived_by_hand(one_candidate: tuple[float, float]) -> None:
    # A free constant and nothing to forget but a factor 0.5^(1/10) a day: the mean of 4 and 8 leans to 8.
    target = np.array([4.0, 8.0, 0.0])[:, None, None]
    said = predict(np.ones((3, 1, 1, 1)), target, daily_walk(3), penalty=np.zeros(1))[:, 0, 0]
    keep = 0.5**0.1
    assert np.isnan(said[0])
    assert said[1] == pytest.approx(4.0, abs=1e-4)
    assert said[2] == pytest.approx((8 + keep * 4) / (1 + keep), abs=1e-4)


@pytest.mark.parametrize("delay_hours", [0.0, 30.0])
def test_one_group_equals_ridge_on_the_pairs_known(one_candidate: tuple[float, float], delay_hours: float) -> None:
    half_life, strength = one_candidate
    penalty = np.array([0.5, 1.0, 2.0])
    design, target = planted(30, 1, 4)
    target[np.random.default_rng(5).random(target.shape) < 0.2] = np.nan
    walk = daily_walk(30, delay_hours=delay_hours)
    said = predict(design, target, walk, penalty=penalty, per_site=False)
    first_known = 1 + int(np.ceil(delay_hours / 24))
    assert np.isnan(said[:first_known]).all()
    for issue in range(first_known, 30):
        rows, values, weights = [], [], []
        # It fades from the day of its arrival on, and all sites of a day count as one.
        for earlier in range(issue - first_known + 1):
            use = np.isfinite(target[earlier, 0])
            rows.append(design[earlier, 0, use])
            values.append(target[earlier, 0, use])
            age = issue - (earlier + first_known)
            weights.append(np.full(use.sum(), 0.5 ** (age / half_life) / max(use.sum(), 1)))
        joined = [np.concatenate(each) for each in (rows, values, weights)]
        hold = strength * penalty + 1e-6
        pooled = ridge(*joined, hold)
        wanted = design[issue, 0] @ ridge(*joined, hold, centre=pooled)
        np.testing.assert_allclose(said[issue, 0], wanted, atol=2e-5)


def test_sites_are_held_at_what_all_have_in_common(one_candidate: tuple[float, float]) -> None:
    half_life, strength = one_candidate
    penalty = np.array([0.5, 1.0, 2.0])
    design, target = planted(20, 1, 3)
    target += np.array([-4.0, 0.0, 4.0])
    target[:, :, 2] = np.nan
    pooled = predict(design, target, daily_walk(20), penalty=penalty, per_site=False)
    said = predict(design, target, daily_walk(20), penalty=penalty)
    # A site that never reported gets what the others share.
    np.testing.assert_allclose(said[1:, 0, 2], pooled[1:, 0, 2], atol=1e-5)
    # The other two: ridge of the site's own pairs around the shared coefficients, held four times as hard and a day more.
    weights = 0.5 ** (np.arange(18, -1, -1) / half_life)
    everyone = np.concatenate(design[:19, 0, :2]), np.concatenate(target[:19, 0, :2]), np.repeat(weights / 2, 2)
    hold = strength * penalty + 1e-6
    shared = ridge(*everyone, hold, centre=ridge(*everyone, hold))
    for site in range(2):
        own = ridge(design[:19, 0, site], target[:19, 0, site], weights, 4 * strength * penalty + 4, centre=shared)
        assert said[19, 0, site] == pytest.approx(design[19, 0, site] @ own, abs=2e-5)


def test_a_relation_that_was_planted_is_found_again() -> None:
    design, target = planted(150, 2, 3)
    said = predict(design, target, daily_walk(150, (24, 48)), penalty=np.ones(3))
    late = slice(100, None)
    assert np.sqrt(np.mean(np.square(said[late] - target[late]))) < 0.15
    assert np.std(target[late]) > 3


def test_a_site_with_a_bias_of_its_own_gets_it() -> None:
    design, target = planted(120, 1, 4)
    bias = np.array([-3.0, -1.0, 1.0, 3.0])
    walk = daily_walk(120)
    own = predict(design, target + bias, walk, penalty=np.array([0.05, 1.0, 1.0]))[60:]
    shared = predict(design, target + bias, walk, penalty=np.array([0.05, 1.0, 1.0]), per_site=False)[60:]
    wanted = (target + bias)[60:]
    assert np.abs(np.mean(own - wanted, axis=(0, 1))).max() < 0.5
    np.testing.assert_allclose(np.mean(shared - wanted, axis=(0, 1)), -bias, atol=0.5)


def test_after_a_change_the_old_relation_is_forgotten() -> None:
    chance = np.random.default_rng(2)
    target = np.where(np.arange(200) < 120, 10.0, -10.0)[:, None, None] + chance.normal(0, 1, (200, 1, 1))
    said = predict(np.ones((200, 1, 1, 1)), target, daily_walk(200), penalty=np.array([0.05]))[:, 0, 0]
    assert said[119] == pytest.approx(10, abs=1)
    assert said[122] > 0
    assert said[199] == pytest.approx(-10, abs=1)


def test_a_free_relation_is_found_by_many_days_and_not_by_a_few() -> None:
    # 20 terms and noise: after ten days shrinkage must have kept the forecast sane, after 300 it is sharp.
    chance = np.random.default_rng(3)
    design = np.concatenate([np.ones((300, 1, 1, 1)), chance.normal(0, 1, (300, 1, 1, 19))], axis=-1)
    target = design[..., 1] + chance.normal(0, 1, (300, 1, 1))
    said = predict(design, target, daily_walk(300), penalty=np.ones(20))
    miss = np.square(said - target)[..., 0, 0]
    assert np.mean(miss[5:25]) < 3 * np.var(target)
    assert np.mean(miss[200:]) < 1.5


@pytest.mark.parametrize(("calm", "better"), [(True, 1000.0), (False, 2.0)])
def test_averaging_prefers_the_memory_that_did_better(
    monkeypatch: pytest.MonkeyPatch, calm: bool, better: float
) -> None:
    # A level that never moves is best remembered long, one that wanders is best forgotten fast.
    chance = np.random.default_rng(4)
    level = np.zeros(200) if calm else np.cumsum(chance.normal(0, 2, 200))
    target = (level + chance.normal(0, 1, 200))[:, None, None]
    said = {}
    for half_lives in ((2.0,), (1000.0,), (2.0, 1000.0)):
        monkeypatch.setattr(online_regression, "HALF_LIVES_DAYS", half_lives)
        monkeypatch.setattr(online_regression, "STRENGTHS_DAYS", (1.0,))
        said[half_lives] = predict(np.ones((200, 1, 1, 1)), target, daily_walk(200), penalty=np.ones(1))[100:]
    worse = 1002.0 - better
    joined = np.abs(said[2.0, 1000.0] - said[better,]).mean()
    assert joined < 0.2 * np.abs(said[2.0, 1000.0] - said[worse,]).mean()


def test_before_anything_was_scored_all_candidates_count_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    # One pair, 6: strengths of 1 and 2 days say 6/2 and 6/3; held to the shared answer once more they say more.
    target = np.array([6.0, 0.0])[:, None, None]
    monkeypatch.setattr(online_regression, "HALF_LIVES_DAYS", (1e9,))
    alone = []
    for strengths in ((1.0,), (2.0,), (1.0, 2.0)):
        monkeypatch.setattr(online_regression, "STRENGTHS_DAYS", strengths)
        said = predict(np.ones((2, 1, 1, 1)), target, daily_walk(2), penalty=np.ones(1))
        alone.append(said[1, 0, 0])
    np.testing.assert_allclose(alone, [6 * 3 / 4, 6 * 5 / 9, 6 * (3 / 4 + 5 / 9) / 2], atol=1e-4)


def test_a_case_without_a_finite_design_gets_no_prediction_and_teaches_nothing() -> None:
    design, target = planted(20, 1, 2)
    broken, odd = design.copy(), target.copy()
    broken[7, 0, 0], odd[7, 0, 0] = np.nan, np.nan
    said = predict(broken, odd, daily_walk(20), penalty=np.ones(3))
    assert np.isnan(said[7, 0, 0])
    odd[7, 0, 0] = 1e6
    again = predict(broken, odd, daily_walk(20), penalty=np.ones(3))
    np.testing.assert_array_equal(said, again)
    assert np.isfinite(said[8:]).all()


def test_what_has_not_arrived_changes_no_prediction() -> None:
    design, target = planted(25, 3, 2)
    walk = daily_walk(25, (12, 24, 60), delay_hours=3.0)
    said = predict(design, target, walk, penalty=np.ones(3))
    for issue in (1, 7, 24):
        unseen = np.ones(target.shape, dtype=bool)
        for earlier, lead in walk.arrivals[: issue + 1]:
            unseen[earlier, lead] = False
        later = predict(design, np.where(unseen, 1e4, target), walk, penalty=np.ones(3))
        np.testing.assert_array_equal(said[: issue + 1], later[: issue + 1])
