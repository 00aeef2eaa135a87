"""What the features of a case are worth: amounts, winds, neighbours in lead, run and place, by hand and as-of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from skyproof.domain.cases import Cases
from skyproof.science.case_features import FeaturePlan, case_features, interval_amounts, plan_features
from skyproof.science.recent import with_recent
from tests.science.engine_cases import DAY, START, make_cases

_LEADS = (6, 12, 18, 24, 30, 36)


def rich(*, issues: int = 12, sites: int = 4, seed: int = 1) -> Cases:
    """Every six hours for six steps: an ensemble, a single forecast, rain accumulated, and two winds."""
    chance = np.random.default_rng(seed)
    shape = (issues, len(_LEADS), sites)
    rain = np.cumsum(chance.gamma(1, 1, shape), axis=1)
    return make_cases(
        chance.normal(10, 3, shape),
        leads=_LEADS,
        members={"alba": chance.normal(10, 3, (*shape, 5)), "corvus": chance.normal(10, 3, shape)},
        predictors={"tp": rain, "u10": chance.normal(0, 4, shape), "v10": chance.normal(0, 4, shape)},
        issue_times=START + np.arange(issues) * DAY / 4,
        variable="wind_speed_10m",
    )


def features(cases: Cases, plan: FeaturePlan | None = None) -> dict[str, NDArray[np.float32]]:
    names, values = case_features(cases, plan or plan_features(cases))
    assert len(set(names)) == len(names)
    return dict(zip(names, np.moveaxis(values, -1, 0), strict=True))


def test_an_accumulation_gives_the_amounts_of_its_intervals() -> None:
    grown = np.array([[1.0, 3.0, 3.0, 7.0], [0.0, np.nan, 2.0, 1.0]])[..., None]
    wanted = np.array([[1.0, 2.0, 0.0, 4.0], [0.0, np.nan, np.nan, 0.0]])[..., None]
    np.testing.assert_array_equal(interval_amounts(grown), wanted)


def test_accumulations_are_told_by_growing_and_not_by_their_names() -> None:
    cases = rich()
    constant = np.full(cases.observed.shape, 3.0, dtype=np.float32)
    resets = cases.predictors["tp"] % 2
    nothing = np.full(cases.observed.shape, np.nan, dtype=np.float32)
    more = {"height": constant, "hourly": resets, "gone": nothing, "noise": cases.predictors["u10"]}
    assert plan_features(replace(cases, predictors={**cases.predictors, **more})).accumulated == ("tp",)
    amounts = features(cases)["tp"]
    np.testing.assert_allclose(np.cumsum(amounts, axis=1), cases.predictors["tp"], rtol=1e-5)


def test_too_few_leads_tell_of_no_growth() -> None:
    cases = rich()
    few = replace(
        cases,
        lead_hours=_LEADS[:5],
        observed=cases.observed[:, :5],
        members={name: values[:, :5] for name, values in cases.members.items()},
        predictors={name: values[:, :5] for name, values in cases.predictors.items()},
    )
    assert plan_features(few).accumulated == ()
    assert not any("@+1" in name for name in features(few))


@pytest.mark.parametrize("east", ["u10", "u_100m", "U10", "u"])
def test_components_of_one_wind_are_paired_by_name(east: str) -> None:
    cases = rich()
    north = east.replace("u", "v").replace("U", "V")
    three, four = (np.full(cases.observed.shape, value, dtype=np.float32) for value in (3.0, 4.0))
    cases = replace(cases, predictors={east: three, north: four, "uv_index": three, "u_lonely": three})
    assert plan_features(cases).winds == ((east, north),)
    np.testing.assert_allclose(features(cases)[f"speed:{east}"], 5.0)


def test_the_hours_before_and_after_stand_beside_a_case() -> None:
    cases = rich()
    found, said = features(cases), cases.members["corvus"][..., 0]
    np.testing.assert_array_equal(found["corvus@-1"][:, 1:], said[:, :-1])
    np.testing.assert_array_equal(found["corvus@+2"][:, :-2], said[:, 2:])
    # Beyond the ends the outermost lead is repeated.
    np.testing.assert_array_equal(found["corvus@+1"][:, -1], said[:, -1])
    np.testing.assert_array_equal(found["corvus@-2"][:, :2], said[:, [0, 0]])
    np.testing.assert_allclose(found["corvus@run"][:, 0], said.mean(axis=1), rtol=1e-6)
    np.testing.assert_allclose(found["corvus@around"][:, 0], (4 * said[:, 0] + said[:, 1:4].sum(axis=1)) / 7, rtol=1e-5)


def test_up_to_three_earlier_runs_say_what_they_said_of_the_same_valid_time() -> None:
    cases = rich()
    found, said = features(cases), cases.members["corvus"][..., 0]
    for back in (1, 2, 3):
        run = found[f"corvus@run-{back}"]
        np.testing.assert_array_equal(run[back:, : 6 - back], said[:-back, back:])
        assert np.isnan(run[:back]).all()
        assert np.isnan(run[:, 6 - back :]).all()
    assert "corvus@run-4" not in found


def test_a_run_left_out_leaves_a_gap_and_no_wrong_hour() -> None:
    cases = rich()
    kept = np.delete(np.arange(12), 5)
    plan = plan_features(cases)
    found, said = features(cases.take(kept), plan), cases.members["corvus"][..., 0]
    # Issue 6 follows issue 4 now: twelve hours, two steps.
    np.testing.assert_array_equal(found["corvus@run-1"][5, :4], said[4, 2:])


def test_the_sites_most_alike_are_the_neighbours() -> None:
    chance = np.random.default_rng(2)
    north, south = chance.normal(0, 1, (2, 60, 1))
    said = np.stack([north, south, north + 0.1 * chance.normal(0, 1, (60, 1)), south + 5], axis=-1)
    cases = make_cases(said, members={"alba": said})
    plan = plan_features(cases)
    assert plan.neighbours[:, 0].tolist() == [2, 3, 0, 1]
    found = features(cases)
    np.testing.assert_allclose(found["alba@near1"], said[..., [2, 3, 0, 1]], rtol=1e-6)
    np.testing.assert_allclose(found["alba@all"][..., 0], said.mean(axis=-1), rtol=1e-4, atol=1e-6)


def test_one_site_has_no_neighbours() -> None:
    plan = plan_features(rich(sites=1))
    assert plan.neighbours.shape == (1, 0)
    assert not any("@near" in name or "@all" in name for name in features(rich(sites=1)))


def test_an_ensemble_tells_its_spread_its_ends_and_how_much_of_it_is_calm() -> None:
    cases = rich()
    members = np.broadcast_to(np.array([0.0, 0.0, 1.0, 2.0, 7.0], dtype=np.float32), cases.members["alba"].shape)
    found = features(replace(cases, members={"alba": members}))
    np.testing.assert_allclose(found["alba"], 2.0)
    np.testing.assert_allclose(found["spread:alba"], np.std([0, 0, 1, 2, 7]), rtol=1e-6)
    np.testing.assert_allclose(found["low:alba"], 0.0)
    np.testing.assert_allclose(found["high:alba"], 5.0, rtol=1e-6)
    np.testing.assert_allclose(found["none:alba"], 0.4, rtol=1e-6)


def test_a_source_that_is_missing_says_nothing_of_its_own() -> None:
    cases = rich()
    gone = replace(cases, members={**cases.members, "alba": np.full_like(cases.members["alba"], np.nan)})
    found = features(gone, plan_features(cases))
    for name in ("alba", "spread:alba", "low:alba", "high:alba", "none:alba", "alba@-1", "alba@near1", "alba@all"):
        assert np.isnan(found[name]).all(), name
    np.testing.assert_array_equal(found["sources_mean"], cases.members["corvus"][..., 0])
    np.testing.assert_array_equal(found["sources_spread"], 0)


def test_nothing_is_made_of_the_observations_but_what_was_recent() -> None:
    cases = with_recent(rich())
    plan = plan_features(cases)
    blind = replace(cases, observed=np.full_like(cases.observed, np.nan))
    np.testing.assert_array_equal(case_features(cases, plan)[1], case_features(blind, plan)[1])
    blind_plan = plan_features(blind)
    for name, array in plan.to_arrays().items():
        np.testing.assert_array_equal(array, blind_plan.to_arrays()[name])


def test_no_feature_of_an_issue_time_is_made_of_later_ones() -> None:
    cases = with_recent(rich())
    plan = plan_features(cases)
    np.testing.assert_array_equal(case_features(cases, plan)[1][:7], case_features(cases.take(slice(0, 7)), plan)[1])


def test_from_eight_sites_on_an_error_is_split_into_everyones_and_ones_own() -> None:
    cases = with_recent(rich(sites=8))
    found, error = features(cases), cases.recent["error_slow:alba"]
    common, own = found["recent:error_slow:alba"], found["recent:error_slow:alba@own"]
    np.testing.assert_allclose(common + own, error, atol=1e-5)
    np.testing.assert_allclose(own.mean(axis=-1), 0, atol=1e-5)
    assert np.ptp(common, axis=-1).max() == 0


@pytest.mark.parametrize("make", [rich, lambda: rich(sites=1), lambda: replace(rich(), predictors={})])
def test_a_plan_read_back_makes_the_same_features(make) -> None:
    cases = make()
    plan = plan_features(cases)
    again = FeaturePlan.from_arrays(plan.to_arrays())
    assert case_features(cases, again)[0] == case_features(cases, plan)[0]
    np.testing.assert_array_equal(case_features(cases, again)[1], case_features(cases, plan)[1])
