"""From the atmosphere to what a thermometer, an anemometer, a gauge and a barometer would show.

One formula for truth and providers; what differs is the :class:`SurfaceView`: the terrain, roughness and physics each
believes in. Constants are chosen to look like mid-latitudes (temperature -30 to 45 Cel, pressure 970 to 1060 hPa, rain
in one case of six) and are no measurement.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.stages.sandbox.dynamics import METRE_PER_SECOND
from skyproof.stages.sandbox.geography import Places

Floats = NDArray[Any]
VARIABLES = ("temperature_2m", "wind_speed_10m", "precipitation", "pressure_msl")
UNITS = {"temperature_2m": "Cel", "wind_speed_10m": "m/s", "precipitation": "mm", "pressure_msl": "hPa"}
NOISES = ("temperature", "gust", "cloud", "rain")
#: hPa for one unit of the lower streamfunction: f0 rho / 100, damped so that lows look like lows.
_HPA = 6.26
#: m/s of the lower layer that reach 10 m.
_WIND = 0.45
#: Precipitation below this is none, mm in 6 h.
_TRACE = 0.1


@dataclass(frozen=True, slots=True)
class Normals:
    """What is usual for the atmosphere's features: time means (site,) and typical sizes."""

    streamfunction: Floats
    thickness: Floats
    thickness_sd: float
    advection_sd: float
    vorticity_sd: float


@dataclass(frozen=True, slots=True)
class SurfaceView:
    """How a model sees the ground. Arrays are (site,)."""

    elevation_m: Floats
    roughness: Floats
    inversion: float = 1.0
    daily_range: float = 1.0
    lag_hours: float = 2.5
    continental: float = 1.0
    warmth: float = 0.0
    wetness: float = 1.0
    cloudiness: float = -0.4
    noise: Mapping[str, float] = field(default_factory=lambda: dict.fromkeys(NOISES, 1.0))


def sun_height(latitude: Floats, longitude: Floats, day: Floats, hour: Floats) -> Floats:
    """Sine of the sun's height, 0 at night."""
    declination = np.deg2rad(-23.44 * np.cos(2 * np.pi * (day + 10) / 365.25))
    lat, angle = np.deg2rad(latitude), np.deg2rad(15 * (hour - 12) + longitude)
    height = np.sin(lat) * np.sin(declination) + np.cos(lat) * np.cos(declination) * np.cos(angle)
    return np.asarray(np.maximum(0, height))


def surface(
    features: Floats,
    places: Places,
    view: SurfaceView,
    normals: Normals,
    *,
    day: Floats,
    hour: Floats,
    noise: Mapping[str, Floats],
) -> Floats:
    """Surface variables, precipitation as a rate in mm per 6 h.

    Args:
        features: (6, site, member) as :meth:`PlaceBasis.features` gives them.
        places: where.
        view: how the ground is seen.
        normals: what is usual.
        day: day of the year, scalar or (member,).
        hour: hour UTC, scalar or (member,).
        noise: standard normal values for each of :data:`NOISES`, broadcastable to (site, member).

    Returns:
        (variable, site, member) in the order of :data:`VARIABLES`.
    """
    psi, u, v, thickness, advection, vorticity = features
    column = {name: getattr(places, name)[:, None] for name in ("latitude", "longitude", "valley", "coast")}
    shaken = {name: view.noise[name] * noise[name] for name in NOISES}
    uphill = 0.025 * u / METRE_PER_SECOND * (view.elevation_m > 400)[:, None]
    lift = 0.55 * advection / normals.advection_sd + 0.75 * vorticity / normals.vorticity_sd + uphill
    cloud = 1 / (1 + np.exp(-(view.cloudiness + 1.25 * lift + 0.8 * shaken["cloud"])))
    sun = sun_height(column["latitude"], column["longitude"], day, hour)
    lagged = sun_height(column["latitude"], column["longitude"], day, hour - view.lag_hours)
    speed = np.hypot(u, v) / METRE_PER_SECOND * _WIND
    season = -(6 + 11 * column["coast"] * view.continental) * np.cos(2 * np.pi * (day - 28) / 365.25)
    heating = 9 * column["coast"] * view.daily_range * (lagged - 0.32) * (1 - 0.65 * cloud)
    cold_pool = 6 * view.inversion * column["valley"] * (sun < 0.05) * (1 - cloud) * np.exp(-speed / 3)
    mass = 4.6 * (thickness - normals.thickness[:, None]) / normals.thickness_sd
    height = 6.5e-3 * view.elevation_m[:, None]
    base = 26 - 0.62 * (column["latitude"] - 25) + view.warmth
    temperature = base + season + mass - height + heating - cold_pool + 0.9 * shaken["temperature"]
    mixing = view.roughness[:, None] * (0.8 + 0.45 * sun)
    wind = (1 + speed * mixing) * np.exp(0.22 * shaken["gust"])
    pressure = to_pressure(psi - normals.streamfunction[:, None]) + 0.5 * shaken["temperature"]
    soaked = np.maximum(0, lift + 0.55 * shaken["rain"] - 1.0) ** 1.5
    rain = 2.4 * np.exp(0.05 * np.clip(temperature - 10, -40, 30)) * view.wetness * soaked
    return np.stack([temperature, wind, rain, pressure])


def to_pressure(anomaly: Floats) -> Floats:
    """Pressure at sea level in hPa of a lower streamfunction, given as what differs from its time mean."""
    return np.asarray(1013 + _HPA * anomaly)


def accumulate(samples: Floats) -> Floats:
    """Six-hourly values from three-hourly samples, (sample, variable, ...) to (lead, variable, ...).

    Precipitation is the mean rate over the preceding six hours (weights 1/4, 1/2, 1/4), none below a trace; the first
    value, which no interval precedes, is NaN. Other variables are taken as they are.
    """
    result = samples[::2].copy()
    rain = VARIABLES.index("precipitation")
    total = 0.25 * samples[:-2:2, rain] + 0.5 * samples[1:-1:2, rain] + 0.25 * samples[2::2, rain]
    result[1:, rain] = np.where(total < _TRACE, 0.0, total)
    result[0, rain] = np.nan
    return result
