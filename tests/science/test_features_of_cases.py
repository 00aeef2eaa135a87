"""The features of a joint model: the same for one issue time as for many."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from skyproof.science.case_features import FeaturePlan, case_features, plan_features
from tests.stages.case_samples import load, make_rows


@pytest.fixture
def cases(tmp_path):
    """Forty daily issue times with leads of one and two days."""
    return load(tmp_path).cases


def test_a_single_issue_time_has_the_features_of_many(cases):
    plan = plan_features(cases)
    names, many = case_features(cases, plan)
    for count in (1, 2, 5):
        some, values = case_features(cases.take(slice(20, 20 + count)), plan)
        assert some == names
        np.testing.assert_array_equal(values[1:, ..., 0], many[21 : 20 + count, ..., 0])


def test_the_run_before_says_what_it_said_of_the_same_valid_time(cases):
    plan = plan_features(cases)
    assert plan.earlier_runs == 1
    names, values = case_features(cases, plan)
    before = values[..., names.index("X@run-1")]
    np.testing.assert_array_equal(before[1:, 0], cases.members["X"][:-1, 1, :, 0])
    assert np.isnan(before[:, 1]).all()
    assert np.isnan(before[0]).all()


def test_runs_that_never_meet_have_no_features_of_each_other(cases):
    alone = replace(cases, issue_times=cases.issue_times[0] + np.arange(40) * np.timedelta64(5 * 86_400, "s"))
    assert plan_features(alone).earlier_runs == 0
    assert plan_features(cases.take(slice(0, 1))).earlier_runs == 0


def test_hours_of_issue_that_differ_are_a_feature_even_of_one_issue_time(cases):
    half = replace(cases, issue_times=cases.issue_times[0] + np.arange(40) * np.timedelta64(12 * 3600, "s"))
    plan = plan_features(half)
    assert plan.several_hours
    assert "hour" in case_features(half.take(slice(3, 4)), plan)[0]
    assert not plan_features(cases).several_hours


def test_a_plan_comes_back_from_its_arrays(cases):
    plan = plan_features(cases)
    again = FeaturePlan.from_arrays(plan.to_arrays())
    assert (again.accumulated, again.winds, again.earlier_runs, again.several_hours) == (
        plan.accumulated,
        plan.winds,
        plan.earlier_runs,
        plan.several_hours,
    )
    np.testing.assert_array_equal(again.neighbours, plan.neighbours)


def test_amounts_accumulated_along_a_run_are_known_in_spite_of_packing(tmp_path):
    cases = load(tmp_path, make_rows(leads=tuple(range(24, 193, 24)))).cases
    shape = cases.observed.shape
    chance = np.random.default_rng(6)
    amount = np.where(np.arange(shape[1])[None, :, None] % 3 == 0, 0.0, chance.uniform(1, 2, shape))
    packed = np.cumsum(amount, axis=1) - chance.uniform(0, 3e-5, shape) * amount.sum(axis=1).max()
    predictors = {
        "sun": packed.astype(np.float32),
        "cloud": chance.uniform(0, 1, shape).astype(np.float32),
        "slope": np.full(shape, 3, np.float32),
    }
    plan = plan_features(replace(cases, predictors=predictors))
    assert plan.accumulated == ("sun",)
    names, values = case_features(replace(cases, predictors=predictors), plan)
    np.testing.assert_allclose(values[..., names.index("sun")], amount, atol=2e-3)
