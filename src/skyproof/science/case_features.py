"""The predictors of a joint model, made from whatever a set of cases holds. Nothing is chosen by the name of a data set.

What a forecast says at its own hour is only part of what it says: the hours before and after, the same hour in the runs
before, the other sources, the neighbours, and how wrong it was lately belong to it. Accumulated amounts are differenced,
wind components give speed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.cases import Cases, Floats
from skyproof.science.calendar import day_of_year, hour_of_day
from skyproof.science.ensemble_statistics import mean_of_known

#: Neighbouring leads looked at, in steps, when a run has at least this many leads.
_LEAD_SHIFTS, _FEWEST_LEADS = (-2, -1, 1, 2), 6
#: Earlier runs for the same valid time looked at.
_EARLIER_RUNS = 3
#: Neighbours whose forecasts are looked at, and the most sites for which all are compared.
_NEIGHBOURS, _MOST_COMPARED = 3, 60
#: From so many sites on, recent errors are split into what all share and what is a site's own.
_FEWEST_TO_SHARE = 8
#: At most this many forecast quantities get the costly features (neighbouring leads, runs, sites).
_MOST_EXTENDED = 8


@dataclass(frozen=True, slots=True)
class FeaturePlan:
    """Which features are made, decided on the cases a model learns from.

    ``accumulated``: predictors that grow along the leads; ``winds``: pairs of components; ``neighbours``: for each
    site the others by likeness, (site, k); ``earlier_runs``: how many runs before spoke of the same valid times;
    ``several_hours``: whether valid times differ in their hour. A single issue time has the same features as many.
    """

    accumulated: tuple[str, ...]
    winds: tuple[tuple[str, str], ...]
    neighbours: NDArray[np.intp]
    earlier_runs: int
    several_hours: bool

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """The plan as arrays, for a release."""
        return {
            "plan_accumulated": np.array(self.accumulated, dtype=np.str_),
            "plan_winds": np.array(self.winds, dtype=np.str_).reshape(-1, 2),
            "plan_neighbours": self.neighbours,
            "plan_earlier_runs": np.array([self.earlier_runs]),
            "plan_several_hours": np.array([self.several_hours]),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> FeaturePlan:
        """The inverse of :meth:`to_arrays`."""
        winds = tuple((str(east), str(north)) for east, north in arrays["plan_winds"])
        return cls(
            tuple(map(str, arrays["plan_accumulated"])),
            winds,
            arrays["plan_neighbours"],
            int(arrays["plan_earlier_runs"][0]),
            bool(arrays["plan_several_hours"][0]),
        )


def plan_features(cases: Cases) -> FeaturePlan:
    """Decide on the data which features to make."""
    accumulated = tuple(name for name, values in cases.predictors.items() if _grows_along_leads(values))
    winds = tuple(_wind_pairs(tuple(cases.predictors)))
    neighbours = _find_neighbours(base_quantities(cases, accumulated, winds), cases)
    several_hours = len(np.unique(hour_of_day(cases.valid_times))) > 1
    return FeaturePlan(accumulated, winds, neighbours, _count_earlier_runs(cases), several_hours)


def case_features(cases: Cases, plan: FeaturePlan) -> tuple[tuple[str, ...], Floats]:
    """Names of the features and their values, (issue, lead, site, feature) float32, NaN where missing."""
    base = base_quantities(cases, plan.accumulated, plan.winds)
    extended = _most_telling(base)
    columns: dict[str, NDArray[Any]] = {**_ensemble_columns(cases), **base}
    for name in extended:
        columns |= _around(name, base[name], cases, plan)
    columns |= _calendar_columns(cases, plan)
    columns |= _recent_columns(cases, plan)
    shape = cases.observed.shape
    stacked = np.stack([np.broadcast_to(values, shape) for values in columns.values()], axis=-1)
    return tuple(columns), stacked.astype(np.float32, copy=False)


def base_quantities(
    cases: Cases, accumulated: tuple[str, ...], winds: tuple[tuple[str, str], ...]
) -> dict[str, Floats]:
    """Every quantity forecast for a case: means of sources, predictors, amounts of an interval, wind speeds."""
    base: dict[str, Floats] = {}
    with np.errstate(invalid="ignore"):
        for source, members in cases.members.items():
            base[source] = np.asarray(members.mean(axis=-1))
        for name, values in cases.predictors.items():
            base[name] = interval_amounts(values) if name in accumulated else values
        for east, north in winds:
            base[f"speed:{east}"] = np.hypot(cases.predictors[east], cases.predictors[north])
    return base


def interval_amounts(accumulated: Floats) -> Floats:
    """Amounts of each interval from amounts accumulated since the start of a run; the first interval keeps its own."""
    return np.concatenate([accumulated[:, :1], np.maximum(np.diff(accumulated, axis=1), 0)], axis=1)


def _grows_along_leads(values: Floats) -> bool:
    if values.shape[1] < _FEWEST_LEADS:
        return False
    step = np.diff(values, axis=1)
    known = step[np.isfinite(step)]
    scale = float(np.nanmax(np.abs(values), initial=0.0))
    # Growing everywhere, and by far more than rounding: a constant column also never falls. Packed fields fall by up to
    # 2e-5 of their largest value in hours without sun or rain.
    return bool(len(known) and (known >= -1e-4 * scale).mean() > 0.995 and known.mean() > 1e-3 * scale)


def _wind_pairs(names: tuple[str, ...]) -> list[tuple[str, str]]:
    """Components of one wind: names alike but for a leading ``u`` and ``v``."""
    return [
        (name, other)
        for name in names
        if re.match(r"u(_|\d|$)", name, re.IGNORECASE) and (other := _north_of(name)) in names
    ]


def _north_of(name: str) -> str:
    return ("v" if name[0] == "u" else "V") + name[1:]


def _ensemble_columns(cases: Cases) -> dict[str, Floats]:
    columns: dict[str, Floats] = {}
    means = []
    for source, members in cases.members.items():
        means.append(members.mean(axis=-1))
        if members.shape[-1] > 2:
            columns[f"spread:{source}"] = members.std(axis=-1)
            columns[f"low:{source}"], columns[f"high:{source}"] = np.quantile(members, [0.1, 0.9], axis=-1)
            if cases.variable.lower is not None:
                none = (members <= cases.variable.lower).mean(axis=-1)
                # A source that is missing does not say that there is something.
                columns[f"none:{source}"] = np.where(np.isfinite(members).all(axis=-1), none, np.nan)
    if len(means) > 1:
        stacked = np.stack(means)
        with np.errstate(invalid="ignore"):
            columns["sources_mean"] = mean_of_known(stacked)
            columns["sources_spread"] = np.sqrt(
                np.maximum(mean_of_known(np.square(stacked - columns["sources_mean"])), 0)
            )
    return columns


def _most_telling(base: Mapping[str, Floats]) -> list[str]:
    """The quantities worth their neighbourhood: wind speeds first, components last, at most eight."""
    components = {name.removeprefix("speed:") for name in base if name.startswith("speed:")}
    components |= {_north_of(name) for name in components}
    ranked = sorted(base, key=lambda name: (not name.startswith("speed:"), name in components))
    return ranked[:_MOST_EXTENDED]


def _around(name: str, values: Floats, cases: Cases, plan: FeaturePlan) -> dict[str, Floats]:
    """A quantity at neighbouring leads, in earlier runs, and at other sites."""
    columns: dict[str, Floats] = {}
    if values.shape[1] >= _FEWEST_LEADS:
        for shift in _LEAD_SHIFTS:
            columns[f"{name}@{shift:+d}"] = _shift_leads(values, shift)
        columns[f"{name}@around"] = _running_mean(values, 3)
        columns[f"{name}@run"] = np.broadcast_to(mean_of_known(values.swapaxes(0, 1))[:, None], values.shape)
    earlier = _earlier_runs(values, cases, plan.earlier_runs)
    for number, run in enumerate(earlier, 1):
        columns[f"{name}@run-{number}"] = run
    for rank in range(plan.neighbours.shape[1]):
        columns[f"{name}@near{rank + 1}"] = values[:, :, plan.neighbours[:, rank]]
    if 1 < values.shape[2] <= _MOST_COMPARED:
        columns[f"{name}@all"] = np.broadcast_to(mean_of_known(np.moveaxis(values, 2, 0))[..., None], values.shape)
    return columns


def _shift_leads(values: Floats, shift: int) -> Floats:
    place = np.clip(np.arange(values.shape[1]) + shift, 0, values.shape[1] - 1)
    return values[:, place]


def _running_mean(values: Floats, reach: int) -> Floats:
    return mean_of_known(np.stack([_shift_leads(values, shift) for shift in range(-reach, reach + 1)]))


def _earlier_runs(values: Floats, cases: Cases, count: int) -> list[Floats]:
    """What so many runs before said of the same valid times, newest first; NaN where none of the cases is that run."""
    found: list[Floats] = []
    for back in range(1, count + 1):
        run = np.full(values.shape, np.nan, dtype=np.float32)
        if len(cases.issue_times) > back:
            place, holds = _same_valid_times(cases, back)
            earlier = np.take_along_axis(values[:-back], place[..., None], axis=1)
            run[back:] = np.where(holds[..., None], earlier, np.nan)
        found.append(run)
    return found


def _count_earlier_runs(cases: Cases) -> int:
    """How many runs before reach a fifth of the valid times."""
    for back in range(1, _EARLIER_RUNS + 1):
        if len(cases.issue_times) <= back or _same_valid_times(cases, back)[1].mean() < 0.2:
            return back - 1
    return _EARLIER_RUNS


def _same_valid_times(cases: Cases, back: int) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Position of the lead at which the run so many before speaks of the same time, and whether it does: (issue, lead)."""
    leads = np.array(cases.lead_hours)
    gap = (cases.issue_times[back:] - cases.issue_times[:-back]) / np.timedelta64(3600, "s")
    wanted = leads[None] + gap[:, None]
    place = np.clip(np.searchsorted(leads, wanted), 0, len(leads) - 1)
    return place, np.asarray(leads[place] == wanted)


def _find_neighbours(base: Mapping[str, Floats], cases: Cases) -> NDArray[np.intp]:
    """For each site those whose forecasts are most like its own, (site, k); none for one site or very many."""
    sites = cases.observed.shape[2]
    if not 1 < sites <= _MOST_COMPARED or not base:
        return np.empty((sites, 0), dtype=np.intp)
    values = base[_most_telling(base)[0]].reshape(-1, sites)
    known = np.isfinite(values)
    centred = np.where(known, values - np.nanmean(values, axis=0), 0.0)
    norm = np.sqrt(np.square(centred).sum(axis=0)) + 1e-12
    likeness = (centred.T @ centred) / np.outer(norm, norm)
    np.fill_diagonal(likeness, -np.inf)
    return np.argsort(-likeness, axis=1, kind="stable")[:, : min(_NEIGHBOURS, sites - 1)]


def _calendar_columns(cases: Cases, plan: FeaturePlan) -> dict[str, NDArray[Any]]:
    valid = cases.valid_times[..., None]
    year = 2 * np.pi * day_of_year(valid) / 365.2425
    columns: dict[str, NDArray[Any]] = {"season_cos": np.cos(year), "season_sin": np.sin(year)}
    if plan.several_hours:
        columns["hour"] = hour_of_day(valid)
    if len(cases.lead_hours) > 1:
        columns["lead"] = np.array(cases.lead_hours, dtype=np.float32)[None, :, None]
    if len(cases.sites) > 1:
        columns["site"] = np.arange(len(cases.sites), dtype=np.float32)[None, None]
        for name in ("latitude", "longitude", "elevation_m"):
            values = np.array([getattr(site, name) for site in cases.sites], dtype=np.float32)
            if np.isfinite(values).any():
                columns[name] = values[None, None]
    return columns


def _recent_columns(cases: Cases, plan: FeaturePlan) -> dict[str, Floats]:
    columns: dict[str, Floats] = {}
    for name, values in cases.recent.items():
        columns[f"recent:{name}"] = values
        if name.startswith("error_") and values.shape[2] >= _FEWEST_TO_SHARE:
            # What all sites share passes with the weather; what is a site's own stays.
            common = mean_of_known(np.moveaxis(values, 2, 0))[..., None]
            columns[f"recent:{name}"], columns[f"recent:{name}@own"] = (
                np.broadcast_to(common, values.shape),
                values - common,
            )
    for east, north in plan.winds:
        if f"last:{east}" in cases.recent:
            columns[f"recent:speed:{east}"] = np.hypot(cases.recent[f"last:{east}"], cases.recent[f"last:{north}"])
    return columns
