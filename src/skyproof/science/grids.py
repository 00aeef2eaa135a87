"""From a grid to places: the nearest point of any grid, or bilinear between the four around on a regular one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from skyproof.domain.sites import Site
from skyproof.science.sphere import EARTH_RADIUS_KM, unit_vectors

#: A place farther from its nearest point than this many grid spacings is outside the grid.
_MOST_SPACINGS = 1.5
#: A grid of one point speaks for this distance around it, km.
_LONE_POINT_KM = 50.0


@dataclass(frozen=True, slots=True)
class Stencil:
    """Points and weights that give the value at each place. Both (site, corner); ``inside`` (site) is False off the grid."""

    points: NDArray[np.int64]
    weights: NDArray[np.float64]
    inside: NDArray[np.bool_]

    def apply(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Values (..., point) at the places (..., site), float32; NaN outside and where a corner with weight is missing."""
        corners = np.asarray(values, dtype=np.float64)[..., self.points]
        weighted = np.where(self.weights > 0, corners * self.weights, 0.0).sum(axis=-1)
        return np.where(self.inside, weighted, np.nan).astype(np.float32)


def nearest_stencil(latitudes: NDArray[np.float64], longitudes: NDArray[np.float64], sites: Sequence[Site]) -> Stencil:
    """The nearest grid point of each site by great circle.

    Args:
        latitudes: of every point, degrees north, any order.
        longitudes: of every point, degrees east, any range.
        sites: the places.
    """
    tree = cKDTree(unit_vectors(latitudes, longitudes))
    places = unit_vectors(np.array([s.latitude for s in sites]), np.array([s.longitude for s in sites]))
    chord, index = tree.query(places)
    if len(latitudes) > 1:
        # Points coincide at the poles of a regular grid, so the nearest other one may be at distance 0.
        spacing = tree.query(tree.data[index], k=min(5, len(latitudes)))[0][:, -1]
        limit = _MOST_SPACINGS * spacing
    else:
        limit = np.full(len(sites), _LONE_POINT_KM / EARTH_RADIUS_KM)
    points = index.astype(np.int64)[:, None]
    return Stencil(points, np.ones_like(points, dtype=np.float64), chord <= limit)


def bilinear_stencil(
    latitudes: NDArray[np.float64], longitudes: NDArray[np.float64], sites: Sequence[Site]
) -> Stencil | None:
    """The four points around each site, weighted linearly in latitude and longitude; None if the grid is not regular."""
    lats, lat_index = np.unique(np.round(latitudes, 6), return_inverse=True)
    lons, lon_index = np.unique(np.round(longitudes % 360.0, 6), return_inverse=True)
    if len(lats) < 2 or len(lons) < 2 or len(lats) * len(lons) != len(latitudes):
        return None
    table = np.full((len(lats), len(lons)), -1, dtype=np.int64)
    table[lat_index, lon_index] = np.arange(len(latitudes))
    if (table < 0).any():
        return None
    step = float(np.diff(lons).min())
    around = lons[0] + 360.0 - lons[-1] <= 1.5 * step
    lat = np.array([site.latitude for site in sites])
    lon = np.array([site.longitude for site in sites]) % 360.0
    # A region across Greenwich has its western part near 360 degrees; the gap in ``lons`` then lies outside the region.
    lower = np.clip(np.searchsorted(lats, lat, side="right") - 1, 0, len(lats) - 2)
    left = np.searchsorted(lons, lon, side="right") - 1
    right = left + 1
    wraps = (left < 0) | (right >= len(lons))
    west, east = left % len(lons), right % len(lons)
    width = np.where(wraps, lons[0] + 360.0 - lons[-1], lons[east] - lons[west])
    on_edge = wraps & (np.isclose(lon, lons[-1]) | np.isclose(lon, lons[0]))
    x = np.where(on_edge, 0.0, ((lon - lons[west]) % 360.0) / width)
    y = (lat - lats[lower]) / (lats[lower + 1] - lats[lower])
    inside = (y >= -1e-6) & (y <= 1 + 1e-6) & (on_edge | (~wraps & (width <= 1.5 * step)) | (wraps & around))
    x, y = np.clip(x, 0.0, 1.0), np.clip(y, 0.0, 1.0)
    points = np.stack([table[lower, west], table[lower, east], table[lower + 1, west], table[lower + 1, east]], axis=1)
    weights = np.stack([(1 - y) * (1 - x), (1 - y) * x, y * (1 - x), y * x], axis=1)
    return Stencil(points, weights, inside)
