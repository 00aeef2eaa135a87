"""The days of an answer: statistics of local days, worked out member by member and turned into quantiles last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from skyproof.archive.runs import SiteSeries
from skyproof.domain.sites import find_zone
from skyproof.domain.times import Instants
from skyproof.science.derived import Window, local_days, over_windows
from skyproof.science.scenarios import scenario_quantiles
from skyproof.stages.deliver.columns import (
    Column,
    Columns,
    Heads,
    Scale,
    check_in_run,
    make_heads,
    make_scale,
    reason_of,
    wanted_unit,
    write_probabilities,
)
from skyproof.stages.deliver.daily_names import DAILY, DailyStatistic
from skyproof.stages.deliver.questions import ForecastRequest
from skyproof.stages.deliver.thresholds import Threshold, share_crossing
from skyproof.stages.deliver.time_axis import TimeAxis

#: Scenarios from which a day's statistics are worked out.
MEMBERS = 100
#: A day of which the run has not every step.
INCOMPLETE = "day_incomplete"


@dataclass(frozen=True, slots=True)
class DayPlan:
    """What does not depend on the site. ``rows`` are those of each statistic's variable in the run."""

    statistics: tuple[DailyStatistic, ...]
    rows: tuple[int, ...]
    levels: tuple[float, ...]
    thresholds: tuple[tuple[int, Threshold, float], ...]
    members: int
    heads: Heads
    scale: Scale
    step_hours: int
    reason_names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DayAxis:
    """Local days one after the other: as written, and from midnight to midnight in epoch seconds."""

    dates: tuple[str, ...]
    labels: tuple[str, ...] | tuple[int, ...]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.dates)


@dataclass(frozen=True, slots=True)
class SiteMembers:
    """Scenarios of one site: (variable of the run, lead, member). ``shown`` are those asked for, None without any."""

    statistics: NDArray[np.float32]
    shown: NDArray[np.float32] | None


def plan_days(
    run_variables: Sequence[str], reason_names: Sequence[str], step_hours: int, request: ForecastRequest
) -> DayPlan:
    """Match the statistics asked for with what a run has.

    Raises:
        UnknownNameError: the run has not the variable of a statistic.
    """
    statistics = tuple(DAILY[name] for name in request.daily)
    for statistic in statistics:
        check_in_run(statistic.variable.name, run_variables)
    units = [wanted_unit(request, statistic.unit) for statistic in statistics]
    scale = make_scale([s.unit for s in statistics], units, [s.decimals for s in statistics])
    place = {statistic.name: row for row, statistic in enumerate(statistics)}
    subjects = [
        Column(s.name, s.variable, unit, s.cell_method, s.how) for s, unit in zip(statistics, units, strict=True)
    ]
    return DayPlan(
        statistics,
        tuple(run_variables.index(statistic.variable.name) for statistic in statistics),
        request.levels,
        tuple(
            (place[threshold.name], threshold, scale.canonical(place[threshold.name], threshold.value))
            for threshold in request.daily_thresholds
        ),
        request.members,
        make_heads(subjects, request.levels, request.daily_thresholds, request.members),
        scale,
        step_hours,
        tuple(reason_names),
    )


def make_day_axis(axis: TimeAxis, request: ForecastRequest) -> DayAxis:
    """The local days of the steps of ``axis``; a step at the very midnight that ends a day begins no other."""
    zone = _zone(axis.zone)
    first = datetime.fromtimestamp(int(axis.valid_seconds[0]), zone).date()
    last = max(first, datetime.fromtimestamp(int(axis.valid_seconds[-1]) - 1, zone).date())
    days = [first + timedelta(days=count) for count in range((last - first).days + 1)]
    borders = np.array([_midnight(day, zone) for day in (*days, last + timedelta(days=1))], dtype=np.int64)
    dates = tuple(day.isoformat() for day in days)
    labels = tuple(borders[:-1].tolist()) if request.timeformat == "unixtime" else dates
    return DayAxis(dates, labels, borders[:-1], borders[1:])


def make_days(
    series: SiteSeries, members: SiteMembers, plan: DayPlan, days: DayAxis, axis: TimeAxis, valid_times: Instants
) -> Columns:
    """The numbers of one site's days.

    Args:
        series: the site in the run, for the reasons of gaps.
        members: its scenarios.
        plan: from :func:`plan_days` of the same run.
        days: which days.
        axis: in which zone.
        valid_times: (lead,) of the whole run; a day counts whatever part of it the hours asked for show.
    """
    zone = _zone(axis.zone)
    windows = {
        instant: {
            window.label: window
            for window in local_days(valid_times, zone, step_hours=plan.step_hours, instant=instant)
        }
        for instant in (True, False)
    }
    count = len(plan.statistics)
    values = np.full((count, 1 + len(plan.levels), len(days)), np.nan)
    crossed = np.full((len(plan.thresholds), len(days)), np.nan)
    shown = np.full((count, plan.members, len(days)), np.nan)
    missing: dict[str, dict[str, str]] = {}
    for row, statistic in enumerate(plan.statistics):
        whole = windows[statistic.variable.cell_method == "instant"]
        variable = plan.rows[row]
        held = _days_of(members.statistics[variable], statistic, days, whole, plan.step_hours)
        values[row, 0] = held.mean(axis=-1)
        if plan.levels:
            values[row, 1:] = scenario_quantiles(held, np.array(plan.levels)).T
        for number, (subject, threshold, limit) in enumerate(plan.thresholds):
            if subject == row:
                crossed[number] = share_crossing(held, above=threshold.above, value=limit)
        if members.shown is not None:
            shown[row] = _days_of(members.shown[variable], statistic, days, whole, plan.step_hours).T
        gaps = np.flatnonzero(np.isnan(values[row, 0]))
        if len(gaps):
            codes = series.reasons[variable]
            missing[statistic.name] = {
                str(day): _reason(whole.get(days.dates[day]), codes, series.mean[variable], plan) for day in gaps
            }
    kept = (values.reshape(-1, len(days)), crossed, shown.reshape(-1, len(days)))
    written = (
        plan.scale.write(values).reshape(-1, len(days)),
        write_probabilities(crossed),
        plan.scale.write(shown).reshape(-1, len(days)),
    )
    return Columns(np.ascontiguousarray(np.concatenate(written)), np.concatenate(kept).astype(np.float32), missing)


def _days_of(
    members: NDArray[np.float32],
    statistic: DailyStatistic,
    days: DayAxis,
    windows: Mapping[str, Window],
    step_hours: int,
) -> NDArray[np.float64]:
    """The statistic of each day and member, (day, member); NaN where the run has not the whole day."""
    found = np.full((len(days), members.shape[-1]), np.nan)
    whole = [(place, windows[day]) for place, day in enumerate(days.dates) if day in windows]
    if whole:
        made = over_windows(members.astype(np.float64), [window for _, window in whole], statistic.how)
        found[[place for place, _ in whole]] = made * (statistic.per_hour * step_hours or 1.0)
    return found


def _reason(window: Window | None, codes: NDArray[np.uint8], mean: NDArray[np.float64], plan: DayPlan) -> str:
    if window is None:
        return INCOMPLETE
    first = window.places[np.isnan(mean[window.places])][:1]
    return reason_of(int(codes[first[0]]) if len(first) else 0, plan.reason_names)


def _zone(name: str) -> ZoneInfo:
    return find_zone(name)


def _midnight(day: date, zone: ZoneInfo) -> int:
    return int(datetime.combine(day, time(), zone).astimezone(UTC).timestamp())
