"""Learning the release of a whole business, from its archive to the release kept: seconds, and memory of the process.

    python benchmarks/business_bench.py [--sites 500] [--leads 40] [--days 730] [--experts emos] [--home FOLDER]

Three made-up sources (ensembles of 12 and 8, and a single forecast) of four variables, a cycle a day; observations every three
hours. Making them takes minutes and some GB of disk; with --home they are kept and used again.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from skyproof.archive.archive import Archive
from skyproof.cycle.experts import source_experts, usual_models
from skyproof.domain.cycles import CycleBatch, ObservationBatch
from skyproof.domain.forecasts import ForecastGrid
from skyproof.domain.sites import Site
from skyproof.domain.variables import find_variable
from skyproof.science.online_blend import BernsteinBlend
from skyproof.stages.learn.learn_release import learn_release

Floats = np.ndarray[Any, np.dtype[np.float32]]
VARIABLES = ("temperature_2m", "wind_speed_10m", "precipitation", "pressure_msl")
MEMBERS = {"alba": 12, "brio": 8, "cirro": 1}
START = datetime(2024, 1, 1, tzinfo=UTC)
STEP_HOURS = 3
#: Mean, size of the season and size of the weather of each variable.
CLIMATES = {
    "temperature_2m": (9.0, 8.0, 4.0),
    "wind_speed_10m": (4.0, 1.0, 2.5),
    "precipitation": (-1.0, 0.5, 2.0),
    "pressure_msl": (1013.0, 2.0, 8.0),
}


def make_grid(sites: int, leads: int) -> ForecastGrid:
    """Sites on a lattice, leads every three hours."""
    places = tuple(
        Site(f"s{k:04d}", f"Site {k}", 40 + k % 25 / 3, k // 25 / 3, float(100 * (k % 7))) for k in range(sites)
    )
    return ForecastGrid(places, VARIABLES, tuple(STEP_HOURS * (k + 1) for k in range(leads)), STEP_HOURS)


def make_truth(variable: str, steps: int, sites: int) -> Floats:
    """What happens, (step, site): a season, and weather that lasts a day or two and is shared by half among sites."""
    rng = np.random.default_rng(len(variable))
    mean, season, weather = CLIMATES[variable]
    noise = rng.standard_normal((steps, sites), dtype=np.float32) + rng.standard_normal((steps, 1), dtype=np.float32)
    for step in range(1, steps):
        noise[step] = 0.93 * noise[step - 1] + 0.26 * noise[step]
    waves = season * np.cos(2 * np.pi * np.arange(steps, dtype=np.float32)[:, None] * STEP_HOURS / 8766)
    return limited(variable, mean + waves + weather * noise)


def limited(variable: str, values: Floats) -> Floats:
    """Inside physical limits."""
    known = find_variable(variable)
    return np.asarray(np.clip(values, known.lower, known.upper), dtype=np.float32)


def fill(home: Path, grid: ForecastGrid, days: int) -> None:
    """The archive of such a business."""
    steps = days * 24 // STEP_HOURS + len(grid.lead_hours) + 1
    truth = {name: make_truth(name, steps, len(grid.sites)) for name in VARIABLES}
    with Archive.open(home) as archive:
        archive.sites.add(grid.sites)
        for number, (source_id, members) in enumerate(MEMBERS.items()):
            rng = np.random.default_rng(number)
            bias = rng.standard_normal((len(VARIABLES), 1, len(grid.sites), 1), dtype=np.float32)
            for first in range(0, days, 10):
                some = range(first, min(first + 10, days))
                archive.cycles.append(
                    make_cycles(rng, grid, truth, bias, (source_id, members), some),
                    [("ok", ())] * len(some),
                    recorded_at=START + timedelta(days=days),
                )
        for name in VARIABLES:
            for first in range(0, days * 24 // STEP_HOURS, 200):
                rows = slice(first, min(first + 200, days * 24 // STEP_HOURS))
                batch = make_observations(name, grid, truth[name], rows)
                archive.observations.append(batch, np.full(len(batch), "", dtype="U1"))


def make_cycles(
    rng: np.random.Generator,
    grid: ForecastGrid,
    truth: dict[str, Floats],
    bias: Floats,
    source: tuple[str, int],
    days: range,
) -> CycleBatch:
    """Cycles of some days at noon, here six hours later."""
    leads = np.arange(1, len(grid.lead_hours) + 1)
    growth = (0.3 + 0.7 * leads / leads[-1]).astype(np.float32)[:, None, None]
    values = np.empty((len(days), len(VARIABLES), len(leads), len(grid.sites), source[1]), dtype=np.float32)
    for row, day in enumerate(days):
        at = (day * 24 + 12) // STEP_HOURS + leads
        for index, name in enumerate(VARIABLES):
            size = CLIMATES[name][2] * growth
            shared = rng.standard_normal((len(leads), len(grid.sites), 1), dtype=np.float32)
            own = rng.standard_normal(values.shape[2:], dtype=np.float32)
            said = truth[name][at][:, :, None] + size * (0.4 * bias[index] + 0.4 * shared + 0.4 * own)
            values[row, index] = limited(name, said)
    inits = tuple(START + timedelta(days=day, hours=12) for day in days)
    units = {name: find_variable(name).unit for name in VARIABLES}
    available = tuple(init + timedelta(hours=6) for init in inits)
    return CycleBatch(source[0], inits, available, VARIABLES, units, grid.lead_hours, grid.site_ids, values)


def make_observations(variable: str, grid: ForecastGrid, truth: Floats, rows: slice) -> ObservationBatch:
    """What the stations measured, an hour later in the archive."""
    valid = np.datetime64(START.replace(tzinfo=None), "s") + np.arange(rows.start, rows.stop) * np.timedelta64(
        3600 * STEP_HOURS, "s"
    )
    times = np.repeat(valid, len(grid.sites))
    names = np.tile(np.array(grid.site_ids), len(valid))
    variables = np.full(len(times), variable)
    values = truth[rows].astype(np.float64).ravel()
    return ObservationBatch(
        "stations", names, variables, times, times + np.timedelta64(3600, "s"), values,
        {variable: find_variable(variable).unit},
    )  # fmt: skip


def learn(home: Path, grid: ForecastGrid, days: int, kinds: tuple[str, ...]) -> None:
    """Learn, and tell what it took; in a process of its own, whose memory is that of learning."""
    wall, processor = time.perf_counter(), time.process_time()
    with Archive.open(home) as archive:
        release = learn_release(
            archive,
            grid=grid,
            usual_models=usual_models,
            make_experts=source_experts(kinds),
            blend=BernsteinBlend(),
            source_ids=tuple(MEMBERS),
            as_of=START + timedelta(days=days),
            since=START,
            issue_hour_utc=18,
            progress=lambda what, done, of: print(f"\r{what} {done}/{of} {time.perf_counter() - wall:.0f} s", end=""),
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"\n{release.release_id}: {time.perf_counter() - wall:.0f} s, {time.process_time() - processor:.0f} s of "
        f"processor time, peak memory {peak:.2f} GiB"
    )


def main() -> None:
    """Fill, learn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sites", type=int, default=500)
    parser.add_argument("--leads", type=int, default=40)
    parser.add_argument("--days", type=int, default=730)
    parser.add_argument("--experts", default="emos", help="kinds of experts, with commas between")
    parser.add_argument("--home", type=Path, help="keep the archive here, and use it again")
    options = parser.parse_args()
    grid = make_grid(options.sites, options.leads)
    with tempfile.TemporaryDirectory() as name:
        home = options.home or Path(name)
        marker = home / "filled"
        if not marker.exists():
            began = time.perf_counter()
            fill(home, grid, options.days)
            marker.touch()
            print(f"the archive took {time.perf_counter() - began:.0f} s to make")
        arguments = (home, grid, options.days, tuple(options.experts.split(",")))
        process = multiprocessing.get_context("spawn").Process(target=learn, args=arguments)
        process.start()
        process.join()


if __name__ == "__main__":
    main()
