"""Making a release: read the history, learn one variable after another, pack."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof import __version__
from skyproof.archive.archive import Archive
from skyproof.archive.release_content import Arrays, ReleaseContent
from skyproof.domain.cases import Cases
from skyproof.domain.errors import InvalidValueError, NotAvailableError
from skyproof.domain.forecasts import ForecastGrid, ForecastInputs, ObservedRecord, Release
from skyproof.domain.progress import Progress, silent
from skyproof.domain.protocols import Blend, CaseExpert, RecordModel
from skyproof.domain.times import floor_to_hours, format_instant, hours, schedule, to_datetime64
from skyproof.domain.variables import find_variable
from skyproof.science.panel import find_habits
from skyproof.stages.learn.calibrate_regimes import join_regimes
from skyproof.stages.learn.dependence import learn_dependence
from skyproof.stages.learn.hindcast import State
from skyproof.stages.learn.learn_variable import Lesson, Subject, learn_variable
from skyproof.stages.learn.outcomes import gather_outcomes

#: Shortest history to learn from, in days: below it nothing can be held out.
_SHORTEST_DAYS = 20
#: What experts learn to do without: at most a season, because a year ago is like today again, and of a short record no more than
#: one part in so many.
_STALEST, _STALEST_PART = timedelta(days=90), 6

Floats = NDArray[np.float32]
MakeExperts = Callable[[Cases], Sequence[CaseExpert]]


def learn_release(
    archive: Archive,
    *,
    grid: ForecastGrid,
    usual_models: Callable[[], Sequence[RecordModel]],
    make_experts: MakeExperts,
    blend: Blend,
    source_ids: Sequence[str],
    as_of: datetime,
    since: datetime,
    tail_days: int = 60,
    serve_days: int = 60,
    issue_every_hours: int = 24,
    issue_hour_utc: int = 12,
    max_cycle_age_hours: int = 60,
    progress: Progress = silent,
) -> Release:
    """Learn from what was known at ``as_of`` and keep the release.

    The experts are fitted on all but the last ``tail_days``; on those the blend learns and the regimes are calibrated,
    out of sample; then the experts are fitted again on everything.

    Args:
        archive: where the history lies and the release goes.
        grid: the cells of a run; sites that were never observed are left out.
        usual_models: makes the models that need no source.
        make_experts: makes the experts of a variable's cases.
        blend: joins them.
        source_ids: the sources learned from; one that never came is left out.
        as_of: what was known later does not exist.
        since: the history begins here.
        tail_days: days held out.
        serve_days: for how long the release is to serve; its experts are at their best half-way.
        issue_every_hours: hours between nominal issue times,
        issue_hour_utc: and the hour of the first of a day.
        max_cycle_age_hours: a cycle older than this is not used.
        progress: told after each expert.

    Raises:
        NotAvailableError: fewer than 20 days of observations.
        InvalidValueError: a variable that no expert can forecast.
    """
    circular = [name for name in grid.variables if find_variable(name).family == "circular"]
    if circular:
        raise InvalidValueError(
            f"{circular[0]} is an angle, which no expert forecasts", hint="leave it out of the setting variables"
        )
    record = archive.inputs.record(grid, since=since, as_of=as_of)
    first = _first_observed(record)
    # A site without a record teaches nothing: runs take it for one that came since.
    record = _only_observed(record)
    grid = record.grid
    if (as_of - first).days < _SHORTEST_DAYS:
        raise NotAvailableError(
            f"{(as_of - first).days} days of observations are too few to learn from",
            hint=f"take in at least {_SHORTEST_DAYS} days",
        )
    tail_start = as_of - min(timedelta(days=tail_days), (as_of - first) / 3)
    issue_times = list(schedule(first, as_of - hours(grid.step_hours), issue_every_hours, issue_hour_utc))
    tail = [issue_time for issue_time in issue_times if issue_time >= tail_start]
    reader = archive.inputs.cases(grid, source_ids, issue_times, as_of=as_of, max_age=hours(max_cycle_age_hours))
    habits = find_habits(reader.age_hours, reader.said, reader.member_counts)
    outcomes = gather_outcomes(archive, grid, tail, as_of=as_of)
    usual = usual_models()
    experts = [tuple(make_experts(reader.outline(index))) for index in range(len(reader))]
    names = tuple(dict.fromkeys([model.name for model in usual] + [each.name for some in experts for each in some]))
    steps = sum(2 * len(some) + 1 for some in experts)
    models: dict[str, Arrays] = {}
    lessons: list[Lesson] = []
    done = 0

    def tell() -> None:
        nonlocal done
        progress("learn", done, steps)
        done += 1

    staleness = min(timedelta(days=serve_days / 2), _STALEST, (as_of - first) / _STALEST_PART)

    def subject(index: int) -> Subject:
        early = _until(_only(record, index), tail_start)
        own_grid = replace(grid, variables=grid.variables[index : index + 1])
        return Subject(
            cases=reader[index],
            index=index,
            habits=habits,
            names=names,
            outcomes=outcomes,
            usual=_ask_usual(archive, usual_models(), early, own_grid, tail),
            tail_start=tail_start,
            as_of=as_of,
            staleness=staleness,
            variables=grid.variables,
        )

    for index in range(len(grid.variables)):
        # One variable after another, from its reading on, and nothing kept of it but what it taught: the members of all
        # together may not fit into memory.
        lessons.append(learn_variable(subject(index), experts[index], blend, tell))
        experts[index] = ()
    progress("learn", steps, steps)
    for model in usual:
        model.fit(record)
        models[model.name] = model.state()
    for lesson in lessons:
        models |= lesson.models
    regimes = join_regimes([lesson.regimes for lesson in lessons])
    content = ReleaseContent(
        code_version=__version__,
        learned_at=as_of,
        trained_from=first,
        grid=grid,
        source_ids=tuple(habits),
        issue_every_hours=issue_every_hours,
        issue_hour_utc=issue_hour_utc,
        max_cycle_age_hours=max_cycle_age_hours,
        expert_names=names,
        usual=len(usual),
        habits=habits,
        models=models,
        blend_state=_join_states([lesson.blend_state for lesson in lessons]),
        regimes=regimes,
        dependence=learn_dependence([lesson.scores for lesson in lessons]),
    )
    return archive.releases.add(
        content.to_bytes(),
        created_at=as_of,
        trained_from=first,
        trained_until=as_of,
        sources=tuple(habits),
        card=_card(content, record, len(tail))
        | {"held_out_scores": {name: lesson.held_out for name, lesson in zip(grid.variables, lessons, strict=True)}},
    )


def _ask_usual(
    archive: Archive,
    models: Sequence[RecordModel],
    record: ObservedRecord,
    grid: ForecastGrid,
    issue_times: Sequence[datetime],
) -> Floats:
    """What those who need no source say when fitted on a record of one variable: (issue, model, site, lead, level)."""
    for model in models:
        model.fit(record)
    answers = []
    for issue_time in issue_times:
        recent = archive.inputs.recent(grid, issue_time=issue_time)
        inputs = ForecastInputs(issue_time, floor_to_hours(issue_time, grid.step_hours), grid, {}, (), recent)
        answers.append(np.stack([model.predict(inputs).quantiles[0] for model in models]))
    return np.stack(answers)


def _join_states(states: Sequence[State]) -> dict[str, NDArray[Any]]:
    """The blend's states of single variables as the state of all of them."""
    return {name: np.concatenate([state[name] for state in states]) for name in states[0]}


def _first_observed(record: ObservedRecord) -> datetime:
    seen = np.isfinite(record.observations).any(axis=(0, 2))
    if not seen.any():
        raise NotAvailableError("no usable observation was known by then", hint="skyproof ingest brings them in")
    seconds = record.valid_times[int(np.argmax(seen))].astype("datetime64[s]").astype(int)
    return datetime.fromtimestamp(int(seconds), record.as_of.tzinfo)


def _only_observed(record: ObservedRecord) -> ObservedRecord:
    """The part of a record of sites of which anything was observed."""
    seen = np.flatnonzero(np.isfinite(record.observations).any(axis=(0, 1)))
    grid = replace(record.grid, sites=tuple(record.grid.sites[place] for place in seen))
    # In the order of memory that sums are taken in, so that leaving a site out changes no other's last digit.
    return replace(record, grid=grid, observations=np.ascontiguousarray(record.observations[:, :, seen]))


def _until(record: ObservedRecord, end: datetime) -> ObservedRecord:
    """The part of a record that was valid before ``end``."""
    early = record.valid_times < to_datetime64(end)
    return ObservedRecord(end, record.grid, record.valid_times[early], record.observations[:, early])


def _only(record: ObservedRecord, index: int) -> ObservedRecord:
    """The record of one variable, by number."""
    grid = replace(record.grid, variables=record.grid.variables[index : index + 1])
    return ObservedRecord(record.as_of, grid, record.valid_times, record.observations[index : index + 1])


def _card(content: ReleaseContent, record: ObservedRecord, held_out: int) -> dict[str, Any]:
    counts = {
        name: int(np.isfinite(record.observations[index]).sum()) for index, name in enumerate(record.grid.variables)
    }
    return {
        "learned_at": format_instant(content.learned_at),
        "data": f"{format_instant(content.trained_from)} to {format_instant(content.learned_at)}",
        "sites": len(content.grid.sites),
        "variables": ", ".join(content.grid.variables),
        "leads": f"{min(content.grid.lead_hours)} to {max(content.grid.lead_hours)} h",
        "sources": ", ".join(content.source_ids),
        "experts": ", ".join(content.expert_names),
        "observations": counts,
        "held_out_issue_times": held_out,
        "coverage_80_by_regime": {name: known.coverage for name, known in content.regimes.items()},
        "widening_by_regime": {name: known.widening for name, known in content.regimes.items()},
        "limitations": "Places without a record here are forecast from what all sites and their neighbours taught; "
        "scores and coverage by regime are those of the held-out part of the record, on which the blend and its calibration "
        "learned; skyproof scorecard has those of later days.",
    }
