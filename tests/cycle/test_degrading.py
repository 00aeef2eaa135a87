"""Degrade, never stop: whatever goes wrong with whichever source, a forecast comes out, says so, and is less sure."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from skyproof.archive.archive import Archive
from skyproof.cycle.clock import FixedClock
from skyproof.cycle.demo_cycle import ingest_planet
from skyproof.cycle.forecast_cycle import forecast_cycle
from skyproof.cycle.ingest_cycle import take_in_source
from skyproof.cycle.learn_cycle import learn_cycle
from skyproof.cycle.settings import Settings
from skyproof.cycle.wiring import Product
from skyproof.domain.forecasts import Regime, Run
from skyproof.domain.progress import silent
from skyproof.domain.quantiles import INDEX_P10, INDEX_P90
from skyproof.domain.regimes import known_losses, regime_id
from skyproof.domain.variables import find_variable
from skyproof.stages.sandbox.events import Event, EventKind
from skyproof.stages.sandbox.planet import Planet, build_planet
from skyproof.stages.sandbox.profiles import find_profile
from skyproof.stages.sandbox.source import sandbox_sites, sandbox_sources

PROFILE = find_profile("small")
SOURCES = ("alba", "boreas", "corvus")
SETTINGS = Settings(
    clock="simulated", sandbox_profile="small", horizon_hours=PROFILE.horizon_hours, tail_days=PROFILE.tail_days
)
ISSUE_TIME = PROFILE.learn_until + timedelta(days=4)
#: Longer ago than the oldest cycle in use (60 h): by the issue time nothing older is left to fall back on.
BROKEN_SINCE = ISSUE_TIME.replace(hour=0) - timedelta(days=3)


@dataclass(frozen=True)
class Forecast:
    run: Run
    quantiles: NDArray[np.float32]

    @property
    def regime(self) -> Regime:
        return self.run.regime

    def widths(self, than: Forecast) -> NDArray[np.float64]:
        """Mean width of the 80 % interval of each variable, relative to another forecast."""
        return self.mean_widths() / than.mean_widths()

    def mean_widths(self) -> NDArray[np.float64]:
        return (self.quantiles[..., INDEX_P90] - self.quantiles[..., INDEX_P10]).mean(axis=(1, 2), dtype=np.float64)


@dataclass(frozen=True)
class World:
    """A planet on which nothing went wrong until a release was learned from it."""

    planet: Planet
    home: Path

    @contextmanager
    def later(self, folder: Path) -> Iterator[Product]:
        """The product on a copy of the home, at the issue time."""
        shutil.copytree(self.home, folder)
        with Archive.open(folder) as archive:
            yield Product(folder, SETTINGS, archive, FixedClock(ISSUE_TIME))

    def forecast(self, folder: Path, events: Sequence[Event] = ()) -> Forecast:
        """The forecast after some days on which something went wrong."""
        with self.later(folder) as product:
            ingest_planet(product, replace(self.planet, events=tuple(events)), until=ISSUE_TIME, progress=silent)
            return issue(product)


def issue(product: Product) -> Forecast:
    run = forecast_cycle(product, ISSUE_TIME)
    return Forecast(run, product.archive.runs.open(run).values().quantiles)


def broken(kind: EventKind, *sources: str) -> list[Event]:
    return [Event(BROKEN_SINCE, kind, source, 5.0) for source in sources]


def assert_sound(forecast: Forecast) -> None:
    assert np.isfinite(forecast.quantiles).all()
    assert (np.diff(forecast.quantiles, axis=-1) >= 0).all()
    for index, name in enumerate(SETTINGS.variables):
        variable = find_variable(name)
        low, high = variable.plausible
        assert forecast.quantiles[index].min() >= (low if variable.lower is None else variable.lower)
        assert forecast.quantiles[index].max() <= (high if variable.upper is None else variable.upper)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("degrading")
    planet = build_planet(folder / "planet", PROFILE, seed=1, events=())
    with Archive.open(folder / "home") as archive:
        product = Product(folder / "home", SETTINGS, archive, FixedClock(PROFILE.learn_until))
        ingest_planet(product, planet, until=PROFILE.learn_until, progress=silent)
        learn_cycle(product, as_of=PROFILE.learn_until, since=PROFILE.start)
    return World(planet, folder / "home")


@pytest.fixture(scope="module")
def whole(world: World, tmp_path_factory: pytest.TempPathFactory) -> Forecast:
    return world.forecast(tmp_path_factory.mktemp("whole") / "home")


def test_with_everything_there_the_regime_is_full(whole: Forecast) -> None:
    assert (whole.regime.regime_id, whole.regime.missing, whole.regime.late) == ("full", (), ())
    assert whole.regime.widening == 1
    assert whole.run.warnings == ()
    assert_sound(whole)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("kind", ["dark", "frozen", "unit_slip"])
def test_without_a_source_the_regime_names_it(
    world: World, whole: Forecast, tmp_path: Path, kind: EventKind, source: str
) -> None:
    found = world.forecast(tmp_path / "home", broken(kind, source))
    assert_sound(found)
    assert found.regime.regime_id == f"without-{source}"
    assert found.regime.missing == (source,)
    assert f"missing_source:{source}" in found.run.warnings
    assert found.regime.widening > 1
    assert 0.75 <= found.regime.coverage <= 0.85
    # Wider on the mean over the held-out weeks; on one day an interval may be narrower by a few percent in one variable.
    assert found.widths(whole).mean() > 0.97
    (entry,) = [entry for entry in found.run.inputs if entry.source_id == source]
    assert (entry.quality, entry.weight) == ("absent", 0)


@pytest.mark.parametrize("source", SOURCES)
def test_a_late_source_is_named_and_its_older_cycle_trusted_less(
    world: World, whole: Forecast, tmp_path: Path, source: str
) -> None:
    found = world.forecast(tmp_path / "home", broken("late", source))
    assert_sound(found)
    assert (found.regime.regime_id, found.regime.late) == ("full", (source,))
    assert any(warning.startswith(f"stale_source:{source}") for warning in found.run.warnings)
    assert found.widths(whole).mean() > 1
    (entry,) = [entry for entry in found.run.inputs if entry.source_id == source]
    assert entry.missed_cycles == 1


@pytest.mark.parametrize("source", SOURCES)
def test_a_source_that_comes_in_part_is_used_where_it_speaks(
    world: World, whole: Forecast, tmp_path: Path, source: str
) -> None:
    found = world.forecast(tmp_path / "home", broken("partial", source))
    assert_sound(found)
    assert f"partial_source:{source}" in found.run.warnings
    (entry,) = [entry for entry in found.run.inputs if entry.source_id == source]
    assert entry.quality == "partial"
    # As little as 30 h of it is left; beyond, the forecast is as unsure as without it.
    assert found.widths(whole).mean() > 0.97


@pytest.mark.parametrize("kind", ["dark", "frozen", "unit_slip"])
def test_without_any_source_observations_are_enough(
    world: World, whole: Forecast, tmp_path: Path, kind: EventKind
) -> None:
    found = world.forecast(tmp_path / "home", broken(kind, *SOURCES))
    assert_sound(found)
    assert found.regime.regime_id == "observations-only"
    assert set(found.regime.missing) == set(SOURCES)
    assert found.regime.widening > 1.5
    # Wind keeps least of what sources say.
    assert (found.widths(whole) > 1.15).all()
    assert found.widths(whole).mean() > 1.5


@pytest.mark.parametrize("kind", ["late", "partial"])
def test_all_sources_late_or_in_part_still_make_a_forecast(
    world: World, whole: Forecast, tmp_path: Path, kind: EventKind
) -> None:
    found = world.forecast(tmp_path / "home", broken(kind, *SOURCES))
    assert_sound(found)
    assert found.regime.regime_id == "full"
    assert found.regime.late == (SOURCES if kind == "late" else ())
    assert len(found.run.warnings) == 3
    assert found.widths(whole).mean() > 1.05


def test_without_observations_a_full_forecast_says_so(world: World, tmp_path: Path) -> None:
    with world.later(tmp_path / "home") as product:
        for source in sandbox_sources(replace(world.planet, events=())):
            take_in_source(product, source, sandbox_sites(world.planet), until=ISSUE_TIME, after=PROFILE.learn_until)
        found = issue(product)
    assert_sound(found)
    assert found.regime.regime_id == "full+no-observations"
    assert found.run.warnings == ("no_recent_observations",)
    assert found.regime.widening >= 1


def test_without_anything_climatology_alone_goes_on(world: World, whole: Forecast, tmp_path: Path) -> None:
    with world.later(tmp_path / "home") as product:
        found = issue(product)
    assert_sound(found)
    assert found.regime.regime_id == "climatology-only"
    assert found.regime.widening > 1.5
    # Wind keeps least of what sources say.
    assert (found.widths(whole) > 1.15).all()
    assert found.widths(whole).mean() > 1.5


def test_who_loses_more_is_never_surer(world: World) -> None:
    with Archive.open(world.home) as archive:
        card = archive.releases.newest(as_of=ISSUE_TIME).card
    widening = card["widening_by_regime"]
    assert isinstance(widening, dict)
    losses = known_losses(SOURCES)
    assert len(widening) == len(losses) == 16
    for gone, seen in losses:
        for fewer, more_seen in losses:
            if fewer <= gone and more_seen >= seen:
                smaller = widening[regime_id(SOURCES, fewer, observations=more_seen)]
                assert widening[regime_id(SOURCES, gone, observations=seen)] >= smaller - 1e-4
    coverage = card["coverage_80_by_regime"]
    assert isinstance(coverage, dict)
    assert all(0.75 <= held <= 0.85 for held in coverage.values())
