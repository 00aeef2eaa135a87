"""Killed under load at any instant, the server has a durable receipt of every answer that anyone received."""

from __future__ import annotations

import hashlib
import http.client
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from skyproof.archive.archive import Archive
from skyproof.archive.health import check_archive
from skyproof.stages.deliver.desk import Desk
from skyproof.stages.deliver.requests import parse_request
from tests.surfaces.api.served import NOW, fill

ROOT = Path(__file__).parents[3]
CLIENTS = 6
#: At which of its commits the server kills itself (negative: just before it), or None: killed from outside.
ROUNDS = (None, -1, None, 3, -7, None)
SECONDS = 30


@dataclass
class Received:
    """One answer as a client got it; ``body`` is None where the connection broke inside it."""

    customer_id: str
    forecast_id: str
    body: bytes | None


@dataclass
class Load:
    """What all clients received, and the trigger that kills the server after some more answers.

    ``strange``: what no client may ever get; it ends the round.
    """

    answers: list[Received] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)
    unchanged: int = 0
    left: int = 0
    kill: Callable[[], None] = lambda: None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, answer: Received) -> None:
        with self.lock:
            self.answers.append(answer)
            self.left -= 1
            due = self.left == 0
        if due:
            self.kill()


class Server:
    """Starts workers in the child process, one after the other."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        self._child = child
        self.pid = 0

    def start(self, home: Path, commit: int) -> int:
        """Start a worker; returns its port."""
        assert self._child.stdin is not None
        self._child.stdin.write(f"{home} {commit}\n")
        self._child.stdin.flush()
        said = dict(self._line().split() for _ in range(2))
        self.pid = int(said["started"])
        return int(said["listening"])

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def end(self) -> None:
        """Wait until the worker is gone, which was killed."""
        assert self._line().split() == ["ended", str(-signal.SIGKILL)]
        self.pid = 0

    def _line(self) -> str:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        assert line, "the child ended"
        return line


@contextmanager
def server_for(database_url: str | None) -> Iterator[Server]:
    command = [sys.executable, "-m", "tests.surfaces.api.serving_child", database_url or ""]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment, cwd=ROOT
    ) as child:  # fmt: skip
        assert child.stdout is not None
        assert child.stdin is not None
        server = Server(child)
        try:
            assert child.stdout.readline() == "ready\n"
            yield server
        finally:
            if server.pid:
                server.kill()
            child.stdin.close()  # its loop ends with its input
            child.wait(timeout=SECONDS)


def client(port: int, customer_id: str, token: str, seed: int, load: Load) -> None:
    """Ask one thing after the other over one connection until it breaks."""
    chance, held = random.Random(seed), ""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        while True:
            path, headers = question(chance, customer_id, held)
            connection.request("GET", path, headers={"X-API-Key": token} | headers)
            response = connection.getresponse()
            if response.status not in {200, 304}:
                load.strange.append(f"{path}: {response.status} {response.read()!r}")
                load.kill()
                return
            held = response.headers["ETag"].strip('"')
            if response.status == 304:
                response.read()
                with load.lock:
                    load.unchanged += 1
                continue
            try:
                body = response.read()
            except (OSError, http.client.HTTPException):
                load.take(Received(customer_id, held, None))
                return
            load.take(Received(customer_id, held, body))
    except (OSError, http.client.HTTPException):
        return
    finally:
        connection.close()


def question(chance: random.Random, customer_id: str, held: str) -> tuple[str, dict[str, str]]:
    kind = chance.random()
    if held and kind < 0.15:
        return f"/v1/forecasts/{held}", {}
    if held and kind < 0.2:
        return f"/v1/forecasts/{held}", {"If-None-Match": f'"{held}"'}
    own = "acme-roof" if customer_id == "acme" else "bolt-farm"
    levels = ",".join(f"0.{chance.randrange(100, 999)}" for _ in range(chance.randrange(1, 4)))
    hourly = chance.choice(["temperature_2m", "temperature_2m,precipitation", "wind_speed_10m"])
    site, form = chance.choice(["zurich", own]), chance.choice(["json", "csv"])
    return f"/v1/forecast?site={site}&hourly={hourly}&format={form}&quantiles={levels}", {}


def check_receipts(archive: Archive, load: Load, most_in_flight: int) -> None:
    receipts = archive.deliveries.receipts()
    kept = Counter((receipt.customer_id, receipt.forecast_id) for receipt in receipts)
    received = Counter((answer.customer_id, answer.forecast_id) for answer in load.answers)
    assert received <= kept, f"answers without a receipt: {received - kept}"
    # A receipt without an answer is one that was under way when the server died.
    assert len(receipts) - len(load.answers) <= most_in_flight
    bodies = {(a.customer_id, a.forecast_id): a.body for a in load.answers if a.body is not None}
    assert all(a.body in (None, bodies.get((a.customer_id, a.forecast_id))) for a in load.answers)
    digests = {name: hashlib.sha256(body).hexdigest() for name, body in bodies.items()}
    for receipt in receipts:
        name = (receipt.customer_id, receipt.forecast_id)
        assert receipt.bytes_digest == digests.get(name, receipt.bytes_digest)


def check_rendered_again(archive: Archive) -> None:
    """The archive holds the bytes of each receipt, and another process gives its question the same name and bytes."""
    desk = Desk(archive)
    for receipt in archive.deliveries.receipts():
        body = archive.deliveries.body(receipt.forecast_id, customer_id=receipt.customer_id)[1]
        assert hashlib.sha256(body).hexdigest() == receipt.bytes_digest
        asked = [tuple(pair.split("=", 1)) for pair in receipt.canonical_request.split("&")]
        request = parse_request([*asked, ("run", receipt.run_id)])  # type: ignore[list-item]
        answer = desk.answer(desk.ask(receipt.customer_id, request, now=NOW))
        assert (answer.forecast_id, answer.bytes_digest) == (receipt.forecast_id, receipt.bytes_digest)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork to start servers quickly")
def test_every_answer_received_has_its_receipt_however_the_server_died(
    archive: Archive, reopen: Callable[[], Archive], database_url: str | None
) -> None:
    served, chance, load = fill(archive), random.Random(11), Load()
    with server_for(database_url) as server:
        for number, commit in enumerate(ROUNDS):
            port = server.start(archive.home, commit or 0)

            def kill(delay: float = chance.random() / 100) -> None:
                time.sleep(delay)  # so that it falls anywhere in the work of the others
                server.kill()

            load.left, load.kill = (0, server.kill) if commit else (chance.randrange(1, 200), kill)
            threads = [
                threading.Thread(target=client, args=(port, name, served.tokens[name], 100 * number + k, load))
                for k, name in enumerate(["acme", "bolt"] * (CLIENTS // 2))
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(SECONDS)
            assert not any(thread.is_alive() for thread in threads)
            assert not load.strange
            server.end()
            with reopen() as other:
                check_receipts(other, load, CLIENTS * (number + 1))
    assert len(load.answers) > 100
    assert {answer.customer_id for answer in load.answers} == {"acme", "bolt"}
    check_rendered_again(archive)
    assert check_archive(archive, minimum_free_bytes=0) == ()
