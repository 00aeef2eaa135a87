"""All sources in one regression: weights, missing sources, and what must not be known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from skyproof.domain.cases import Cases, Place
from skyproof.domain.protocols import CaseExpert
from skyproof.domain.variables import find_variable
from skyproof.stages.forecast.emos_choice import quantile_loss
from skyproof.stages.forecast.emos_expert import EmosExpert
from skyproof.stages.forecast.joint_emos_expert import JointEmosExpert, emos_experts, joint_candidates

LEVELS = np.arange(0.05, 0.96, 0.05)
DAYS, PAST = 140, 90


def weather(name: str = "temperature_2m", *, seed: int = 0, leads: tuple[int, ...] = (24,)) -> Cases:
    """Three sources with independent errors of 1, 1 and 2, and a predictor that explains part of what is left."""
    rng = np.random.default_rng(seed)
    shape = (DAYS, len(leads), 10)
    signal, hidden = 8 + 4 * rng.normal(size=shape), rng.normal(size=shape)
    sources = {
        name: (signal + error * rng.normal(size=shape) + bias)[..., None].astype(np.float32)
        for name, error, bias in (("alba", 1.0, 1.0), ("brio", 1.0, -2.0), ("cirro", 2.0, 0.0))
    }
    truth = signal + hidden + 0.5 * rng.normal(size=shape)
    variable = find_variable(name)
    return Cases(
        variable=variable,
        issue_times=np.datetime64("2025-01-01T12", "s") + np.arange(DAYS) * np.timedelta64(1, "D"),
        lead_hours=leads,
        sites=tuple(Place(f"s{index}") for index in range(10)),
        members={key: np.clip(array, variable.lower, variable.upper) for key, array in sources.items()},
        predictors={"cloud": (50 + 20 * hidden).astype(np.float32)},
        observed=np.clip(truth, variable.lower, variable.upper).astype(np.float32),
    )


def joint(cases: Cases) -> JointEmosExpert:
    return JointEmosExpert([EmosExpert(source) for source in cases.members])


def fitted(cases: Cases) -> JointEmosExpert:
    expert = joint(cases)
    expert.fit(cases.take(slice(0, PAST)), cases.issue_times[PAST])
    return expert


def future(cases: Cases) -> Cases:
    return cases.take(slice(PAST, None))


def without(cases: Cases, *names: str) -> Cases:
    return replace(cases, members={name: array for name, array in cases.members.items() if name not in names})


@pytest.mark.parametrize("name", ["temperature_2m", "wind_speed_10m", "precipitation"])
def test_all_sources_together_beat_each_alone_and_are_calibrated(name: str) -> None:
    cases = weather(name)
    expert = fitted(cases)
    assert isinstance(expert, CaseExpert)
    quantiles = expert.predict(future(cases), LEVELS)
    truth = future(cases).observed
    for source in cases.members:
        alone = EmosExpert(source)
        alone.fit(cases.take(slice(0, PAST)), cases.issue_times[PAST])
        assert quantile_loss(quantiles, truth) < 0.9 * quantile_loss(alone.predict(future(cases), LEVELS), truth)
    covered = (truth >= quantiles[..., 1]) & (truth <= quantiles[..., -2])
    assert 0.74 <= covered.mean() <= 0.86
    assert (np.diff(quantiles, axis=-1) >= 0).all()


def test_a_predictor_that_explains_errors_is_used() -> None:
    cases = weather(seed=1)
    bare = replace(cases, predictors={})
    truth = future(cases).observed
    told = quantile_loss(fitted(cases).predict(future(cases), LEVELS), truth)
    assert told < 0.85 * quantile_loss(fitted(bare).predict(future(bare), LEVELS), truth)


def test_with_a_source_missing_it_goes_on_calibrated_and_wider() -> None:
    cases = weather(seed=2)
    expert = fitted(cases)
    truth = future(cases).observed
    whole = expert.predict(future(cases), LEVELS)
    less = expert.predict(without(future(cases), "alba"), LEVELS)
    assert (less[..., -1] - less[..., 0]).mean() > 1.05 * (whole[..., -1] - whole[..., 0]).mean()
    covered = (truth >= less[..., 1]) & (truth <= less[..., -2])
    assert 0.72 <= covered.mean() <= 0.88
    assert quantile_loss(whole, truth) < quantile_loss(less, truth)
    gone = dict(future(cases).members)
    gone["alba"] = np.full_like(gone["alba"], np.nan)
    np.testing.assert_array_equal(expert.predict(replace(future(cases), members=gone), LEVELS), less)


def test_it_sleeps_without_any_source_and_learns_from_a_record_with_gaps() -> None:
    cases = weather(seed=3)
    gaps = {name: array.copy() for name, array in cases.members.items()}
    gaps["alba"][10:50] = np.nan
    gaps["brio"][::3] = np.nan
    for array in gaps.values():
        array[PAST, 0, 2] = np.nan
    expert = fitted(replace(cases, members=gaps))
    quantiles = expert.predict(future(replace(cases, members=gaps)), LEVELS)
    assert np.isnan(quantiles[0, 0, 2]).all()
    assert np.isfinite(np.delete(quantiles[0, 0], 2, axis=0)).all()
    assert np.isnan(expert.predict(without(future(cases), "alba", "brio", "cirro"), LEVELS)).all()
    untaught = joint(cases)
    untaught.fit(cases.take(slice(0, 1)), cases.issue_times[0])
    assert np.isnan(untaught.predict(future(cases), LEVELS)).all()


def test_a_lead_that_no_source_reaches_is_left_to_others() -> None:
    cases = weather(seed=5, leads=(6, 12))
    short = {name: array.copy() for name, array in cases.members.items()}
    for array in short.values():
        array[:, 1] = np.nan
    quantiles = fitted(replace(cases, members=short)).predict(future(replace(cases, members=short)), LEVELS)
    assert np.isfinite(quantiles[:, 0]).all()
    assert np.isnan(quantiles[:, 1]).all()


def test_the_same_cases_give_the_same_answer_and_the_state_is_all_there_is() -> None:
    cases = weather(seed=4, leads=(6, 12))
    answer = fitted(cases).predict(future(cases), LEVELS)
    np.testing.assert_array_equal(answer, fitted(cases).predict(future(cases), LEVELS))
    first, restored = emos_experts(cases), emos_experts(cases)
    for expert, other in zip(first, restored, strict=True):
        expert.fit(cases.take(slice(0, PAST)), cases.issue_times[PAST])
        other.restore({name: np.array(values) for name, values in expert.state().items()})
        said = expert.predict(future(cases), LEVELS)
        np.testing.assert_array_equal(said, other.predict(future(cases), LEVELS))
    # Whether the experts of the sources were fitted before or by it is all one.
    np.testing.assert_array_equal(answer, said)


def test_what_became_known_later_changes_nothing() -> None:
    cases = weather(seed=5, leads=(24, 48))
    late = cases.valid_times > cases.issue_times[PAST]
    corrupted = np.where(late[..., None], 1e3, cases.observed).astype(np.float32)
    answers = []
    for observed in (cases.observed, corrupted):
        expert = joint(cases)
        changed = replace(cases, observed=observed)
        expert.fit(changed, cases.issue_times[PAST])
        answers.append(expert.predict(future(changed), LEVELS))
    np.testing.assert_array_equal(*answers)


def test_a_source_that_joins_later_is_taken_in() -> None:
    cases = weather(seed=6)
    expert, before = joint(cases), without(cases, "brio")
    expert.fit(before.take(slice(0, PAST)), cases.issue_times[PAST])
    expert.fit(cases.take(slice(0, PAST + 1)), cases.issue_times[PAST + 1])
    assert np.isfinite(expert.predict(without(future(cases), "alba", "cirro"), LEVELS)).all()
    assert [option.transform for option in joint_candidates(find_variable("precipitation"))] == ["sqrt", "sqrt"]
    assert joint_candidates(find_variable("wind_direction_10m")) == ()
