"""The registered site nearest to a coordinate, by great circle."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.errors import UnknownNameError
from skyproof.domain.sites import Site

#: Mean radius of the Earth, IUGG (Moritz 2000, Geodetic Reference System 1980).
EARTH_RADIUS_KM = 6371.0088

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FoundSite:
    """A site that answers for a place, and how far away it lies. ``distance_km`` is None where it was named."""

    site: Site
    latitude: float
    longitude: float
    distance_km: float | None = None


class SiteIndex:
    """The sites one customer may see in one run."""

    def __init__(self, sites: Sequence[Site], *, in_run: Collection[str]) -> None:
        """Index ``sites``; those without a forecast in the run are known by name but never nearest."""
        self._by_id = {site.site_id: site for site in sites}
        self._present = tuple(site for site in sites if site.site_id in in_run)
        latitude = np.radians(np.array([site.latitude for site in self._present], dtype=np.float64))
        longitude = np.radians(np.array([site.longitude for site in self._present], dtype=np.float64))
        self._vectors = _unit_vectors(latitude, longitude)

    def by_id(self, site_id: str) -> FoundSite:
        """The site of that id.

        Raises:
            UnknownNameError: there is none, or another customer's: the answer is the same for both.
        """
        site = self._by_id.get(site_id)
        if site is None:
            raise UnknownNameError(f"site {site_id[:64]!r} is not known", hint="GET /v1/sites lists your sites")
        return FoundSite(site, site.latitude, site.longitude)

    def nearest(self, latitude: float, longitude: float, *, limit_km: float) -> FoundSite:
        """The nearest site with a forecast; of two equally near ones the first by id.

        Args:
            latitude: degrees north.
            longitude: degrees east.
            limit_km: farther sites do not answer.

        Raises:
            UnknownNameError: no site within the limit.
        """
        if not self._present:
            raise UnknownNameError("no site has a forecast in this run", hint="GET /v1/sites lists your sites")
        here = _unit_vectors(np.radians(np.array([latitude])), np.radians(np.array([longitude])))[0]
        # The chord keeps its precision at metres, where the arc cosine loses it.
        chords = np.linalg.norm(self._vectors - here, axis=1)
        index = int(np.argmin(chords))
        distance = 2 * EARTH_RADIUS_KM * float(np.arcsin(min(1.0, chords[index] / 2)))
        site = self._present[index]
        if distance > limit_km:
            raise UnknownNameError(
                f"no site within {limit_km:g} km of latitude {latitude:g}, longitude {longitude:g}",
                hint=f"the nearest is {site.site_id}, {distance:.0f} km away; GET /v1/sites lists your sites",
            )
        return FoundSite(site, latitude, longitude, round(distance, 1))


def _unit_vectors(latitude: Floats, longitude: Floats) -> Floats:
    return np.stack(
        [np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)], axis=-1
    )
