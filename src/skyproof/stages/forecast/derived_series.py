"""New members made of a run's members, cell by cell: wind at a height, gusts, first guesses of power.

What a site's own measurements teach (how wind grows with height, how gusty it is) is learned from the observations of the last
year known at the run's issue time; the literature stands in where there are none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.archive.archive import Archive
from skyproof.domain.derived import DerivedQuestion
from skyproof.domain.errors import InvalidValueError
from skyproof.domain.scenarios import Scenarios
from skyproof.domain.times import floor_to_hours, hours
from skyproof.science.calendar import hour_of_day
from skyproof.science.near_surface_wind import (
    ONSHORE_EXPONENT,
    fit_gust_model,
    fit_shear_model,
    power_law,
    wind_between,
)
from skyproof.science.power_curve import solar_power, wind_power
from skyproof.science.scenarios import seeded
from skyproof.stages.forecast.axes import valid_times

#: Heights a hub may have, m.
_HEIGHTS = (5.0, 300.0)
_LEARN_DAYS = 365
#: Pairs of measurements from which a site's own profile or gusts are learned.
_FEWEST_PAIRS = 200

Members = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SeriesQuantity:
    """One quantity: what it is made of (the first must be in the run), what it is called, and how it is made."""

    needs: tuple[str, ...]
    unit: str
    make: Callable[[Archive, Scenarios, DerivedQuestion], tuple[str, Members, dict[str, object]]]


def make_series(archive: Archive, scenarios: Scenarios, question: DerivedQuestion) -> Scenarios:
    """Members of the quantity, with the run's sites and leads; ``template`` also says what they were made by."""
    quantity = SERIES[question.quantity]
    name, values, facts = quantity.make(archive, scenarios, question)
    return replace(
        scenarios,
        variables=(name,),
        units=(quantity.unit,),
        values=values[None].astype(np.float32),
        template={**scenarios.template, "made_by": facts},
    )


def _wind_at_height(
    archive: Archive, scenarios: Scenarios, question: DerivedQuestion
) -> tuple[str, Members, dict[str, object]]:
    height = question.height_m
    if not _HEIGHTS[0] <= height <= _HEIGHTS[1]:
        raise InvalidValueError(
            f"a height of {height:g} m is outside {_HEIGHTS[0]:g} to {_HEIGHTS[1]:g} m",
            hint="give the hub's height above ground",
        )
    name, lower = f"wind_speed_{height:g}m", _of(scenarios, "wind_speed_10m")
    if question.exponent is not None:
        values = power_law(lower, from_m=10, to_m=height, exponent=question.exponent)
        return name, values, {"profile": "exponent given", "exponent": question.exponent}
    if "wind_speed_100m" in scenarios.variables:
        values = wind_between(lower, _of(scenarios, "wind_speed_100m"), height_m=height)
        return name, values, {"profile": "between 10 and 100 m, member by member"}
    values = np.empty(lower.shape)
    measured = _measured(archive, scenarios, ("wind_speed_10m", "wind_speed_100m"))
    hour = hour_of_day(valid_times(scenarios.init_time, scenarios.lead_hours))[:, None]
    learned = 0
    for s in range(len(scenarios.site_ids)):
        below, above, at = measured[0][0, :, s], measured[0][1, :, s], measured[1]
        exponent: Any = ONSHORE_EXPONENT
        if np.count_nonzero(np.isfinite(below + above)) >= _FEWEST_PAIRS:
            learned += 1
            exponent = fit_shear_model(below, above, at).exponent(lower[s], np.broadcast_to(hour, lower[s].shape))
        values[s] = power_law(lower[s], from_m=10, to_m=height, exponent=exponent)
    return (
        name,
        values,
        {"profile": "power law", "sites_with_learned_shear": learned, "else_exponent": ONSHORE_EXPONENT},
    )


def _gusts(archive: Archive, scenarios: Scenarios, question: DerivedQuestion) -> tuple[str, Members, dict[str, object]]:
    del question
    if "wind_gusts_10m" in scenarios.variables:
        return "wind_gusts_10m", _of(scenarios, "wind_gusts_10m"), {"gusts": "forecast by the run itself"}
    mean = _of(scenarios, "wind_speed_10m")
    measured, _ = _measured(archive, scenarios, ("wind_speed_10m", "wind_gusts_10m"))
    values, learned = np.empty(mean.shape), 0
    for s, site_id in enumerate(scenarios.site_ids):
        pairs = np.isfinite(measured[0, :, s] + measured[1, :, s]).sum()
        enough = pairs >= _FEWEST_PAIRS
        learned += int(enough)
        nothing = measured[0, :0, s]
        model = fit_gust_model(measured[0, :, s], measured[1, :, s]) if enough else fit_gust_model(nothing, nothing)
        # A gusty hour is gusty at this site and hour alone: nothing else is known of it.
        noise = seeded(f"{scenarios.run_id} {scenarios.seed}".strip(), "gusts", site_id).standard_normal(mean[s].shape)
        values[s] = model.gusts(mean[s], noise)
    return "wind_gusts_10m", values, {"gusts": "factor of the mean wind", "sites_with_learned_factor": learned}


def _wind_power(
    archive: Archive, scenarios: Scenarios, question: DerivedQuestion
) -> tuple[str, Members, dict[str, object]]:
    _, speed, facts = _wind_at_height(archive, scenarios, question)
    return "wind_power", wind_power(speed), {**facts, "curve": "logistic first guess", "height_m": question.height_m}


def _solar_power(
    archive: Archive, scenarios: Scenarios, question: DerivedQuestion
) -> tuple[str, Members, dict[str, object]]:
    del archive, question
    warmth: Any = _of(scenarios, "temperature_2m") if "temperature_2m" in scenarios.variables else 15.0
    return "solar_power", solar_power(_of(scenarios, "shortwave_radiation"), warmth), {"curve": "level first guess"}


#: Every quantity made cell by cell. Power is a share of capacity.
SERIES = {
    "wind-at-height": SeriesQuantity(("wind_speed_10m", "wind_speed_100m"), "m/s", _wind_at_height),
    "gusts": SeriesQuantity(("wind_speed_10m", "wind_gusts_10m"), "m/s", _gusts),
    "wind-power": SeriesQuantity(("wind_speed_10m", "wind_speed_100m"), "1", _wind_power),
    "solar-power": SeriesQuantity(("shortwave_radiation", "temperature_2m"), "1", _solar_power),
}


def _of(scenarios: Scenarios, name: str) -> Members:
    """Members (site, lead, member) of one variable."""
    return np.asarray(scenarios.values[scenarios.variables.index(name)], dtype=np.float64)


def _measured(
    archive: Archive, scenarios: Scenarios, variables: tuple[str, str]
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Measurements of the last year known at the issue time, (variable, valid_time, site), and their hours of the day."""
    step = int(np.gcd.reduce([*scenarios.lead_hours, 24]))
    last = floor_to_hours(scenarios.issue_time, step)
    times, values = archive.observations.grid(
        variables=variables,
        site_ids=scenarios.site_ids,
        valid_from=last - hours(24 * _LEARN_DAYS),
        valid_until=last,
        step_hours=step,
        as_of=scenarios.issue_time,
    )
    return values, hour_of_day(times)
