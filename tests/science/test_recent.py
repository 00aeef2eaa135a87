"""What the last observations said: as of each issue time, by hand, against plain loops, and never from the future."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from skyproof.domain.cases import Cases
from skyproof.science.recent import running_error, running_sums, with_recent
from tests.science.engine_cases import DAY, HOUR, START, make_cases, truth_by_valid_time


def irregular(seed: int = 3, *, delay_hours: float = 5.0) -> Cases:
    """Issue times at odd hours with gaps of days, three leads, two sites, a fifth of what was seen and said missing."""
    chance = np.random.default_rng(seed)
    hours = np.cumsum(chance.choice([6, 12, 24, 24, 24, 72], 25))
    issues, leads = START + hours * HOUR, (0, 12, 36)
    observed = truth_by_valid_time(chance, issues, leads, 2)
    said = observed + chance.normal(0, 1, observed.shape)
    said[chance.random(25) < 0.2] = np.nan
    wind = chance.normal(5, 2, observed.shape)
    # A missing observation is missing for every run that speaks of its valid time.
    hidden = chance.random((int(hours[-1]) + 40, 2)) < 0.2
    observed = np.where(hidden[hours[:, None] + np.array(leads)], np.nan, observed)
    return make_cases(
        observed,
        leads=leads,
        members={"alba": said},
        predictors={"wind": wind},
        issue_times=issues,
        delay_hours=delay_hours,
    )


def slow_recent(cases: Cases) -> dict[str, NDArray[Any]]:
    """The same quantities of a source ``alba`` and a predictor ``wind``, one case after the other."""
    names = ("observed_last", "observed_age", "observed_day", "error_last:alba", "last:wind")
    recent = {name: np.full(cases.observed.shape, np.nan) for name in names}
    valid, delay = cases.valid_times, np.timedelta64(round(cases.delay_hours * 3600), "s")
    for issue, site in np.ndindex(len(valid), cases.observed.shape[2]):
        now = cases.issue_times[issue]
        seen = {
            valid[at]: cases.observed[(*at, site)]
            for at in np.ndindex(valid.shape)
            if valid[at] + delay <= now and np.isfinite(cases.observed[(*at, site)])
        }
        for lead in range(valid.shape[1]):
            oldest = np.ceil((valid[issue, lead] + delay - now) / DAY)
            for days in np.maximum(oldest, 1) + np.arange(3):
                wanted = valid[issue, lead] - int(days) * DAY
                if wanted in seen:
                    recent["observed_day"][issue, lead, site] = seen[wanted]
                    break
        last = max(seen, default=None)
        if last is None or (now - last) / HOUR > 72 + cases.delay_hours:
            continue
        recent["observed_last"][issue, :, site] = seen[last]
        recent["observed_age"][issue, :, site] = (valid[issue] - last) / HOUR
        for run, lead in sorted(np.ndindex(valid.shape), reverse=True):
            if run <= issue and valid[run, lead] == last:
                recent["error_last:alba"][issue, :, site] = seen[last] - cases.members["alba"][run, lead, site, 0]
                recent["last:wind"][issue, :, site] = cases.predictors["wind"][run, lead, site]
                break
    return recent


def test_the_latest_observation_its_age_and_the_error_of_the_run_that_held_it() -> None:
    # Issued on days 0, 1, 2 for 24 and 48 hours ahead: on day 2 the observation of day 2 is there, said on day 1.
    observed = np.array([[[1.0], [2.0]], [[2.0], [3.0]], [[3.0], [4.0]]])
    said = np.array([[[0.0], [9.0]], [[1.5], [9.0]], [[9.0], [9.0]]])
    recent = with_recent(make_cases(observed, leads=(24, 48), members={"alba": said})).recent
    np.testing.assert_array_equal(recent["observed_last"][:, 0, 0], [np.nan, 1.0, 2.0])
    np.testing.assert_array_equal(recent["observed_age"][2, :, 0], [24.0, 48.0])
    np.testing.assert_array_equal(recent["error_last:alba"][:, 0, 0], [np.nan, 1.0, 0.5])
    np.testing.assert_array_equal(recent["observed_day"][2, :, 0], [2.0, 2.0])


def test_an_observation_counts_only_after_its_delay() -> None:
    observed = np.arange(1.0, 5.0)[:, None, None]
    prompt = with_recent(make_cases(observed)).recent["observed_last"][:, 0, 0]
    late = with_recent(make_cases(observed, delay_hours=1.0)).recent["observed_last"][:, 0, 0]
    np.testing.assert_array_equal(prompt, [np.nan, 1.0, 2.0, 3.0])
    np.testing.assert_array_equal(late, [np.nan, np.nan, 1.0, 2.0])


def test_an_observation_older_than_three_days_says_nothing_about_now() -> None:
    observed = np.array([5.0, np.nan, np.nan, np.nan, np.nan, np.nan])[:, None, None]
    last = with_recent(make_cases(observed)).recent["observed_last"][:, 0, 0]
    np.testing.assert_array_equal(last, [np.nan, 5.0, 5.0, 5.0, 5.0, np.nan])


def test_the_same_hour_is_looked_for_one_day_before_the_other() -> None:
    # Issued at 00 UTC for 12 and 24 hours ahead; noon of yesterday is missing, noon of the day before is not.
    observed = np.array([[[1.0], [10.0]], [[np.nan], [20.0]], [[3.0], [30.0]]])
    day = with_recent(make_cases(observed, leads=(12, 24))).recent["observed_day"]
    np.testing.assert_array_equal(day[2, :, 0], [1.0, 20.0])
    np.testing.assert_array_equal(day[1, :, 0], [1.0, 10.0])


@pytest.mark.parametrize("delay_hours", [0.0, 5.0, 30.5])
def test_irregular_issue_times_gaps_and_delays_agree_with_plain_loops(delay_hours: float) -> None:
    cases = irregular(delay_hours=delay_hours)
    recent = with_recent(cases).recent
    for name, wanted in slow_recent(cases).items():
        np.testing.assert_allclose(recent[name], wanted, atol=1e-5, err_msg=name)


def test_a_running_error_by_hand() -> None:
    # Errors 4 and 8, a day apart, half life a day: on day 2 the sum is 8 + 4/2 = 10, the count 1.5, held by 2 at zero.
    error = np.array([4.0, 8.0, 100.0])[:, None, None]
    cases = make_cases(error)
    total, count = running_sums(cases, error, half_life_days=1.0)
    np.testing.assert_allclose(total[:, 0, 0], [0.0, 4.0, 10.0])
    np.testing.assert_allclose(count[:, 0, 0], [0.0, 1.0, 1.5])
    np.testing.assert_allclose(running_error(cases, error, half_life_days=1.0)[:, 0, 0], [0.0, 4 / 3, 10 / 3.5])


@pytest.mark.parametrize("delay_hours", [0.0, 30.5])
def test_running_sums_agree_with_weights_written_out(delay_hours: float) -> None:
    cases = irregular(delay_hours=delay_hours)
    error = cases.observed - cases.members["alba"].mean(axis=-1)
    total, count = running_sums(cases, error, half_life_days=4.0)
    delay = np.timedelta64(round(delay_hours * 3600), "s")
    for issue, lead, site in np.ndindex(error.shape):
        arrived = np.flatnonzero(cases.valid_times[:, lead] + delay <= cases.issue_times[issue])
        newest = cases.issue_times[arrived[-1]] if len(arrived) else START
        weight = 0.5 ** ((newest - cases.issue_times[arrived]) / DAY / 4.0)
        values = error[arrived, lead, site]
        seen = np.isfinite(values)
        assert total[issue, lead, site] == pytest.approx(weight[seen] @ values[seen], abs=1e-4)
        assert count[issue, lead, site] == pytest.approx(weight[seen].sum(), abs=1e-9)


def test_an_error_that_stays_is_found_and_one_that_was_never_seen_is_zero() -> None:
    observed = np.full((60, 1, 2), 3.0)
    observed[:, :, 1] = np.nan
    recent = with_recent(make_cases(observed, members={"alba": np.full((60, 1, 2), 1.0)})).recent
    assert recent["error_slow:alba"][-1, 0, 0] == pytest.approx(2.0, rel=0.1)
    assert recent["error_slow:alba"][-1, 0, 0] > recent["error_slow:alba"][10, 0, 0] > 0
    assert (recent["error_slow:alba"][:, 0, 1] == 0).all()
    assert np.isnan(recent["observed_last"][:, 0, 1]).all()


@given(issue=st.integers(0, 24), delay_hours=st.sampled_from([0.0, 5.0, 30.5]))
def test_nothing_that_arrives_or_is_said_later_changes_what_was_known(issue: int, delay_hours: float) -> None:
    cases = irregular(delay_hours=delay_hours)
    members, wind = cases.members["alba"].copy(), cases.predictors["wind"].copy()
    members[issue + 1 :], wind[issue + 1 :] = -50.0, -50.0
    unseen = np.isfinite(cases.observed) & ~cases.known(cases.issue_times[issue])
    later = replace(
        cases,
        observed=np.where(unseen, np.float32(999), cases.observed),
        members={"alba": members},
        predictors={"wind": wind},
    )
    before, after = with_recent(cases).recent, with_recent(later).recent
    for name, values in before.items():
        np.testing.assert_array_equal(values[: issue + 1], after[name][: issue + 1], err_msg=name)


def test_cases_without_an_issue_time_have_nothing_recent() -> None:
    nothing = make_cases(np.empty((0, 1, 1)), members={"alba": np.empty((0, 1, 1))})
    recent = with_recent(nothing).recent
    assert set(recent) == {"error_fast:alba", "error_slow:alba"}
    assert all(values.shape == (0, 1, 1) for values in recent.values())
