"""The fictional land: two continents, three ranges, and the places where stations stand.

Lengths are in 1000 km; the channel is 20 long (periodic) and 7.5 wide.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.cover import node_name
from skyproof.domain.sites import Site

Floats = NDArray[Any]
LENGTH = 20.0
WIDTH = 7.5
#: Continents: centre x, centre y, half length, half width, all as shares of the channel.
_CONTINENTS = ((0.25, 0.55, 0.13, 0.33), (0.34, 0.30, 0.07, 0.20), (0.72, 0.60, 0.17, 0.28), (0.64, 0.28, 0.06, 0.18))
#: Ranges: centre x, centre y, half length, half width (shares of the channel), height in km, tilt.
_RANGES = (
    (0.17, 0.55, 0.03, 0.25, 2.2, 0.25),
    (0.70, 0.38, 0.07, 0.07, 2.6, -0.1),
    (0.31, 0.62, 0.05, 0.10, 0.6, 0.0),
)
_BEGINNINGS = (
    "Al",
    "Bro",
    "Cas",
    "Dor",
    "El",
    "Fen",
    "Gal",
    "Hol",
    "Is",
    "Jor",
    "Kel",
    "Lor",
    "Mer",
    "Nor",
    "Or",
    "Pel",
)
_ENDINGS = ("amar", "bret", "covan", "drunn", "ester", "fjora", "gund", "holt")


def _periodic(distance: Floats) -> Floats:
    return (distance + LENGTH / 2) % LENGTH - LENGTH / 2


def to_latitude(y: Floats) -> Floats:
    """Degrees north of a distance across the channel."""
    return np.asarray(25 + 45 * y / WIDTH)


def to_longitude(x: Floats) -> Floats:
    """Degrees east of a distance along the channel; its two ends, which are one, lie at 60 W and 60 E."""
    return np.asarray(-60 + 120 * x / LENGTH)


def land_share(x: Floats, y: Floats) -> Floats:
    """How continental a place is, 0 (sea) to 1."""
    share = np.zeros_like(x)
    for cx, cy, rx, ry in _CONTINENTS:
        distance = np.hypot(_periodic(x - cx * LENGTH) / (rx * LENGTH), (y - cy * WIDTH) / (ry * WIDTH))
        share = np.maximum(share, 1 / (1 + np.exp(-6.9 * (1 - distance))))
    return share


def orography_km(x: Floats, y: Floats) -> Floats:
    """Height of the smooth terrain, km."""
    height = np.zeros_like(x)
    for cx, cy, rx, ry, top, tilt in _RANGES:
        dx, dy = _periodic(x - cx * LENGTH), y - cy * WIDTH
        height = height + top * np.exp(-np.square((dx - tilt * dy) / (rx * LENGTH)) - np.square(dy / (ry * WIDTH)))
    return height


@dataclass(frozen=True, slots=True)
class Places:
    """Where stations stand, all arrays (site,). ``valley``: 0 or 1; ``roughness``: share of the free wind; ``coast``: 0.5 to 1,
    how much season and sun are felt.
    """

    x: Floats
    y: Floats
    latitude: Floats
    longitude: Floats
    elevation_m: Floats
    valley: Floats
    roughness: Floats
    coast: Floats

    def sites(self) -> tuple[Site, ...]:
        """As registered sites, named after no real place."""
        names = [f"{begin}{end}" for end in _ENDINGS for begin in _BEGINNINGS]
        return tuple(
            Site(
                site_id=names[k % len(names)].lower() + (f"-{k // len(names) + 1}" if k >= len(names) else ""),
                name=f"{names[k % len(names)]} (sandbox planet)",
                latitude=round(float(self.latitude[k]), 4),
                longitude=round(float(self.longitude[k]), 4),
                elevation_m=round(float(self.elevation_m[k])),
            )
            for k in range(len(self.x))
        )


#: Degrees between nodes of the planet's cover.
COVER_SPACING = 2.5


@lru_cache(maxsize=1)
def cover_places() -> Places:
    """The nodes of the planet's cover: the land between the walls, on ground as high as stations usually stand there."""
    latitudes = np.arange(30.0, 65.0 + 1e-9, COVER_SPACING)
    longitudes = np.arange(-60.0, 60.0 + 1e-9, COVER_SPACING)
    latitude, longitude = (axis.ravel() for axis in np.meshgrid(latitudes, longitudes, indexing="ij"))
    x, y = (longitude + 60) / 120 * LENGTH, (latitude - 25) / 45 * WIDTH
    usual = np.ones_like(x)
    return Places(
        x=x,
        y=y,
        latitude=latitude,
        longitude=longitude,
        elevation_m=np.round(np.maximum(5, 750 * orography_km(x, y) + 120)),
        valley=0.3 * usual,
        roughness=0.725 * usual,
        coast=0.75 * usual,
    )


def cover_nodes() -> tuple[Site, ...]:
    """The nodes as places to ask the planet's providers for."""
    nodes = cover_places()
    return tuple(
        Site(
            node_name(float(latitude), float(longitude), float(height)),
            "",
            float(latitude),
            float(longitude),
            float(height),
        )
        for latitude, longitude, height in zip(nodes.latitude, nodes.longitude, nodes.elevation_m, strict=True)
    )


def choose_places(count: int, seed: int) -> Places:
    """Places on land, spread at random."""
    chance = np.random.default_rng((seed, 7))
    xs: list[float] = []
    ys: list[float] = []
    while len(xs) < count:
        x, y = chance.uniform(0, LENGTH), chance.uniform(0.9, 6.6)
        if land_share(np.array(x), np.array(y)) > 0.55:
            xs.append(x)
            ys.append(y)
    x_all, y_all = np.array(xs), np.array(ys)
    smooth = 1000 * orography_km(x_all, y_all)
    return Places(
        x=x_all,
        y=y_all,
        latitude=to_latitude(y_all),
        longitude=to_longitude(x_all),
        elevation_m=np.maximum(5, smooth * chance.uniform(0.3, 1.2, count) + chance.gamma(1.0, 120.0, count)),
        valley=(chance.random(count) < 0.3).astype(float),
        roughness=chance.uniform(0.45, 1.0, count),
        coast=chance.uniform(0.5, 1.0, count),
    )
