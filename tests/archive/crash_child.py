"""A process to be killed: writes to an archive and says what was acknowledged.

Reads orders from standard input, one a line, and forks a worker for each. An order is three numbers and the home: where
the worker numbers its records from; before which of its durable steps (fsync, link, unlink, commit) it kills itself; and
the file size at which the kernel kills it in the middle of a write. Zero means never. A worker that is to kill itself writes one
record of each kind, any other writes until it is killed. Lines are written with one system call each and are shorter than
a pipe's atomic write, so none is ever torn.
"""

from __future__ import annotations

import itertools
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from archive_samples import (
    OK,
    VARIABLES,
    at,
    make_cycles,
    make_draft,
    make_grid,
    make_observations,
    make_receipt,
    make_scores,
)
from sqlalchemy.engine.default import DefaultDialect

from skyproof.archive.archive import Archive
from skyproof.domain.cycles import CycleBatch, ObservationBatch
from skyproof.domain.forecasts import ForecastGrid
from skyproof.domain.scores import DayScores


def cycles_of(number: int) -> CycleBatch:
    return make_cycles(number, init_hours=(number, number + 0.5), sites=8, members=4)


def observations_of(number: int) -> ObservationBatch:
    rows = [(f"s{site}", name, number, number + 1, float(number % 97)) for site in range(20) for name in VARIABLES]
    return make_observations(rows)


def scores_of(number: int) -> DayScores:
    return make_scores(number)


def grid() -> ForecastGrid:
    return make_grid(30, VARIABLES, tuple(range(6, 121, 6)))


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def die_before(step: int) -> None:
    """Kill this process just before its ``step``-th durable step."""
    count = itertools.count(1)

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            if next(count) == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **named)

        return call

    for name in ("fsync", "link", "unlink"):
        setattr(os, name, counted(getattr(os, name)))
    DefaultDialect.do_commit = counted(DefaultDialect.do_commit)  # type: ignore[method-assign]


def die_in_the_write_beyond(size: int) -> None:
    """Have the kernel kill this process when a file it writes grows beyond ``size`` bytes: the write is torn there."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def write_records(archive: Archive, number: int) -> Iterator[tuple[object, ...]]:
    """Write one record of each kind but receipts; yields what is acknowledged as it is."""
    for cycle in archive.cycles.append(cycles_of(number), [OK, OK], recorded_at=at(number)):
        yield "cycle", number, cycle.position, cycle.digest
    batch = observations_of(number)
    archive.observations.append(batch, np.full(len(batch), "", dtype="U1"))
    yield "observations", number
    release = archive.releases.add(
        f"release {number}".encode() * 500,
        created_at=at(number),
        trained_from=at(0),
        trained_until=at(number),
        sources=("alba",),
        card={"number": number},
    )
    yield "release", number, release.release_id
    run = archive.runs.publish(make_draft(number, issue_hour=number, grid=grid()))
    yield "run", number, run.run_id
    archive.scores.add(scores_of(number), scored_at=at(number))
    yield "scores", number


def work(home: Path, database_url: str | None, start: int, *, once: bool) -> None:
    with Archive.open(home, database_url=database_url) as archive, archive.deliveries.start_writer() as writer:
        say("opened")
        for number in [start] if once else itertools.count(start):
            for words in write_records(archive, number):
                say(*words)
            futures = [
                writer.record(make_receipt(number * 10 + k, hour=number), b"%d" % number * 200) for k in range(5)
            ]
            for k, future in enumerate(futures):
                future.result()
                say("receipt", number, number * 10 + k)


def main() -> None:
    database_url = sys.argv[1] or None
    say("ready")
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            start, step, size = map(int, line.split()[:3])
            if step:
                die_before(step)
            if size:
                die_in_the_write_beyond(size)
            work(Path(line.split()[3]), database_url, start, once=bool(step or size))
            os._exit(0)
        say("started", pid)
        _, status = os.waitpid(pid, 0)
        say("ended", os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
