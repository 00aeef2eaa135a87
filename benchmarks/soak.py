"""The server under everything at once, for as long as you like: ``python benchmarks/soak.py --minutes 30``.

Two workers serve one home at a share of what they can. Meanwhile runs are published, keys are rotated, workers are killed and the
database is locked, all at random. Every answer is compared with the file of its run, every receipt is looked for at the end,
and the memory of the workers is watched. The exit code says whether anything was wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.soak_client import Answer, Client, Truth  # noqa: E402
from skyproof.archive.archive import DATABASE_FILE, Archive  # noqa: E402
from skyproof.archive.health import check_archive  # noqa: E402
from skyproof.archive.runs import RunDraft  # noqa: E402
from skyproof.domain.accounts import SCOPES  # noqa: E402
from skyproof.domain.forecasts import ForecastGrid, ForecastValues, Regime, RunInput  # noqa: E402
from skyproof.domain.quantiles import LEVEL_ARRAY  # noqa: E402
from skyproof.domain.reasons import REASONS  # noqa: E402
from skyproof.domain.sites import Customer, Site  # noqa: E402
from skyproof.stages.deliver.keys import new_key  # noqa: E402
from tests.surfaces.api.server_processes import SETTINGS, Serving, serving_home  # noqa: E402

VARIABLES = ("temperature_2m", "wind_speed_10m", "precipitation")
LEADS = tuple(range(1, 49))
CUSTOMERS = ("acme", "bolt")
CONNECTIONS = 32
#: A connection may break so long after a worker was killed, in seconds; an answer may be of the run before for so long.
_AFTERMATH_S = 3.0
_STALE_S = 10.0
_CALIBRATING_S = 10.0
#: Caches of a worker are full after so many runs; only then is its memory judged.
_WARM_RUNS = 170
_JUDGED_S = 300.0


@dataclass
class Events:
    """What was done to the server, and when (monotonic seconds)."""

    kills: list[float] = field(default_factory=list)
    locks: list[tuple[float, float]] = field(default_factory=list)
    rotations: int = 0
    refused_rotations: int = 0
    runs: list[tuple[float, str]] = field(default_factory=list)
    memory: dict[int, list[tuple[float, float]]] = field(default_factory=dict)


class Soak:
    """One home, its server and its clients."""

    def __init__(self, home: Path, *, sites: int, seed: int) -> None:
        self.home = home
        self.chance = random.Random(seed)
        self.sites = tuple(Site(f"s{k:03d}", f"Site {k}", 40 + k / 100, 8 + k / 100, 100.0) for k in range(sites))
        self.events = Events()
        self.tokens: dict[str, str] = {}
        self.began = time.monotonic()
        self._drafts = np.random.default_rng(seed)
        with Archive.open(home) as archive:
            archive.sites.add(self.sites)
            for name in CUSTOMERS:
                archive.customers.add(Customer(name, name.title()))
                self.tokens[name], key = new_key(name, created_at=datetime.now(UTC), scopes=tuple(SCOPES))
                archive.customers.add_key(key)
        (home / "skyproof.yaml").write_text(SETTINGS)
        self.archive = Archive.open(home)
        self.truth = Truth(self.archive)
        self.publish()

    def publish(self) -> None:
        """Publish a run that differs from every other one everywhere."""
        now = datetime.now(UTC).replace(microsecond=0)
        grid = ForecastGrid(self.sites, VARIABLES, LEADS, 1)
        # Whole tenths: what the API writes is what the file holds.
        middle = self._drafts.integers(50, 300, (len(VARIABLES), len(self.sites), len(LEADS), 1)) / 5
        quantiles = (middle + 4 * LEVEL_ARRAY).astype(np.float32)
        inputs = (RunInput("alba", now - timedelta(hours=12), now - timedelta(hours=6), 12.0, 0, "ok", 1.0),)
        draft = RunDraft(
            "rel_" + "0" * 16, now, now.replace(minute=0, second=0), now, Regime("full", (), (), 1.0, 0.8, 1000), inputs,
            grid, ForecastValues(quantiles, quantiles.mean(axis=-1)), np.zeros(middle.shape[:-1], dtype=np.uint8), "",
            1.0, (), REASONS,
        )  # fmt: skip
        run = self.archive.runs.publish(draft)
        self.events.runs.append((time.monotonic(), run.run_id))

    def kill(self, serving: Serving, *, spared: int | None) -> None:
        """Kill a worker, as the kernel would."""
        workers = [pid for pid in serving.workers() if pid != spared]
        if workers and len(serving.workers()) > 1:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.chance.choice(workers), signal.SIGKILL)
            self.events.kills.append(time.monotonic())

    def lock(self, seconds: float) -> None:
        """Hold the database's write lock."""
        connection = sqlite3.connect(self.home / DATABASE_FILE, isolation_level=None, timeout=30)
        connection.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        time.sleep(seconds)
        connection.close()
        self.events.locks.append((began, time.monotonic()))

    def look_at_memory(self, serving: Serving) -> None:
        """Note what each worker holds, in MiB, without the pages of run files it has mapped."""
        for pid in serving.workers():
            try:
                lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            except OSError:
                continue
            held = next((int(line.split()[1]) for line in lines if line.startswith("RssAnon")), None)
            if held is not None:
                self.events.memory.setdefault(pid, []).append((time.monotonic(), held / 1024))


async def every(low_s: float, high_s: float, chance: random.Random, work: Callable[[], None]) -> None:
    """Do something in a thread, again and again."""
    while True:
        await asyncio.sleep(chance.uniform(low_s, high_s))
        await asyncio.to_thread(work)


async def rotate(soak: Soak, port: int) -> None:
    """Rotate keys through the API; the old one is revoked when the new one has been taken into use."""
    client = Client(port)
    while True:
        await asyncio.sleep(soak.chance.uniform(5, 15))
        name = soak.chance.choice(CUSTOMERS)
        old = soak.tokens[name]
        key_id = old.split("_")[2]
        made = await client.send("POST", f"/v1/keys/{key_id}/rotate", old, b'{"overlap_hours": 1}')
        if made.status != 201:  # locked, or the worker was killed: next time
            soak.events.refused_rotations += 1
            continue
        soak.tokens[name] = made.json()["key"]
        await asyncio.sleep(2)
        while (await client.send("DELETE", f"/v1/keys/{key_id}", soak.tokens[name])).status != 200:
            await asyncio.sleep(1)
        soak.events.rotations += 1


async def load(soak: Soak, port: int, seconds: float, rate: float | None) -> list[Answer]:
    """Ask from many connections, each answer checked; ``rate`` requests a second, or as many as go."""
    ends, answers = time.monotonic() + seconds, []
    due = time.monotonic()

    async def ask() -> None:
        nonlocal due
        client = Client(port)
        while time.monotonic() < ends:
            if rate is not None:
                due += 1 / rate
                wait = due - time.monotonic()
                if wait > 0:
                    await asyncio.sleep(wait)
                else:
                    due = max(due, time.monotonic() - 1.0)  # what was missed while a worker was away is not made up for
            name, site = soak.chance.choice(CUSTOMERS), soak.chance.choice(soak.sites)
            path = f"/v1/forecast?site={site.site_id}&hourly={','.join(VARIABLES)}&quantiles=0.1,0.9&wind_speed_unit=ms"
            answer = await client.send("GET", path, soak.tokens[name])
            answers.append(soak.truth.check(answer, site.site_id, name))

    await asyncio.gather(*(ask() for _ in range(CONNECTIONS)))
    return answers


async def trouble(soak: Soak, serving: Serving, seconds: float, rate: float, *, spared: int | None) -> list[Answer]:
    """The load with everything else going on."""
    chance = soak.chance
    tasks = [
        asyncio.create_task(every(1.5, 3, chance, soak.publish)),
        asyncio.create_task(every(10, 30, chance, lambda: soak.kill(serving, spared=spared))),
        asyncio.create_task(every(20, 60, chance, lambda: soak.lock(chance.uniform(2, 8)))),
        asyncio.create_task(every(5, 5, chance, lambda: soak.look_at_memory(serving))),
        asyncio.create_task(rotate(soak, serving.port)),
    ]
    try:
        answers = await load(soak, serving.port, seconds, rate)
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    for each in ended:
        if isinstance(each, Exception):
            raise each
    return answers


def judge(soak: Soak, answers: list[Answer]) -> dict[str, int]:
    """What must not happen, counted."""
    published = soak.events.runs
    following = {run_id: published[k + 1][0] for k, (_, run_id) in enumerate(published[:-1])}
    wrong = Counter(
        dict.fromkeys(("not 2xx", "wrong or mixed-run", "broken without a kill", "stale without a warning"), 0)
    )
    for answer in answers:
        if answer.status == 0:
            killed = any(-_AFTERMATH_S <= answer.ended - at <= _AFTERMATH_S for at in soak.events.kills)
            wrong["broken without a kill"] += not killed
        elif answer.status != 200:
            wrong["not 2xx"] += 1
        elif answer.fault:
            wrong["wrong or mixed-run"] += 1
        elif not answer.is_warned and answer.began - following.get(answer.run_id, answer.began) > _STALE_S:
            wrong["stale without a warning"] += 1
    return dict(wrong)


def missing_receipts(archive: Archive, answers: list[Answer]) -> tuple[int, int]:
    """How many answers have no receipt, and how many receipts are of no answer that arrived."""
    got = Counter((answer.customer_id, answer.forecast_id, answer.digest) for answer in answers if answer.status == 200)
    with archive.engine.connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT customer_id, forecast_id, bytes_digest, count(*) FROM receipts GROUP BY 1, 2, 3"
        ).all()
    kept = Counter({tuple(row[:3]): row[3] for row in rows})
    return sum((got - kept).values()), sum((kept - got).values())


def slope(samples: list[tuple[float, float]]) -> float:
    """MiB a minute, by least squares."""
    times, held = np.array(samples).T
    return float(np.polyfit((times - times[0]) / 60, held, 1)[0])


def main() -> int:
    """Fill, serve, load, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument(
        "--share", type=float, default=0.7, help="of the requests a second that were answered without trouble"
    )
    parser.add_argument("--sites", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--most-slope", type=float, default=1.5, help="MiB a minute that a worker may grow in the last part"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return run(Path(folder), options)


def run(folder: Path, options: argparse.Namespace) -> int:
    """The same in a folder; returns the exit code."""
    soak = Soak(folder / "home", sites=options.sites, seed=options.seed)
    log, seconds = folder / "log", 60 * options.minutes
    with soak.archive, serving_home(soak.home, "--workers", "2", log=log) as serving:
        while len(serving.workers()) < 2:
            time.sleep(0.1)
        time.sleep(5)
        calm = asyncio.run(load(soak, serving.port, _CALIBRATING_S, None))
        capacity = len(calm) / _CALIBRATING_S
        rate = options.share * capacity
        print(
            f"{capacity:,.0f} answers/s, each checked, without trouble; now {rate:,.0f}/s for {options.minutes:g} minutes"
        )
        answers = calm + asyncio.run(trouble(soak, serving, 0.5 * seconds, rate, spared=None))
        # Who is there now stays to the end: memory is told from a worker that lives long.
        elder = serving.workers()[0]
        middle, met = time.monotonic(), len(soak.events.runs)
        answers += asyncio.run(trouble(soak, serving, 0.5 * seconds, rate, spared=elder))
        exit_code = serving.end()
        warm = [at for at, _ in soak.events.runs[met + _WARM_RUNS :]]
        samples = [
            each
            for each in soak.events.memory.get(elder, [])
            if warm and each[0] > max(warm[0], middle + 0.15 * seconds)
        ]
        missing, unseen = missing_receipts(soak.archive, answers)
        findings = [
            finding for finding in check_archive(soak.archive, minimum_free_bytes=0) if finding.severity != "info"
        ]
        queued = log.read_text().count("that waited for the database")
    wrong = judge(soak, answers)
    is_long = len(samples) > 2 and samples[-1][0] - samples[0][0] >= _JUDGED_S
    grows = slope(samples) if is_long else float("nan")
    wrong |= {
        "answers without a receipt": missing,
        "findings of the doctor": len(findings),
        "exit code of the server": abs(exit_code),
        f"memory grows by more than {options.most_slope:g} MiB/min": int(grows > options.most_slope),
        "more receipts than answers under way at kills": int(unseen > CONNECTIONS * len(soak.events.kills)),
    }
    tell(soak, answers, wrong, [(samples, grows)], unseen=unseen, queued=queued)
    for finding in findings:
        print(finding)
    if any(wrong.values()):
        for line in [answer.fault for answer in answers if answer.fault][:5]:
            print(line)
        print([(answer.status, answer.digest) for answer in answers if answer.status not in (0, 200)][:5])
        print(log.read_text()[-4000:])
    return int(any(wrong.values()))


def tell(soak: Soak, answers: list[Answer], wrong: dict[str, int], memory, *, unseen: int, queued: int) -> None:
    """Print what happened as a table."""
    times = np.array([answer.ended - answer.began for answer in answers if answer.status == 200]) * 1000
    samples, grows = memory[0]
    events = soak.events
    rows: dict[str, object] = {
        "answers, each compared with its run file": f"{sum(answer.status == 200 for answer in answers):,}",
        "of them with the warning database_away": f"{sum(answer.is_warned for answer in answers):,}",
        "of different content": f"{len({answer.forecast_id for answer in answers}):,}",
        "p50, p99, longest": ", ".join(f"{np.percentile(times, share):,.1f} ms" for share in (50, 99, 100)),
        "runs published; keys rotated": f"{len(events.runs)}; {events.rotations}",
        "workers killed": len(events.kills),
        "database locked": f"{len(events.locks)} times, {sum(end - begin for begin, end in events.locks):.0f} s together",
        "connections broken by kills": sum(answer.status == 0 for answer in answers),
        "times that queued receipts were brought in": queued,
        "receipts of answers that a kill kept back": unseen,
        "memory of the oldest worker": f"{samples[-1][1]:.0f} MiB, {grows:+.2f} MiB/min"
        if not np.isnan(grows)
        else "too short to say",
    }
    print("\n| what | |\n|---|---|")
    for what, said in rows.items():
        print(f"| {what} | {said} |")
    print("\n| must not happen | |\n|---|---|")
    for what, count in wrong.items():
        print(f"| {what} | {count} |")


if __name__ == "__main__":
    sys.exit(main())
