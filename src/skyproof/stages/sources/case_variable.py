"""What a table forecasts: a variable of the registry, one that extends it by name, or one of the table's own."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.errors import ContractError, InvalidValueError, UnknownNameError
from skyproof.domain.units import UNITS, conversion, convert, find_unit
from skyproof.domain.variables import VARIABLES, Family, Variable
from skyproof.stages.sources.case_spec import TargetSpec

#: A share of observations exactly at the lower limit above this makes the variable one with zeros (rain, sunshine).
_MANY_AT_LIMIT = 0.02
#: More values than this outside of limits or of what can be are no accident: the unit or the column is wrong.
_FEW_OUTSIDE, _MOST = 0.05, 0.5


@dataclass(frozen=True, slots=True)
class Measured:
    """A variable and the unit its table speaks: ``reported = canonical * scale + offset``."""

    variable: Variable
    unit: str
    scale: float
    offset: float

    def to_canonical(self, values: NDArray[np.float64], unit: str | None = None) -> NDArray[np.float64]:
        """Values of the table (or given in another unit of it) in the canonical unit.

        Raises:
            UnknownNameError: the unit does not measure this variable.
        """
        if unit is not None and unit != self.unit:
            scale, offset = conversion(unit, self.variable.unit)
            return np.asarray(values * scale + offset)
        return np.asarray((values - self.offset) / self.scale)

    def refuse_unit(self, values: NDArray[np.float64], named: str, unit: str | None = None) -> None:
        """Refuse canonical values most of which no station could report.

        Raises:
            ContractError: they cannot be in the unit they were said to be in; the likely one is named.
        """
        low, high = self.variable.plausible
        known = values[np.isfinite(values)]
        if not len(known) or np.mean((known < low) | (known > high)) <= _MOST:
            return
        said = unit or self.unit
        scale, offset = conversion(self.variable.unit, said)
        numbers = known * scale + offset
        fitting = []
        for other in (u.code for u in UNITS if u.dimension == find_unit(said).dimension):
            as_if = convert(numbers, other, self.variable.unit)
            if np.mean((as_if < low) | (as_if > high)) <= _FEW_OUTSIDE:
                fitting.append(other)
        raise ContractError(
            f"{named}: unit {said!r} cannot be right, the median is {np.median(numbers):.4g} and "
            f"{self.variable.name} lies between {low * scale + offset:.4g} and {high * scale + offset:.4g} {said}",
            hint=f"the values look like {' or '.join(fitting)}" if fitting else "check the column and target.unit",
        )


def find_measured(target: TargetSpec, observed: NDArray[np.float64]) -> Measured:
    """The variable of a table. ``observed`` are its observations as they stand in the table.

    Raises:
        InvalidValueError: the unit is missing or does not measure the variable; the variable is a direction.
    """
    name = target.variable or target.column or "value"
    base = _registered(name)
    if base is None:
        unit = target.unit or "1"
        return Measured(_own_variable(name, unit, target.lower, target.upper, observed), unit, 1.0, 0.0)
    if base.family == "circular":
        raise InvalidValueError(
            f"target.variable: {name} is a direction, which has no quantiles", hint="forecast its u and v components"
        )
    if target.unit is None:
        raise InvalidValueError(
            f"target.unit is missing: {name} is known, its unit in this table is not", hint=f"for example {base.unit}"
        )
    try:
        scale, offset = conversion(base.unit, target.unit)
    except UnknownNameError as error:
        fitting = [u.code for u in UNITS if u.dimension == find_unit(base.unit).dimension]
        raise InvalidValueError(
            f"target.unit: {target.unit!r} does not measure {name}", hint=f"use one of {', '.join(fitting)}"
        ) from error
    lower = base.lower if target.lower is None else (target.lower - offset) / scale
    upper = base.upper if target.upper is None else (target.upper - offset) / scale
    family: Family = base.family
    if (lower, upper) != (base.lower, base.upper):
        family = _family(lower, upper, (observed - offset) / scale)
    variable = replace(base, name=name, lower=lower, upper=upper, family=family)
    return Measured(variable, target.unit, scale, offset)


def hold_in_limits(measured: Measured, values: NDArray[np.float64], column: str) -> tuple[NDArray[np.float64], str]:
    """Observations that can be: those outside of any plausible range are missing, those just outside limits are put on them.

    Args:
        measured: the variable.
        values: in its canonical unit.
        column: of the table, for the complaint.

    Returns:
        The values, and a warning (empty if nothing was changed).

    Raises:
        ContractError: so many are outside that the unit or the column must be wrong.
    """
    variable = measured.variable
    known = np.isfinite(values)
    measured.refuse_unit(values, f"column {column!r}")
    low, high = variable.plausible
    beyond = known & ((values < low) | (values > high))
    values = np.where(beyond, np.nan, values)
    outside = np.zeros_like(beyond)
    if variable.lower is not None:
        outside |= values < variable.lower
    if variable.upper is not None:
        outside |= values > variable.upper
    if outside.sum() > _FEW_OUTSIDE * max(known.sum(), 1):
        raise ContractError(
            f"column {column!r}: {outside.sum():,} of {known.sum():,} observations lie outside the limits "
            f"{_limit(measured, variable.lower)} to {_limit(measured, variable.upper)} {measured.unit}",
            hint="mend target.lower, target.upper or target.unit",
        )
    warnings = []
    if beyond.any():
        warnings.append(f"{beyond.sum():,} observations outside any plausible range count as missing")
    if outside.any():
        warnings.append(f"{outside.sum():,} observations outside the limits were put on them")
    return np.clip(values, variable.lower, variable.upper), f"{column}: {'; '.join(warnings)}" if warnings else ""


def _registered(name: str) -> Variable | None:
    """The registry's variable of this name, or the one it extends (``temperature_2m_max``, ``precipitation_12h``)."""
    fitting = [v for v in VARIABLES if name == v.name or name.startswith(f"{v.name}_")]
    return max(fitting, key=lambda variable: len(variable.name), default=None)


def _own_variable(
    name: str, unit: str, lower: float | None, upper: float | None, observed: NDArray[np.float64]
) -> Variable:
    limits = (-np.inf if lower is None else lower, np.inf if upper is None else upper)
    # Nothing is known of what a healthy meter may report, so that everything is plausible.
    return Variable(
        name=name,
        title=name,
        standard_name="",
        unit=unit,
        cell_method="instant",
        family=_family(lower, upper, observed),
        lower=lower,
        upper=upper,
        plausible=(-np.inf, np.inf),
        resolution=max((limits[1] - limits[0]) * 1e-4, 1e-6) if np.isfinite(limits).all() else 0.001,
        decimals=3,
        events=(),
        grib_short_names=(),
    )


def _family(lower: float | None, upper: float | None, observed: NDArray[np.float64]) -> Family:
    if lower is not None and upper is not None:
        return "bounded"
    if lower is None:
        return "gaussian"
    known = observed[np.isfinite(observed)]
    return "censored" if np.mean(known <= lower) > _MANY_AT_LIMIT else "truncated"


def _limit(measured: Measured, value: float | None) -> str:
    return "any" if value is None else f"{value * measured.scale + measured.offset:.4g}"
