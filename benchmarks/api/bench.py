"""The API under load, beside its peers and beside what its server can do at most; a table in Markdown.

    python -m benchmarks.api.bench [--workers 1 2] [--seconds 5] [--no-peers] [--json FILE]

Every row asks for one place: three variables, each a mean and four quantiles, at 240 hours: fifteen series. Our server
checks the key, counts the request and has a durable receipt before an answer leaves; the peers do nothing of the kind.
"Of the ceiling" compares with the same uvicorn, settings and processes around an application that answers a constant body of
the same size. Load comes from one thread of wrk on the same machine; the processor time is the server's alone, all its threads
and processes, and is hardly troubled by what else the machine does. Needs `wrk`, and `make .venv-peers/made` for the peers.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import shutil
import socket
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from urllib.parse import urlsplit

import xarray as xr

from benchmarks.api import peers
from benchmarks.api.batches import measure_batches
from benchmarks.api.load import Asking, Measured, Pids, at_rate, processor_seconds, saturate
from benchmarks.api.served import (
    ASKED_LEVELS,
    LEADS,
    SITES,
    VARIABLES,
    as_dataset,
    fill,
    make_values,
    serve_constant,
    serve_ours,
)
from skyproof.archive.archive import Archive
from skyproof.stages.deliver.columns import level_name

CEILING, PYGEOAPI = "static ceiling", "pygeoapi, EDR position, a random place"
_LEVELS = ",".join(map(str, ASKED_LEVELS))
_ASKED = f"hourly={','.join(VARIABLES)}&quantiles={_LEVELS}&forecast_hours="
_SERIES = ",".join(
    f"{name}{suffix}" for name in VARIABLES for suffix in ("", *(f"_{level_name(x)}" for x in ASKED_LEVELS))
)
#: A place in the grid's first row, between 8.0 and 8.9 degrees east.
_PLACE = "POINT(8.{}%2040)"
_CONNECTIONS, _PEER_CONNECTIONS = 64, 8
#: Of the open loop: fewer than one customer may have under way.
_OPEN_CONNECTIONS = 120


@dataclass
class Row:
    """A line of the table; ``body_bytes`` None where bodies differ."""

    what: str
    workers: int
    measured: Measured
    body_bytes: int | None = None


@dataclass
class Bench:
    """What all measurements share."""

    seconds: float
    rows: list[Row] = field(default_factory=list)

    def add(
        self, what: str, workers: int, asking: Asking, pids: Pids, *,
        connections: int = _CONNECTIONS, warm_s: float = 1.0, body_bytes: int | None = None,
    ) -> Measured:  # fmt: skip
        """Measure one row, after a moment of the same load that does not count."""
        if warm_s:
            saturate(asking, pids, seconds=warm_s, connections=connections)
        measured = saturate(asking, pids, seconds=self.seconds, connections=connections)
        return self.keep(Row(what, workers, measured, body_bytes))

    def keep(self, row: Row) -> Measured:
        """Put a row into the table, and say so."""
        self.rows.append(row)
        print(f"  {row.what}: {row.measured.per_s:,.0f}/s", file=sys.stderr)
        return row.measured

    def rate(self, what: str, workers: int) -> float | None:
        """Answers a second of a row."""
        found = (row.measured.per_s for row in self.rows if (row.what, row.workers) == (what, workers))
        return next(found, None)


def main() -> None:
    """Serve, load, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="processes of each server")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each row")
    parser.add_argument("--peers", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--database-url", default=os.environ.get("SKYPROOF_BENCH_DATABASE"), help="default: SQLite")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("this benchmark needs wrk on the path (Debian: apt-get install wrk)")
    if options.peers and not peers.ENVIRONMENT.exists():
        raise SystemExit("the peers are not installed: make .venv-peers/made, or leave them out with --no-peers")
    bench, values = Bench(options.seconds), make_values()
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        with Archive.open(home, database_url=options.database_url) as archive:
            token = fill(archive, values)
        for workers in options.workers:
            if options.peers:
                measure_peers(bench, as_dataset(values), home, workers)
            body = measure_ours(bench, home, options.database_url, token, workers)
            with processes(workers, serve_constant, body) as (base, pids):
                bench.add(CEILING, workers, Asking(base, f"/?site=s{{}}&{_ASKED}", SITES), pids, body_bytes=len(body))
        with processes(1, serve_ours, home, options.database_url) as (base, pids):
            batches = measure_batches(base, token, pids)
        with Archive.open(home, database_url=options.database_url) as archive:
            receipts = archive.deliveries.count()
    print(table(bench), f"\n{receipts:,} receipts kept.", batches.sentence(), sep="\n")
    if options.json:
        figures = {"rows": [asdict(row) for row in bench.rows], "receipts": receipts, "batches": asdict(batches)}
        options.json.write_text(json.dumps(figures, indent=1))


def measure_ours(bench: Bench, home: Path, database_url: str | None, token: str, workers: int) -> bytes:
    """Our rows; returns a body."""
    key = f"Authorization: Bearer {token}"
    site = f"/v1/forecast?site=s{{}}&{_ASKED}{LEADS}"
    # A thousand sites x a hundred lengths: hardly a question comes twice.
    fresh = f"/v1/forecast?site=s1{{}}{{}}{{}}&{_ASKED}1{{}}{{}}"
    edr = f"/edr/collections/skyproof/position?coords={_PLACE}&parameter-name={_SERIES}"
    with processes(workers, serve_ours, home, database_url) as (base, pids):
        random_site, one = Asking(base, site, SITES, (key,)), Asking(base, site, 1, (key,))
        body, tag = get(base + site.replace("{}", "0"), token)
        size = len(body)
        # Long enough that every process has met every site.
        known = bench.add("forecast, a random site", workers, random_site, pids, warm_s=6, body_bytes=size)
        rate = known.per_s / 2
        at_half = at_rate(random_site, pids, per_s=rate, seconds=2 * bench.seconds, connections=_OPEN_CONNECTIONS)
        bench.keep(Row("the same at half that rate", workers, at_half, size))
        bench.add("forecast, the same site", workers, one, pids, body_bytes=size)
        held = Asking(base, site, 1, (key, f"If-None-Match: {tag}"))
        bench.add("the holder asks again (304)", workers, held, pids, body_bytes=0)
        bench.add("forecast of 100 to 199 h, hardly one asked before", workers, Asking(base, fresh, 10, (key,)), pids)
        edr_size = len(get(base + edr.replace("{}", "25"), token)[0])
        bench.add("EDR position, a random place", workers, Asking(base, edr, 1000, (key,)), pids, body_bytes=edr_size)
        if workers == 1:
            bench.add(
                "forecast, a random site, one connection", workers, random_site, pids, connections=1, body_bytes=size
            )
    return body


def measure_peers(bench: Bench, data: xr.Dataset, home: Path, workers: int) -> None:
    """The peers' rows: the same places, all fifteen series of them."""
    with peers.pygeoapi(data, home, _free_port(), workers) as (address, pids):
        _add_peer(bench, PYGEOAPI, workers, address, pids)
    with peers.xpublish(data, home, _free_port(), workers) as (address, pids):
        _add_peer(bench, "xpublish-edr, position, a random place", workers, address, pids)


def _add_peer(bench: Bench, what: str, workers: int, address: str, pids: Pids) -> None:
    parts = urlsplit(address)
    base, target = f"http://{parts.netloc}", f"{parts.path}?{parts.query}{_PLACE}"
    body, _ = get(base + target.replace("{}", "25"))
    assert len(json.loads(body)["ranges"]) == len(_SERIES.split(","))
    asking = Asking(base, target, 1000)
    bench.add(what, workers, asking, pids, connections=_PEER_CONNECTIONS, body_bytes=len(body))


def table(bench: Bench) -> str:
    """All rows in Markdown."""
    lines = [
        "| workers | what | requests/s | of the ceiling | times pygeoapi | p50, ms | p99, ms | processor time, us | body, kB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in bench.rows:
        ceiling, peer = bench.rate(CEILING, row.workers), bench.rate(PYGEOAPI, row.workers)
        measured, size = row.measured, row.body_bytes
        cells = [
            str(row.workers),
            row.what,
            f"{measured.per_s:,.0f}",
            f"{measured.per_s / ceiling:.0%}" if ceiling else "",
            f"{measured.per_s / peer:,.0f}" if peer else "",
            f"{measured.p50_ms:.2f}",
            f"{measured.p99_ms:.1f}",
            f"{measured.processor_us:,.0f}",
            "" if size is None else f"{size / 1000:.1f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


@contextlib.contextmanager
def processes(count: int, target: Callable[..., None], *arguments: object) -> Iterator[tuple[str, Pids]]:
    """Server processes on one socket, as ``skyproof serve --workers`` has them: their address, and their ids."""
    context = multiprocessing.get_context("spawn")
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        started = [context.Process(target=target, args=(*arguments, listener)) for _ in range(count)]
        for process in started:
            process.start()

        def pids() -> list[int]:
            return [process.pid for process in started if process.pid is not None]

        try:
            _wait_for(address, started, pids)
            yield address, pids
        finally:
            for process in started:
                process.terminate()
            for process in started:
                process.join()


def _wait_for(address: str, started: list[BaseProcess], pids: Pids) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and all(process.is_alive() for process in started):
        # One of them answers: all have started when none has anything to do any more.
        used = processor_seconds(pids())
        time.sleep(0.5)
        with contextlib.suppress(OSError):
            get(f"{address}/healthz")
            if processor_seconds(pids()) - used < 0.05:
                return
    raise SystemExit("a server did not start")


def get(address: str, token: str = "") -> tuple[bytes, str]:
    """A body and its ETag."""
    request = urllib.request.Request(address, headers={"Authorization": f"Bearer {token}"} if token else {})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.read(), answer.headers.get("ETag", "")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
