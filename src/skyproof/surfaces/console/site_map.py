"""Where the sites are and what the newest run says there, as scalable graphics."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.sites import Site

WIDTH, HEIGHT = 420, 320
_EDGE = 18
#: Steps of colour, from the least to the greatest value.
STEPS = 7


@dataclass(frozen=True, slots=True)
class Place:
    """A site on the map. ``step``: 0 (least) to STEPS - 1 (greatest), -1 where there is no value."""

    site: Site
    x: float
    y: float
    step: int
    value: float


def draw_map(sites: tuple[Site, ...], values: NDArray[np.float64]) -> tuple[Place, ...]:
    """Lay the sites out, equirectangular about their middle latitude; ``values``: one per site, NaN where missing."""
    if not sites:
        return ()
    latitude = np.array([site.latitude for site in sites])
    longitude = np.array([site.longitude for site in sites])
    # The shortest way round the globe: sites on both sides of the date line stay together.
    longitude = (longitude - longitude[0] + 180) % 360 + longitude[0] - 180
    squeeze = max(math.cos(math.radians(float(latitude.mean()))), 0.1)
    width, height = max(float(np.ptp(longitude)) * squeeze, 0.1), max(float(np.ptp(latitude)), 0.1)
    scale = min((WIDTH - 2 * _EDGE) / width, (HEIGHT - 2 * _EDGE) / height)
    x = WIDTH / 2 + (longitude - (longitude.min() + longitude.max()) / 2) * squeeze * scale
    y = HEIGHT / 2 - (latitude - (latitude.min() + latitude.max()) / 2) * scale
    known = np.isfinite(values)
    low, high = (float(values[known].min()), float(values[known].max())) if known.any() else (0.0, 1.0)
    step = np.where(known, np.clip((values - low) / max(high - low, 1e-9) * STEPS, 0, STEPS - 1), -1)
    return tuple(
        Place(site, round(float(x[k]), 1), round(float(y[k]), 1), int(step[k]), float(values[k]))
        for k, site in enumerate(sites)
    )
