"""The cover of a home: a regular net of points at which sources are asked too, so that any place between them can be answered.

What a source says at the nodes is a sequence of cycles of its own (:func:`cover_of`), beside those at sites. A node belongs to no
customer and is no site; its name says where it lies, so that what was kept can be read without knowing the net it was asked on.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from skyproof.domain.errors import InvalidValueError
from skyproof.domain.sites import Site

#: More nodes than this make taking in cycles slower than it is worth.
MOST_NODES = 20_000
_NODE = re.compile(r"node_(-?[0-9]{1,2}(?:\.[0-9]{1,4})?)_(-?[0-9]{1,3}(?:\.[0-9]{1,4})?)(?:_(-?[0-9]{1,4}))?")


@dataclass(frozen=True, slots=True)
class Cover:
    """A net of nodes every ``spacing_deg`` degrees from south to north and from west to east, edges included.

    ``east`` may be smaller than ``west``: the net then crosses the 180th meridian.
    """

    south: float
    west: float
    north: float
    east: float
    spacing_deg: float

    def __post_init__(self) -> None:
        inside = -90 <= self.south < self.north <= 90 and all(-180 <= edge <= 180 for edge in (self.west, self.east))
        if not inside or not self.spacing_deg > 0 or self.west == self.east:
            raise InvalidValueError(
                f"{self.south} to {self.north} N, {self.west} to {self.east} E every {self.spacing_deg} degrees is no cover",
                hint="give south < north, west and east within 180 degrees, and a spacing above 0",
            )
        count = len(self._latitudes) * len(self._longitudes)
        if count > MOST_NODES or min(len(self._latitudes), len(self._longitudes)) < 2:
            raise InvalidValueError(
                f"the cover has {count:,} nodes, wanted at least 2 each way and at most {MOST_NODES:,}",
                hint="choose another spacing or region",
            )

    @property
    def nodes(self) -> tuple[Site, ...]:
        """The nodes as places to ask sources for; their heights are not known."""
        return tuple(
            Site(node_name(latitude, longitude), "", latitude, longitude, 0.0)
            for latitude in self._latitudes
            for longitude in self._longitudes
        )

    @property
    def _latitudes(self) -> list[float]:
        return _steps(self.south, self.north - self.south, self.spacing_deg)

    @property
    def _longitudes(self) -> list[float]:
        width = (self.east - self.west) % 360.0 or 360.0
        steps = _steps(self.west, width, self.spacing_deg)
        # Around the Earth the last one is the first.
        steps = steps[:-1] if width == 360.0 and math.isclose(steps[-1] - self.west, 360.0) else steps
        return [round((step + 180.0) % 360.0 - 180.0, 4) for step in steps]


@dataclass(frozen=True, slots=True)
class Node:
    """Where a node lies. ``elevation_m`` is the height its values are for, NaN where they are for the source's own ground."""

    latitude: float
    longitude: float
    elevation_m: float = math.nan


def node_name(latitude: float, longitude: float, elevation_m: float | None = None) -> str:
    """The name of a node; with a height where values are made for that height, as downscaled ones are."""
    height = "" if elevation_m is None else f"_{elevation_m:.0f}"
    return f"node_{round(latitude, 4):g}_{round(longitude, 4):g}{height}"


def node_of(name: str) -> Node | None:
    """Where the node of that name lies; None if it is no node's."""
    match = _NODE.fullmatch(name)
    if match is None:
        return None
    return Node(float(match[1]), float(match[2]), math.nan if match[3] is None else float(match[3]))


def cover_of(source_id: str) -> str:
    """The name under which the archive keeps what a source says at the nodes; no source can be called so."""
    return f"cover={source_id}"


def _steps(start: float, width: float, spacing: float) -> list[float]:
    return [round(start + spacing * number, 4) for number in range(math.floor(width / spacing + 1e-9) + 1)]
