"""GRIB 1 and 2 through eccodes: messages of the variables we know, at places.

A damaged message is named and left out; the others of its file are kept.
"""

from __future__ import annotations

import mmap
import re
import sqlite3  # noqa: F401 - see below
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import eccodes
import numpy as np
from numpy.typing import NDArray

from skyproof.domain.errors import UnreadableFileError
from skyproof.domain.sites import Site
from skyproof.domain.variables import VARIABLES, find_variable
from skyproof.science.grids import Stencil, bilinear_stencil, nearest_stencil
from skyproof.stages.sources.fields import COMPONENT_NAMES, JOULES, FieldValues
from skyproof.stages.sources.problems import Problems

# Why sqlite3 above: the wheels of eccodes bring an old SQLite (3.26) and load it for the whole process. Whichever is there
# first serves everybody, and the archive needs a newer one; Python's must be loaded before eccodes is.

_BY_SHORT_NAME = {name: variable.name for variable in VARIABLES for name in variable.grib_short_names}
_COMPONENTS = {"10u": "wind_u_10m", "10v": "wind_v_10m", "100u": "wind_u_100m", "100v": "wind_v_100m"}
# Names that say what we mean only at one height: limited-area models write them in place of ``2t`` and its kin.
_AT_HEIGHT = {
    ("t", 2): "temperature_2m",
    ("r", 2): "relative_humidity_2m",
    ("ws", 10): "wind_speed_10m",
    ("ws", 100): "wind_speed_100m",
    ("u", 10): "wind_u_10m",
    ("v", 10): "wind_v_10m",
    ("u", 100): "wind_u_100m",
    ("v", 100): "wind_v_100m",
}
_NEEDS_HEIGHT = frozenset(name for name, _ in _AT_HEIGHT)
#: Levels where a short name means what our registry means; ``tcc`` of a cloud layer, for one, does not.
_LEVELS = frozenset(
    ("surface", "meanSea", "heightAboveGround", "heightAboveSea", "entireAtmosphere", "atmosphere", "nominalTop")
)
_UNITS = {
    "J m**-2": JOULES,
    "W m**-2": "W/m2",
    "kg m**-2": "mm",
    "m s**-1": "m/s",
    "degree true": "deg",
    "Degree true": "deg",
}
_STEP = re.compile(r"(\d+)([smhD]?)(?:-(\d+)([smhD]?))?")
_SECONDS = {"s": 1, "m": 60, "": 3600, "h": 3600, "D": 86_400}
_MISSING = 1e36


@dataclass(frozen=True, slots=True)
class _Message:
    """One framed message of a file: its number from 1, its bytes, or what is wrong with it."""

    number: int
    data: bytes
    problem: str = ""


class GribReader:
    """Reads files at places; grids are looked up once each."""

    def __init__(self, sites: Sequence[Site], *, interpolation: str = "nearest", wanted: Sequence[str] = ()) -> None:
        self._sites = tuple(sites)
        self._interpolation = interpolation
        self._wanted = frozenset(wanted)
        self._stencils: dict[str, Stencil] = {}

    def read(self, path: Path, problems: Problems) -> Iterator[FieldValues]:
        """The fields of a file that we know, in file order.

        Raises:
            UnreadableFileError: the file is no GRIB, or not one of its messages is whole.
        """
        whole = taken = 0
        damaged = []
        for message in _messages(path):
            text = message.problem
            if not text:
                try:
                    with _decoded(message.data) as handle:
                        field = self._field(handle, f"{path.name} message {message.number}", problems)
                except eccodes.CodesInternalError as error:
                    text = str(error)
                else:
                    whole += 1
                    if field is not None:
                        taken += 1
                        yield field
                    continue
            damaged.append(f"{path.name} message {message.number} is damaged: {text}")
            problems.reject(damaged[-1])
        if not whole:
            why = damaged[0] if damaged else f"{path.name} holds no GRIB message"
            raise UnreadableFileError(why, hint="check that the file is whole and is GRIB")
        if not taken:
            problems.note(f"{path.name} holds nothing we know in its {whole} messages")

    def _field(self, handle: int, origin: str, problems: Problems) -> FieldValues | None:
        variable = _variable(handle)
        if variable is None or (self._wanted and variable not in self._wanted and variable not in COMPONENT_NAMES):
            return None
        step_range, step_type = _get(handle, "stepRange"), _get(handle, "stepType")
        init_time = _init_time(_get(handle, "dataDate"), _get(handle, "dataTime"))
        span = _span(step_range)
        if span is None or init_time is None:
            problems.note(f"{origin}: step {step_range} of {variable} is no whole number of hours, left out")
            return None
        start, end = span
        instant = variable in COMPONENT_NAMES or find_variable(variable).cell_method == "instant"
        if instant and (step_type not in ("instant", "0") or start != end):
            problems.note(f"{origin}: {variable} is {step_type} over {step_range} h, wanted an instant; left out")
            return None
        if not instant and start == end:
            # GRIB 1 of ECMWF writes sums since the init time with the end of the interval alone.
            start = end if "gust" in variable else 0
        member = _get(handle, "perturbationNumber", "number")
        return FieldValues(
            variable=variable,
            unit=_UNITS.get(_get(handle, "units"), _get(handle, "units")),
            init_time=init_time,
            lead_hours=end,
            start_hours=start,
            member=int(member) if member else 0,
            values=self._values(handle, origin, problems),
            origin=origin,
        )

    def _values(self, handle: int, origin: str, problems: Problems) -> NDArray[np.float32]:
        key = _get(handle, "md5GridSection")
        stencil = self._stencils.get(key)
        if stencil is None:
            stencil = self._stencils[key] = self._stencil(handle, origin, problems)
        eccodes.codes_set(handle, "missingValue", _MISSING)
        values = eccodes.codes_get_values(handle)
        values[values >= _MISSING] = np.nan
        return stencil.apply(values)

    def _stencil(self, handle: int, origin: str, problems: Problems) -> Stencil:
        latitudes = eccodes.codes_get_array(handle, "latitudes")
        longitudes = eccodes.codes_get_array(handle, "longitudes")
        stencil = None
        if self._interpolation == "bilinear":
            stencil = bilinear_stencil(latitudes, longitudes, self._sites)
            if stencil is None:
                problems.note(f"{origin}: the grid is not regular in latitude and longitude; nearest points taken")
        if stencil is None:
            stencil = nearest_stencil(latitudes, longitudes, self._sites)
        outside = [site.site_id for site, inside in zip(self._sites, stencil.inside, strict=True) if not inside]
        if outside:
            problems.note(f"{origin}: the grid does not reach {len(outside)} sites ({', '.join(outside[:5])})")
        return stencil


def _messages(path: Path) -> Iterator[_Message]:
    """Frame the messages of a file, by the lengths they state and the ``7777`` they must end with."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            number, position = 0, data.find(b"GRIB")
            while position >= 0:
                length = _stated_length(data, position)
                end = position + length
                whole = length > 0 and data[end - 4 : end] == b"7777"
                if whole:
                    number += 1
                    yield _Message(number, data[position:end])
                elif length or position + 16 > len(data):
                    number += 1
                    there = len(data) - position
                    yield _Message(
                        number, b"", f"its header says {length} bytes, and they do not end in 7777 ({there} are left)"
                    )
                position = data.find(b"GRIB", end if whole else position + 4)
    except (OSError, ValueError) as error:
        raise UnreadableFileError(
            f"{path.name} cannot be read: {error}", hint="check that it is a whole file"
        ) from error


def _stated_length(data: Any, position: int) -> int:
    """Bytes of the message at ``position`` by its own header; 0 if that is no header."""
    head = data[position : position + 16]
    if len(head) < 16 or head[7] not in (1, 2):
        return 0
    if head[7] == 2:
        return int.from_bytes(head[8:16], "big")
    length = int.from_bytes(head[4:7], "big")
    if length & 0x800000:
        # Messages of GRIB 1 beyond 8 MB state their length in a way that needs section 4; their end mark is surer.
        return int(data.find(b"7777", position + (length & 0x7FFFFF) * 120 - 130)) + 4 - position
    return length


@contextmanager
def _decoded(data: bytes) -> Iterator[int]:
    handle = eccodes.codes_new_from_message(data)
    try:
        yield handle
    finally:
        eccodes.codes_release(handle)


def _get(handle: int, *keys: str) -> str:
    """The first of ``keys`` that the message has, as text; '' if none."""
    for key in keys:
        try:
            return str(eccodes.codes_get_string(handle, key))
        except eccodes.KeyValueNotFoundError:
            continue
    return ""


def _variable(handle: int) -> str | None:
    name, level_type = _get(handle, "shortName"), _get(handle, "typeOfLevel")
    if level_type not in _LEVELS:
        return None
    if name in _NEEDS_HEIGHT:
        level = _get(handle, "level")
        return _AT_HEIGHT.get((name, int(level))) if level_type == "heightAboveGround" and level.isdigit() else None
    return _COMPONENTS.get(name) or _BY_SHORT_NAME.get(name)


def _init_time(date: str, clock: str) -> datetime | None:
    try:
        return datetime.strptime(f"{date}{int(clock):04d}", "%Y%m%d%H%M").replace(tzinfo=UTC)
    except ValueError:
        return None


def _span(step_range: str) -> tuple[int, int] | None:
    """Start and end in hours of a step such as ``6``, ``0-6`` or ``60m``; None if they are no whole hours."""
    match = _STEP.fullmatch(step_range)
    if match is None:
        return None
    first, first_unit, last, last_unit = match.groups()
    start = int(first) * _SECONDS[first_unit or (last_unit or "")]
    end = int(last) * _SECONDS[last_unit or first_unit] if last else start
    return (start // 3600, end // 3600) if start % 3600 == 0 and end % 3600 == 0 else None
