"""Killed at any instant, the archive has everything it acknowledged and nothing torn."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from archive_samples import VARIABLES, at, make_draft, make_receipt
from crash_child import cycles_of, grid, observations_of, scores_of, write_records

from skyproof.archive.archive import Archive
from skyproof.archive.health import check_archive, remove_orphans

HERE = Path(__file__).parent
#: Numbers of one round's records begin here times the round, so that no two rounds write the same.
STRIDE = 1000
KINDS = {"cycle", "observations", "release", "run", "scores", "receipt"}
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork to start workers quickly")


@contextmanager
def started_child(database_url: str | None) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, str(HERE / "crash_child.py"), database_url or ""]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE), *sys.path]), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as child:
        try:
            assert read_until(child, "ready") == []
            yield child
        finally:
            assert child.stdin is not None
            child.stdin.close()  # its loop ends with its input
            child.wait(timeout=30)


def read_until(child: subprocess.Popen[str], word: str) -> list[list[str]]:
    """Lines up to the one that begins with ``word``, which comes last unless it is alone."""
    assert child.stdout is not None
    lines: list[list[str]] = []
    for line in child.stdout:
        words = line.split()
        if words[0] == word:
            return [*lines, words] if len(words) > 1 else lines
        lines.append(words)
    raise AssertionError(f"the child ended before it said {word!r}: {lines}")


def order(
    child: subprocess.Popen[str], home: Path, start: int, *, step: int = 0, size: int = 0
) -> tuple[int, list[list[str]]]:
    """Let a worker go; returns its process id and what it said meanwhile."""
    assert child.stdin is not None
    child.stdin.write(f"{start} {step} {size} {home}\n")
    child.stdin.flush()
    *said, (_, pid) = read_until(child, "started")
    return int(pid), said


def wait_for_end(child: subprocess.Popen[str], said: list[list[str]]) -> tuple[int, list[list[str]]]:
    """The worker's exit code, and all it acknowledged."""
    *more, (_, exit_code) = read_until(child, "ended")
    return int(exit_code), [words for words in (*said, *more) if words != ["opened"]]


def kill_after(
    child: subprocess.Popen[str], home: Path, start: int, seconds: float, *, wait_for: str | None
) -> list[list[str]]:
    """Let a worker go, kill it after a while, and return what it acknowledged."""
    pid, said = order(child, home, start)
    if wait_for is not None and [wait_for] not in said:
        said += read_until(child, wait_for)
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    exit_code, said = wait_for_end(child, said)
    assert exit_code == -signal.SIGKILL
    return said


def check_acknowledged(archive: Archive, said: list[list[str]]) -> None:
    for kind, number_text, *rest in said:
        number = int(number_text)
        if kind == "cycle":
            position, digest = int(rest[0]), rest[1]
            batch = cycles_of(number)
            period = {"init_from": batch.init_times[position], "init_until": batch.init_times[position]}
            (cycle,) = archive.cycles.catalogue("alba", as_of=at(10**6), **period)
            data = archive.cycles.read(cycle, site_ids=batch.site_ids, variables=batch.variables)
            assert cycle.digest == digest
            np.testing.assert_array_equal(data.values, batch.values[position])
        elif kind == "observations":
            sites = np.unique(observations_of(number).site_ids).tolist()
            _, values = archive.observations.grid(
                variables=VARIABLES,
                site_ids=sites,
                valid_from=at(number),
                valid_until=at(number),
                step_hours=1,
                as_of=at(10**6),
            )
            assert (values == number % 97).all()
        elif kind == "release":
            assert archive.releases.content(archive.releases.find(rest[0])) == f"release {number}".encode() * 500
        elif kind == "run":
            check_run(archive, rest[0], number)
        elif kind == "scores":
            (day,) = [
                day
                for day in archive.scores.days("rel_0123456789abcdef", as_of=at(number))
                if day.scored_at == at(number)
            ]
            np.testing.assert_array_equal(archive.scores.read(day).sums, scores_of(number).sums)
        else:
            receipt = make_receipt(int(rest[0]), hour=number)
            assert archive.deliveries.body(receipt.forecast_id, customer_id="acme") == (receipt, b"%d" % number * 200)


def check_run(archive: Archive, run_id: str, number: int) -> None:
    values = archive.runs.open(archive.runs.find(run_id)).values()
    np.testing.assert_array_equal(values.quantiles, make_draft(number, grid=grid()).values.quantiles)


def check_nothing_torn(archive: Archive) -> None:
    findings = check_archive(archive, minimum_free_bytes=0)
    assert {finding.kind for finding in findings} <= {"orphan_object", "leftover_file"}, findings
    runs = archive.runs.between(issue_from=at(0), issue_until=at(10**6), as_of=at(10**6))
    if runs:
        assert archive.runs.newest(as_of=at(10**6)) == runs[-1]
        number = round((runs[-1].issue_time - at(0)) / timedelta(hours=1))
        check_run(archive, runs[-1].run_id, number)
    for cycle in archive.cycles.catalogue("alba", as_of=at(10**6)):
        data = archive.cycles.read(cycle, site_ids=("s0000",), variables=VARIABLES)
        assert not np.isnan(data.values).any()


def reopen_and_check(home: Path, database_url: str | None, said: list[list[str]], *, start: int) -> None:
    """Everything acknowledged is there, nothing is torn, and the work that was interrupted can be done again."""
    with Archive.open(home, database_url=database_url) as archive:
        check_acknowledged(archive, said)
        check_nothing_torn(archive)
        interrupted = max((int(words[1]) for words in said), default=start)
        for _ in write_records(archive, interrupted):
            pass
        check_acknowledged(archive, said)
        archive.sweep()
        remove_orphans(archive)
        assert check_archive(archive, minimum_free_bytes=0) == ()


@pytest.fixture
def rounds(empty_database_url: str | None) -> int:
    return 12 if empty_database_url is None else 6


@needs_fork
def test_killed_at_any_instant_it_keeps_what_it_acknowledged(
    tmp_path: Path, empty_database_url: str | None, rounds: int
) -> None:
    home, chance, database_url = tmp_path / "home", random.Random(20250101), empty_database_url
    counts: Counter[str] = Counter()
    with started_child(database_url) as child:
        for number in range(1, 10 * rounds + 1):
            # The first kills fall anywhere, also while the home is being made; the others while records are written, and
            # later if a slow machine had not come to every kind of record.
            wait_for = None if number <= 2 else "opened"
            longest = 0.2 * (1 + max(0, number - rounds))
            said = kill_after(child, home, number * STRIDE, chance.uniform(0.0, longest), wait_for=wait_for)
            counts.update(words[0] for words in said)
            reopen_and_check(home, database_url, said, start=number * STRIDE)
            if number >= rounds and counts.keys() >= KINDS:
                break
    assert counts.keys() >= KINDS, counts


@needs_fork
def test_killed_before_every_durable_step_it_keeps_what_it_acknowledged(
    tmp_path: Path, empty_database_url: str | None
) -> None:
    database_url = empty_database_url
    home, stride = tmp_path / "home", 1 if database_url is None else 3
    with started_child(database_url) as child:
        for step in range(1, 200, stride):
            _, said = order(child, home, step * STRIDE, step=step)
            exit_code, said = wait_for_end(child, said)
            reopen_and_check(home, database_url, said, start=step * STRIDE)
            if exit_code == 0:
                break
            assert exit_code == -signal.SIGKILL
    assert exit_code == 0, "the worker has more steps than this test looks at"
    assert step >= 20, "the worker has fewer steps than there are durable writes: they are not counted"
    assert {words[0] for words in said} == KINDS


@needs_fork
def test_killed_in_the_middle_of_a_write_it_keeps_what_it_acknowledged(
    tmp_path: Path, empty_database_url: str | None, rounds: int
) -> None:
    chance, database_url = random.Random(20250103), empty_database_url
    killed = 0
    with started_child(database_url) as child:
        for number in range(1, rounds // 2 + 1):
            # SQLite's file would soon be larger than any limit and the worker die at once: a new home every round.
            home = tmp_path / (f"home{number}" if database_url is None else "home")
            with Archive.open(home, database_url=database_url):
                pass
            _, said = order(child, home, number * STRIDE, size=chance.randrange(500, 200_000))
            exit_code, said = wait_for_end(child, said)
            killed += exit_code == -signal.SIGXFSZ
            reopen_and_check(home, database_url, said, start=number * STRIDE)
    assert killed >= rounds // 4
