"""Load on a server: as much as it takes (wrk), or so much a second whether it keeps up or not (an open loop)."""

from __future__ import annotations

import asyncio
import random
import re
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import uvloop

Pids = Callable[[], list[int]]

_PLACE = re.compile(r"\{\}")
_SCALE = {"us": 1e-3, "ms": 1.0, "s": 1e3}


@dataclass(frozen=True, slots=True)
class Asking:
    """What is asked: an address in which each ``{}`` stands for a random number below ``choices``, and headers."""

    base: str
    target: str
    choices: int = 1
    headers: tuple[str, ...] = ()

    def script(self) -> str:
        """The same for wrk, in Lua."""
        target = self.target.replace("{}", f'" .. math.random(0, {self.choices - 1}) .. "')
        return f'request = function()\n  return wrk.format("GET", "{target}")\nend\n'


@dataclass(frozen=True, slots=True)
class Measured:
    """Answers a second, latency in milliseconds, and the server's processor time for an answer in microseconds."""

    per_s: float
    p50_ms: float
    p99_ms: float
    processor_us: float


def saturate(asking: Asking, pids: Pids, *, seconds: float, connections: int) -> Measured:
    """As many requests as so many connections of wrk get answered; errors end the benchmark."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "30s", "--latency"]
    for header in asking.headers:
        command += ["-H", header]
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(asking.script())
        file.flush()
        before = processor_seconds(pids())
        said = subprocess.run(
            [*command, "-s", file.name, asking.base], capture_output=True, text=True, check=True
        ).stdout
        used = processor_seconds(pids()) - before
    count = int(re.search(r"(\d+) requests in", said)[1])
    # A 304 is none to wrk: it is what was asked for where a condition was sent.
    if count == 0 or ("Non-2xx" in said and not any(header.startswith("If-None-Match") for header in asking.headers)):
        raise SystemExit(f"some answers were errors, or there was none:\n{said}")
    p50, p99 = (re.search(rf"{share}%\s+([\d.]+)(us|ms|s)", said).groups() for share in (50, 99))
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])
    return Measured(rate, float(p50[0]) * _SCALE[p50[1]], float(p99[0]) * _SCALE[p99[1]], used / count * 1e6)


def at_rate(asking: Asking, pids: Pids, *, per_s: float, seconds: float, connections: int) -> Measured:
    """Requests at random instants, ``per_s`` on average, each counted from the instant it was due.

    So a server that stops for a moment pays for all that were due meanwhile; wrk, which waits for answers, would ask less.
    """
    before = processor_seconds(pids())
    taken = uvloop.run(_OpenLoop(asking).run(per_s, seconds, connections))
    used = processor_seconds(pids()) - before
    ordered = sorted(taken)
    p50, p99 = (ordered[int(len(ordered) * share)] * 1e3 for share in (0.5, 0.99))
    return Measured(len(ordered) / seconds, p50, p99, used / len(ordered) * 1e6)


def processor_seconds(pids: list[int]) -> float:
    """Processor time that processes have used, all their threads together."""
    total = 0
    for pid in pids:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            try:
                total += int((thread / "schedstat").read_text().split()[0])
            except FileNotFoundError:  # a thread that ended meanwhile
                continue
    return total / 1e9


class _Connection(asyncio.Protocol):
    """One connection that asks again and again; its answers all have a length."""

    def __init__(self, done: Callable[[_Connection], None]) -> None:
        self._done = done
        self._held = b""
        self.due = 0.0
        self.taken: list[float] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def ask(self, due: float, request: bytes) -> None:
        self.due = due
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._held += data
        end = self._held.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._held[:end].lower()
        length = int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        if len(self._held) < end + 4 + length:
            return
        if not head.startswith(b"http/1.1 200"):
            raise SystemExit(f"an answer was an error: {self._held[:500]!r}")
        self._held = b""
        self.taken.append(time.perf_counter() - self.due)
        self._done(self)


class _OpenLoop:
    """Requests that are due, and connections that are free to ask them."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking
        self._parts = urlsplit(asking.base)
        self._head = "".join(f"{each}\r\n" for each in (f"Host: {self._parts.netloc}", *asking.headers))
        self._chance = random.Random(1)
        self._waiting: deque[float] = deque()
        # Taken in turn: one left lying for seconds would be closed by the server.
        self._idle: deque[_Connection] = deque()

    async def run(self, per_s: float, seconds: float, connections: int) -> list[float]:
        """Seconds that each answer took from the instant it was due."""
        loop = asyncio.get_running_loop()
        made = [
            await loop.create_connection(lambda: _Connection(self._free), self._parts.hostname, self._parts.port)
            for _ in range(connections)
        ]
        self._idle.extend(protocol for _, protocol in made)
        await asyncio.to_thread(self._pace, loop, per_s, seconds)
        while self._waiting or len(self._idle) < connections:
            await asyncio.sleep(0.01)
        for transport, _ in made:
            transport.close()
        return [taken for _, protocol in made for taken in protocol.taken]

    def _pace(self, loop: asyncio.AbstractEventLoop, per_s: float, seconds: float) -> None:
        # In a thread, because an event loop's timers come only once a millisecond.
        due = time.perf_counter()
        ends = due + seconds
        while due < ends:
            due += self._chance.expovariate(per_s)
            time.sleep(max(due - time.perf_counter(), 0.0))
            loop.call_soon_threadsafe(self._ask, due)

    def _ask(self, due: float) -> None:
        if not self._idle:
            self._waiting.append(due)
            return
        target = _PLACE.sub(lambda _: str(self._chance.randrange(self._asking.choices)), self._asking.target)
        self._idle.popleft().ask(due, f"GET {target} HTTP/1.1\r\n{self._head}\r\n".encode())

    def _free(self, connection: _Connection) -> None:
        self._idle.append(connection)
        if self._waiting:
            self._ask(self._waiting.popleft())
