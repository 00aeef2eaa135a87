"""The whole product on the sandbox planet, without a network: build, ingest, learn, forecast, deliver, verify.

Every step first asks what is done already, so an interrupted demo goes on where it stopped.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from skyproof.archive.archive import Archive
from skyproof.cycle.backtest_cycle import backtest_cycle
from skyproof.cycle.clock import SimulatedClock
from skyproof.cycle.compile_ahead import compiling_ahead
from skyproof.cycle.deliver_cycle import deliver_newest
from skyproof.cycle.experts import QUICK_KINDS
from skyproof.cycle.ingest_cycle import take_in_cover, take_in_feed, take_in_source
from skyproof.cycle.keys import create_key
from skyproof.cycle.learn_cycle import learn_cycle
from skyproof.cycle.settings import FILE_NAME, Settings, load_settings, save_settings
from skyproof.cycle.verify_cycle import release_scorecard, verify_cycle
from skyproof.cycle.wiring import CLOCK_FILE, Product, open_product
from skyproof.domain.cover import cover_of
from skyproof.domain.errors import InvalidValueError, NoReleaseError, StoreUnavailableError
from skyproof.domain.forecasts import Release, Run
from skyproof.domain.progress import Progress, silent
from skyproof.domain.sites import Customer
from skyproof.stages.sandbox.geography import cover_nodes
from skyproof.stages.sandbox.maps import planet_map
from skyproof.stages.sandbox.planet import Planet, build_planet
from skyproof.stages.sandbox.profiles import PlanetProfile, find_profile
from skyproof.stages.sandbox.source import SandboxStations, sandbox_sites, sandbox_sources
from skyproof.stages.verify.scorecard import Scorecard

CUSTOMER = Customer("demo", "Demo customer")
KEY_FILE = "demo-key"
PICTURE_FILE = "planet.png"


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What the demo made: enough to say what it proved and what to open."""

    release: Release
    newest_run: Run
    runs: int
    receipts: int
    scorecard: Scorecard
    key: str
    picture: Path


def prepare_home(home: Path, *, profile: str | None = None, seed: int | None = None) -> Settings:
    """Make a sandbox home, or check that this one is.

    Raises:
        InvalidValueError: the home belongs to something else, or to another planet.
        StoreUnavailableError: it cannot be made.
    """
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreUnavailableError(
            f"the home {home} cannot be made: {error.strerror}", hint="choose a folder you may write to"
        ) from error
    if (home / FILE_NAME).exists():
        settings = load_settings(home)
        if settings.clock != "simulated":
            raise InvalidValueError(
                f"{home} holds a product that is no sandbox", hint="name another folder with --home"
            )
        same = profile in (None, settings.sandbox_profile) and seed in (None, settings.sandbox_seed)
        if not same:
            raise InvalidValueError(
                f"{home} holds the sandbox planet {settings.sandbox_profile} with seed {settings.sandbox_seed}",
                hint="name another folder with --home for another planet",
            )
        return settings
    chosen = find_profile(profile or "demo")
    settings = load_settings(home, sandbox_seed=seed, **profile_settings(chosen))
    save_settings(home, settings)
    return settings


def profile_settings(profile: PlanetProfile) -> dict[str, Any]:
    """What a home of such a planet is set to."""
    return {
        "clock": "simulated",
        "sandbox_profile": profile.name,
        "horizon_hours": profile.horizon_hours,
        "tail_days": profile.tail_days,
        # On the planet other kinds gain nothing, and take minutes (docs/benchmarks.md).
        "experts": QUICK_KINDS,
    }


def demo_cycle(product: Product, *, progress: Progress = silent) -> DemoResult:
    """Run the demo on a prepared home (see :func:`prepare_home`)."""
    settings, archive = product.settings, product.archive
    profile = find_profile(settings.sandbox_profile)
    learned_at, end = profile.learn_until, profile.end
    _set_clock(product, end)
    known = _release(product, learned_at)
    with nullcontext() if known else compiling_ahead(settings):
        planet = build_planet(
            product.home / "sandbox", profile, seed=settings.sandbox_seed, workers=settings.workers, progress=progress
        )
        ingest_planet(product, planet, until=end, progress=progress)
    release = known or learn_cycle(product, as_of=learned_at, since=profile.start, progress=progress)
    runs = backtest_cycle(product, learned_at, end, progress=progress)

    archive.customers.add(CUSTOMER)
    token = demo_key(product)
    receipts = deliver_newest(product, archive.customers.keys(CUSTOMER.customer_id)[0], progress=progress)
    verify_cycle(product, as_of=end, progress=progress)
    scorecard = release_scorecard(product, as_of=end)
    picture = product.home / PICTURE_FILE
    if not picture.exists():
        _write_whole(picture, planet_map(planet, valid_time=end))
    return DemoResult(release, runs[-1], len(runs), receipts, scorecard, token, picture)


def _release(product: Product, learned_at: datetime) -> Release | None:
    try:
        return product.archive.releases.newest(as_of=learned_at)
    except NoReleaseError:
        return None


def ingest_planet(product: Product, planet: Planet, *, until: datetime, progress: Progress) -> None:
    """Take in what the planet's providers and stations published by ``until`` and is not held yet."""
    archive, sites = product.archive, sandbox_sites(planet)
    archive.sites.add(sites)
    for source in sandbox_sources(planet):
        after = _held_until(archive, source.spec.source_id, until)
        take_in_source(product, source, sites, after=after, until=until, progress=progress)
        after = _held_until(archive, cover_of(source.spec.source_id), until)
        take_in_cover(product, source, cover_nodes(), after=after, until=until, progress=progress)
    newest = archive.observations.newest_recorded_at(as_of=until)
    take_in_feed(product, SandboxStations(planet), sites, after=newest, until=until, progress=progress)


def _held_until(archive: Archive, source_id: str, until: datetime) -> datetime | None:
    """When the last cycle of a source that is held became available."""
    held = archive.cycles.catalogue(source_id, as_of=until, usable_only=False)
    return max((cycle.available_at for cycle in held), default=None)


def demo_key(product: Product) -> str:
    """The demo customer's key, made once and kept in the home for the console's examples (mode 0600)."""
    path = product.home / KEY_FILE
    if path.exists():
        return path.read_text().strip()
    token, _ = create_key(product, CUSTOMER.customer_id, lifetime=timedelta(days=3650))
    _write_whole(path, f"{token}\n".encode(), mode=0o600)
    return token


@contextmanager
def open_demo(home: Path, *, profile: str | None = None, seed: int | None = None) -> Iterator[Product]:
    """Prepare a sandbox home and open it."""
    settings = prepare_home(home, profile=profile, seed=seed)
    if not (home / CLOCK_FILE).exists():
        SimulatedClock(home / CLOCK_FILE).set(find_profile(settings.sandbox_profile).start)
    with open_product(home) as product:
        yield product


def _write_whole(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write a file whole or not at all, readable as ``mode`` says from its first byte on."""
    temporary = path.with_suffix(".tmp")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _set_clock(product: Product, instant: datetime) -> None:
    clock = product.clock
    if isinstance(clock, SimulatedClock) and clock.now() < instant:
        clock.set(instant)
