"""Experts asked each in its own clock: what they are told of age, and who speaks when something is not as usual."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from skyproof.domain.cases import Cases, Place, SourceHabit
from skyproof.domain.variables import find_variable
from skyproof.science.panel import ask_panel, find_habits, heard, in_clock, only_usual

LEADS = (6, 12, 18)
LEVELS = np.array([0.1, 0.5, 0.9])
HABITS = {
    "alba": SourceHabit(12.0, 2, np.array([[True, True, True]])),
    "brio": SourceHabit(6.0, 2, np.array([[True, True, False]])),
}
WITH_WIND = {name: SourceHabit(habit.age_hours, 2, np.tile(habit.leads, (2, 1))) for name, habit in HABITS.items()}
EXPECTED = {name: habit.leads[0] for name, habit in HABITS.items()}


def cases(*, alba: list[float], brio: list[float]) -> Cases:
    """One issue time a day; the ages in hours of both sources, NaN where one has no cycle."""
    issues = len(alba)
    ages = {"alba": np.array(alba), "brio": np.array(brio)}
    members = {name: np.ones((issues, 3, 2, 2), dtype=np.float32) for name in ages}
    members["brio"][:, 2] = np.nan
    for name, age in ages.items():
        members[name][np.isnan(age)] = np.nan
    return Cases(
        variable=find_variable("temperature_2m"),
        issue_times=np.datetime64("2025-01-01T12", "s") + np.arange(issues) * np.timedelta64(1, "D"),
        lead_hours=LEADS,
        sites=(Place("a"), Place("b")),
        members=members,
        predictors={},
        observed=np.full((issues, 3, 2), np.nan, dtype=np.float32),
        age_hours=ages,
    )


@dataclass
class Recorder:
    """An expert that says 1 everywhere and remembers what it was asked."""

    name: str
    asked: list[Cases] = field(default_factory=list)

    def fit(self, cases, as_of):
        """Nothing to learn."""

    def predict(self, cases, levels):
        self.asked.append(cases)
        return np.ones((*cases.observed.shape, len(levels)), dtype=np.float32)

    def state(self):
        return {}

    def restore(self, state):
        """Nothing to take back."""


def test_habits_are_the_usual_age_and_the_leads_reached_at_that_age() -> None:
    ages = {"alba": np.array([12.0, 12, 36, 12]), "brio": np.array([6.0, np.nan, 6, 6]), "cirro": np.full(4, np.nan)}
    said = {name: np.ones((1, 4, 3), dtype=bool) for name in ages}
    said["alba"][0, 2] = False  # the only cycle of another age than usual
    said["brio"][0, 1:, 2] = False  # the last lead is reached once in three times
    found = find_habits(ages, said, {"alba": 5, "brio": 2, "cirro": 1})
    assert {name: (habit.age_hours, habit.members) for name, habit in found.items()} == {
        "alba": (12, 5),
        "brio": (6, 2),
    }
    assert found["alba"].leads.tolist() == [[True, True, True]]
    assert found["brio"].leads.tolist() == [[True, True, False]]


def test_experts_learn_from_cycles_of_the_usual_age_alone() -> None:
    whole = cases(alba=[12, 36, 12], brio=[6, 6, 12])
    predictors = {"wind_speed_10m:alba": np.ones((3, 3, 2), dtype=np.float32)}
    told = only_usual(replace(whole, predictors=predictors), WITH_WIND, variables=("temperature_2m", "wind_speed_10m"))
    assert np.isfinite(told.predictors["wind_speed_10m:alba"][:, 0, 0]).tolist() == [True, False, True]
    # What usually comes and did not is there as missing: experts that were learned with it count on its place.
    assert np.isnan(told.predictors["wind_speed_10m:brio"]).all()
    gone = replace(whole, members={"brio": whole.members["brio"]})
    assert np.isnan(only_usual(gone, WITH_WIND, variables=("temperature_2m", "wind_speed_10m")).members["alba"]).all()
    assert np.isfinite(told.members["alba"][:, 0, 0, 0]).tolist() == [True, False, True]
    assert np.isfinite(told.members["brio"][:, 0, 0, 0]).tolist() == [True, True, False]


def test_an_expert_of_one_source_is_asked_in_the_clock_of_its_cycle() -> None:
    alba, both = Recorder("emos:alba"), Recorder("emos:all")
    answers = ask_panel((alba, both), cases(alba=[12, 36], brio=[6, 6]), HABITS, EXPECTED, LEVELS)
    asked = {tuple(each.lead_hours): each for each in alba.asked}
    assert set(asked) == {LEADS, (30, 36, 42)}
    late = asked[30, 36, 42]
    assert late.issue_times.tolist() == [np.datetime64("2025-01-01T12", "s").item()]
    # The same valid times, asked from a day earlier.
    np.testing.assert_array_equal(late.valid_times, cases(alba=[0, 0], brio=[0, 0]).valid_times[1:])
    assert np.isfinite(answers[0]).all()
    # Who knows several sources sleeps where one of them is a day late.
    assert np.isfinite(answers[1, 0]).all()
    assert np.isnan(answers[1, 1]).all()


@pytest.mark.parametrize(("alba", "speaks"), [(12.0, True), (15.0, True), (6.0, True), (24.0, False), (np.nan, False)])
def test_those_who_know_several_sources_allow_for_some_hours(alba: float, speaks: bool) -> None:
    both = Recorder("emos:all")
    answers = ask_panel((both,), cases(alba=[alba], brio=[6]), HABITS, EXPECTED, LEVELS)
    assert np.isfinite(answers).all() == speaks


def test_a_source_that_comes_in_part_silences_the_joint_expert_only_at_the_leads_it_lacks() -> None:
    whole = cases(alba=[12], brio=[6])
    part = replace(whole, members={**whole.members, "alba": whole.members["alba"].copy()})
    part.members["alba"][:, 1:] = np.nan
    answers = ask_panel((Recorder("emos:all"),), part, HABITS, EXPECTED, LEVELS)
    assert np.isfinite(answers[0, 0, :, 0, 0]).tolist() == [True, False, False]
    # Where brio never speaks it is not missed.
    assert np.isfinite(ask_panel((Recorder("emos:all"),), whole, HABITS, EXPECTED, LEVELS)).all()


def test_an_expert_whose_source_is_gone_is_not_asked() -> None:
    alba = Recorder("emos:alba")
    assert np.isnan(ask_panel((alba,), cases(alba=[np.nan], brio=[6]), HABITS, EXPECTED, LEVELS)).all()
    assert not alba.asked


def test_the_usual_clock_changes_nothing() -> None:
    whole = cases(alba=[12], brio=[6])
    assert in_clock(whole, 0) is whole


def test_what_is_usual_is_heard_where_no_other_speaks() -> None:
    answers = np.ones((3, 2, 2, 3), dtype=np.float32)
    answers[2, 0, 1] = np.nan
    told = heard(answers, 2)
    assert np.isnan(told[:2]).all(axis=(0, -1)).tolist() == [[True, False], [True, True]]
    np.testing.assert_array_equal(told[2], answers[2])
    assert np.isfinite(answers[:2]).all(), "what the experts said is left as it was"
    assert np.isfinite(heard(answers[:2], 2)).all()
