"""Asking a panel of experts about cases: each in its own clock, and who of many sources speaks only when they are there.

An expert of one source learned what that source says at the age its cycles usually have. When the cycle at hand is a
day older, the same valid time lies a day further ahead for the source: the expert is asked for that longer lead, and is as
unsure as it has learned to be there. An expert of several sources knows them together, at their usual ages and leads; it
speaks where that is what came.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.cases import Cases, SourceHabit
from skyproof.domain.protocols import CaseExpert

Floats = NDArray[np.float32]

#: A cycle that is older or younger than usual by more is another clock for those who know several sources, in hours.
_SAME_CLOCK_HOURS = 6
#: Issue times before those asked about that experts see beside them: earlier runs speak of the same valid times.
RUNS_SHOWN = 3
#: A source usually reaches a lead if it did in this share of the issue times at which it came.
_USUALLY = 0.5


def find_habits(
    age_hours: Mapping[str, NDArray[np.float64]], said: Mapping[str, NDArray[np.bool_]], members: Mapping[str, int]
) -> dict[str, SourceHabit]:
    """What each source usually brings; a source that never came has no habit.

    Args:
        age_hours: of each source's cycle at each issue time, (issue,), NaN where there was none.
        said: whether it said anything, (variable, issue, lead).
        members: of its ensemble.
    """
    habits = {}
    for source_id, age in age_hours.items():
        known = age[np.isfinite(age)]
        if not len(known):
            continue
        ages, counts = np.unique(known.round(), return_counts=True)
        usual = float(ages[counts.argmax()])
        came = np.abs(age - usual) < 0.5
        leads = said[source_id][:, came].mean(axis=1) >= _USUALLY
        habits[source_id] = SourceHabit(usual, members[source_id], leads)
    return habits


def only_usual(cases: Cases, habits: Mapping[str, SourceHabit], *, variables: Sequence[str]) -> Cases:
    """The cases as experts of one clock learn from them and are asked about them.

    Args:
        cases: of one of the variables.
        habits: of the sources.
        variables: as the habits have them.

    Returns:
        Cases without what came from cycles of another age than usual, and with exactly the sources and predictors that usually
        come, NaN where one of them did not at all.
    """
    shape = cases.observed.shape
    members, predictors = {}, {}
    for source_id, habit in habits.items():
        shifts = _shifts(cases, source_id, habits)
        strange = np.flatnonzero(np.isfinite(shifts) & (shifts != 0))
        for index, variable in enumerate(variables):
            if not habit.leads[index].any():
                continue
            if variable == cases.variable.name:
                members[source_id] = _without(cases.members.get(source_id), strange, (*shape, habit.members))
            else:
                name = f"{variable}:{source_id}"
                predictors[name] = _without(cases.predictors.get(name), strange, shape)
    return replace(cases, members=members, predictors=predictors)


def _without(values: Floats | None, issues: NDArray[np.intp], shape: tuple[int, ...]) -> Floats:
    """Values as if there were none at some issue times; none at all where there are none."""
    if values is None:
        return np.full(shape, np.nan, dtype=np.float32)
    if not len(issues):
        return values
    values = values.copy()
    values[issues] = np.nan
    return values


def ask_panel(
    experts: Sequence[CaseExpert],
    cases: Cases,
    habits: Mapping[str, SourceHabit],
    expected: Mapping[str, NDArray[np.bool_]],
    levels: NDArray[np.float64],
) -> Floats:
    """What each expert says of each case.

    Args:
        experts: of the variable of the cases. ``kind:source`` is the expert of one source, all others know several.
        cases: any number of issue times.
        habits: of the sources learned from.
        expected: for each of them the leads at which it usually speaks of this variable, (lead,) bool.
        levels: of the quantiles.

    Returns:
        (expert, issue, lead, site, level) float32; NaN where an expert sleeps.
    """
    answers = np.full((len(experts), *cases.observed.shape, len(levels)), np.nan, dtype=np.float32)
    for issues, shifts in _clocks(cases, habits):
        some = cases.take(issues)
        whole = _all_there(some, expected, shifts)
        for number, expert in enumerate(experts):
            source_id = expert.name.partition(":")[2]
            if source_id in habits:
                shift = shifts[source_id]
                if np.isfinite(shift):
                    answers[number, issues] = expert.predict(in_clock(some, int(shift)), levels)
            elif whole.any():
                said = expert.predict(some, levels)
                answers[number, issues] = np.where(whole[..., None, None], said, np.float32(np.nan))
    return answers


def in_clock(cases: Cases, shift_hours: int) -> Cases:
    """The same cases as a cycle sees them that is older than usual by so many hours: issued earlier, leads longer."""
    if shift_hours == 0:
        return cases
    return replace(
        cases,
        issue_times=cases.issue_times - np.timedelta64(3600 * shift_hours, "s"),
        lead_hours=tuple(lead + shift_hours for lead in cases.lead_hours),
    )


def heard(answers: Floats, usual: int) -> Floats:
    """What the blend hears: the first ``usual`` experts, who know what is usual, only where no other speaks.

    Every other expert knows it, too; what is only usual would blur what they say.
    """
    spoken = np.isfinite(answers[usual:, ..., 0]).any(axis=0)
    result = answers.copy()
    result[:usual, spoken] = np.nan
    return result


def part_experts(experts: Sequence[CaseExpert]) -> tuple[tuple[CaseExpert, ...], tuple[CaseExpert, ...]]:
    """Those content with the cases of an issue time, and those who want running errors and the first guess beside them."""
    back = tuple(expert for expert in experts if getattr(expert, "needs_recent", False))
    return tuple(expert for expert in experts if expert not in back), back


def _shifts(cases: Cases, source_id: str, habits: Mapping[str, SourceHabit]) -> NDArray[np.float64]:
    """By how many hours each issue time's cycle is older than usual, (issue,), NaN where there is none."""
    habit = habits.get(source_id)
    if habit is None or source_id not in cases.age_hours:
        return np.full(len(cases.issue_times), np.nan)
    return np.asarray((cases.age_hours[source_id] - habit.age_hours).round())


def _clocks(cases: Cases, habits: Mapping[str, SourceHabit]) -> Iterator[tuple[NDArray[np.intp], dict[str, float]]]:
    """Issue times in groups that share every source's shift."""
    shifts = {source_id: _shifts(cases, source_id, habits) for source_id in habits}
    table = np.stack([*shifts.values(), np.zeros(len(cases.issue_times))], axis=1)
    patterns, group = np.unique(np.nan_to_num(table, nan=np.inf), axis=0, return_inverse=True)
    for number, pattern in enumerate(patterns):
        hours = {source_id: float(shift) for source_id, shift in zip(shifts, pattern[:-1], strict=True)}
        yield np.flatnonzero(group.ravel() == number), hours


def _all_there(cases: Cases, expected: Mapping[str, NDArray[np.bool_]], shifts: Mapping[str, float]) -> NDArray[Any]:
    """Issue times and leads at which every source says what it usually does, (issue, lead) bool."""
    whole = np.ones((len(cases.issue_times), len(cases.lead_hours)), dtype=bool)
    for source_id, leads in expected.items():
        if abs(shifts[source_id]) > _SAME_CLOCK_HOURS:
            return np.zeros_like(whole)
        if leads.any():
            values = cases.members.get(source_id)
            said = np.zeros_like(whole) if values is None else np.isfinite(values).any(axis=(2, 3))
            whole &= said | ~leads
    return whole
