"""Building a planet, part by part, so that an interrupted build goes on where it stopped.

Every part is one file, written whole (temporary file, fsync, rename). Finished parts are never made again.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.progress import Progress, silent
from skyproof.stages.sandbox.events import Event, default_events, write_answer_key
from skyproof.stages.sandbox.geography import Places, choose_places
from skyproof.stages.sandbox.profiles import PlanetProfile
from skyproof.stages.sandbox.providers import Provider, providers
from skyproof.stages.sandbox.simulate import (
    Truth,
    init_days,
    simulate_analyses,
    simulate_forecasts,
    simulate_truth,
    true_weather,
)
from skyproof.stages.sandbox.stations import Reports, observe

Floats = NDArray[Any]
#: Changes when the same profile and seed would give another planet.
_MODEL_VERSION = 1
#: Days of cycles in one part: work for a few seconds.
_PART_DAYS = 24


@dataclass(frozen=True, slots=True)
class Planet:
    """A finished planet: its folder, what it is made of and what goes wrong on it."""

    folder: Path
    profile: PlanetProfile
    seed: int
    places: Places
    providers: tuple[Provider, ...]
    events: tuple[Event, ...]

    def truth(self) -> Truth:
        """The atmosphere itself."""
        parts = _read(self.folder / "truth.npz")
        return Truth(parts["features"], parts["eddy"], parts["mean"])

    def weather(self) -> Floats:
        """What happened: (6-hourly from the start, variable, site) float32."""
        return np.asarray(_read(self.folder / "weather.npz")["weather"])

    def reports(self) -> Reports:
        """What the stations reported."""
        parts = _read(self.folder / "reports.npz")
        return Reports(parts["values"], parts["delay_minutes"], parts["corrected"])

    def cycles(self, provider: Provider, part: int) -> Floats:
        """Forecasts of one part: (cycle, variable, lead, site, member) float32."""
        return np.asarray(_read(self.folder / _part_name(provider, part))["values"], dtype=np.float32)

    def covered(self, provider: Provider, part: int) -> Floats | None:
        """The last cycles of a part at the nodes of the cover, (cycle, variable, lead, node, member) float32, if it has any."""
        path = self.folder / _cover_name(provider, part)
        return np.asarray(_read(path)["values"], dtype=np.float32) if path.exists() else None

    def parts(self, provider: Provider) -> tuple[tuple[int, int], ...]:
        """First cycle and number of cycles of each part."""
        return _parts(self.profile, provider)

    def init_time(self, provider: Provider, number: int) -> datetime:
        """Init time of a provider's cycle by its number."""
        return self.profile.start + _days(float(init_days(provider, number, 1)[0]))


def build_planet(
    folder: Path,
    profile: PlanetProfile,
    *,
    seed: int = 1,
    workers: int = 1,
    events: tuple[Event, ...] | None = None,
    progress: Progress = silent,
) -> Planet:
    """Build a planet in a subfolder named by its content, or finish one that was begun.

    Args:
        folder: where planets lie.
        profile: how large.
        seed: same seed, same planet.
        workers: processes; 1 builds in this one.
        events: what goes wrong; the demo's list by default.
        progress: told of every part.
    """
    planned = default_events() if events is None else events
    name = hashlib.sha256(json.dumps([_MODEL_VERSION, seed, asdict(profile)], sort_keys=True).encode()).hexdigest()[:12]
    home = folder / f"{profile.name}-{name}"
    home.mkdir(parents=True, exist_ok=True)
    places = choose_places(profile.places, seed)
    planet = Planet(home, profile, seed, places, providers(profile), planned)
    _part_truth(planet, progress)
    with _pool(workers) as run:
        _part_analyses(planet, run, progress)
        _part_forecasts(planet, run, progress)
    write_answer_key(planned, home / "answer-key.yaml")
    return planet


def _part_truth(planet: Planet, progress: Progress) -> None:
    path = planet.folder / "truth.npz"
    if not path.exists():
        total = planet.profile.days
        for done, truth in simulate_truth(planet.profile, planet.places, planet.seed):
            progress("sandbox planet: weather", min(done, total), total)
            if truth is not None:
                weather = true_weather(planet.places, truth, planet.seed)
                reports = observe(weather, planet.seed)
                _write(planet.folder / "weather.npz", weather=weather)
                _write(
                    planet.folder / "reports.npz",
                    values=reports.values, delay_minutes=reports.delay_minutes, corrected=reports.corrected,
                )  # fmt: skip
                _write(path, features=truth.features, eddy=truth.eddy, mean=truth.mean)


def _part_analyses(planet: Planet, run: Executor | None, progress: Progress) -> None:
    jobs = [p for p in planet.providers if not (planet.folder / f"{p.name}-analyses.npz").exists()]
    calls = [(make_analyses, (planet, provider)) for provider in jobs]
    _all("sandbox planet: providers' analyses", calls, run, progress)


def _part_forecasts(planet: Planet, run: Executor | None, progress: Progress) -> None:
    jobs = [
        (provider, part)
        for provider in planet.providers
        for part in range(len(planet.parts(provider)))
        if not (planet.folder / _part_name(provider, part)).exists()
    ]
    calls = [(make_forecasts, (planet, provider, part)) for provider, part in jobs]
    _all("sandbox planet: providers' forecasts", calls, run, progress)


def make_analyses(planet: Planet, provider: Provider) -> None:
    """Make one provider's analyses; runs in a worker."""
    truth = planet.truth()
    eddy, mean = simulate_analyses(planet.profile, provider, truth, planet.seed)
    half_days = (2 * init_days(provider, 0, planet.profile.days * len(provider.init_hours))).astype(int)
    _write(planet.folder / f"{provider.name}-analyses.npz", eddy=eddy[..., half_days], mean=mean[..., half_days])


def make_forecasts(planet: Planet, provider: Provider, part: int) -> None:
    """Make one part of a provider's forecasts; runs in a worker."""
    truth = planet.truth()
    analyses = _read(planet.folder / f"{provider.name}-analyses.npz")
    first, count = planet.parts(provider)[part]
    chosen = slice(first, first + count)
    values, covered = simulate_forecasts(
        planet.profile, provider, planet.places, truth, (analyses["eddy"][..., chosen], analyses["mean"][..., chosen]),
        first=first, seed=planet.seed,
    )  # fmt: skip
    # Before the part itself: who finds that finds this.
    if len(covered):
        _write(planet.folder / _cover_name(provider, part), values=covered)
    _write(planet.folder / _part_name(provider, part), values=values)


def _all(
    what: str, calls: list[tuple[Callable[..., None], tuple[Any, ...]]], run: Executor | None, progress: Progress
) -> None:
    if not calls:
        return
    progress(what, 0, len(calls))
    if run is None:
        for done, (function, arguments) in enumerate(calls):
            function(*arguments)
            progress(what, done + 1, len(calls))
        return
    futures: list[Future[None]] = [run.submit(function, *arguments) for function, arguments in calls]
    for done, future in enumerate(as_completed(futures)):
        future.result()
        progress(what, done + 1, len(calls))


@contextmanager
def _pool(workers: int) -> Iterator[Executor | None]:
    """Worker processes with one thread each for linear algebra; None to work in this process."""
    if workers <= 1:
        yield None
        return
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            try:
                yield pool
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _parts(profile: PlanetProfile, provider: Provider) -> tuple[tuple[int, int], ...]:
    total, size = profile.days * len(provider.init_hours), _PART_DAYS * len(provider.init_hours)
    return tuple((first, min(size, total - first)) for first in range(0, total, size))


def _part_name(provider: Provider, part: int) -> str:
    return f"{provider.name}-{part:03d}.npz"


def _cover_name(provider: Provider, part: int) -> str:
    return f"{provider.name}-{part:03d}-cover.npz"


def _days(count: float) -> timedelta:
    return timedelta(seconds=round(count * 86_400))


def _write(path: Path, **arrays: Floats) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        file.write(buffer.getbuffer())
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _read(path: Path) -> dict[str, Floats]:
    with np.load(path) as file:
        return {name: file[name] for name in file.files}
