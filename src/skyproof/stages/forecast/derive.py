"""Quantities customers act on, from scenarios: days, sums, degree days, spells, wind at a height, gusts, power.

All are worked out member by member, summed over a portfolio where wanted, and become quantiles or probabilities last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from skyproof.archive.archive import Archive
from skyproof.domain.derived import DerivedForecast, DerivedQuestion
from skyproof.domain.errors import InvalidValueError, UnknownNameError
from skyproof.domain.forecasts import Run
from skyproof.domain.scenarios import Scenarios
from skyproof.domain.sites import Site
from skyproof.domain.times import Instants
from skyproof.domain.variables import find_variable
from skyproof.science.derived import (
    How,
    Window,
    cooling_degrees,
    heating_degrees,
    local_days,
    over_windows,
    rolling_windows,
    spell_probabilities,
)
from skyproof.science.scenarios import scenario_quantiles
from skyproof.stages.forecast.axes import valid_times
from skyproof.stages.forecast.derived_series import SERIES, make_series
from skyproof.stages.forecast.scenarios import Template, draw_scenarios, sum_over_sites

_DAILY: dict[str, tuple[str, How]] = {
    "daily-maximum": ("temperature_2m", "maximum"),
    "daily-minimum": ("temperature_2m", "minimum"),
    "daily-mean": ("temperature_2m", "mean"),
    "daily-sum": ("precipitation", "sum"),
}
_DEGREES = {"heating-degree-days": heating_degrees, "cooling-degree-days": cooling_degrees}
#: Every quantity by name.
QUANTITIES = (*_DAILY, "accumulation", *_DEGREES, "spell", *SERIES)
_UTC = ZoneInfo("UTC")


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows of one site. ``values``: (row, column)."""

    labels: list[str]
    starts: list[np.datetime64]
    ends: list[np.datetime64]
    values: NDArray[np.float64]


def derive(
    archive: Archive,
    run: Run,
    question: DerivedQuestion,
    *,
    members: int,
    sites: Mapping[str, Site],
    site_ids: Sequence[str] = (),
    weights: Sequence[float] = (),
    total: bool = False,
    levels: Sequence[float] = (0.1, 0.5, 0.9),
    template: Template = "auto",
    seed: str = "",
) -> DerivedForecast:
    """A quantity of a run.

    Args:
        archive: where the run lies.
        run: the run.
        question: what is wanted.
        members: scenarios it is worked out with.
        sites: the registered sites, for their time zones.
        site_ids: those wanted; all of the run by default.
        weights: one per site named, for ``total``; 1 by default.
        total: sum each member over the sites before anything else but wind, gusts and power.
        levels: of the quantiles; spells have a probability instead.
        template: as in :func:`~skyproof.stages.forecast.scenarios.draw_scenarios`.
        seed: as there.

    Raises:
        UnknownNameError: an unknown quantity, or a variable or site that the run does not have.
        InvalidValueError: a question that lacks something, or levels outside 0 to 1.
    """
    if question.quantity not in QUANTITIES:
        raise UnknownNameError(
            f"quantity {question.quantity[:40]!r} is not known", hint=f"use one of {', '.join(QUANTITIES)}"
        )
    if not levels or not all(0 < level < 1 for level in levels):
        raise InvalidValueError("levels must lie between 0 and 1", hint="give levels such as 0.1,0.5,0.9")
    drawn = draw_scenarios(
        archive,
        run,
        members=members,
        variables=_needed(question, archive.runs.open(run).variables),
        site_ids=site_ids or None,
        template=template,
        seed=seed,
    )
    if question.quantity in SERIES:
        drawn = make_series(archive, drawn, question)
    zones = [sites[site_id].timezone if site_id in sites else "UTC" for site_id in drawn.site_ids]
    if total:
        drawn = sum_over_sites(drawn, weights=weights or None)
        zones = zones[:1] if len(set(zones)) == 1 else ["UTC"]
    ordered = sorted(levels)
    rows = [_rows(drawn, place, ZoneInfo(zone), question, ordered) for place, zone in enumerate(zones)]
    name, unit, columns = _words(drawn, question, ordered)
    return DerivedForecast(
        run_id=run.run_id,
        issue_time=run.issue_time,
        name=name,
        unit=unit,
        columns=columns,
        site_ids=tuple(site_id for site_id, part in zip(drawn.site_ids, rows, strict=True) for _ in part.labels),
        labels=tuple(label for part in rows for label in part.labels),
        starts=np.array([start for part in rows for start in part.starts], dtype="datetime64[s]"),
        ends=np.array([end for part in rows for end in part.ends], dtype="datetime64[s]"),
        values=np.concatenate([part.values for part in rows]),
        facts={"members": members, "seed": seed, "template": dict(drawn.template)},
    )


def _needed(question: DerivedQuestion, held: Sequence[str]) -> list[str]:
    """Variables to draw: what the quantity is made of, of which only the first must be there."""
    if question.quantity in SERIES:
        first, *others = SERIES[question.quantity].needs
        if question.quantity == "gusts" and "wind_gusts_10m" in held:
            return ["wind_gusts_10m"]
        return [first, *(name for name in others if name in held)]
    if question.quantity in _DEGREES:
        return ["temperature_2m"]
    default = {"accumulation": "precipitation", "spell": "wind_speed_10m"}
    own = _DAILY[question.quantity][0] if question.quantity in _DAILY else default[question.quantity]
    return [question.variable or own]


def _words(drawn: Scenarios, question: DerivedQuestion, levels: Sequence[float]) -> tuple[str, str, tuple[str, ...]]:
    """Name, unit and columns of the answer."""
    name, unit = drawn.variables[0], drawn.units[0]
    columns = tuple(f"p{100 * level:g}" for level in levels)
    if question.quantity in _DEGREES:
        return question.quantity.replace("-", "_"), "K.d", columns
    if question.quantity == "spell":
        return f"{name}_spell", "1", ("probability",)
    if question.quantity in SERIES:
        return name, unit, columns
    return f"{question.quantity.replace('-', '_')}_{name}", unit, columns


def _rows(drawn: Scenarios, place: int, zone: ZoneInfo, question: DerivedQuestion, levels: Sequence[float]) -> _Rows:
    """The answer for one site."""
    values = drawn.values[0, place].astype(np.float64)
    times, step = valid_times(drawn.init_time, drawn.lead_hours), _step(drawn)
    level_array = np.array(levels)
    if question.quantity in SERIES:
        nothing = [""] * len(times)
        return _Rows(nothing, list(times), list(times), scenario_quantiles(values, level_array))
    if question.quantity == "spell":
        return _spells(values, times, step, question)
    variable = find_variable(drawn.variables[0])
    if question.quantity == "accumulation":
        if variable.cell_method != "preceding sum":
            raise InvalidValueError(f"{variable.name} is no amount that adds up", hint="accumulate precipitation")
        windows = rolling_windows(times, step_hours=step, window_hours=question.hours or 24)
        return _windowed(windows, over_windows(values, windows, "sum"), level_array, labels=False)
    days = local_days(times, zone, step_hours=step, instant=variable.cell_method == "instant")
    if question.quantity in _DAILY:
        how = _DAILY[question.quantity][1]
        if how == "sum" and variable.cell_method != "preceding sum":
            raise InvalidValueError(f"{variable.name} is no amount that adds up", hint="sum precipitation")
        return _windowed(days, over_windows(values, days, how), level_array, labels=True)
    settings = {key: value for key, value in (("base", question.base), ("limit", question.limit)) if value is not None}
    degrees = _DEGREES[question.quantity](over_windows(values, days, "mean"), **settings)
    found = _windowed(days, degrees, level_array, labels=True)
    if not days:
        return found
    whole = scenario_quantiles(degrees.sum(axis=0), level_array)
    return _Rows(
        [*found.labels, "total"],
        [*found.starts, days[0].start],
        [*found.ends, days[-1].end],
        np.concatenate([found.values, whole[None]]),
    )


def _windowed(
    windows: Sequence[Window], values: NDArray[np.float64], levels: NDArray[np.float64], *, labels: bool
) -> _Rows:
    return _Rows(
        [window.label if labels else "" for window in windows],
        [window.start for window in windows],
        [window.end for window in windows],
        scenario_quantiles(values, levels),
    )


def _spells(values: NDArray[np.float64], times: Instants, step: int, question: DerivedQuestion) -> _Rows:
    """Probability at each lead of lying in a spell, and of any spell before the last lead."""
    if (question.above is None) == (question.below is None):
        raise InvalidValueError("a spell needs one threshold", hint="give --above or --below")
    happens = values > question.above if question.above is not None else values < (question.below or 0.0)
    # A value at a step stands for that step: a spell of h hours is h / step of them, rounded up.
    steps = max(-(-(question.hours or step) // step), 1)
    by_lead, ever = spell_probabilities(happens, steps)
    missing = np.isnan(values).any(axis=-1)
    probabilities = np.append(np.where(missing, np.nan, by_lead), np.nan if missing.any() else ever)
    return _Rows([*[""] * len(times), "total"], [*times, times[0]], [*times, times[-1]], probabilities[:, None])


def _step(drawn: Scenarios) -> int:
    """Hours between two leads; the shortest where they differ."""
    return int(np.diff([0, *drawn.lead_hours]).min())
