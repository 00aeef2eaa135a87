"""One cycle at the size of a business: 2,000 sites x 4 variables x 120 hourly leads x 21 quantiles, published and verified.

    python benchmarks/cycle_bench.py [--sites 2000] [--leads 120] [--json]

A release is learned on a few sites and spread over all; a week of cycles, observations and runs is there, as in service.
Timed are the next run, through the forecast cycle, and the verification of the day that the newest observations complete.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from skyproof.archive.archive import Archive
from skyproof.archive.release_content import ReleaseContent
from skyproof.cycle.clock import FixedClock
from skyproof.cycle.experts import source_experts, usual_models
from skyproof.cycle.forecast_cycle import forecast_cycle
from skyproof.cycle.settings import parse_settings
from skyproof.cycle.verify_cycle import verify_cycle
from skyproof.cycle.wiring import Product
from skyproof.domain.cycles import CycleBatch, ObservationBatch, SourceSpec
from skyproof.domain.forecasts import ForecastGrid
from skyproof.domain.sites import Site
from skyproof.domain.times import hours, to_datetime64
from skyproof.science.online_blend import BernsteinBlend
from skyproof.stages.learn.learn_release import learn_release

UNITS = {"temperature_2m": "Cel", "wind_speed_10m": "m/s", "precipitation": "mm", "pressure_msl": "hPa"}
START = datetime(2025, 1, 1, tzinfo=UTC)
LEARN_DAYS = 24
#: A number of sites that no other axis has, so that the site axis of what was learned can be told.
FEW = 23
KINDS = ("experts", "checkpoints", "scores")
SOURCES = (("north", 12, 6.0), ("south", 8, 7.0), ("single", 1, 3.0))


class World:
    """Weather at many sites: a slow random walk for each, and sources that see it with errors that grow."""

    def __init__(self, sites: int, days: int, leads: int, seed: int = 1) -> None:
        self.chance = np.random.default_rng(seed)
        self.sites = tuple(
            Site(f"s{k:04d}", f"Site {k}", 35 + 25 * (k % 50) / 50, -10 + 40 * (k // 50) / 50, 10.0 * (k % 90))
            for k in range(sites)
        )
        self.lead_hours = tuple(range(0, leads + 13))
        length = days * 24 + leads + 48
        walk = np.zeros((length, sites), dtype=np.float32)
        for hour in range(1, length):
            walk[hour] = 0.98 * walk[hour - 1] + 0.2 * self.chance.standard_normal(sites, dtype=np.float32)
        daily = 4 * np.sin(2 * np.pi * np.arange(length) / 24 - 2)[:, None]
        self.truth = np.stack(
            [10 + 5 * walk + daily, np.maximum(0.2, 5 + 2 * walk), np.maximum(0, walk - 1), 1013 + 8 * walk]
        ).astype(np.float32)

    def grid(self, leads: int) -> ForecastGrid:
        """The cells of a run."""
        return ForecastGrid(self.sites, tuple(UNITS), tuple(range(1, leads + 1)), 1)

    def take_in_cycles(self, archive: Archive, first_day: int, days: int) -> None:
        """What every source said on some days."""
        for source_id, members, latency in SOURCES:
            archive.sources.register(
                SourceSpec(
                    source_id, source_id, source_id, "CC0-1.0", "bench", True, True, timedelta(hours=24), hours(latency),
                    hours(latency), members, self.lead_hours, UNITS,
                )
            )  # fmt: skip
            for day in range(first_day, first_day + days):
                init = START + timedelta(days=day)
                seen = self.truth[:, day * 24 : day * 24 + len(self.lead_hours)]
                growth = (0.3 + np.array(self.lead_hours, dtype=np.float32) / 60)[None, :, None, None]
                noise = self.chance.standard_normal((*seen.shape, members), dtype=np.float32)
                values = seen[..., None] + 0.5 + growth * noise
                values[1:3] = np.maximum(values[1:3], 0)
                batch = CycleBatch(
                    source_id, (init,), (init + hours(latency),), tuple(UNITS), UNITS, self.lead_hours,
                    tuple(site.site_id for site in self.sites), values[None],
                )  # fmt: skip
                archive.cycles.append(batch, [("ok", ())], recorded_at=init + hours(latency))

    def take_in_observations(self, archive: Archive, first_hour: int, last_hour: int) -> int:
        """What the stations measured in some hours; returns how many values."""
        span = np.arange(first_hour, last_hour)
        shape = (len(UNITS), len(span), len(self.sites))
        variable, hour, site = (axis.ravel() for axis in np.meshgrid(*map(np.arange, shape), indexing="ij"))
        valid = to_datetime64(START) + span[hour] * np.timedelta64(3600, "s")
        batch = ObservationBatch(
            "stations",
            np.array([site.site_id for site in self.sites])[site],
            np.array(tuple(UNITS))[variable],
            valid,
            valid + np.timedelta64(600, "s"),
            self.truth[:, first_hour:last_hour].ravel().astype(np.float64).round(2),
            UNITS,
        )
        return archive.observations.append(batch, np.full(len(batch), ""))


def learn_small(folder: Path, leads: int) -> ReleaseContent:
    """A release learned on a few sites."""
    world = World(FEW, LEARN_DAYS, leads)
    with Archive.open(folder) as archive:
        archive.sites.add(world.sites)
        world.take_in_cycles(archive, 0, LEARN_DAYS)
        world.take_in_observations(archive, 0, LEARN_DAYS * 24)
        source_ids = tuple(source[0] for source in SOURCES)
        release = learn_release(
            archive, grid=world.grid(leads), usual_models=usual_models, make_experts=source_experts(("emos",)),
            blend=BernsteinBlend(), source_ids=source_ids, since=START,
            as_of=START + timedelta(days=LEARN_DAYS - 1, hours=12), tail_days=7,
        )  # fmt: skip
        return archive.releases.read(release)


def spread(content: ReleaseContent, world: World, leads: int) -> ReleaseContent:
    """The release for all sites: what was learned of a site is repeated."""
    index = np.arange(len(world.sites)) % FEW

    def tile(array: np.ndarray) -> np.ndarray:
        for axis, size in enumerate(array.shape):
            if size == FEW:
                return np.take(array, index, axis=axis)
        return array

    names = np.array([site.site_id for site in world.sites])
    models = {
        name: {key: names if key == "common/sites" else tile(array) for key, array in state.items()}
        for name, state in content.models.items()
    }
    return replace(content, grid=world.grid(leads), models=models)


def megabytes(folder: Path) -> float:
    """Size of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def main() -> None:
    """Build, warm up, time, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sites", type=int, default=2000)
    parser.add_argument("--leads", type=int, default=120)
    parser.add_argument("--runs", type=int, default=3, help="runs that are timed; the median is shown")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        found = measure(Path(name), options.sites, options.leads, options.runs)
    print("| figure | value |\n|---|---|")
    for what, value in found.items():
        print(f"| {what} | {value} |")
    if options.json:
        print(json.dumps(found))


def measure(folder: Path, sites: int, leads: int, runs: int) -> dict[str, float]:
    """Seconds, bytes and memory of a cycle."""
    content = learn_small(folder / "small", leads)
    earlier = leads // 24 + 1
    world = World(sites, LEARN_DAYS + earlier + runs + 1, leads)
    forecast_s, verify_s, processor_s, sizes = [], [], [], []
    with Archive.open(folder / "large") as archive:
        archive.sites.add(world.sites)
        world.take_in_cycles(archive, LEARN_DAYS - 3, earlier + runs + 4)
        archive.releases.add(
            spread(content, world, leads).to_bytes(), created_at=content.learned_at, trained_from=START,
            trained_until=content.learned_at, sources=content.source_ids, card={},
        )  # fmt: skip
        settings = parse_settings({"step_hours": 1, "horizon_hours": leads})
        observed = world.take_in_observations(archive, (LEARN_DAYS - 4) * 24, LEARN_DAYS * 24)
        for count in range(earlier + runs):
            issue_time = content.learned_at + timedelta(days=count + 1)
            hour = int((issue_time - START).total_seconds() // 3600)
            observed += world.take_in_observations(archive, hour - 12, hour + 12)
            product = Product(folder / "large", settings, archive, FixedClock(issue_time + hours(13)))
            began, worked = time.perf_counter(), time.process_time()
            run = forecast_cycle(product, issue_time)
            forecast_s.append(time.perf_counter() - began)
            processor_s.append(time.process_time() - worked)
            began = time.perf_counter()
            verify_cycle(product)
            verify_s.append(time.perf_counter() - began)
            sizes.append({kind: megabytes(folder / "large" / "objects" / kind) for kind in KINDS})
            with archive.objects.local_path(run.object_key) as path:
                run_mb = path.stat().st_size / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "values in a run": sites * len(UNITS) * leads * 21,
        "forecast and publish, s": round(float(np.median(forecast_s[-runs:])), 2),
        "of which processor time, s": round(float(np.median(processor_s[-runs:])), 2),
        "verify a day, s": round(float(np.median(verify_s[-runs:])), 2),
        "run on disk, MB": round(run_mb, 1),
        **{f"{kind} on disk for each run, MB": round(sizes[-1][kind] - sizes[-2][kind], 1) for kind in KINDS},
        "peak memory, MiB": round(peak),
        "observations a day": observed // (earlier + runs + 4),
    }


if __name__ == "__main__":
    main()
