"""Scenarios: margins kept, order of the template followed, sums of portfolios calibrated where sums of quantiles are not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from skyproof.domain.quantiles import INDEX_P10, INDEX_P90, LEVEL_ARRAY
from skyproof.science.scenarios import (
    carry_ranks,
    choose_trajectories,
    deal_out,
    ensemble_template,
    history_template,
    independent_scenarios,
    member_levels,
    mid_ranks,
    scenario_quantiles,
    scenarios_from_template,
    weighted_sum,
)

VARIABLES = ("temperature_2m", "precipitation")
SITES = ("a", "b", "c")


def normal_quantiles(mean, spread):
    return np.asarray(mean)[..., None] + np.asarray(spread)[..., None] * stats.norm.ppf(LEVEL_ARRAY)


def some_quantiles(leads=4, seed=1):
    chance = np.random.default_rng(seed)
    shape = (len(VARIABLES), len(SITES), leads)
    return normal_quantiles(chance.normal(10, 5, shape), chance.uniform(1, 3, shape))


def draw(quantiles, template, members, seed="run_1", sites=SITES):
    return scenarios_from_template(quantiles, template, members=members, seed=seed, variables=VARIABLES, site_ids=sites)


def test_mid_ranks_by_hand_with_ties_and_gaps():
    values = np.array([[3.0, 1.0, 2.0, 4.0], [0.0, 0.0, 5.0, 0.0], [2.0, np.nan, 1.0, np.nan]])
    expected = [[0.625, 0.125, 0.375, 0.875], [0.375, 0.375, 0.875, 0.375], [0.75, np.nan, 0.25, np.nan]]
    np.testing.assert_allclose(mid_ranks(values), expected)


@given(seed=st.integers(0, 500), count=st.integers(1, 20))
def test_mid_ranks_are_those_of_scipy(seed, count):
    values = np.random.default_rng(seed).integers(0, 6, (3, count)).astype(float)
    np.testing.assert_allclose(mid_ranks(values), (stats.rankdata(values, axis=-1) - 0.5) / count, rtol=1e-6)


def test_ensemble_copula_coupling_by_hand():
    """Three members ordered b < c < a at one cell and a < b < c at the next: the quantiles are dealt out just so."""
    ensemble = np.array([[30.0, 10.0, 20.0], [1.0, 2.0, 3.0]])[None, None]
    template = ensemble_template([ensemble])
    quantiles = normal_quantiles(np.array([[[0.0, 100.0]]]), np.array([[[1.0, 1.0]]]))
    drawn = scenarios_from_template(quantiles, template, members=3, seed="r", variables=("v",), site_ids=("s",))[0, 0]
    own = stats.norm.ppf([1 / 6, 3 / 6, 5 / 6])
    # Which member follows which trajectory is drawn; the pairs of values are not.
    pairs = {(round(float(a), 4), round(float(b), 4)) for a, b in drawn.T}
    wanted = {(own[2], 100 + own[0]), (own[0], 100 + own[1]), (own[1], 100 + own[2])}
    assert pairs == {(round(float(np.float32(a)), 4), round(float(np.float32(b)), 4)) for a, b in wanted}


def test_members_of_a_full_ensemble_have_its_rank_correlation():
    chance = np.random.default_rng(2)
    common = chance.standard_normal((1, 1, 1, 40))
    ensemble = common + 0.5 * chance.standard_normal((2, 3, 4, 40))
    drawn = draw(some_quantiles(), ensemble_template([ensemble]), 40)
    theirs = stats.spearmanr(ensemble.reshape(-1, 40), axis=1).statistic
    ours = stats.spearmanr(drawn.reshape(-1, 40), axis=1).statistic
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_a_source_ranks_its_own_members_so_that_its_bias_is_no_dependence():
    chance = np.random.default_rng(3)
    one, other = chance.standard_normal((2, 3, 4, 12)), 1000 + chance.standard_normal((2, 3, 4, 8))
    template = ensemble_template([one, other])
    assert template.shape == (2, 3, 4, 20)
    # Pooled raw, the second source would hold all the upper ranks at every cell.
    assert abs(template[..., :12].mean() - 0.5) < 0.02
    drawn = draw(some_quantiles(), template, 20)
    correlation = np.corrcoef(drawn.reshape(-1, 20))
    assert abs(correlation[~np.eye(len(correlation), dtype=bool)].mean()) < 0.1


@given(members=st.integers(1, 60), seed=st.integers(0, 30))
def test_margins_are_the_forecast_whatever_the_number_of_members(members, seed):
    chance = np.random.default_rng(seed)
    template = ensemble_template([chance.standard_normal((2, 3, 4, 7)), chance.integers(0, 2, (2, 3, 4, 5)) * 1.0])
    quantiles = some_quantiles(seed=seed)
    drawn = draw(quantiles, template, members)
    assert drawn.shape == (2, 3, 4, members)
    centre, spread = quantiles[..., 10], (quantiles[..., 11] - quantiles[..., 10]) / stats.norm.ppf(0.55)
    wanted = centre[..., None] + spread[..., None] * stats.norm.ppf(member_levels(members))
    np.testing.assert_allclose(np.sort(drawn, axis=-1), wanted, atol=1e-4)


def test_quantiles_of_many_members_are_those_they_were_made_of():
    quantiles = some_quantiles()
    drawn = independent_scenarios(quantiles, members=2000, seed="r", variables=VARIABLES, site_ids=SITES)
    np.testing.assert_allclose(scenario_quantiles(drawn), quantiles, atol=2e-3)


def test_other_levels_make_the_same_members():
    levels = np.arange(1, 100) / 100
    fine = 3 + 2 * stats.norm.ppf(levels)[None]
    coarse = 3 + 2 * stats.norm.ppf(LEVEL_ARRAY)[None]
    order = np.random.default_rng(1).random((1, 30))
    np.testing.assert_allclose(deal_out(fine, order, levels=levels), deal_out(coarse, order), atol=1e-5)


def test_the_same_question_gets_the_same_members_and_another_run_gets_others():
    quantiles, template = some_quantiles(), ensemble_template([np.random.default_rng(1).standard_normal((2, 3, 4, 9))])
    np.testing.assert_array_equal(draw(quantiles, template, 25), draw(quantiles, template, 25))
    assert (draw(quantiles, template, 25) != draw(quantiles, template, 25, seed="run_2")).any()


def test_a_sites_members_are_the_same_whatever_else_is_asked_for():
    quantiles, template = some_quantiles(), ensemble_template([np.random.default_rng(1).standard_normal((2, 3, 4, 9))])
    alone = draw(quantiles[:, 1:2], template[:, 1:2], 25, sites=("b",))
    np.testing.assert_array_equal(draw(quantiles, template, 25)[:, 1:2], alone)


def test_tied_trajectories_are_ordered_at_random_and_not_by_their_place():
    """A dry ensemble says nothing about who gets the rain: members must not be favoured for standing first."""
    dry = ensemble_template([np.zeros((2, 3, 400, 10))])
    quantiles = np.broadcast_to(some_quantiles()[:, :, :1], (2, 3, 400, 21))
    drawn = draw(quantiles, dry, 10)
    means = drawn[0, 0].mean(axis=0)
    assert np.ptp(means) < 0.6 * drawn[0, 0].std()
    neighbours = np.corrcoef(drawn[0, 0, :-1].ravel(), drawn[0, 0, 1:].ravel())[0, 1]
    assert abs(neighbours) < 0.1


def test_more_members_than_trajectories_follow_each_equally_often():
    counts = np.bincount(choose_trajectories(7, 24, "r"), minlength=7)
    assert sorted(counts) == [3, 3, 3, 3, 4, 4, 4]
    assert sorted(choose_trajectories(40, 12, "r")) == sorted(set(choose_trajectories(40, 12, "r")))
    chance = np.random.default_rng(5)
    ensemble = chance.standard_normal((1, 1, 1, 25)) + 0.3 * chance.standard_normal((2, 3, 4, 25))
    drawn = draw(some_quantiles(), ensemble_template([ensemble]), 500)
    ours = stats.spearmanr(drawn.reshape(-1, 500), axis=1).statistic
    theirs = stats.spearmanr(ensemble.reshape(-1, 25), axis=1).statistic
    np.testing.assert_allclose(ours, theirs, atol=0.03)


def test_gaps_of_a_trajectory_are_carried_from_the_nearest_lead_or_left_open():
    nan = np.nan
    ranks = np.array([[nan, 0.2, nan, nan, 0.6], [nan] * 5], dtype=np.float32).T  # (lead, trajectory)
    carried = carry_ranks(ranks)
    np.testing.assert_allclose(carried[:, 0], [0.2, 0.2, 0.2, 0.6, 0.6], rtol=1e-6)
    assert np.isnan(carried[:, 1]).all()


def test_a_cell_without_forecast_has_no_members_and_one_without_template_has_them_at_random():
    quantiles = some_quantiles()
    quantiles[0, 0, 1] = np.nan
    template = ensemble_template([np.random.default_rng(1).standard_normal((2, 3, 4, 9))])
    template[1, 2] = np.nan
    drawn = draw(quantiles, template, 15)
    assert np.isnan(drawn[0, 0, 1]).all()
    assert np.isfinite(np.delete(drawn.reshape(24, 15), 1, axis=0)).all()
    assert abs(np.corrcoef(drawn[1, 2])[0, 1]) < 0.9


def test_schaake_shuffle_by_hand():
    """Past days went up, down and sideways: so do the members."""
    days = np.array([[1.0, 3.0], [3.0, 1.0], [2.0, 2.0]])[:, None, None]
    template = history_template(days)
    quantiles = normal_quantiles(np.zeros((1, 1, 2)), np.ones((1, 1, 2)))
    drawn = scenarios_from_template(quantiles, template, members=3, seed="r", variables=("v",), site_ids=("s",))[0, 0]
    np.testing.assert_allclose(drawn.sum(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(drawn[0], -drawn[1], atol=1e-6)


def test_weighted_sum_is_a_product_of_matrices_and_unused_sites_may_be_missing():
    scenarios = np.random.default_rng(1).random((2, 3, 4, 5))
    scenarios[:, 1] = np.nan
    total = weighted_sum(scenarios, np.array([2.0, 0.0, 0.5]))
    np.testing.assert_allclose(total, 2 * scenarios[:, 0] + 0.5 * scenarios[:, 2])
    assert np.isnan(weighted_sum(scenarios, np.ones(3))).all()


def correlated_world(cases=300, sites=12, seed=6):
    """Errors correlated over sites as exp(-distance): (case, site) truth, and an ensemble of the same process."""
    chance = np.random.default_rng(seed)
    root = np.linalg.cholesky(np.exp(-np.abs(np.subtract.outer(np.arange(sites), np.arange(sites))) / 6))
    truth = chance.standard_normal((cases, sites)) @ root.T
    ensembles = np.swapaxes(chance.standard_normal((cases, 30, sites)) @ root.T, 1, 2)
    return truth, ensembles


def test_portfolio_sums_are_calibrated_from_scenarios_and_not_from_added_quantiles_nor_from_independent_draws():
    truth, ensembles = correlated_world()
    cases, sites = truth.shape
    quantiles = normal_quantiles(np.zeros((1, sites, 1)), np.ones((1, sites, 1)))
    ids, weights = tuple(f"s{k}" for k in range(sites)), np.ones(sites)
    inside = {"scenarios": 0, "added quantiles": 0, "independent": 0}
    added = quantiles[0, :, 0].sum(axis=0)
    for case in range(cases):
        arguments = {"members": 60, "seed": f"case {case}", "variables": ("v",), "site_ids": ids}
        template = ensemble_template([ensembles[case][None, :, None]])
        for name, drawn in (
            ("scenarios", scenarios_from_template(quantiles, template, **arguments)),
            ("independent", independent_scenarios(quantiles, **arguments)),
        ):
            total = scenario_quantiles(weighted_sum(drawn, weights))[0, 0]
            inside[name] += total[INDEX_P10] <= truth[case].sum() <= total[INDEX_P90]
        inside["added quantiles"] += added[INDEX_P10] <= truth[case].sum() <= added[INDEX_P90]
    assert 0.75 < inside["scenarios"] / cases < 0.85
    assert inside["added quantiles"] / cases > 0.88
    assert inside["independent"] / cases < 0.6


@pytest.mark.parametrize("members", [10, 101])
def test_the_mean_of_members_is_the_mean_of_the_forecast(members):
    drawn = independent_scenarios(some_quantiles(), members=members, seed="r", variables=VARIABLES, site_ids=SITES)
    np.testing.assert_allclose(drawn.mean(axis=-1), some_quantiles()[..., 10], atol=1e-4)
