"""Units by their UCUM codes, and the linear conversions between them.

Every conversion goes through the dimension's base: ``base = value * scale + offset``. The table is closed: a unit
that is not here is refused by name, never guessed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.errors import UnknownNameError

FloatArray = TypeVar("FloatArray", bound=NDArray[Any])


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit: ``base = value * scale + offset`` in the base unit of its dimension."""

    code: str
    dimension: str
    scale: float
    offset: float = 0.0
    symbol: str = ""
    aliases: tuple[str, ...] = ()


# International knot and mile: 1852 m and 1609.344 m exactly (BIPM, SI Brochure, 9th edition, table of non-SI units).
UNITS: tuple[Unit, ...] = (
    Unit("Cel", "temperature", 1.0, 0.0, "°C", ("celsius", "degC", "deg_C", "C", "°C")),
    Unit("K", "temperature", 1.0, -273.15, "K", ("kelvin",)),
    Unit("[degF]", "temperature", 5 / 9, -160 / 9, "°F", ("fahrenheit", "degF", "F", "°F")),
    Unit("m/s", "speed", 1.0, 0.0, "m/s", ("ms", "m s-1", "m s**-1", "m.s-1")),
    Unit("km/h", "speed", 1 / 3.6, 0.0, "km/h", ("kmh", "km h-1")),
    Unit("[kn_i]", "speed", 1852 / 3600, 0.0, "kn", ("kn", "knots", "kt", "knot")),
    Unit("[mi_i]/h", "speed", 1609.344 / 3600, 0.0, "mp/h", ("mph",)),
    Unit("mm", "precipitation", 1.0, 0.0, "mm", ("kg m-2", "kg m**-2", "kg/m2", "kg.m-2")),
    Unit("cm", "precipitation", 10.0, 0.0, "cm"),
    Unit("m", "precipitation", 1000.0, 0.0, "m", ("m of water equivalent",)),
    Unit("[in_i]", "precipitation", 25.4, 0.0, "inch", ("in", "inch")),
    Unit("hPa", "pressure", 1.0, 0.0, "hPa", ("mbar", "mb", "millibar")),
    Unit("Pa", "pressure", 0.01, 0.0, "Pa"),
    Unit("%", "fraction", 1.0, 0.0, "%", ("percent",)),
    Unit("1", "fraction", 100.0, 0.0, "1", ("(0 - 1)", "0-1", "fraction")),
    Unit("MJ/m2", "radiant exposure", 1.0, 0.0, "MJ/m²", ("MJ m-2",)),
    Unit("W/m2", "irradiance", 1.0, 0.0, "W/m²", ("W m-2", "W m**-2", "W.m-2")),
    Unit("deg", "angle", 1.0, 0.0, "°", ("degree", "degrees")),
    Unit("rad", "angle", 180 / np.pi, 0.0, "rad", ("radian",)),
)
_BY_NAME: dict[str, Unit] = {name: unit for unit in UNITS for name in (unit.code, *unit.aliases)}


def find_unit(name: str) -> Unit:
    """Look a unit up by UCUM code or a name providers use for it.

    Raises:
        UnknownNameError: no such unit.
    """
    unit = _BY_NAME.get(name)
    if unit is None:
        raise UnknownNameError(
            f"unit {name[:40]!r} is not known", hint=f"use one of {', '.join(u.code for u in UNITS)}"
        )
    return unit


def conversion(source: str, target: str) -> tuple[float, float]:
    """Scale and offset with ``target_value = source_value * scale + offset``.

    Raises:
        UnknownNameError: an unknown unit, or two units of different dimensions.
    """
    a, b = find_unit(source), find_unit(target)
    if a.dimension != b.dimension:
        raise UnknownNameError(
            f"{a.code} measures {a.dimension}, {b.code} measures {b.dimension}", hint=f"give a unit of {b.dimension}"
        )
    return a.scale / b.scale, (a.offset - b.offset) / b.scale


def convert(values: FloatArray, source: str, target: str) -> FloatArray:
    """Convert an array, keeping its dtype; returned unchanged when the units are the same."""
    scale, offset = conversion(source, target)
    if scale == 1.0 and offset == 0.0:
        return values
    return (values * scale + offset).astype(values.dtype)  # type: ignore[return-value]
