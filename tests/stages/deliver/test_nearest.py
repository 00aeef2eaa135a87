"""The nearest site, against a brute force that knows only the haversine formula."""

from __future__ import annotations

import math

import numpy as np
import pytest

from skyproof.domain.errors import UnknownNameError
from skyproof.domain.sites import Site
from skyproof.science.sphere import EARTH_RADIUS_KM
from skyproof.stages.deliver.nearest import SiteIndex

ANYWHERE_KM = 25_000.0


def haversine_km(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Sinnott (1984), Virtues of the haversine, Sky and Telescope 68(2), 159."""
    north_a, east_a, north_b, east_b = map(math.radians, (*a, *b))
    half = math.sin((north_b - north_a) / 2) ** 2
    half += math.cos(north_a) * math.cos(north_b) * math.sin((east_b - east_a) / 2) ** 2
    return 2 * EARTH_RADIUS_KM * math.asin(math.sqrt(half))


def index(*places: tuple[float, float], in_run: set[str] | None = None) -> SiteIndex:
    sites = [Site(f"s{k:04d}", f"Site {k}", north, east, 0.0) for k, (north, east) in enumerate(places)]
    return SiteIndex(sites, in_run={site.site_id for site in sites} if in_run is None else in_run)


def test_the_nearest_site_is_that_of_the_brute_force():
    chance = np.random.default_rng(7)
    everywhere = np.degrees(np.arcsin(chance.uniform(-1, 1, 400))), chance.uniform(-180, 180, 400)
    places = list(zip(*(axis.tolist() for axis in everywhere), strict=True))
    sites = index(*places[:200])
    for asked in [*places[200:], (90.0, 0.0), (-90.0, 135.0), (0.0, 180.0), (0.0, -180.0)]:
        distances = [haversine_km(asked, place) for place in places[:200]]
        found = sites.nearest(*asked, limit_km=ANYWHERE_KM)
        assert found.site.site_id == f"s{int(np.argmin(distances)):04d}"
        assert found.distance_km == pytest.approx(min(distances), abs=0.051)
        assert (found.latitude, found.longitude) == asked


def test_the_date_line_divides_nothing():
    found = index((0.0, 179.9), (0.0, 170.0)).nearest(0.0, -179.9, limit_km=50)
    assert (found.site.site_id, found.distance_km) == ("s0000", 22.2)  # 0.2 degrees of 111.195 km


def test_metres_are_told_apart_and_ties_go_to_the_first_id():
    sites = index((47.0, 8.00002), (47.0, 8.00001), (47.0, 8.00001))
    assert sites.nearest(47.0, 8.0, limit_km=1).site.site_id == "s0001"
    assert sites.nearest(47.0, 8.0, limit_km=1).distance_km == 0.0


def test_the_other_side_of_the_earth_is_half_its_girth_away():
    found = index((0.0, 0.0)).nearest(0.0, 180.0, limit_km=ANYWHERE_KM)
    assert found.distance_km == pytest.approx(math.pi * EARTH_RADIUS_KM, abs=0.05)


def test_a_site_too_far_away_does_not_answer():
    sites = index((47.0, 8.0))
    with pytest.raises(UnknownNameError, match="no site within 50 km of latitude 48, longitude 8") as caught:
        sites.nearest(48.0, 8.0, limit_km=50)
    assert "s0000, 111 km away" in caught.value.hint
    assert sites.nearest(48.0, 8.0, limit_km=112).distance_km == 111.2


def test_a_site_without_a_forecast_is_known_by_name_but_never_nearest():
    sites = index((47.0, 8.0), (47.1, 8.0), in_run={"s0001"})
    assert sites.nearest(47.0, 8.0, limit_km=50).site.site_id == "s0001"
    assert sites.by_id("s0000").site.site_id == "s0000"
    assert sites.by_id("s0000").distance_km is None
    with pytest.raises(UnknownNameError, match="no site has a forecast"):
        index((47.0, 8.0), in_run=set()).nearest(47.0, 8.0, limit_km=50)
    with pytest.raises(UnknownNameError, match="'nowhere' is not known"):
        sites.by_id("nowhere")
