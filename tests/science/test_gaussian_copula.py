"""The Gaussian copula: what it was made of is found again, margins stay, and members beat independent ones."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from skyproof.domain.quantiles import INDEX_P10, INDEX_P90, LEVEL_ARRAY
from skyproof.science.gaussian_copula import (
    GaussianCopula,
    fit_gaussian_copula,
    normal_scores,
    scenarios_from_copula,
)
from skyproof.science.multivariate_scores import energy_score, variogram_score
from skyproof.science.scenarios import (
    independent_scenarios,
    member_levels,
    scenario_quantiles,
    weighted_sum,
)
from skyproof.science.significance import mean_with_interval

VARIABLES = ("temperature_2m", "wind_speed_10m")
SITES, LEADS = 10, 6
NAMES = tuple(f"s{k}" for k in range(SITES))


def true_parts():
    """Correlations of a world: two variables, sites on a line, leads with a memory."""
    between = np.array([[1.0, -0.5], [-0.5, 1.0]])
    by_site = np.exp(-np.abs(np.subtract.outer(np.arange(SITES), np.arange(SITES))) / 5)
    by_lead = np.stack([rho ** np.abs(np.subtract.outer(np.arange(LEADS), np.arange(LEADS))) for rho in (0.9, 0.7)])
    return between, by_site, by_lead


def simulate(issues, seed=1):
    """Normal scores (issue, variable, site, lead) of that world."""
    between, by_site, by_lead = true_parts()
    noise = np.random.default_rng(seed).standard_normal((issues, 2, SITES, LEADS))
    mixed = np.einsum("vw,st,iwtl->ivsl", np.linalg.cholesky(between), np.linalg.cholesky(by_site), noise)
    return np.einsum("vkl,ivsl->ivsk", np.linalg.cholesky(by_lead), mixed)


def standard_quantiles():
    return np.broadcast_to(stats.norm.ppf(LEVEL_ARRAY), (2, SITES, LEADS, len(LEVEL_ARRAY)))


def draw(copula, members, seed="run_1", **arguments):
    settings = {"site_ids": NAMES, **arguments}
    return scenarios_from_copula(standard_quantiles(), copula, members=members, seed=seed, **settings)


def test_normal_scores_by_hand():
    quantiles = np.stack([stats.norm.ppf(LEVEL_ARRAY), np.full(21, np.nan)])
    scores = normal_scores(quantiles, np.array([stats.norm.ppf(0.9), 0.0]), seed="s")
    assert scores[0] == pytest.approx(stats.norm.ppf(0.9), abs=1e-4)
    assert np.isnan(scores[1])


def test_normal_scores_of_ties_are_drawn_from_the_interval_and_stay_finite():
    """Rain in one case of four: dry observations have scores evenly below the 75 % point."""
    quantiles = np.broadcast_to(np.maximum(LEVEL_ARRAY - 0.75, 0), (4000, 21))
    scores = normal_scores(quantiles, np.zeros(4000), seed="s")
    pit = stats.norm.cdf(scores)
    assert pit.max() <= 0.7501
    assert stats.kstest(pit / 0.75, "uniform").pvalue > 0.001
    assert np.abs(normal_scores(quantiles[:2], np.array([-5.0, 5.0]), seed="s")).max() <= 3


def test_what_the_world_was_made_of_is_found_again():
    between, by_site, by_lead = true_parts()
    copula = fit_gaussian_copula(simulate(600))
    np.testing.assert_allclose(copula.between_variables, between, atol=0.06)
    np.testing.assert_allclose(copula.over_leads, by_lead, atol=0.06)
    found = np.einsum("vsk,vtk->vst", copula.loadings, copula.loadings)
    off = ~np.eye(SITES, dtype=bool)
    assert np.abs(found[:, off] - by_site[off]).mean() < 0.08


def test_members_have_the_correlations_of_the_copula():
    """Against the plain dense way: the product of the three matrices and one root of it."""
    copula = fit_gaussian_copula(simulate(600))
    loadings, roots = copula.loadings, np.linalg.cholesky(copula.over_leads)
    rest = np.sqrt(1 - np.square(loadings).sum(axis=-1))
    by_site = np.einsum("vsk,wtk->vwst", loadings, loadings)
    by_site += np.einsum("vs,ws,st->vwst", rest, rest, np.eye(SITES))
    over = np.einsum("vlk,wmk->vwlm", roots, roots)
    dense = np.einsum("vw,vwst,vwlm->vslwtm", copula.between_variables, by_site, over).reshape((2 * SITES * LEADS,) * 2)
    drawn = draw(copula, 4000).reshape(-1, 4000)
    np.testing.assert_allclose(np.corrcoef(drawn), dense, atol=0.08)


def test_independent_scores_give_a_copula_of_independence():
    copula = fit_gaussian_copula(np.random.default_rng(1).standard_normal((60, 2, SITES, LEADS)))
    assert np.abs(copula.between_variables[0, 1]) < 0.05
    assert np.abs(copula.over_leads - np.eye(LEADS)).max() < 0.05
    drawn = draw(copula, 1000).reshape(-1, 1000)
    correlation = np.corrcoef(drawn)[~np.eye(len(drawn), dtype=bool)]
    assert np.sqrt(np.square(correlation).mean()) < 0.08


def test_margins_are_the_forecast():
    drawn = draw(fit_gaussian_copula(simulate(50)), 33)
    wanted = np.broadcast_to(stats.norm.ppf(member_levels(33)), drawn.shape)
    np.testing.assert_allclose(np.sort(drawn, axis=-1), wanted, atol=1e-5)


def test_gaps_and_sites_never_observed_are_survived():
    scores = simulate(80)
    scores[:, :, 3] = np.nan
    scores[np.random.default_rng(2).random(scores.shape) < 0.3] = np.nan
    copula = fit_gaussian_copula(scores)
    implied = np.einsum("vsk,vtk->vst", copula.loadings, copula.loadings)
    others = np.delete(np.arange(SITES), 3)
    mean = (implied[:, others][:, :, others].sum(axis=(1, 2)) - 9) / 72
    np.testing.assert_allclose(implied[:, 3, others].mean(axis=1), mean, atol=0.15)
    assert np.isfinite(draw(copula, 20)).all()


def test_a_single_case_and_a_single_cell_make_a_copula():
    for scores in (simulate(1), simulate(30)[:, :1, :1, :1]):
        copula = fit_gaussian_copula(scores)
        np.testing.assert_allclose(np.diagonal(copula.over_leads, axis1=1, axis2=2), 1)
        assert (np.square(copula.loadings).sum(axis=-1) < 1).all()


def test_a_copula_is_the_same_after_it_was_kept():
    copula = fit_gaussian_copula(simulate(50))
    again = GaussianCopula.from_arrays(copula.to_arrays())
    assert again.dates == 50
    kept = GaussianCopula.from_arrays(again.to_arrays())
    np.testing.assert_array_equal(draw(again, 15), draw(kept, 15))


def test_the_members_of_a_site_or_variable_do_not_depend_on_the_others_asked_for():
    copula = fit_gaussian_copula(simulate(50))
    whole = draw(copula, 15)
    part = scenarios_from_copula(
        standard_quantiles()[:, 4:6], copula, members=15, seed="run_1", site_ids=NAMES[4:6],
        chosen=[4, 5],
    )  # fmt: skip
    np.testing.assert_array_equal(whole[:, 4:6], part)
    one_variable = scenarios_from_copula(
        standard_quantiles()[1:], copula, members=15, seed="run_1", site_ids=NAMES, wanted=[1]
    )
    np.testing.assert_array_equal(whole[1:], one_variable)
    stranger = scenarios_from_copula(
        standard_quantiles()[:, :1], copula, members=15, seed="run_1", site_ids=("new",),
        chosen=[-1],
    )  # fmt: skip
    assert np.isfinite(stranger).all()


def test_the_same_question_gets_the_same_members_and_another_run_gets_others():
    copula = fit_gaussian_copula(simulate(50))
    np.testing.assert_array_equal(draw(copula, 15), draw(copula, 15))
    assert (draw(copula, 15) != draw(copula, 15, seed="run_2")).any()


def test_coherent_members_beat_independent_ones_and_their_sums_are_calibrated():
    """Learned from 200 cases, judged on 120 others of an autoregressive field."""
    copula, truth = fit_gaussian_copula(simulate(200)), simulate(120, seed=2)
    scores: dict[str, list[np.ndarray]] = {"coherent": [], "apart": []}
    inside = 0
    for case, observed in enumerate(truth):
        coherent = draw(copula, 25, seed=f"case {case}")
        apart = independent_scenarios(
            standard_quantiles(), members=25, seed=f"case {case}", variables=VARIABLES, site_ids=NAMES
        )
        for name, drawn in (("coherent", coherent), ("apart", apart)):
            members, cells = drawn.reshape(-1, 25), observed.ravel()
            scores[name].append(np.array([energy_score(members, cells), variogram_score(members, cells)]))
        total = weighted_sum(draw(copula, 60, seed=f"case {case}"), np.ones(SITES)).sum(axis=1)[0]
        low, high = scenario_quantiles(total)[[INDEX_P10, INDEX_P90]]
        inside += low <= observed[0].sum() <= high
    gain = np.array(scores["apart"]) - np.array(scores["coherent"])
    assert mean_with_interval(gain[:, 0]).low > 0
    assert mean_with_interval(gain[:, 1]).low > 0
    assert 0.75 < inside / len(truth) < 0.85
