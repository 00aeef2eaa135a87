"""The file of a published run: CF NetCDF4, one slab per site, and the reader that maps it."""

from __future__ import annotations

import mmap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.archive.array_file import (
    FILL,
    FileArray,
    as_span,
    pack,
    packed_attributes,
    read_attributes,
    read_layout,
    unpack,
    write_file,
)
from skyproof.archive.run_records import inputs_to_json, regime_to_json
from skyproof.archive.tables import canonical_json
from skyproof.domain.errors import IntegrityError, InvalidValueError, UnknownNameError
from skyproof.domain.forecasts import ForecastGrid, ForecastValues, Regime, RunInput
from skyproof.domain.quantiles import LEVEL_ARRAY, LEVELS
from skyproof.domain.times import format_instant, to_epoch_seconds
from skyproof.domain.variables import Variable, find_variable

_CELL_METHODS = {
    "instant": "time: point",
    "preceding mean": "time: mean (interval: {step} hours)",
    "preceding sum": "time: sum (interval: {step} hours)",
    "preceding maximum": "time: maximum (interval: {step} hours)",
}


@dataclass(frozen=True, slots=True)
class RunDraft:
    """A run about to be published.

    ``reasons``: (variable, site, lead) uint8, code of why a cell is as it is; code ``i`` means ``reason_names[i]``.
    ``learned``: (site,), whether the release learned from the site's own record; None where it did from every one.
    ``attributes`` go into the file as text; ``{"sandbox": True}`` makes its title say that the planet is simulated.
    ``published_at``, ``experts_key``, ``generation_ms`` and ``warnings`` go into the catalogue only, so that the same
    forecast made again has the same bytes.
    """

    release_id: str
    issue_time: datetime
    init_time: datetime
    published_at: datetime
    regime: Regime
    inputs: tuple[RunInput, ...]
    grid: ForecastGrid
    values: ForecastValues
    reasons: NDArray[np.uint8]
    experts_key: str
    generation_ms: float
    warnings: tuple[str, ...] = ()
    reason_names: tuple[str, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)
    learned: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        cells = (len(self.grid.variables), len(self.grid.sites), len(self.grid.lead_hours))
        shapes = (self.values.quantiles.shape, self.values.mean.shape, self.reasons.shape)
        if shapes != ((*cells, len(LEVELS)), cells, cells):
            raise InvalidValueError(
                f"the run has quantiles, mean and reasons of shapes {shapes}, wanted (variable, site, lead) = {cells} "
                f"and {len(LEVELS)} levels"
            )


@dataclass(frozen=True, slots=True)
class SiteSeries:
    """One site of a run. ``mean``: (variable, lead) float64, ``quantiles``: (variable, lead, level) float64, NaN where
    there is no value; ``reasons``: (variable, lead) uint8.
    """

    mean: NDArray[np.float64]
    quantiles: NDArray[np.float64]
    reasons: NDArray[np.uint8]


def write_run(draft: RunDraft) -> bytes:
    """The bytes of a run's file; the same forecast gives the same bytes.

    Raises:
        InvalidValueError: the grid is empty, or a value is beyond what its variable can hold.
    """
    arrays = _coordinates(draft)
    if draft.learned is not None and not draft.learned.all():
        told = {"long_name": "whether the release learned from the record of the site itself"}
        arrays.append(FileArray("learned", ("site",), draft.learned.astype("u1"), told))
    for index, name in enumerate(draft.grid.variables):
        arrays.extend(_variable_arrays(draft, index, find_variable(name)))
    sandbox = bool(draft.attributes.get("sandbox"))
    title = "Probabilistic point forecast" + (" for the sandbox planet (simulated, not the Earth)" if sandbox else "")
    extra = {name: str(value) for name, value in sorted(draft.attributes.items())}
    return write_file(
        arrays,
        attributes={
            **extra,
            "Conventions": "CF-1.11",
            "featureType": "timeSeries",
            "title": title,
            "source": f"Skyproof release {draft.release_id}",
            "release_id": draft.release_id,
            "issue_time": format_instant(draft.issue_time),
            "init_time": format_instant(draft.init_time),
            "step_hours": np.int32(draft.grid.step_hours),
            "lineage": canonical_json({"regime": regime_to_json(draft.regime), "inputs": inputs_to_json(draft.inputs)}),
        },
        facts={"variables": list(draft.grid.variables), "reason_names": list(draft.reason_names)},
    )


def as_kept(values: ForecastValues, reasons: NDArray[np.uint8], variables: Sequence[str]) -> tuple[SiteSeries, ...]:
    """The series of each site as a run's file would give them back.

    Args:
        values: quantiles (variable, site, lead, level) and mean (variable, site, lead).
        reasons: (variable, site, lead).
        variables: their names.
    """
    quantiles = np.empty(values.quantiles.shape)
    mean = np.empty(values.mean.shape)
    for index, name in enumerate(variables):
        scale = find_variable(name).resolution
        _unpack_exactly(pack(values.quantiles[index], scale)[0], scale, quantiles[index])
        _unpack_exactly(pack(values.mean[index], scale)[0], scale, mean[index])
    return tuple(
        SiteSeries(mean[:, site], quantiles[:, site], reasons[:, site]) for site in range(values.mean.shape[1])
    )


class RunReader:
    """Reads a run's file through one memory mapping; safe to share between threads."""

    def __init__(self, path: Path) -> None:
        layout = read_layout(path)
        self.attributes = {name: value for name, value in read_attributes(path).items() if isinstance(value, str)}
        try:
            self.variables: tuple[str, ...] = tuple(layout.facts["variables"])
            self.reason_names: tuple[str, ...] = tuple(layout.facts["reason_names"])
            self.site_ids = layout.texts["site_id"]
            with path.open("rb") as file:
                data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            arrays = {
                name: np.frombuffer(data, stored.dtype, int(np.prod(stored.shape)), stored.offset).reshape(stored.shape)
                for name, stored in layout.arrays.items()
            }
            held = arrays.get("learned")
            #: The sites from whose own record the run's release learned.
            self.learned = frozenset(
                self.site_ids if held is None else (self.site_ids[index] for index in np.flatnonzero(held))
            )
            self.lead_hours = tuple(int(lead) for lead in arrays["lead"])
            self._quantiles = [arrays[f"{name}_quantiles"] for name in self.variables]
            self._mean = [arrays[f"{name}_mean"] for name in self.variables]
            self._reasons = [arrays[f"{name}_reason"] for name in self.variables]
            self._scales = [layout.arrays[f"{name}_mean"].scale for name in self.variables]
        except (KeyError, ValueError, OSError) as error:
            raise IntegrityError(
                f"the run file {path.name} is damaged: {error}", hint="skyproof doctor names what is damaged"
            ) from error
        self._index = {site_id: index for index, site_id in enumerate(self.site_ids)}

    def site(self, site_id: str, *, quantiles_too: bool = True) -> SiteSeries:
        """Everything about one site; its quantiles are not read, and of no level, unless ``quantiles_too``.

        Raises:
            UnknownNameError: the run has no such site.
        """
        index = self._index.get(site_id)
        if index is None:
            raise UnknownNameError(
                f"site {site_id[:64]!r} is not in this run", hint="it is in runs made after it was added"
            )
        leads, count = len(self.lead_hours), len(self.variables)
        quantiles = np.empty((count, leads, len(LEVELS) if quantiles_too else 0))
        mean = np.empty((count, leads))
        reasons = np.empty((count, leads), dtype=np.uint8)
        for variable, scale in enumerate(self._scales):
            if quantiles_too:
                _unpack_exactly(self._quantiles[variable][index], scale, quantiles[variable])
            _unpack_exactly(self._mean[variable][index], scale, mean[variable])
            reasons[variable] = self._reasons[variable][index]
        return SiteSeries(mean, quantiles, reasons)

    def values(self, *, leads: NDArray[np.intp] | None = None) -> ForecastValues:
        """All values: quantiles (variable, site, lead, level) and mean (variable, site, lead), float32.

        ``leads`` are the positions wanted, ascending; all by default.
        """
        chosen = as_span(leads)
        cells = (len(self.variables), len(self.site_ids), len(self.lead_hours) if leads is None else len(leads))
        quantiles = np.empty((*cells, len(LEVELS)), dtype=np.float32)
        mean = np.empty(cells, dtype=np.float32)
        for variable, scale in enumerate(self._scales):
            unpack(self._quantiles[variable][:, chosen], scale, quantiles[variable])
            unpack(self._mean[variable][:, chosen], scale, mean[variable])
        return ForecastValues(quantiles, mean)

    def reasons(self) -> NDArray[np.uint8]:
        """All reason codes: (variable, site, lead)."""
        return np.stack(self._reasons)


def _unpack_exactly(packed: NDArray[np.int16], scale: float, out: NDArray[np.float64]) -> None:
    np.multiply(packed, scale, out=out)
    missing = packed == FILL
    if missing.any():
        out[missing] = np.nan


def _coordinates(draft: RunDraft) -> list[FileArray]:
    grid, since = draft.grid, {"units": "seconds since 1970-01-01T00:00:00Z", "calendar": "standard"}
    sites, seconds = grid.sites, np.array([to_epoch_seconds(draft.init_time)], dtype="<i8").reshape(())
    leads = np.array(grid.lead_hours, dtype="<i4")
    valid = to_epoch_seconds(draft.init_time) + leads.astype("<i8") * 3600

    def place(name: str, attribute: str, unit: str) -> FileArray:
        values = np.array([getattr(site, attribute) for site in sites], dtype="<f8")
        return FileArray(name, ("site",), values, {"standard_name": name, "units": unit})

    return [
        FileArray("lead", ("lead",), leads, {"standard_name": "forecast_period", "units": "hours",
                                             "long_name": "hours after init_time"}),
        FileArray("quantile", ("quantile",), LEVEL_ARRAY.astype("<f8"), {"standard_name": "quantile", "units": "1"}),
        FileArray("site_id", ("site",), np.array(grid.site_ids, dtype=object), {"cf_role": "timeseries_id"}),
        place("latitude", "latitude", "degrees_north"),
        place("longitude", "longitude", "degrees_east"),
        FileArray("elevation", ("site",), np.array([site.elevation_m for site in sites], dtype="<f8"),
                  {"standard_name": "surface_altitude", "units": "m", "positive": "up"}),
        FileArray("init_time", (), seconds, {**since, "standard_name": "forecast_reference_time"}),
        FileArray("issue_time", (), np.array(to_epoch_seconds(draft.issue_time), dtype="<i8"),
                  {**since, "long_name": "when the forecast was issued"}),
        FileArray("time", ("lead",), valid, {**since, "standard_name": "time", "long_name": "valid time"}),
    ]  # fmt: skip


def _variable_arrays(draft: RunDraft, index: int, variable: Variable) -> list[FileArray]:
    common: dict[str, Any] = {
        "standard_name": variable.standard_name,
        "units": variable.unit,
        "cell_methods": _CELL_METHODS[variable.cell_method].format(step=draft.grid.step_hours),
        "coordinates": "time latitude longitude elevation site_id",
        **packed_attributes(variable.resolution),
    }
    if variable.height_m is not None:
        common["height"] = f"{variable.height_m:g} m above ground"
    quantiles, lost = pack(draft.values.quantiles[index], variable.resolution)
    mean, lost_too = pack(draft.values.mean[index], variable.resolution)
    if lost + lost_too:
        raise InvalidValueError(
            f"{lost + lost_too} forecast values of {variable.name} are beyond {32767 * variable.resolution:g} {variable.unit}",
            hint="a run like that must not be published; look at what made it",
        )
    codes = {"long_name": f"Why {variable.title} is as it is, or missing"}
    flags: dict[str, Any] = {}
    if draft.reason_names:
        meanings = " ".join(name.replace(" ", "_") or "none" for name in draft.reason_names)
        flags = {"flag_values": np.arange(len(draft.reason_names), dtype="u1"), "flag_meanings": meanings}
    return [
        FileArray(f"{variable.name}_quantiles", ("site", "lead", "quantile"), quantiles,
                  {"long_name": f"{variable.title}, quantiles", **common}),
        FileArray(f"{variable.name}_mean", ("site", "lead"), mean, {"long_name": f"{variable.title}, mean", **common}),
        FileArray(f"{variable.name}_reason", ("site", "lead"), np.ascontiguousarray(draft.reasons[index], dtype="u1"),
                  {**codes, **flags}),
    ]  # fmt: skip
