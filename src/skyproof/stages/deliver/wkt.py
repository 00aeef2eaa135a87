"""Well-known text of places: the few geometries that can be asked about, with bounded sizes.

Longitude comes first, as CRS84 has it. A height (Z) is read and not used: forecasts hold at the heights of their names.

Source:
    OGC 06-103r4, Simple feature access, section 7.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.errors import InvalidValueError

MOST_VERTICES = 1000
#: Characters of one geometry: a thousand vertices of four numbers.
LONGEST = 40_000
_KINDS = ("POINT", "MULTIPOINT", "LINESTRING", "POLYGON", "MULTIPOLYGON")
_HEAD = re.compile(r"\s*([A-Za-z]+?)\s*(ZM|Z|M)?\s*(\(.*\))\s*", re.DOTALL)
_NUMBER = re.compile(r"[+-]?[0-9]{1,14}(\.[0-9]{0,15})?([eE][+-]?[0-9]{1,2})?")
_HINT = (
    "write it like POINT(8.54 47.38), POLYGON((8 47,9 47,9 48,8 47)) or LINESTRINGM(8 47 1743300000,9 48 1743310800)"
)


@dataclass(frozen=True, slots=True)
class Geometry:
    """A geometry: for each of its parts, vertices (n, 2) in degrees east and north; ``seconds`` (n,) where it has measures."""

    kind: str
    parts: tuple[NDArray[np.float64], ...]
    seconds: NDArray[np.float64] | None = None


def parse_wkt(text: str) -> Geometry:
    """Read a geometry.

    Raises:
        InvalidValueError: it is none, of another kind, too large, or off the globe.
    """
    if len(text) > LONGEST:
        raise InvalidValueError(f"coords are longer than {LONGEST:,} characters", hint="ask for a simpler geometry")
    match = _HEAD.fullmatch(text)
    kind = "" if match is None else match[1].upper()
    if match is None or kind not in _KINDS:
        raise InvalidValueError(f"coords {text[:60]!r} are no geometry that can be asked about", hint=_HINT)
    axes = (match[2] or "").upper()
    rows = [_vertices(part, axes) for part in re.findall(r"\(([^()]*)\)", match[3])]
    if kind in ("POINT", "LINESTRING") and (len(rows) != 1 or match[3].count("(") != 1):
        raise InvalidValueError(f"a {kind} has one list of coordinates", hint=_HINT)
    if sum(map(len, rows)) > MOST_VERTICES:
        raise InvalidValueError(f"coords have more than {MOST_VERTICES} vertices", hint="ask for a simpler geometry")
    if not rows or (kind == "POINT" and len(rows[0]) != 1) or (kind.endswith("POLYGON") and min(map(len, rows)) < 3):
        raise InvalidValueError(f"coords {text[:60]!r} have too few or too many vertices", hint=_HINT)
    whole = np.concatenate(rows)
    if (np.abs(whole[:, 0]) > 180).any() or (np.abs(whole[:, 1]) > 90).any():
        raise InvalidValueError("coords lie off the globe", hint="longitude comes first, between -180 and 180 degrees")
    return Geometry(kind, tuple(row[:, :2] for row in rows), whole[:, -1] if axes.endswith("M") else None)


def _vertices(text: str, axes: str) -> NDArray[np.float64]:
    wanted = 2 + len(axes)
    found = [vertex.split() for vertex in text.split(",")]
    if len(found) > MOST_VERTICES:
        raise InvalidValueError(f"coords have more than {MOST_VERTICES} vertices", hint="ask for a simpler geometry")
    for numbers in found:
        if len(numbers) != wanted or not all(_NUMBER.fullmatch(number) for number in numbers):
            raise InvalidValueError(f"vertex {' '.join(numbers)[:60]!r} is not {wanted} numbers", hint=_HINT)
    return np.array([[float(number) for number in numbers] for numbers in found])
