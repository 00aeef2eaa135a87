"""Any point that the sources cover: forecast by the run's own release, and the same whoever asks however often."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import orjson
import pytest

from skyproof.archive.archive import Archive
from skyproof.cycle.clock import FixedClock
from skyproof.cycle.deliver_cycle import open_desk
from skyproof.cycle.demo_cycle import ingest_planet, profile_settings
from skyproof.cycle.forecast_cycle import forecast_cycle
from skyproof.cycle.learn_cycle import learn_cycle
from skyproof.cycle.point_forecast import PointForecasts
from skyproof.cycle.settings import Settings
from skyproof.cycle.wiring import Product
from skyproof.domain.cover import node_of
from skyproof.domain.errors import InvalidValueError, UnknownNameError
from skyproof.domain.progress import silent
from skyproof.domain.sites import Site
from skyproof.stages.deliver.desk import Desk
from skyproof.stages.deliver.points import MOST_POINTS
from skyproof.stages.deliver.requests import parse_request
from skyproof.stages.sandbox.geography import cover_nodes
from skyproof.stages.sandbox.planet import build_planet
from skyproof.stages.sandbox.profiles import find_profile

PROFILE = find_profile("small")
SETTINGS = Settings(**profile_settings(PROFILE))
#: Inside the planet's cover, and hundreds of kilometres from every site of the small planet.
POINT = {"latitude": "46.8721", "longitude": "-14.2049"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("points")
    planet = build_planet(folder / "planet", PROFILE, seed=1, events=())
    with Archive.open(folder / "home") as archive:
        product = Product(folder / "home", SETTINGS, archive, FixedClock(PROFILE.end))
        ingest_planet(product, planet, until=PROFILE.end, progress=silent)
        learn_cycle(product, as_of=PROFILE.learn_until, since=PROFILE.start)
        for days in (4, 1, 0):
            forecast_cycle(product, PROFILE.end - timedelta(days=days))
    return folder / "home"


@pytest.fixture
def product(home: Path, tmp_path: Path) -> Iterator[Product]:
    shutil.copytree(home, tmp_path / "home")
    with Archive.open(tmp_path / "home") as archive:
        yield Product(tmp_path / "home", SETTINGS, archive, FixedClock(PROFILE.end))


@pytest.fixture
def desk(product: Product) -> Desk:
    return open_desk(product.archive, points=PointForecasts(product))


def ask(desk: Desk, customer: str = "acme", **asked: str):
    request = parse_request([*({"hourly": "temperature_2m"} | asked).items()])
    return desk.answer(desk.ask(customer, request, now=PROFILE.end))


def document(desk: Desk, **asked: str):
    return orjson.loads(ask(desk, **(POINT | asked)).body)


def newest(product: Product):
    return product.archive.runs.newest(as_of=PROFILE.end)


def nearest_km(product: Product, latitude: float, longitude: float) -> float:
    lat, lon = np.radians([[s.latitude, s.longitude] for s in product.archive.sites.all()]).T
    here = np.radians([latitude, longitude])
    cosine = np.sin(lat) * np.sin(here[0]) + np.cos(lat) * np.cos(here[0]) * np.cos(lon - here[1])
    return float(6371.0088 * np.arccos(cosine).min())


def test_a_point_far_from_every_site_has_a_forecast_that_says_what_it_rests_on(desk: Desk, product: Product) -> None:
    made = document(desk, quantiles="0.1,0.9", exceedance="temperature_2m>0")
    assert (made["latitude"], made["longitude"]) == (46.8721, -14.2049)
    assert (made["grid"]["site"], made["grid"]["method"]) == ("at_46.872_-14.205", "interpolated")
    assert (made["grid"]["latitude"], made["grid"]["longitude"]) == (46.872, -14.205)
    calibration = made["meta"]["calibration"]
    assert calibration["scope"] == "interpolated"
    assert calibration["distance_km"] == pytest.approx(nearest_km(product, 46.872, -14.205), abs=0.2)
    hourly = made["hourly"]
    assert None not in hourly["temperature_2m"]
    assert all(low < high for low, high in zip(hourly["temperature_2m_p10"], hourly["temperature_2m_p90"], strict=True))
    assert all(0 <= share <= 1 for share in hourly["temperature_2m_prob_gt_0"])


def test_days_and_members_of_a_point_agree_with_its_hours(desk: Desk) -> None:
    made = document(desk, daily="temperature_2m_max", members="3")
    hours = {name: column for name, column in made["hourly"].items() if "_member" in name}
    assert len(hours) == 3
    for name, column in hours.items():
        whole = [value for value in made["daily"][name.replace("2m_", "2m_max_")] if value is not None]
        assert whole
        assert set(whole) <= set(column)


@pytest.mark.parametrize("form", ["json", "csv", "arrow", "parquet", "covjson", "flatbuffers"])
def test_every_form_has_points_beside_sites(desk: Desk, product: Product, form: str) -> None:
    site = product.archive.sites.all()[0]
    both = {"latitude": f"{POINT['latitude']},{site.latitude}", "longitude": f"{POINT['longitude']},{site.longitude}"}
    assert len(ask(desk, **both, format=form).body) > 200


def test_the_same_run_and_point_give_the_same_bytes_in_another_process_and_to_who_comes_first(
    desk: Desk, product: Product
) -> None:
    other = open_desk(product.archive, points=PointForecasts(product))
    beside = {"latitude": f"40.2,{POINT['latitude']}", "longitude": f"20.3,{POINT['longitude']}"}
    together = orjson.loads(ask(other, **beside).body)[1]
    assert ask(other, **POINT).body == ask(desk, **POINT).body
    assert together["hourly"] == document(desk)["hourly"]


def test_at_a_registered_sites_own_coordinates_that_site_answers(desk: Desk, product: Product) -> None:
    for site in product.archive.sites.all():
        request = parse_request(
            [("latitude", str(site.latitude)), ("longitude", str(site.longitude)), ("hourly", "temperature_2m")]
        )
        (found,) = desk.ask("acme", request, now=PROFILE.end).places
        assert (found.site.site_id, found.calibration.scope, found.distance_km) == (site.site_id, "own_record", 0.0)


def test_a_site_registered_since_has_from_the_run_what_a_point_there_has(product: Product) -> None:
    """The run interpolates for a site that no source knows by name; the same cycles, experts and blend answer for the point."""
    points, run = PointForecasts(product), newest(product)
    here = replace(points.locate(run, 46.872, -14.205), elevation_m=900.0)
    product.archive.sites.add([replace(here, site_id="st_new", name="New")])
    again = forecast_cycle(product, run.issue_time)
    assert again.run_id != run.run_id
    reader = product.archive.runs.open(again)
    assert "st_new" in reader.site_ids
    assert "st_new" not in reader.learned
    (series,), held = points.forecast(again, [here], "acme"), reader.site("st_new")
    assert np.array_equal(series.quantiles, held.quantiles)
    assert np.array_equal(series.mean, held.mean)
    assert np.array_equal(series.reasons, held.reasons)


def test_every_point_is_forecast_alone_or_among_others_the_same(product: Product) -> None:
    points, run = PointForecasts(product), newest(product)
    places = [
        points.locate(run, latitude, longitude) for latitude, longitude in ((40.1, 20.2), (52.3, -30.4), (46.9, 1.0))
    ]
    together = points.forecast(run, places, "acme")
    for place, series in zip(places, together, strict=True):
        (alone,) = points.forecast(run, [place], "acme")
        assert np.array_equal(alone.quantiles, series.quantiles)


def test_a_higher_point_is_colder_by_about_the_lapse_rate(product: Product) -> None:
    points, run = PointForecasts(product), newest(product)
    low = points.locate(run, 46.872, -14.205)
    high = replace(low, site_id="at_high", elevation_m=low.elevation_m + 1000)
    below, above = points.forecast(run, [low, high], "acme")
    assert 2 < (below.mean[0] - above.mean[0]).mean() < 11


def test_outside_the_cover_the_problem_says_how_far_it_reaches_and_who_is_nearest(desk: Desk) -> None:
    with pytest.raises(UnknownNameError, match="30 to 65 degrees north, -60 to 60 degrees east") as caught:
        ask(desk, latitude="-46.9", longitude="170.1")
    assert "the nearest is" in caught.value.hint


def test_a_run_whose_cycles_have_no_cover_answers_for_its_sites_alone(desk: Desk, product: Product) -> None:
    old = product.archive.runs.newest(as_of=PROFILE.end - timedelta(days=3))
    assert all(node_of(name) is None for name in product.archive.runs.open(old).site_ids)
    with pytest.raises(UnknownNameError, match="no site within 50 km"):
        ask(desk, **POINT, run=old.run_id)
    # The run before the newest was made from cycles of the cover, and is answered as it was.
    before = product.archive.runs.newest(as_of=PROFILE.end - timedelta(hours=12))
    assert document(desk, run=before.run_id)["meta"]["run_id"] == before.run_id != newest(product).run_id


def test_without_points_a_coordinate_far_from_every_site_is_refused_as_before(product: Product) -> None:
    with pytest.raises(UnknownNameError, match="no site within 50 km"):
        ask(open_desk(product.archive), **POINT)


def test_more_points_than_are_worked_out_at_once_are_refused(desk: Desk) -> None:
    count = MOST_POINTS + 1
    asked = {
        "latitude": ",".join(f"{45 + k / 1000:.3f}" for k in range(count)),
        "longitude": ",".join(["-14.2"] * count),
    }
    with pytest.raises(InvalidValueError, match="at most 100"):
        ask(desk, **asked)


def test_another_customers_site_cannot_be_found_by_asking_around_it(product: Product) -> None:
    """Bolt's private site counts for Bolt alone: not for who answers, and not for the distance."""
    archive = product.archive
    learned = archive.releases.read(archive.releases.newest(as_of=PROFILE.end)).grid.sites
    secret, (latitude, longitude) = learned[0], (learned[0].latitude, learned[0].longitude)
    archive.sites.add([replace(secret, customer_id="bolt")])
    desk = open_desk(archive, points=PointForecasts(product))
    where = {"latitude": f"{latitude + 0.05:.3f}", "longitude": f"{longitude:.3f}"}
    theirs, ours = (orjson.loads(ask(desk, customer, **where).body) for customer in ("bolt", "acme"))
    assert theirs["grid"]["site"] == secret.site_id
    assert ours["grid"]["method"] == "interpolated"
    assert ours["meta"]["calibration"]["distance_km"] > 50
    assert secret.site_id not in ask(desk, "acme", **where).body.decode()
    # Not even that it is somebody's shows in a byte.
    archive.sites.add([replace(secret, customer_id="carol")])
    later = open_desk(archive, points=PointForecasts(product))
    assert ask(later, "acme", **where).body == ask(desk, "acme", **where).body


def test_nodes_are_no_sites_and_no_source(product: Product) -> None:
    assert all(node_of(site.site_id) is None for site in product.archive.sites.all(include_retired=True))
    assert [spec.source_id for spec in product.archive.sources.all()] == ["alba", "boreas", "corvus"]
    assert all(isinstance(node, Site) and node_of(node.site_id) is not None for node in cover_nodes())
