"""Connections that bring no request, or one without an end: each has its bound, and nobody else notices."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest

from skyproof.surfaces.api.slow_clients import BODY_S, HEAD_S, READING_S, SlowClients
from tests.surfaces.api.serving import serving

GOOD = b"GET /healthz HTTP/1.1\r\nHost: sky.test\r\n\r\n"


@pytest.fixture(scope="module")
def address(served) -> Iterator[tuple[str, int]]:
    with serving(served.archive) as url:
        where = urlsplit(url)
        yield where.hostname or "", where.port or 0


def exchange(address: tuple[str, int], *pieces: bytes) -> bytes:
    """Send pieces, as far as they are taken, and read to the end."""
    with socket.create_connection(address, timeout=60) as connection:
        got = b""
        try:
            for piece in pieces:
                connection.sendall(piece)
            while data := connection.recv(65536):
                got += data
        except ConnectionError:  # reset, because not all of it was read
            pass
        return got


def check_refused(answer: bytes, status: int, code: str) -> None:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"connection: close" in head
    problem = json.loads(body)
    assert (problem["status"], problem["code"]) == (status, code)


@pytest.mark.parametrize(
    "garbage",
    [b"\x16\x03\x01\x02\x00\x01\x00", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x00" * 100 + b"\r\n\r\n",
     b"GET /\xff HTTP/1.1\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
     b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"],
    ids=["TLS", "no address", "HTTP 9.9", "zeros", "not ASCII", "two lengths", "length and chunks"],
)  # fmt: skip
def test_what_is_no_http_is_a_problem_and_the_end(address, garbage):
    check_refused(exchange(address, garbage), 400, "http_error")


def test_a_head_without_an_end_is_refused_and_not_kept(address):
    line = b"X-Long: " + b"a" * 1000 + b"\r\n"
    answer = exchange(address, b"GET /healthz HTTP/1.1\r\n", *[line] * 1000)
    if answer:  # else it was reset while we sent on
        check_refused(answer, 431, "headers_too_large")
    address_line = exchange(address, b"GET /" + b"a" * 40_000, *[b"a" * 20_000] * 50)
    if address_line:
        check_refused(address_line, 431, "headers_too_large")


def test_garbage_behind_a_good_request_does_not_spoil_its_answer(address):
    answer = exchange(address, GOOD + b"\x00\x00\r\n\r\n")
    assert answer == b"" or answer.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 400 "))
    assert exchange(address, GOOD[:-2] + b"Connection: close\r\n\r\n").startswith(b"HTTP/1.1 200 ")


def test_who_goes_away_in_the_middle_of_a_body_is_no_fault_of_ours(served, address, caplog):
    token = served.tokens["acme"].encode()
    head = b"POST /v1/sites HTTP/1.1\r\nContent-Length: 1000\r\nAuthorization: Bearer " + token
    with socket.create_connection(address, timeout=60) as connection:
        connection.sendall(head + b"\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n\r\n{")
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")  # the body is being read
    assert exchange(address, GOOD[:-2] + b"Connection: close\r\n\r\n").startswith(b"HTTP/1.1 200 ")
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


class FakeConnection(SimpleNamespace):
    """What :class:`SlowClients` looks at."""

    def __hash__(self) -> int:
        return id(self)


def connection(cycle: Any = None, *, idle: bool = False, paused: bool = False, waiting: int = 0) -> FakeConnection:
    made = FakeConnection(
        cycle=cycle, scope={}, timeout_keep_alive_task=object() if idle else None, gone=False,
        flow=SimpleNamespace(write_paused=paused, read_paused=False),
    )  # fmt: skip
    made.transport = SimpleNamespace(
        abort=lambda: setattr(made, "gone", True), get_write_buffer_size=lambda: made.waiting
    )
    made.waiting = waiting
    return made


def cycle(*, more_body: bool = False, complete: bool = False) -> SimpleNamespace:
    return SimpleNamespace(more_body=more_body, response_complete=complete)


@pytest.mark.parametrize(
    ("slow", "limit_s"),
    [
        (connection(), HEAD_S),
        (connection(cycle(complete=True)), HEAD_S),
        (connection(cycle(more_body=True)), BODY_S),
        (connection(cycle(), paused=True, waiting=5), READING_S),
    ],
    ids=["no head", "no second head", "no body", "not read"],
)
def test_who_gets_nowhere_is_let_go_when_the_time_is_over(slow, limit_s):
    sweep = SlowClients()
    assert sweep.look([slow], 100.0) == 0
    assert sweep.look([slow], 100.0 + limit_s - 1) == 0
    assert not slow.gone
    assert sweep.look([slow], 100.0 + limit_s) == 1
    assert slow.gone


def test_who_moves_on_or_waits_for_us_stays():
    sweep, busy, idle, reading, next_one = (
        SlowClients(),
        connection(cycle()),
        connection(idle=True),
        connection(),
        connection(),
    )
    reading.flow.write_paused = True
    for second in range(200):
        reading.waiting = 1000 - second
        next_one.scope = {}  # a request after the other
        assert sweep.look([busy, idle, reading, next_one], float(second)) == 0
