"""Forest and boosting: repeatable, restorable, asleep with little, awake without a source, and within limits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from skyproof.domain.cases import Cases
from skyproof.domain.quantiles import LEVEL_ARRAY
from skyproof.science.case_features import plan_features
from skyproof.science.scores import crps_from_quantiles
from skyproof.stages.forecast.boosting import BoostingExpert, between_levels
from skyproof.stages.forecast.forest import ForestExpert
from skyproof.stages.forecast.trees import Rows, back_to_quantity, day_marks, target_of, training_rows
from skyproof.stages.learn.rolling import within
from tests.stages.prepared_cases import power_like, prepared, two_sources, without

_AS_OF = 50
_EXPERTS = [partial(make, errors=errors) for make in (ForestExpert, BoostingExpert) for errors in (False, True)]
_NAMES = ["forest", "error_forest", "boosting", "error_boosting"]
Tree = ForestExpert | BoostingExpert
every_expert = pytest.mark.parametrize("make", _EXPERTS, ids=_NAMES)


@pytest.fixture(scope="module")
def temperature() -> Cases:
    return prepared(two_sources(sites=6))


def fitted(make: Callable[[], Tree], cases: Cases, as_of: int = _AS_OF) -> Tree:
    expert = make()
    expert.fit(cases.take(slice(0, as_of)), cases.issue_times[as_of])
    return expert


@every_expert
def test_what_was_learned_comes_back_from_arrays_to_the_byte(make: Callable[[], Tree], temperature: Cases) -> None:
    expert, again, restored = (fitted(make, temperature), fitted(make, temperature), make())
    restored.restore({name: np.array(values) for name, values in expert.state().items()})
    late = temperature.take(slice(_AS_OF, None))
    answer = expert.predict(late, LEVEL_ARRAY)
    assert np.isfinite(answer).all()
    for other in (again, restored):
        assert answer.tobytes() == other.predict(late, LEVEL_ARRAY).tobytes()
    assert {name: values.tobytes() for name, values in expert.state().items()} == {
        name: values.tobytes() for name, values in again.state().items()
    }


@every_expert
def test_an_expert_beats_what_is_usual_and_one_issue_time_answers_as_many_do(
    make: Callable[[], Tree], temperature: Cases
) -> None:
    expert, late = fitted(make, temperature), temperature.take(slice(_AS_OF, None))
    answer = expert.predict(late, LEVEL_ARRAY)
    usual = np.broadcast_to(np.quantile(temperature.observed[:_AS_OF], LEVEL_ARRAY).astype(np.float32), answer.shape)
    crps = crps_from_quantiles(answer, late.observed).mean()
    assert crps < 0.7 * crps_from_quantiles(usual, late.observed).mean()
    # Of the first issue time asked about no run before is shown in either case.
    np.testing.assert_array_equal(expert.predict(late.take(slice(0, 1)), LEVEL_ARRAY), answer[:1])


@every_expert
def test_with_few_rows_an_expert_sleeps_and_says_so_after_a_restore(
    make: Callable[[], Tree], temperature: Cases
) -> None:
    expert, restored = fitted(make, temperature, 3), fitted(make, temperature)
    restored.restore(expert.state())
    for each in (expert, restored, make()):
        assert np.isnan(each.predict(temperature, LEVEL_ARRAY)).all()


@every_expert
def test_without_a_source_there_is_an_answer_and_without_any_none(make: Callable[[], Tree]) -> None:
    late = slice(_AS_OF, None)
    whole = two_sources(sites=6)
    one_gone, all_gone = without(whole, "corvus", late), without(without(whole, "corvus", late), "alba", late)
    cases = prepared(whole)
    expert = fitted(make, cases)
    answer = expert.predict(prepared(one_gone).take(late), LEVEL_ARRAY)
    assert np.isfinite(answer).all()
    there = expert.predict(cases.take(late), LEVEL_ARRAY)
    observed = whole.observed[late]
    assert crps_from_quantiles(answer, observed).mean() < 2 * crps_from_quantiles(there, observed).mean()
    assert np.isnan(expert.predict(prepared(all_gone).take(late), LEVEL_ARRAY)).all()


@every_expert
@pytest.mark.parametrize("variable", ["precipitation", "relative_humidity_2m", "wind_speed_10m"])
def test_quantiles_stay_within_physical_limits_once_held_there(make: Callable[[], Tree], variable: str) -> None:
    cases = prepared(two_sources(variable=variable, sites=4))
    answer = within(cases, fitted(make, cases).predict(cases, LEVEL_ARRAY))
    known = np.isfinite(answer).all(axis=-1)
    assert known[_AS_OF:].all()
    assert answer[known].min() >= cases.variable.lower
    assert cases.variable.upper is None or answer[known].max() <= cases.variable.upper
    assert (np.diff(answer[known], axis=-1) >= 0).all()
    smallest = cases.variable.smallest
    assert not ((answer > 0) & (answer < smallest)).any()


@pytest.mark.parametrize("make", _EXPERTS[::2], ids=_NAMES[::2])
def test_a_bounded_quantity_that_only_features_tell_of_is_learned(make: Callable[[], Tree]) -> None:
    cases = prepared(power_like(sites=4), settled=20)
    late = cases.take(slice(60, None))
    answer = within(late, fitted(make, cases, 60).predict(late, LEVEL_ARRAY))
    usual = np.broadcast_to(np.quantile(cases.observed[:60], LEVEL_ARRAY).astype(np.float32), answer.shape)
    crps = crps_from_quantiles(answer, late.observed).mean()
    assert crps < 0.6 * crps_from_quantiles(usual, late.observed).mean()
    # A calm forecast means no power: the share on the limit is kept.
    calm = np.hypot(late.predictors["u10"], late.predictors["v10"]) < 2
    assert np.median(answer[calm][:, 10]) < 3


def test_a_target_is_a_standardised_error_or_the_quantity_and_comes_back() -> None:
    cases = prepared(two_sources())
    for errors in (False, True):
        target = target_of(cases, errors=errors)
        back = back_to_quantity(cases, target[..., None].astype(np.float32), errors=errors)[..., 0]
        known = np.isfinite(cases.recent["guess"])
        np.testing.assert_allclose(back[known], cases.observed[known], rtol=1e-4, atol=1e-4)
        assert np.isnan(back[~known]).all()


def test_rows_are_the_known_cases_with_a_first_guess_oldest_first() -> None:
    cases = prepared(two_sources())
    # At issue 20 the observations of 24 h arrived for the issues 0 to 19, of 48 h for 0 to 18; issue 0 has no guess.
    rows = training_rows(cases, cases.issue_times[20], plan_features(cases), errors=False)
    assert len(rows.target) == 3 * (19 + 18)
    assert rows.issue.min() == 1
    assert rows.issue.max() == 19
    assert all(early <= late for early, late in pairwise(rows.issue))
    np.testing.assert_array_equal(rows.target[:3], cases.observed[1, 0])


def test_a_source_is_made_to_be_missing_with_everything_that_speaks_of_it() -> None:
    cases = prepared(two_sources(issues=100, sites=9))
    rows = training_rows(cases, cases.issue_times[-1], plan_features(cases), errors=True)
    of_alba = [number for number, name in enumerate(rows.names) if "alba" in name and "run-" not in name]
    assert any(name.endswith("@own") for name in np.array(rows.names)[of_alba])
    gone = np.isnan(rows.features[:, rows.names.index("alba")])
    assert 0.02 < gone.mean() < 0.12
    assert np.isnan(rows.features[np.ix_(gone, of_alba)]).all()
    assert not np.isnan(rows.features[gone][:, rows.names.index("recent:guess")]).any()


def rows_of(days: int, sites: int) -> Rows:
    """A recent error that all sites share, one that is a site's own, and a forecast that all share."""
    chance = np.random.default_rng(3)
    day = np.repeat(chance.normal(0, 1, days), sites)
    own = np.tile(chance.normal(0, 1, sites), days)
    gone = np.full(days * sites, np.nan)
    names = ("recent:error_fast:alba", "recent:error_slow:alba@own", "alba", "recent:observed_day")
    features = np.stack([day, own, day, gone], axis=1).astype(np.float32)
    return Rows(names, features, day.astype(np.float32), np.repeat(np.arange(days), sites))


def test_what_only_tells_days_apart_is_left_out_while_days_are_few_and_sites_many() -> None:
    assert day_marks(rows_of(40, 20)).tolist() == [0, 3]


@pytest.mark.parametrize(("days", "sites"), [(200, 20), (40, 2)])
def test_with_many_days_or_few_sites_nothing_is_left_out(days: int, sites: int) -> None:
    assert day_marks(rows_of(days, sites)).tolist() == []


def test_an_expert_left_without_the_marks_of_days_is_restored_without_them() -> None:
    cases = prepared(two_sources(issues=40, sites=20))
    expert = fitted(_EXPERTS[1], cases, 30)
    assert len(expert.state()["left_out"])
    late = cases.take(slice(30, None))
    shifted = {name: v + 1 if name.startswith("error_slow:alba") else v for name, v in late.recent.items()}
    answer = expert.predict(late, LEVEL_ARRAY)
    np.testing.assert_array_equal(answer, expert.predict(replace(late, recent=shifted), LEVEL_ARRAY))


def test_levels_between_those_grown_are_exact_for_a_normal_distribution() -> None:
    at = np.array([0.1, 0.5, 0.9])
    grown = (3 + 2 * stats.norm.ppf(at))[None]
    wanted = 3 + 2 * stats.norm.ppf(LEVEL_ARRAY)
    np.testing.assert_allclose(between_levels(grown, at, LEVEL_ARRAY)[0], wanted, rtol=1e-6)
