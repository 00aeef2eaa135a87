"""GET /v1/forecast under load: one site, 3 variables x 5 quantiles, one worker, keys checked, each answer with a receipt.

    python benchmarks/api_bench.py [--seconds 10] [--json]

Beside it, in the same run, what the same server can do at most: a constant body of the same size with no work at all, and the
same address answered 304. Needs `wrk`. Client and server share the machine, as they do for every row.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from starlette.types import Receive, Scope, Send

from skyproof.archive.archive import Archive
from skyproof.archive.runs import RunDraft
from skyproof.cycle.clock import FixedClock
from skyproof.domain.accounts import Plan
from skyproof.domain.forecasts import ForecastGrid, ForecastValues, Regime, RunInput
from skyproof.domain.quantiles import LEVEL_ARRAY
from skyproof.domain.reasons import REASONS
from skyproof.domain.sites import Customer, Site
from skyproof.stages.deliver.keys import new_key
from skyproof.surfaces.api.server import listen, run_app, serve_archive

ISSUED = datetime(2026, 3, 6, 12, tzinfo=UTC)
NOW = ISSUED + timedelta(hours=1)
VARIABLES = ("temperature_2m", "wind_speed_10m", "precipitation")
#: Counted like any other, and never used up.
AMPLE = Plan(10**9, 10**9, 1, 1, 1)
ASKED = "hourly=" + ",".join(VARIABLES) + "&quantiles=0.05,0.25,0.5,0.75,0.95"
RANDOM_SITES = """
local n = {sites}
request = function()
  return wrk.format("GET", string.format("/v1/forecast?site=s%04d&{asked}", math.random(0, n - 1)))
end
"""


def fill(archive: Archive, sites: int, leads: int) -> str:
    """One run of many sites, and a key."""
    chance = np.random.default_rng(1)
    places = tuple(Site(f"s{k:04d}", f"Site {k}", 40 + k / 1000, 8 + k / 1000, 100.0) for k in range(sites))
    archive.sites.add(places)
    archive.customers.add(Customer("bench", "Benchmark"))
    grid = ForecastGrid(places, VARIABLES, tuple(range(1, leads + 1)), 1)
    middle = chance.uniform(5, 15, (len(VARIABLES), sites, leads, 1))
    quantiles = (middle + 4 * (LEVEL_ARRAY - 0.5)).astype(np.float32)
    mean = quantiles.mean(axis=-1)
    inputs = (RunInput("alba", ISSUED - timedelta(hours=12), ISSUED - timedelta(hours=6), 12.0, 0, "ok", 1.0),)
    draft = RunDraft(
        "rel_" + "0" * 16, ISSUED, ISSUED, ISSUED, Regime("full", (), (), 1.0, 0.8, 1000), inputs, grid,
        ForecastValues(quantiles, mean), np.zeros(mean.shape, dtype=np.uint8), "experts/none", 1.0, (), REASONS,
    )  # fmt: skip
    archive.runs.publish(draft)
    token, key = new_key("bench", created_at=ISSUED)
    archive.customers.add_key(key)
    return token


def serve(home: Path, database_url: str | None, port: int) -> None:
    """A server process."""
    with Archive.open(home, database_url=database_url) as archive:
        serve_archive(archive, clock=FixedClock(NOW), host="127.0.0.1", port=port, plans={"standard": AMPLE})


def serve_constant(body: bytes, port: int) -> None:
    """The same server around an application that does nothing but answer."""
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            while (await receive())["type"] != "lifespan.shutdown":
                await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    with listen("127.0.0.1", port) as listener:
        run_app(answer, listener)


@contextmanager
def running(target: object, *arguments: object) -> Iterator[int]:
    """A server in a process of its own, on a free port; its log is dropped."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    process = multiprocessing.get_context("spawn").Process(target=target, args=(*arguments, port))
    process.start()
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if time.monotonic() > deadline or not process.is_alive():
                    raise SystemExit("the server did not start") from None
                time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.join()


def load(address: str, token: str, seconds: int, connections: int, *, script: str = "", headers: tuple[str, ...] = ()):
    """Requests per second and latency by wrk."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-H", f"Authorization: Bearer {token}"]
    for header in headers:
        command += ["-H", header]
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        command += ["-s", file.name] if script else []
        said = subprocess.run([*command, address], capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in said and not headers:
        raise SystemExit(f"some answers were errors:\n{said}")
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])
    p50, p99 = (re.search(rf"{share}%\s+([\d.]+)(us|ms|s)", said).groups() for share in (50, 99))
    scale = {"us": 1e-3, "ms": 1.0, "s": 1e3}
    return {
        "requests_per_s": round(rate),
        "p50_ms": float(p50[0]) * scale[p50[1]],
        "p99_ms": float(p99[0]) * scale[p99[1]],
    }


def main() -> None:
    """Serve, load, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--sites", type=int, default=2000)
    parser.add_argument("--leads", type=int, default=120)
    parser.add_argument("--database-url", default=os.environ.get("SKYPROOF_BENCH_DATABASE"), help="default: SQLite")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("this benchmark needs wrk on the path (Debian: apt-get install wrk)")
    rows: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        with Archive.open(home, database_url=options.database_url) as archive:
            token = fill(archive, options.sites, options.leads)
        with running(serve, home, options.database_url) as port:
            base = f"http://127.0.0.1:{port}"
            one = f"{base}/v1/forecast?site=s0000&{ASKED}"
            asked = urllib.request.Request(one, headers={"Authorization": f"Bearer {token}"})
            with urllib.request.urlopen(asked) as answer:
                body, tag = answer.read(), answer.headers["ETag"]
            script = RANDOM_SITES.format(sites=options.sites, asked=ASKED)
            load(base, token, 2, options.connections, script=script)
            rows["forecast, a random site each time"] = load(
                base, token, options.seconds, options.connections, script=script
            )
            rows["forecast, the same site"] = load(one, token, options.seconds, options.connections)
            rows["forecast, one connection"] = load(base, token, options.seconds, 1, script=script)
            held = load(one, token, options.seconds, options.connections, headers=(f"If-None-Match: {tag}",))
            rows["the holder asks again (304)"] = held
        with Archive.open(home, database_url=options.database_url) as archive:
            receipts = archive.deliveries.count()
        with running(serve_constant, body) as port:
            rows["static ceiling"] = load(f"http://127.0.0.1:{port}/", token, options.seconds, options.connections)
    ceiling = rows["static ceiling"]["requests_per_s"]
    print(f"body {len(body):,} bytes; {receipts:,} receipts kept\n")
    print("| what | requests/s | of the ceiling | p50 | p99 |\n|---|---|---|---|---|")
    for what, row in rows.items():
        share = row["requests_per_s"] / ceiling
        print(f"| {what} | {row['requests_per_s']:,} | {share:.0%} | {row['p50_ms']:.2f} ms | {row['p99_ms']:.2f} ms |")
    if options.json:
        print(json.dumps({"body_bytes": len(body), "receipts": receipts, "rows": rows}))


if __name__ == "__main__":
    sys.exit(main())
