"""Many sites at once as Arrow: how fast values get from the run into a client's arrays."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlsplit

import numpy as np
from pyarrow import ipc

from benchmarks.api.load import Pids, processor_seconds
from benchmarks.api.served import VARIABLES

SITES, LEADS = 1000, 120
#: Clients at once, questions, and how often each is asked again.
_CLIENTS, _QUESTIONS, _TIMES = 2, 8, 20
#: Decoded values: sites x variables x leads doubles.
_MEGABYTES = SITES * len(VARIABLES) * LEADS * 8 / 1e6


@dataclass(frozen=True, slots=True)
class Batches:
    """Megabytes of decoded values a second, and the server's processor time for a batch in milliseconds."""

    first_mb_s: float
    again_mb_s: float
    first_processor_ms: float
    again_processor_ms: float
    body_bytes: int

    def sentence(self) -> str:
        """What was measured."""
        return (
            f"{SITES:,} sites x {len(VARIABLES)} variables x {LEADS} leads as Arrow ({self.body_bytes / 1e6:.1f} MB), from the "
            f"question to numpy arrays in {_CLIENTS} clients: {self.first_mb_s:,.0f} MB/s of values where nobody asked before "
            f"({self.first_processor_ms:.1f} ms of the server's processor time), {self.again_mb_s:,.0f} MB/s where somebody "
            f"did ({self.again_processor_ms:.1f} ms)."
        )


def measure_batches(base: str, token: str, pids: Pids) -> Batches:
    """Ask each question once, then again and again; a client asks one question after the other on one connection."""
    netloc = urlsplit(base).netloc

    def ask_all(shifts: Iterable[int]) -> int:
        connection = http.client.HTTPConnection(netloc)
        sizes = [_ask(connection, token, shift) for shift in shifts]
        connection.close()
        return sizes[-1]

    def measure(shifts: list[int]) -> tuple[float, float, int]:
        before, start = processor_seconds(pids()), time.perf_counter()
        (size, *_) = clients.map(ask_all, [shifts[number::_CLIENTS] for number in range(_CLIENTS)])
        elapsed, spent = time.perf_counter() - start, processor_seconds(pids()) - before
        return _MEGABYTES * len(shifts) / elapsed, spent / len(shifts) * 1e3, size

    with ThreadPoolExecutor(_CLIENTS) as clients:
        ask_all([0])  # the first question of all makes the server read the run
        questions = list(range(1, _QUESTIONS + 1))
        first, first_ms, size = measure(questions)
        again, again_ms, _ = measure(questions * _TIMES)
    return Batches(first, again, first_ms, again_ms, size)


def _ask(connection: http.client.HTTPConnection, token: str, shift: int) -> int:
    sites = ",".join(f"s{number}" for number in range(shift, shift + SITES))
    target = f"/v1/forecast?site={sites}&hourly={','.join(VARIABLES)}&forecast_hours={LEADS}&format=arrow"
    connection.request("GET", target, headers={"Authorization": f"Bearer {token}"})
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise SystemExit(f"a batch was refused: {body[:500]!r}")
    table = ipc.open_stream(body).read_all()
    columns = [table[name].to_numpy() for name in VARIABLES]
    if any(column.dtype != np.float64 or column.size != SITES * LEADS for column in columns):
        raise SystemExit("a batch is not what was asked for")
    return len(body)
