"""A server to be killed: serves a home until something kills it, and says where it listens and how it ended.

Reads orders from standard input, one a line, and forks a worker for each, because a fork needs no imports. An order is the
home and the commit at which the worker kills itself: ``-3`` just before its third, ``3`` just after its third, ``0`` never.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
from pathlib import Path
from typing import Any

from sqlalchemy.engine.default import DefaultDialect

from skyproof.archive.archive import Archive
from skyproof.cycle.clock import FixedClock
from skyproof.surfaces.api.app import create_app
from skyproof.surfaces.api.server import listen, run_app
from tests.surfaces.api.served import NOW


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def die_at(commit: int) -> None:
    """Kill this process around its ``commit``-th commit."""
    count, commit_now = itertools.count(1), DefaultDialect.do_commit

    def counted(self: DefaultDialect, *arguments: Any) -> None:
        number = next(count)
        if number == -commit:
            os.kill(os.getpid(), signal.SIGKILL)
        commit_now(self, *arguments)
        if number == commit:
            os.kill(os.getpid(), signal.SIGKILL)

    DefaultDialect.do_commit = counted  # type: ignore[method-assign]


def work(home: Path, database_url: str | None, commit: int) -> None:
    with Archive.open(home, database_url=database_url) as archive, listen("127.0.0.1", 0) as listener:
        if commit:
            die_at(commit)
        say("listening", listener.getsockname()[1])
        run_app(create_app(archive, clock=FixedClock(NOW)), listener)


def main() -> None:
    database_url = sys.argv[1] or None
    say("ready")
    for line in sys.stdin:
        home, commit = line.rsplit(maxsplit=1)
        pid = os.fork()
        if pid == 0:
            work(Path(home), database_url, int(commit))
            os._exit(0)
        say("started", pid)
        _, status = os.waitpid(pid, 0)
        say("ended", os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
