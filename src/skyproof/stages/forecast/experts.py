"""Asking every expert the same question."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from skyproof.archive.archive import Archive
from skyproof.archive.release_content import GUESS, ReleaseContent, case_model
from skyproof.domain.cases import Cases, Place
from skyproof.domain.errors import IntegrityError
from skyproof.domain.forecasts import ForecastInputs
from skyproof.domain.protocols import CaseExpert, RecordModel
from skyproof.domain.quantiles import LEVEL_ARRAY
from skyproof.domain.times import hours, schedule
from skyproof.domain.variables import Variable, find_variable
from skyproof.science.ensemble_statistics import mean_of_known
from skyproof.science.first_guess import with_applied_guess
from skyproof.science.panel import RUNS_SHOWN, ask_panel, only_usual, part_experts
from skyproof.science.quantile_functions import ensemble_quantiles
from skyproof.stages.forecast.site_memories import without_records

#: The baseline made of all calibrated sources that are awake, quantile by quantile. No expert of the blend.
EQUAL_WEIGHT = "equal_weight"
_RAW = "raw:"
#: From so long before an issue time on are running errors made anew, in days: the slowest has a half life of 25.
_RUNNING_DAYS = 75
_CALIBRATED = "emos:"

MakeExperts = Callable[[Cases], Sequence[CaseExpert]]


@dataclass(frozen=True, slots=True)
class Panel:
    """The experts of a release, knowing what it learned.

    ``usual`` need no source; ``experts`` are those of each variable's cases.
    """

    content: ReleaseContent
    usual: tuple[RecordModel, ...]
    experts: Mapping[str, tuple[CaseExpert, ...]]


def wake_experts(
    content: ReleaseContent,
    usual: Sequence[RecordModel],
    make_experts: MakeExperts,
    *,
    hidden: Collection[str] = (),
) -> Panel:
    """The release's experts.

    Args:
        content: the release.
        usual: fresh models that need no source.
        make_experts: makes fresh experts.
        hidden: sites whose records say nothing to their neighbours.

    Raises:
        IntegrityError: an expert of the release is not installed here.
    """
    experts: dict[str, tuple[CaseExpert, ...]] = {}
    for index, name in enumerate(content.grid.variables):
        made = {expert.name: expert for expert in make_experts(_as_learned(content, index))}
        wanted = [known for known in content.expert_names if case_model(known, name) in content.models]
        _check_installed(wanted, made)
        for known in wanted:
            made[known].restore(without_records(content.models[case_model(known, name)], hidden))
        experts[name] = tuple(made[known] for known in wanted)
    by_name = {model.name: model for model in usual}
    _check_installed(content.expert_names[: content.usual], by_name)
    models = tuple(by_name[known] for known in content.expert_names[: content.usual])
    for model in models:
        model.restore(content.models[model.name])
    return Panel(content, models, experts)


def ask_experts(panel: Panel, inputs: ForecastInputs) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """What every expert says, inside physical limits, and the baselines last.

    At other sites than those of the release those sleep that know nothing but records: models of the record itself, and
    experts that need the first guess.

    Returns:
        Names: those of the release's experts, of the raw sources, and of the equal-weight blend. Quantiles (expert,
        variable, site, lead, level), NaN where an expert sleeps.
    """
    content, grid = panel.content, inputs.grid
    names = expert_names(content)
    place = {name: number for number, name in enumerate(names)}
    shape = (len(names), len(grid.variables), len(grid.sites), len(grid.lead_hours), len(LEVEL_ARRAY))
    quantiles = np.full(shape, np.nan, dtype=np.float32)
    at_home = grid.site_ids == content.grid.site_ids
    for model in panel.usual if at_home else ():
        quantiles[place[model.name]] = model.predict(inputs).quantiles
    for index, (name, cases) in enumerate(zip(grid.variables, inputs.cases, strict=True)):
        expected = {source_id: habit.leads[index] for source_id, habit in content.habits.items()}
        for experts, told in _told(panel, name, cases, at_home=at_home):
            answers = ask_panel(experts, told, content.habits, expected, LEVEL_ARRAY)[:, -1]
            for expert, answer in zip(experts, answers, strict=True):
                quantiles[place[expert.name], index] = answer.swapaxes(0, 1)
        for source_id, members in cases.members.items():
            quantiles[place[f"{_RAW}{source_id}"], index] = ensemble_quantiles(members[-1]).swapaxes(0, 1)
        _within(find_variable(name), quantiles[:, index])
    calibrated = [place[name] for name in (f"{_CALIBRATED}{known}" for known in content.source_ids) if name in place]
    quantiles[-1] = mean_of_known(quantiles[calibrated])
    return names, quantiles


def expert_names(content: ReleaseContent) -> tuple[str, ...]:
    """Those of a release's experts, of the raw sources, and of the equal-weight blend."""
    return (*content.expert_names, *(f"{_RAW}{source_id}" for source_id in content.source_ids), EQUAL_WEIGHT)


def gather_inputs(archive: Archive, content: ReleaseContent, issue_time: datetime) -> ForecastInputs:
    """What a release needs to be asked about an issue time, as it was known then."""
    return archive.inputs.gather(
        content.grid,
        content.source_ids,
        issue_time=issue_time,
        max_age=hours(content.max_cycle_age_hours),
        earlier=earlier_issues(content, issue_time),
    )


def earlier_issues(content: ReleaseContent, issue_time: datetime) -> list[datetime]:
    """The nominal issue times before one that its experts must see beside it; none where no expert looks back."""
    if not any(case_model(GUESS, name) in content.models for name in content.grid.variables):
        return []
    since, last = issue_time - timedelta(days=_RUNNING_DAYS), issue_time - timedelta(seconds=1)
    return list(schedule(since, last, content.issue_every_hours, content.issue_hour_utc))


def _told(panel: Panel, name: str, cases: Cases, *, at_home: bool) -> Iterator[tuple[tuple[CaseExpert, ...], Cases]]:
    """Experts of a variable with the cases they are asked about, the present one last."""
    plain, looking_back = part_experts(panel.experts[name])
    yield plain, cases.take(slice(-1, None))
    if looking_back and at_home:
        usual = only_usual(cases, panel.content.habits, variables=panel.content.grid.variables)
        prepared = with_applied_guess(usual, panel.content.models[case_model(GUESS, name)])
        yield looking_back, prepared.take(slice(-1 - RUNS_SHOWN, None))


def _as_learned(content: ReleaseContent, index: int) -> Cases:
    """No case at all, of the sources that were there of a variable when the release was learned."""
    grid = content.grid
    nothing = np.empty((0, len(grid.lead_hours), len(grid.sites)), dtype=np.float32)
    return Cases(
        variable=find_variable(grid.variables[index]),
        issue_times=np.empty(0, dtype="datetime64[s]"),
        lead_hours=grid.lead_hours,
        sites=tuple(Place(site.site_id, site.latitude, site.longitude, site.elevation_m) for site in grid.sites),
        members={
            source_id: np.empty((*nothing.shape, habit.members), dtype=np.float32)
            for source_id, habit in content.habits.items()
            if habit.leads[index].any()
        },
        predictors={},
        observed=nothing,
    )


def _check_installed(wanted: Sequence[str], there: Mapping[str, object]) -> None:
    absent = [name for name in wanted if name not in there]
    if absent:
        raise IntegrityError(
            f"the release needs experts not installed here: {', '.join(absent)}", hint="install their package"
        )


def _within(variable: Variable, quantiles: NDArray[np.float32]) -> None:
    """Hold quantiles inside the limits of a variable, in place."""
    if variable.lower is not None or variable.upper is not None:
        np.clip(quantiles, variable.lower, variable.upper, out=quantiles)
