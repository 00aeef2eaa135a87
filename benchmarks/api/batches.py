"""Many sites at once as Arrow: how fast values get from the run into a client's arrays."""

from __future__ import annotations

import http.client
import time
from dataclasses import dataclass
from statistics import median
from urllib.parse import urlsplit

import numpy as np
from pyarrow import ipc

from benchmarks.api.load import Pids, processor_seconds
from benchmarks.api.served import VARIABLES

SITES, LEADS = 1000, 120
_REPEATS = 15
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
            f"question to numpy arrays in the client: {self.first_mb_s:,.0f} MB/s of values where nobody asked before "
            f"({self.first_processor_ms:.1f} ms of the server's processor time), {self.again_mb_s:,.0f} MB/s where somebody "
            f"did ({self.again_processor_ms:.1f} ms)."
        )


def measure_batches(base: str, token: str, pids: Pids) -> Batches:
    """Ask for batches one after the other on one connection, each question first once, then again."""
    connection = http.client.HTTPConnection(urlsplit(base).netloc)
    taken: dict[bool, list[float]] = {True: [], False: []}
    used: dict[bool, list[float]] = {True: [], False: []}
    size = 0
    for shift in range(_REPEATS + 1):
        for is_first in (True, False):
            before, start = processor_seconds(pids()), time.perf_counter()
            size = _ask(connection, token, shift)
            elapsed, spent = time.perf_counter() - start, processor_seconds(pids()) - before
            if shift:  # the first question of all makes the server read the run
                taken[is_first].append(elapsed)
                used[is_first].append(spent)
    connection.close()
    first, again = (_MEGABYTES / median(taken[which]) for which in (True, False))
    return Batches(first, again, median(used[True]) * 1e3, median(used[False]) * 1e3, size)


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
