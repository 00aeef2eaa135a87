"""One variable of a release: fit, hold out, calibrate, fit again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from skyproof.archive.release_content import GUESS, Arrays, case_model
from skyproof.domain.cases import Cases, SourceHabit
from skyproof.domain.protocols import Blend, CaseExpert
from skyproof.domain.quantiles import LEVEL_ARRAY
from skyproof.domain.times import to_datetime64
from skyproof.science.first_guess import with_first_guess
from skyproof.science.panel import RUNS_SHOWN, ask_panel, only_usual, part_experts
from skyproof.stages.learn.calibrate_regimes import RegimeFit, fit_regimes
from skyproof.stages.learn.dependence import score_outcomes
from skyproof.stages.learn.held_out import Scores, forecast_held_out, score_held_out
from skyproof.stages.learn.hindcast import State, learn_blend
from skyproof.stages.learn.outcomes import Outcomes

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Lesson:
    """What was learned of one variable: experts, blend, regimes, scores for the dependence and for the card."""

    models: dict[str, Arrays]
    blend_state: State
    regimes: dict[str, RegimeFit]
    scores: Floats
    held_out: Scores


@dataclass(frozen=True, slots=True)
class Subject:
    """One variable to learn: its cases, what is held out of them, and what those who need no source said of that."""

    cases: Cases
    index: int
    habits: dict[str, SourceHabit]
    names: tuple[str, ...]
    outcomes: Outcomes
    usual: Floats
    tail_start: datetime
    as_of: datetime
    staleness: timedelta
    variables: tuple[str, ...]

    @property
    def skip(self) -> int:
        """First issue times of the tail left out of calibration, in which the blend had hardly learned."""
        return len(self.outcomes.issue_times) // 4

    @property
    def first_held_out(self) -> int:
        """Where the tail begins among the issue times of the cases."""
        return len(self.cases.issue_times) - len(self.outcomes.issue_times)


def learn_variable(subject: Subject, experts: Sequence[CaseExpert], blend: Blend, tell: Callable[[], None]) -> Lesson:
    """Learn a variable.

    The experts are fitted on all but the tail; on that the blend learns and the regimes are calibrated, out of sample; then the
    experts are fitted again on everything.

    Args:
        subject: what to learn from.
        experts: fresh; those of its cases.
        blend: joins them.
        tell: called before each fit and once between.
    """
    prepared = _prepare(subject, experts)
    _fit_all(prepared, subject.tail_start, subject, tell)
    tell()
    calibrated = _calibrate(subject, prepared, blend)
    _fit_all(prepared, subject.as_of, subject, tell)
    name = subject.cases.variable.name
    states = prepared.states | {case_model(expert.name, name): expert.state() for expert in experts}
    return replace(calibrated, models=states)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """Experts content with the cases, and those who look back, each with what they are told; states learned on the way."""

    plain: tuple[CaseExpert, ...]
    regular: Cases
    back: tuple[CaseExpert, ...]
    with_guess: Cases
    states: dict[str, Arrays]


def _prepare(subject: Subject, experts: Sequence[CaseExpert]) -> _Prepared:
    regular = only_usual(subject.cases, subject.habits, variables=subject.variables)
    plain, back = part_experts(experts)
    if not back:
        return _Prepared(plain, regular, back, regular, {})
    with_guess, guess = with_first_guess(regular, settled=subject.first_held_out)
    return _Prepared(plain, regular, back, with_guess, {case_model(GUESS, regular.variable.name): guess.state})


def _fit_all(prepared: _Prepared, as_of: datetime, subject: Subject, tell: Callable[[], None]) -> None:
    _fit(prepared.plain, prepared.regular, as_of, subject.staleness, tell)
    _fit(prepared.back, prepared.with_guess, as_of, subject.staleness, tell)


def _calibrate(subject: Subject, prepared: _Prepared, blend: Blend) -> Lesson:
    """What the held-out tail teaches of the blend, the regimes and the dependence; the models are still to come."""
    outcomes, variable, skip = subject.outcomes, subject.cases.variable, subject.skip
    answers = _ask_all(subject, prepared)
    observed = np.ascontiguousarray(outcomes.observed[:, subject.index])
    known_from = outcomes.known_from[:, subject.index]
    past = learn_blend(blend, variable, subject.names, subject.usual.shape[1], answers, (observed, known_from))
    regimes = fit_regimes(past, blend, tuple(subject.habits), skip=skip)
    made = forecast_held_out(past, blend, next(iter(regimes.values())), skip=skip)
    scores = score_outcomes(variable, outcomes.issue_times[skip:], made, observed[skip:])
    return Lesson({}, past.final, regimes, scores, score_held_out(past, made, skip=skip))


def _fit(
    experts: Sequence[CaseExpert], cases: Cases, as_of: datetime, staleness: timedelta, tell: Callable[[], None]
) -> None:
    """Fit experts on what was known at an instant, as if everything had become known later by ``staleness``.

    What an expert remembers of late is as old as that on the mean when a release serves: it learns how much that is worth.
    """
    # A slice, which copies nothing.
    past = cases.take(slice(0, int(np.searchsorted(cases.issue_times, to_datetime64(as_of), side="right"))))
    aged = replace(past, delay_hours=past.delay_hours + staleness / timedelta(hours=1))
    for expert in experts:
        tell()
        expert.fit(aged, to_datetime64(as_of + staleness))


def _ask_all(subject: Subject, prepared: _Prepared) -> Floats:
    """All answers to the tail, inside physical limits: (issue, expert, site, lead, level).

    NaN for experts of other variables only.
    """
    variable, first = subject.cases.variable, subject.first_held_out
    issues, usual, sites, leads, levels = subject.usual.shape
    answers = np.full((issues, len(subject.names), sites, leads, levels), np.nan, dtype=np.float32)
    answers[:, :usual] = subject.usual
    expected = {source_id: habit.leads[subject.index] for source_id, habit in subject.habits.items()}
    shown = max(first - RUNS_SHOWN, 0)
    asked = (
        (prepared.plain, subject.cases.take(slice(first, None))),
        (prepared.back, prepared.with_guess.take(slice(shown, None))),
    )
    for experts, cases in asked:
        said = ask_panel(experts, cases, subject.habits, expected, LEVEL_ARRAY)
        for expert, answer in zip(experts, said, strict=True):
            answers[:, subject.names.index(expert.name)] = answer[-issues:].swapaxes(1, 2)
    if variable.lower is not None or variable.upper is not None:
        np.clip(answers, variable.lower, variable.upper, out=answers)
    return answers
