"""Servers as an operator runs them, ``skyproof serve`` in processes of their own, and callers that never stop asking."""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from skyproof.archive.archive import Archive
from skyproof.domain.accounts import SCOPES
from skyproof.stages.deliver.keys import new_key
from tests.surfaces.api.served import fill

ROOT = Path(__file__).parents[3]
#: Longer than anything here takes on a busy machine.
PATIENCE_S = 90
SETTINGS = """
plans:
  standard: {requests_per_minute: 100000000, requests_per_day: 100000000, sites: 100, portfolios: 10, webhooks: 10}
"""
ASKED = "/v1/forecast?site=zurich&hourly=temperature_2m&quantiles=0.1,0.5,0.9"

needs_proc = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds worker processes by /proc")


def fill_home(home: Path, database_url: str | None = None) -> dict[str, str]:
    """The usual archive with keys that open today; returns their tokens by customer."""
    with Archive.open(home, database_url=database_url) as archive:
        fill(archive)
        tokens = {}
        for customer_id in ("acme", "bolt"):
            tokens[customer_id], key = new_key(customer_id, created_at=datetime.now(UTC), scopes=tuple(SCOPES))
            archive.customers.add_key(key)
    (home / "skyproof.yaml").write_text(SETTINGS)
    return tokens


@dataclass
class Serving:
    """A running ``skyproof serve``."""

    process: subprocess.Popen[str]
    port: int

    def workers(self) -> list[int]:
        """Process ids of its workers."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        found = []
        for child in children:
            with suppress(OSError):  # it ended meanwhile
                if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                    found.append(int(child))
        return found

    def tell(self, number: int) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def end(self, number: int = signal.SIGTERM) -> int:
        """Tell it to end; returns its exit code."""
        self.tell(number)
        return self.process.wait(PATIENCE_S)


@contextmanager
def serving_home(home: Path, *options: str, log: Path, **environment: str) -> Iterator[Serving]:
    """``skyproof serve`` on a free port, answering; killed with its workers if it still runs when the block ends."""
    command = [sys.executable, "-m", "skyproof", "--home", str(home), "serve", "--port", "0", "--no-console", *options]
    known = (
        os.environ
        | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), *sys.path]), "OMP_NUM_THREADS": "1"}
        | environment
    )
    with log.open("w") as said, subprocess.Popen(command, stderr=said, text=True, env=known, cwd=ROOT) as process:
        serving = Serving(process, 0)
        workers: list[int] = []
        try:
            wait_until(lambda: "serving on" in log.read_text() or process.poll() is not None)
            found = re.search(r"serving on http://[^:]+:(\d+)/", log.read_text())
            assert found, log.read_text()
            serving.port = int(found[1])
            ask(serving.port, "/healthz")
            yield serving
        finally:
            if process.poll() is None:
                with suppress(OSError):
                    workers = serving.workers()
                process.kill()
                for pid in workers:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)


def ask(port: int, path: str, token: str = "", **headers: str) -> tuple[int, bytes]:
    """One request over a connection of its own: status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.request("GET", path, headers=({"X-API-Key": token} if token else {}) | headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait for something that happens soon."""
    ends = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < ends, "it never happened"
        time.sleep(0.02)


@dataclass
class Callers:
    """Threads that ask one thing after the other over kept-alive connections until told to stop, or refused.

    ``refused``: connections nobody took. ``broken``: requests sent on a connection that then ended without a whole answer.
    """

    port: int
    token: str
    path: str = ASKED
    count: int = 6
    answers: list[tuple[int, bytes]] = field(default_factory=list)
    closing: int = 0
    refused: int = 0
    broken: list[str] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Callers:
        self.threads = [threading.Thread(target=self._run) for _ in range(self.count)]
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        for thread in self.threads:
            thread.join(PATIENCE_S)
        assert not any(thread.is_alive() for thread in self.threads)

    def wait_for(self, more: int) -> None:
        """Wait until so many more answers came."""
        wanted = len(self.answers) + more
        wait_until(lambda: len(self.answers) >= wanted or not any(thread.is_alive() for thread in self.threads))

    def _run(self) -> None:
        while not self.stopping.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
            try:
                connection.connect()
            except OSError:
                self.refused += 1
                return
            self._ask_on(connection)
            connection.close()

    def _ask_on(self, connection: http.client.HTTPConnection) -> None:
        done = 0
        try:
            while not self.stopping.is_set():
                connection.request("GET", self.path, headers={"Authorization": f"Bearer {self.token}"})
                response = connection.getresponse()
                body = response.read()
                self.answers.append((response.status, body))
                done += 1
                if response.will_close:
                    self.closing += 1
                    return
        except (OSError, http.client.HTTPException) as error:
            self.broken.append(f"{error!r} after {done} answers")
