"""The one registry of what we forecast: names, units, limits, time meaning and how each is packed.

Names are Open-Meteo's, standard names are CF's, units are UCUM codes. A value with cell method ``instant`` holds at
its valid time; every other one covers the **preceding** interval, the step between two leads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from skyproof.domain.errors import UnknownNameError

CellMethod = Literal["instant", "preceding mean", "preceding sum", "preceding maximum"]
Family = Literal["gaussian", "truncated", "censored", "bounded", "circular"]


@dataclass(frozen=True, slots=True)
class Variable:
    """One forecast quantity.

    ``lower`` and ``upper`` are physical limits (quantiles never leave them); ``plausible`` is what a healthy source
    or station may report; ``resolution`` is the step of the packed integer (value = integer * resolution).
    ``events`` are the thresholds scored when a customer names none. ``family`` is the shape of its distribution.
    What is below ``smallest`` counts as none: half of what gauges resolve.
    """

    name: str
    title: str
    standard_name: str
    unit: str
    cell_method: CellMethod
    family: Family
    lower: float | None
    upper: float | None
    plausible: tuple[float, float]
    resolution: float
    decimals: int
    events: tuple[float, ...]
    grib_short_names: tuple[str, ...]
    height_m: float | None = None
    smallest: float = 0.0


# Plausible ranges enclose the records of the WMO World Weather & Climate Extremes Archive (wmo.asu.edu).
VARIABLES: tuple[Variable, ...] = (
    Variable("temperature_2m", "Temperature at 2 m", "air_temperature", "Cel", "instant", "gaussian",
             None, None, (-90.0, 60.0), 0.01, 1, (0.0, 25.0), ("2t", "t2m"), 2.0),
    Variable("wind_speed_10m", "Wind speed at 10 m", "wind_speed", "m/s", "instant", "truncated",
             0.0, None, (0.0, 115.0), 0.01, 1, (8.0, 14.0), ("10si", "ws"), 10.0),
    Variable("wind_gusts_10m", "Wind gusts at 10 m", "wind_speed_of_gust", "m/s", "preceding maximum", "truncated",
             0.0, None, (0.0, 130.0), 0.01, 1, (14.0, 20.0), ("10fg", "gust", "i10fg"), 10.0),
    Variable("wind_speed_100m", "Wind speed at 100 m", "wind_speed", "m/s", "instant", "truncated",
             0.0, None, (0.0, 130.0), 0.01, 1, (8.0, 14.0), ("100si",), 100.0),
    Variable("wind_direction_10m", "Wind direction at 10 m", "wind_from_direction", "deg", "instant", "circular",
             0.0, 360.0, (0.0, 360.0), 0.02, 0, (), ("10wdir",), 10.0),
    Variable("precipitation", "Precipitation", "lwe_thickness_of_precipitation_amount", "mm", "preceding sum", "censored",
             0.0, None, (0.0, 600.0), 0.02, 2, (0.1, 5.0), ("tp",), smallest=0.05),
    Variable("pressure_msl", "Pressure at mean sea level", "air_pressure_at_mean_sea_level", "hPa", "instant", "gaussian",
             None, None, (850.0, 1090.0), 0.05, 1, (1000.0, 1020.0), ("msl", "prmsl")),
    Variable("relative_humidity_2m", "Relative humidity at 2 m", "relative_humidity", "%", "instant", "bounded",
             0.0, 100.0, (0.0, 102.0), 0.01, 0, (90.0,), ("2r",), 2.0),
    Variable("cloud_cover", "Total cloud cover", "cloud_area_fraction", "%", "instant", "bounded",
             0.0, 100.0, (0.0, 100.0), 0.01, 0, (50.0,), ("tcc",)),
    Variable("shortwave_radiation", "Shortwave radiation", "surface_downwelling_shortwave_flux_in_air", "W/m2",
             "preceding mean", "censored", 0.0, None, (0.0, 1500.0), 0.05, 0, (400.0,), ("ssrd",)),
)  # fmt: skip
_BY_NAME = {variable.name: variable for variable in VARIABLES}


def find_variable(name: str) -> Variable:
    """Look a variable up by its name.

    Raises:
        UnknownNameError: no such variable.
    """
    variable = _BY_NAME.get(name)
    if variable is None:
        raise UnknownNameError(f"variable {name[:60]!r} is not known", hint=f"use one of {', '.join(_BY_NAME)}")
    return variable
