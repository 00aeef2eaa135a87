"""A picture of the sandbox planet: its land, its pressure field and what the thermometers show at one instant."""

from __future__ import annotations

import io
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.errors import InvalidValueError
from skyproof.domain.times import format_instant, require_utc
from skyproof.stages.sandbox.dynamics import ChannelModel, PlaceBasis
from skyproof.stages.sandbox.geography import LENGTH, WIDTH, land_share, orography_km, to_latitude, to_longitude
from skyproof.stages.sandbox.planet import Planet
from skyproof.stages.sandbox.providers import TRUE_PHYSICS, truth_resolution
from skyproof.stages.sandbox.surface import VARIABLES, to_pressure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[Any]
#: Points of the picture's grid along and across the channel: enough for smooth lines.
_POINTS = (161, 61)
_ISOBAR_STEP_HPA = 5
#: The pressure field is kept every twelve hours, the weather at the places every six.
_FIELD_HOURS, _WEATHER_HOURS = 12, 6
_SEA, _LINE = "#dfe8ee", "#33414d"
_LAND = ("#e7e6d6", "#c9c3a1", "#a08a66", "#7b6650")


def planet_map(planet: Planet, *, valid_time: datetime | None = None) -> bytes:
    """Draw the planet at one instant: terrain, isobars, and the true temperature at every place.

    Args:
        planet: a finished planet.
        valid_time: when; the planet's present by default. Temperatures are those of the last 6-hourly instant at or before
            it, isobars those of the last 12-hourly one.

    Returns:
        A PNG; the same planet and instant give the same picture.

    Raises:
        InvalidValueError: an instant the planet does not have.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 half a second at every start, and few commands draw

    profile = planet.profile
    instant = require_utc(valid_time or profile.end, "valid time")
    last = profile.start + timedelta(days=profile.days)
    if not profile.start <= instant < last:
        raise InvalidValueError(
            f"the sandbox planet has no weather at {format_instant(instant)}",
            hint=f"ask for an instant from {format_instant(profile.start)} to before {format_instant(last)}",
        )
    elapsed = (instant - profile.start) / timedelta(hours=1)
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    axes = figure.add_subplot()
    _draw_land(axes)
    _draw_isobars(axes, planet, int(elapsed // _FIELD_HOURS))
    temperature = planet.weather()[int(elapsed // _WEATHER_HOURS), VARIABLES.index("temperature_2m")]
    limit = max(float(np.abs(temperature).max()), 1.0)
    dots = axes.scatter(
        planet.places.longitude, planet.places.latitude, c=temperature, cmap="RdBu_r", vmin=-limit, vmax=limit,
        s=46, edgecolors=_LINE, linewidths=0.7, zorder=5,
    )  # fmt: skip
    figure.colorbar(dots, ax=axes, label="temperature 2 m (Cel)", fraction=0.03, pad=0.01)
    axes.set_title(f"Sandbox planet (simulated, no real weather), {format_instant(instant)}", fontsize=10, loc="left")
    axes.set_xlabel("longitude", fontsize=8)
    axes.set_ylabel("latitude", fontsize=8)
    axes.tick_params(labelsize=8)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=110, metadata={"Software": None})
    return picture.getvalue()


def _grid() -> tuple[Floats, Floats]:
    x, y = np.meshgrid(np.linspace(0, LENGTH, _POINTS[0]), np.linspace(0, WIDTH, _POINTS[1]))
    return x, y


def _draw_land(axes: Axes) -> None:
    from matplotlib.colors import LinearSegmentedColormap  # noqa: PLC0415 half a second at every start, and few commands draw

    x, y = _grid()
    land, longitude, latitude = land_share(x, y), to_longitude(x), to_latitude(y)
    axes.set_facecolor(_SEA)
    height = np.where(land > 0.5, orography_km(x, y), np.nan)
    axes.contourf(
        longitude,
        latitude,
        height,
        levels=np.linspace(0, 3, 13),
        cmap=LinearSegmentedColormap.from_list("land", _LAND),
        extend="max",
    )
    axes.contour(longitude, latitude, land, levels=[0.5], colors=_LINE, linewidths=0.9)


def _draw_isobars(axes: Axes, planet: Planet, number: int) -> None:
    """Pressure at sea level as the surface model has it, without its local noise: what the weather adds to the usual."""
    truth = planet.truth()
    model = ChannelModel(truth_resolution(planet.profile), TRUE_PHYSICS)
    eddy = truth.eddy[..., number] - truth.eddy.mean(axis=-1)
    mean = truth.mean[..., number] - truth.mean.mean(axis=-1)
    x, y = _grid()
    anomaly = PlaceBasis(model, x.ravel(), y.ravel()).features((eddy[..., None], mean[..., None]))[0].reshape(x.shape)
    levels = np.arange(900, 1100, _ISOBAR_STEP_HPA)
    longitude, latitude = to_longitude(x), to_latitude(y)
    lines = axes.contour(
        longitude, latitude, to_pressure(anomaly), levels=levels, colors=_LINE, linewidths=0.7, alpha=0.8
    )
    axes.clabel(lines, fontsize=7, fmt="%d")
