"""Sites registered after a release was learned: forecast by it from the next run on, and told apart everywhere."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from skyproof.archive.archive import Archive
from skyproof.cycle.clock import FixedClock
from skyproof.cycle.deliver_cycle import open_desk
from skyproof.cycle.demo_cycle import profile_settings
from skyproof.cycle.forecast_cycle import forecast_cycle
from skyproof.cycle.ingest_cycle import take_in_feed, take_in_source
from skyproof.cycle.learn_cycle import learn_cycle
from skyproof.cycle.settings import Settings
from skyproof.cycle.verify_cycle import release_scorecard, verify_cycle
from skyproof.cycle.wiring import Product
from skyproof.domain.sites import Site
from skyproof.stages.deliver.requests import parse_request
from skyproof.stages.forecast.elsewhere import hidden_sites
from skyproof.stages.forecast.experts import ask_experts
from skyproof.stages.forecast.scenarios import draw_scenarios
from skyproof.stages.sandbox.planet import Planet, build_planet
from skyproof.stages.sandbox.profiles import find_profile
from skyproof.stages.sandbox.source import SandboxStations, sandbox_sites, sandbox_sources

PROFILE = find_profile("small")
SETTINGS = Settings(**profile_settings(PROFILE))
BEFORE = PROFILE.learn_until + timedelta(days=1)
AFTER = BEFORE + timedelta(days=1)
NEW = 2


@dataclass(frozen=True)
class World:
    """A planet from all places of which but the last two a release was learned; cycles of all of them are there."""

    planet: Planet
    home: Path

    @property
    def sites(self) -> tuple[Site, ...]:
        return sandbox_sites(self.planet)

    @property
    def new(self) -> tuple[Site, ...]:
        return self.sites[-NEW:]

    @contextmanager
    def copy(self, folder: Path) -> Iterator[Product]:
        shutil.copytree(self.home, folder)
        with Archive.open(folder) as archive:
            yield Product(folder, SETTINGS, archive, FixedClock(AFTER + timedelta(days=3)))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("since")
    planet = build_planet(folder / "planet", PROFILE, seed=1, events=())
    made = World(planet, folder / "home")
    until = AFTER + timedelta(days=3)
    with Archive.open(made.home) as archive:
        product = Product(made.home, SETTINGS, archive, FixedClock(until))
        # One of the sites learned from is a customer's own.
        first = replace(made.sites[0], customer_id="bolt")
        archive.sites.add((first, *made.sites[1:-NEW]))
        for source in sandbox_sources(planet):
            take_in_source(product, source, made.sites, until=until)
        take_in_feed(product, SandboxStations(planet), made.sites, until=until)
        learn_cycle(product, as_of=PROFILE.learn_until, since=PROFILE.start)
    return made


def test_the_next_run_has_them_behind_those_of_the_release_which_stay_as_they_were(
    world: World, tmp_path: Path
) -> None:
    with world.copy(tmp_path / "home") as product:
        archive = product.archive
        alone = archive.runs.open(forecast_cycle(product, AFTER))
        archive.sites.add(world.new)
        reader = archive.runs.open(forecast_cycle(product, AFTER))
        assert reader.site_ids == (*alone.site_ids, *sorted(site.site_id for site in world.new))
        assert reader.learned == alone.learned == frozenset(alone.site_ids)
        count = len(alone.site_ids)
        both, before = reader.values(), alone.values()
        assert np.array_equal(both.quantiles[:, :count], before.quantiles)
        assert np.isfinite(both.quantiles[:, count:]).all()
        assert (np.diff(both.quantiles, axis=-1) >= 0).all()


def test_runs_of_before_and_after_are_scored_together(world: World, tmp_path: Path) -> None:
    with world.copy(tmp_path / "home") as product:
        forecast_cycle(product, BEFORE)
        product.archive.sites.add(world.new)
        forecast_cycle(product, AFTER)
        verify_cycle(product)
        assert set(release_scorecard(product).site_ids) == {site.site_id for site in world.sites}
        release_id = product.archive.releases.newest(as_of=product.clock.now()).release_id
        days = product.archive.scores.days(release_id, as_of=product.clock.now())
        read = [product.archive.scores.read(day) for day in days]
        counts = {
            place.site_id: [float(day.sums[0, 0, day.site_ids.index(place.site_id), :, 0].sum()) for day in read
                            if place.site_id in day.site_ids]
            for place in (world.sites[1], world.new[0])
        }  # fmt: skip
        assert 0 < sum(counts[world.new[0].site_id]) < sum(counts[world.sites[1].site_id])
        # Climatology says nothing of a place without a record, and stands beside nobody there.
        climate = read[-1].models.index("climatology")
        assert read[-1].sums[climate, 0, read[-1].site_ids.index(world.new[0].site_id), :, 0].sum() == 0


def test_the_blend_learns_the_same_whether_new_sites_are_in_the_memo_or_not(world: World, tmp_path: Path) -> None:
    ends = []
    for number, new in enumerate((False, True)):
        with world.copy(tmp_path / f"home{number}") as product:
            if new:
                product.archive.sites.add(world.new)
            for day in range(3):
                run = forecast_cycle(product, BEFORE + timedelta(days=day))
            ends.append(product.archive.runs.open(run).values().quantiles)
    assert np.array_equal(ends[0], ends[1][:, :-NEW])


def test_a_new_site_is_drawn_in_scenarios_with_its_own_margins(world: World, tmp_path: Path) -> None:
    with world.copy(tmp_path / "home") as product:
        product.archive.sites.add(world.new)
        run = forecast_cycle(product, AFTER)
        drawn = draw_scenarios(product.archive, run, members=200, site_ids=[world.new[0].site_id])
        series = product.archive.runs.open(run).site(world.new[0].site_id)
        assert np.isfinite(drawn.values).all()
        assert np.abs(np.median(drawn.values[0, 0], axis=-1) - series.quantiles[0, :, 10]).max() < 0.2


def test_places_that_no_source_speaks_of_wait_and_hold_no_run_back(world: World, tmp_path: Path) -> None:
    with world.copy(tmp_path / "home") as product:
        lonely = tuple(Site(f"lonely-{k}", "Nowhere", 10.0 + k, 0.0, 0.0) for k in range(20))
        product.archive.sites.add(lonely)
        reader = product.archive.runs.open(forecast_cycle(product, AFTER))
        assert set(reader.site_ids).isdisjoint(site.site_id for site in lonely)


def test_a_place_without_a_record_is_no_part_of_what_is_learned_and_holds_no_run_back(
    world: World, tmp_path: Path
) -> None:
    with world.copy(tmp_path / "home") as product:
        archive = product.archive
        archive.sites.add(tuple(Site(f"bare-{k}", "Bare", 50.0, float(k), 0.0) for k in range(3)))
        release = learn_cycle(product, as_of=BEFORE, since=PROFILE.start)
        learned = archive.releases.read(release).grid.site_ids
        assert learned == tuple(site.site_id for site in archive.sites.all() if not site.site_id.startswith("bare"))
        assert archive.runs.open(forecast_cycle(product, AFTER)).site_ids == learned


def test_an_answer_says_what_it_was_calibrated_on(world: World, tmp_path: Path) -> None:
    with world.copy(tmp_path / "home") as product:
        new, old = world.new[0], world.sites[1]
        product.archive.sites.add(world.new)
        forecast_cycle(product, AFTER)
        desk = open_desk(product.archive)

        def found(customer: str, *asked: tuple[str, str]):
            request = parse_request([("hourly", "temperature_2m"), *asked])
            return desk.ask(customer, request, now=product.clock.now()).places[0].calibration

        assert found("acme", ("site", old.site_id)).facts() == {"scope": "own_record", "distance_km": 0.0}
        there = (("latitude", f"{old.latitude + 0.1:.4f}"), ("longitude", str(old.longitude)))
        near = found("acme", *there)
        assert near.scope == "own_record"
        assert near.distance_km == pytest.approx(11.1, abs=0.1)
        unlearned = found("acme", ("site", new.site_id))
        assert unlearned.scope == "neighbours"
        # Bolt's own site counts for Bolt and for nobody else.
        others = list(world.sites[1:-NEW])
        assert unlearned.distance_km == pytest.approx(nearest_km(new, others), abs=0.1)
        assert found("bolt", ("site", new.site_id)).distance_km == pytest.approx(
            nearest_km(new, [world.sites[0], *others]), abs=0.1
        )


def nearest_km(at: Site, sites: list[Site]) -> float:
    """By the haversine formula, which the code does not use."""

    def away(site: Site) -> float:
        lat, lon = np.radians([at.latitude, site.latitude]), np.radians([at.longitude, site.longitude])
        half = np.sin(np.diff(lat) / 2) ** 2 + np.cos(lat[0]) * np.cos(lat[1]) * np.sin(np.diff(lon) / 2) ** 2
        return float(2 * 6371.0088 * np.arcsin(np.sqrt(half))[0])

    return min(away(site) for site in sites)


def test_what_a_customers_site_taught_tells_nothing_to_others(world: World, tmp_path: Path) -> None:
    """With the records of the sites hidden from its owner made absurd, a new site is forecast the same; its own are heard."""
    with world.copy(tmp_path / "home") as product:
        archive = product.archive
        content = archive.releases.read(archive.releases.newest(as_of=AFTER))
        secret = world.sites[0].site_id
        assert hidden_sites(content, None) == hidden_sites(content, "acme") == {secret}
        assert hidden_sites(content, "bolt") == frozenset()
        absurd = replace(content, models={name: shouting(state, secret) for name, state in content.models.items()})
        # Where it stands, so that what it taught would be heard best.
        here = replace(world.sites[0], site_id="beside", customer_id=None)
        spoken = []
        for each in (content, absurd):
            for hidden in (hidden_sites(content, None), frozenset[str]()):
                inputs = archive.inputs.gather(content.grid, content.source_ids, issue_time=AFTER).at_places(
                    np.array([0])
                )
                grid = replace(inputs.grid, sites=(here,))
                cases = tuple(
                    replace(case, sites=(replace(case.sites[0], place_id="beside"),)) for case in inputs.cases
                )
                spoken.append(quantiles(product, each, replace(inputs, grid=grid, cases=cases), hidden))
        quiet, heard, quiet_absurd, heard_absurd = spoken
        assert np.array_equal(quiet, quiet_absurd, equal_nan=True)
        assert np.nanmax(np.abs(heard - heard_absurd)) > 1


def shouting(state, site_id: str):
    if "common/sites" not in state:
        return state
    place = state["common/sites"].tolist().index(site_id)
    changed = {name: array.copy() for name, array in state.items()}
    for name, array in changed.items():
        if "memory_slow_cross" in name and not name.startswith("of/"):
            array[(slice(None), place) if name.startswith("all/") else place] += 1000.0
    return changed


def quantiles(product: Product, content, inputs, hidden):
    return ask_experts(product.wake(content, hidden), inputs)[1]
