"""Ended, reloaded or with a worker killed, a server loses no request that it took, and gives no half an answer."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from skyproof.archive.archive import Archive
from tests.surfaces.api.server_processes import Callers, ask, fill_home, needs_proc, serving_home, wait_until


def receipts_in(home: Path) -> int:
    with Archive.open(home) as archive:
        return archive.deliveries.count()


def check_whole(callers: Callers, right: bytes) -> None:
    """Every answer is the right one to the byte."""
    assert {status for status, _ in callers.answers} == {200}
    assert {body for _, body in callers.answers} == {right}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_told_to_end_it_answers_everyone_it_took_and_exits_with_zero(tmp_path: Path, number: int) -> None:
    home = tmp_path / "home"
    tokens = fill_home(home)
    with serving_home(home, log=tmp_path / "log") as server:
        assert ask(server.port, "/readyz") == (200, b'{"status":"ready"}')
        callers = Callers(server.port, tokens["acme"])
        right = ask(server.port, callers.path, callers.token)[1]
        with callers:
            callers.wait_for(300)
            assert server.end(number) == 0
            # Nobody has to be told to stop: all were answered, told that the connection closes, and then refused.
        assert callers.refused + len(callers.broken) == callers.count
    # A connection the kernel made in the very microsecond of closing was taken by nobody.
    assert len(callers.broken) <= 1, callers.broken
    assert all("after 0 answers" in each for each in callers.broken)
    assert callers.closing >= callers.count - 1
    check_whole(callers, right)
    assert receipts_in(home) == len(callers.answers) + 1
    assert "rror" not in (tmp_path / "log").read_text()


@needs_proc
def test_reloaded_or_with_a_worker_killed_two_workers_go_on(tmp_path: Path) -> None:
    home = tmp_path / "home"
    tokens = fill_home(home)
    with serving_home(home, "--workers", "2", log=tmp_path / "log") as server:
        callers = Callers(server.port, tokens["acme"])
        right = ask(server.port, callers.path, callers.token)[1]
        with callers:
            callers.wait_for(100)
            wait_until(lambda: len(server.workers()) == 2)
            old = set(server.workers())
            server.tell(signal.SIGHUP)
            wait_until(lambda: len(server.workers()) == 2 and not old & set(server.workers()))
            callers.wait_for(100)
            assert (callers.refused, callers.broken) == (0, [])
            killed = server.workers()[0]
            os.kill(killed, signal.SIGKILL)
            wait_until(lambda: len(server.workers()) == 2 and killed not in server.workers())
            callers.wait_for(100)
            assert callers.refused == 0
            lost = len(callers.broken)
            assert lost <= callers.count
            assert server.end() == 0
        assert len(callers.broken) <= lost + 1
    check_whole(callers, right)
    # The killed worker may have written receipts of answers that nobody got; the others wrote exactly what they gave.
    assert 0 <= receipts_in(home) - (len(callers.answers) + 1) <= lost
