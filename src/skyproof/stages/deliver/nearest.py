"""The registered site nearest to a coordinate, by great circle."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.errors import UnknownNameError
from skyproof.domain.sites import Site
from skyproof.science.sphere import EARTH_RADIUS_KM, unit_vectors

Floats = NDArray[np.float64]


Scope = Literal["own_record", "neighbours", "interpolated"]


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a forecast of a place was calibrated on.

    ``scope``: ``own_record`` of the site; what all sites taught and ``neighbours`` correct, for a site without a record; the same
    for a point at which what sources say is ``interpolated``. ``distance_km`` from where was asked to the nearest site with a
    record, among those the caller may know of; None without any.
    """

    scope: Scope
    distance_km: float | None

    def facts(self) -> dict[str, Any]:
        """As the wire says it."""
        return {"scope": self.scope, "distance_km": self.distance_km}


@dataclass(frozen=True, slots=True)
class FoundSite:
    """A site that answers for a place, and how far away it lies. ``distance_km`` is None where it was named.

    Where the point itself answers, ``site`` is no registered one: its id is a name for the point.
    """

    site: Site
    latitude: float
    longitude: float
    calibration: Calibration
    distance_km: float | None = None

    @property
    def is_point(self) -> bool:
        """Whether no site answers, but the point itself."""
        return self.calibration.scope == "interpolated"


class SiteIndex:
    """The sites one customer may see in one run."""

    def __init__(self, sites: Sequence[Site], *, in_run: Collection[str], learned: Collection[str] = ()) -> None:
        """Index ``sites``; those without a forecast in the run are known by name but never nearest.

        From the record of those ``learned`` the run's release learned. Of sites that are not among ``sites`` nothing is told, not
        even how far away they are.
        """
        self._by_id = {site.site_id: site for site in sites}
        self._present = tuple(site for site in sites if site.site_id in in_run)
        self._vectors = _vectors_of(self._present)
        self._learned = frozenset(site.site_id for site in self._present if site.site_id in learned)
        self._records = _vectors_of([site for site in self._present if site.site_id in self._learned])

    def by_id(self, site_id: str) -> FoundSite:
        """The site of that id.

        Raises:
            UnknownNameError: there is none, or another customer's: the answer is the same for both.
        """
        site = self._by_id.get(site_id)
        if site is None:
            raise UnknownNameError(f"site {site_id[:64]!r} is not known", hint="GET /v1/sites lists your sites")
        return FoundSite(
            site, site.latitude, site.longitude, self._calibration(site, site.latitude, site.longitude, 0.0)
        )

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
        index, distance = _nearest(self._vectors, latitude, longitude)
        site = self._present[index]
        if distance > limit_km:
            raise UnknownNameError(
                f"no site within {limit_km:g} km of latitude {latitude:g}, longitude {longitude:g}",
                hint=f"the nearest is {site.site_id}, {distance:.0f} km away; GET /v1/sites lists your sites",
            )
        away = round(distance, 1)
        return FoundSite(site, latitude, longitude, self._calibration(site, latitude, longitude, away), away)

    def record_km(self, latitude: float, longitude: float) -> float | None:
        """How far away the nearest site is that was learned from, in km; None without any."""
        if not len(self._records):
            return None
        return round(_nearest(self._records, latitude, longitude)[1], 1)

    def _calibration(self, site: Site, latitude: float, longitude: float, away_km: float) -> Calibration:
        if site.site_id in self._learned:
            return Calibration("own_record", away_km)
        return Calibration("neighbours", self.record_km(latitude, longitude))


def _nearest(vectors: Floats, latitude: float, longitude: float) -> tuple[int, float]:
    """Which place is the nearest, and how far away it lies in km."""
    here = unit_vectors(np.array([latitude]), np.array([longitude]))[0]
    # The chord keeps its precision at metres, where the arc cosine loses it.
    chords = np.linalg.norm(vectors - here, axis=1)
    index = int(np.argmin(chords))
    return index, 2 * EARTH_RADIUS_KM * float(np.arcsin(min(1.0, chords[index] / 2)))


def _vectors_of(sites: Sequence[Site]) -> Floats:
    return unit_vectors(np.array([site.latitude for site in sites]), np.array([site.longitude for site in sites]))
