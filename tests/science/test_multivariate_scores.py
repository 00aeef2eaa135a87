"""Energy and variogram scores: by hand, against another implementation, and as properties."""

from __future__ import annotations

import numpy as np
import pytest
import scoringrules
from hypothesis import given
from hypothesis import strategies as st

from skyproof.science.multivariate_scores import distance_weights, energy_score, variogram_score
from skyproof.science.scores import crps_ensemble

SHAPE = (4, 6, 37)  # cases, dimensions, members


def drawn(seed=1, shape=SHAPE):
    chance = np.random.default_rng(seed)
    return chance.normal(10, 3, shape), chance.normal(10, 3, shape[:2])


def test_energy_score_of_two_members_by_hand():
    members = np.array([[0.0, 3.0], [0.0, 4.0]])  # (0, 0) and (3, 4), five apart
    observed = np.array([0.0, 0.0])
    # distances to the observation 0 and 5, mean 2.5; mean over four pairs of members 2.5, half of it 1.25
    assert energy_score(members, observed) == pytest.approx(1.25)
    # the first dimension counted double: members 0 and (6, 4)
    assert energy_score(members, observed, weights=np.array([2.0, 1.0])) == pytest.approx(np.sqrt(52) / 4)


def test_variogram_score_of_two_members_by_hand():
    members = np.array([[0.0, 1.0], [4.0, 2.0]])  # differences 4 and 1, their roots 2 and 1, mean 1.5
    assert variogram_score(members, np.array([0.0, 9.0])) == pytest.approx(2 * (3 - 1.5) ** 2)
    assert variogram_score(members, np.array([0.0, 9.0]), p=1.0) == pytest.approx(2 * (9 - 2.5) ** 2)
    assert variogram_score(members, np.array([0.0, 9.0]), weights=np.full((2, 2), 0.5)) == pytest.approx(2.25)


def test_energy_score_is_that_of_scoringrules():
    members, observed = drawn()
    theirs = scoringrules.es_ensemble(observed, members, m_axis=-1, v_axis=-2, backend="numpy")
    np.testing.assert_allclose(energy_score(members, observed), theirs, rtol=1e-12)


@pytest.mark.parametrize("p", [0.5, 1.0])
def test_variogram_score_is_that_of_scoringrules(p):
    members, observed = drawn()
    theirs = scoringrules.vs_ensemble(observed, members, p=p, m_axis=-1, v_axis=-2, backend="numpy")
    np.testing.assert_allclose(variogram_score(members, observed, p=p), theirs, rtol=1e-12)


def test_weighted_variogram_score_is_that_of_scoringrules():
    members, observed = drawn(2)
    weights = distance_weights(np.arange(6.0), np.array([0, 0, 1, 1, 5, 5.0]))
    theirs = scoringrules.vs_ensemble(observed, members, weights, p=0.5, m_axis=-1, v_axis=-2, backend="numpy")
    np.testing.assert_allclose(variogram_score(members, observed, weights=weights), theirs, rtol=1e-12)


def test_many_members_and_dimensions_are_worked_in_blocks_with_the_same_result():
    members, observed = drawn(3, (1, 140, 270))
    theirs = scoringrules.es_ensemble(observed, members, m_axis=-1, v_axis=-2, backend="numpy")
    np.testing.assert_allclose(energy_score(members, observed), theirs, rtol=1e-10)
    theirs = scoringrules.vs_ensemble(observed, members, p=0.5, m_axis=-1, v_axis=-2, backend="numpy")
    np.testing.assert_allclose(variogram_score(members, observed), theirs, rtol=1e-10)


@given(seed=st.integers(0, 1000), members=st.integers(2, 9))
def test_energy_score_of_one_dimension_is_the_crps(seed, members):
    x, y = drawn(seed, (3, 1, members))
    np.testing.assert_allclose(energy_score(x, y), crps_ensemble(x[:, 0], y[:, 0], fair=False), rtol=1e-9, atol=1e-9)


@given(seed=st.integers(0, 1000), shift=st.floats(-1e4, 1e4))
def test_scores_do_not_depend_on_order_of_members_nor_on_a_common_shift(seed, shift):
    x, y = drawn(seed, (2, 3, 8))
    for score in (energy_score, variogram_score):
        np.testing.assert_allclose(score(x[..., ::-1] + shift, y + shift), score(x, y), rtol=1e-6)


def test_the_true_dependence_scores_best_on_the_mean():
    chance = np.random.default_rng(4)
    root = np.linalg.cholesky(0.8 ** np.abs(np.subtract.outer(np.arange(5), np.arange(5))))
    truth = chance.standard_normal((400, 5)) @ root.T
    coherent = np.swapaxes(chance.standard_normal((400, 60, 5)) @ root.T, 1, 2)
    apart = chance.standard_normal((400, 5, 60))
    for score in (energy_score, variogram_score):
        assert score(coherent, truth).mean() < score(apart, truth).mean()


def test_a_missing_observation_leaves_no_score():
    x, y = drawn()
    y[1, 2] = np.nan
    for score in (energy_score, variogram_score):
        assert np.isnan(score(x, y)).tolist() == [False, True, False, False]
