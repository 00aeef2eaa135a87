"""NetCDF with the CF conventions: forecasts on a grid or at stations, read at places."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from skyproof.domain.errors import ContractError, UnreadableFileError
from skyproof.domain.sites import Site
from skyproof.domain.times import from_datetime64
from skyproof.domain.variables import VARIABLES, find_variable
from skyproof.science.grids import Stencil, bilinear_stencil, nearest_stencil
from skyproof.stages.sources.fields import COMPONENT_NAMES, JOULES, FieldValues
from skyproof.stages.sources.problems import Problems

# Names that files use for an axis, beside the CF standard name that settles it.
_AXES: dict[str, tuple[str, tuple[str, ...]]] = {
    "init": ("forecast_reference_time", ("init_time", "forecast_reference_time", "reference_time", "run", "initial_time")),
    "lead": ("forecast_period", ("lead_time", "step", "lead", "lead_hours", "leadtime", "forecast_period")),
    "valid": ("time", ("valid_time", "time")),
    "member": ("realization", ("number", "member", "realization", "ensemble_member", "ensemble", "ens")),
    "latitude": ("latitude", ("latitude", "lat")),
    "longitude": ("longitude", ("longitude", "lon")),
}  # fmt: skip
_SHORT_NAMES = {name: variable.name for variable in VARIABLES for name in variable.grib_short_names}
_NAMES = {
    **_SHORT_NAMES,
    **{name: name for name in COMPONENT_NAMES},
    "u10": "wind_u_10m", "v10": "wind_v_10m", "10u": "wind_u_10m", "10v": "wind_v_10m",
    "u100": "wind_u_100m", "v100": "wind_v_100m", "100u": "wind_u_100m", "100v": "wind_v_100m",
    "r2": "relative_humidity_2m",
}  # fmt: skip
_UNITS = {"J m**-2": JOULES, "J m-2": JOULES, "1": "1", "": ""}
#: Standard names that belong to one of our variables alone, whatever the height.
_STANDARD_NAMES = {
    name: [variable.name for variable in VARIABLES if variable.standard_name == name][0]  # noqa: RUF015 - one element
    for name in {variable.standard_name for variable in VARIABLES}
    if sum(variable.standard_name == name for variable in VARIABLES) == 1
    and name not in ("air_temperature", "relative_humidity", "wind_from_direction")
}
_HOUR = np.timedelta64(1, "h")


def read_netcdf(
    path: Path, sites: Sequence[Site], *, interpolation: str, wanted: Sequence[str], problems: Problems
) -> Iterator[FieldValues]:
    """The fields of a file that we know.

    Raises:
        UnreadableFileError: no NetCDF, or cut short.
        ContractError: the file has no places, or does not say when a forecast started.
    """
    dataset = _load(path)
    axes = {role: _find_axis(dataset, role) for role in _AXES}
    stencil = _stencil(dataset, axes, path.name, sites, interpolation, problems)
    for name in dataset.data_vars:
        array = dataset[name]
        variable = _variable(str(name), array)
        if variable is None or (wanted and variable not in wanted and variable not in COMPONENT_NAMES):
            continue
        yield from _fields(array, variable, f"{path.name} {name}", axes, stencil, problems)


def _load(path: Path) -> xr.Dataset:
    try:
        with path.open("rb") as file:
            magic = file.read(8)
        engine = "h5netcdf" if magic == b"\x89HDF\r\n\x1a\n" else "scipy"
        with xr.open_dataset(path, engine=engine, decode_timedelta=True) as dataset:
            loaded: xr.Dataset = dataset.load()
    # The libraries below raise almost anything on damaged bytes: all of it means the same.
    except (OSError, ValueError, TypeError, KeyError, IndexError, RuntimeError, AttributeError, OverflowError) as error:
        text = " ".join(str(error).split())[:200]
        raise UnreadableFileError(
            f"{path.name} cannot be read as NetCDF: {text}", hint="check that the file is whole and is NetCDF 3 or 4"
        ) from error
    return loaded


def _find_axis(dataset: xr.Dataset, role: str) -> Any:
    """The coordinate of a role, or None."""
    standard, names = _AXES[role]
    for name in (*dataset.coords, *dataset.data_vars):
        if dataset[name].attrs.get("standard_name") == standard:
            return dataset[name]
    for name in names:
        if name in dataset.variables:
            return dataset[name]
    return None


def _stencil(
    dataset: xr.Dataset,
    axes: dict[str, Any],
    origin: str,
    sites: Sequence[Site],
    interpolation: str,
    problems: Problems,
) -> tuple[tuple[str, ...], Stencil]:
    """The dimensions that say where, and how to get from them to the sites."""
    latitude, longitude = axes["latitude"], axes["longitude"]
    if latitude is None or longitude is None:
        raise ContractError(
            f"{origin} has no latitude and longitude, only {', '.join(map(str, dataset.variables))}",
            hint="give files with CF coordinates",
        )
    if latitude.dims == longitude.dims:
        dims = latitude.dims
        lats, lons = latitude.to_numpy().reshape(-1), longitude.to_numpy().reshape(-1)
    else:
        dims = (*latitude.dims, *longitude.dims)
        lats, lons = (
            grid.reshape(-1) for grid in np.meshgrid(latitude.to_numpy(), longitude.to_numpy(), indexing="ij")
        )
    lats, lons = np.atleast_1d(lats).astype(np.float64), np.atleast_1d(lons).astype(np.float64)
    stencil = bilinear_stencil(lats, lons, sites) if interpolation == "bilinear" else None
    if stencil is None:
        if interpolation == "bilinear":
            problems.note(f"{origin}: the grid is not regular in latitude and longitude; nearest points taken")
        stencil = nearest_stencil(lats, lons, sites)
    outside = [site.site_id for site, inside in zip(sites, stencil.inside, strict=True) if not inside]
    if outside:
        problems.note(f"{origin}: the grid does not reach {len(outside)} sites ({', '.join(outside[:5])})")
    return tuple(map(str, dims)), stencil


def _variable(name: str, array: xr.DataArray) -> str | None:
    """Our name of a variable; None if we have none, or not at this level."""
    attributes = array.attrs
    if any(dim in ("level", "isobaricInhPa", "pressure_level", "plev", "lev") for dim in array.dims):
        return None
    for candidate in (name, attributes.get("GRIB_shortName"), attributes.get("short_name")):
        if candidate in _NAMES:
            return _NAMES[candidate]
        if candidate in {variable.name for variable in VARIABLES}:
            return str(candidate)
    return _STANDARD_NAMES.get(attributes.get("standard_name", ""))


def _fields(
    array: xr.DataArray,
    variable: str,
    origin: str,
    axes: dict[str, Any],
    where: tuple[tuple[str, ...], Stencil],
    problems: Problems,
) -> Iterator[FieldValues]:
    dims, stencil = where
    unit = str(array.attrs.get("units", ""))
    if not unit:
        problems.reject(f"{origin}: has no units; nothing of it is taken")
        return
    known = {str(axis.dims[0]): role for role, axis in axes.items() if axis is not None and axis.ndim == 1}
    others = [str(dim) for dim in array.dims if dim not in dims]
    strange = [dim for dim in others if dim not in known and array.sizes[dim] > 1]
    if strange or any(dim not in array.dims for dim in dims if dims):
        problems.reject(
            f"{origin}: has dimensions {tuple(map(str, array.dims))}, of which {strange or dims} do not fit"
        )
        return
    slabs = array.transpose(*others, *dims)
    values = slabs.to_numpy()
    count = int(np.prod([array.sizes[dim] for dim in dims])) if dims else 1
    values = values.reshape(*values.shape[: len(others)], count)
    for index in np.ndindex(*values.shape[:-1]):
        at = {known[dim]: position for dim, position in zip(others, index, strict=True) if dim in known}
        times = _times(axes, at, origin)
        yield FieldValues(
            variable=variable,
            unit=_UNITS.get(unit, unit),
            init_time=times[0],
            lead_hours=times[1],
            start_hours=_interval_start(variable, array, times[1]),
            member=_member(axes["member"], at),
            values=stencil.apply(values[index]),
            origin=origin,
        )


def _interval_start(variable: str, array: xr.DataArray, lead: int) -> int:
    """Where the interval of a value begins: sums count from the init time unless the attributes give an interval."""
    if variable in COMPONENT_NAMES or find_variable(variable).cell_method == "instant":
        return lead
    interval = array.attrs.get("interval_hours")
    if interval is not None:
        return max(lead - int(interval), 0)
    return 0


def _times(axes: dict[str, Any], at: dict[str, int], origin: str) -> tuple[datetime, int]:
    """Init time and lead in hours of a slab, from whichever two of init, lead and valid time the file has."""
    init, lead, valid = (_at(axes[role], role, at, axes) for role in ("init", "lead", "valid"))
    if lead is not None and not np.issubdtype(np.asarray(lead).dtype, np.timedelta64):
        lead = np.timedelta64(round(float(lead)), "h")
    if init is None and lead is not None and valid is not None:
        # Beside a step axis a coordinate called time is the start; one called valid_time is not.
        init = valid if str(axes["valid"].name) == "time" else valid - lead
    if lead is None and init is not None and valid is not None:
        lead = valid - init
    if init is None or lead is None:
        raise ContractError(
            f"{origin} does not say when its forecast started and how far ahead it looks",
            hint="give files with a forecast_reference_time and a forecast_period or time coordinate",
        )
    hours = np.timedelta64(lead, "s") / _HOUR
    if hours != round(hours) or hours < 0:
        raise ContractError(f"{origin} has a lead of {hours} h", hint="give whole hours from 0 upwards")
    return from_datetime64(init), round(hours)


def _at(axis: Any, role: str, at: dict[str, int], axes: dict[str, Any]) -> Any:
    """The value of a coordinate for a slab, None where the file lacks it."""
    if axis is None:
        return None
    if axis.ndim == 0:
        return axis.to_numpy()[()]
    dim = axis.dims[0]
    owner = next((r for r in (role, *axes) if r in at and axes[r] is not None and dim in axes[r].dims), None)
    return axis.to_numpy()[at[owner]] if owner is not None and axis.ndim == 1 else None


def _member(axis: Any, at: dict[str, int]) -> int:
    if axis is None:
        return 0
    values: NDArray[Any] = np.atleast_1d(axis.to_numpy())
    return int(values[at.get("member", 0)])
