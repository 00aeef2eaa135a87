"""A process to be killed: builds the tiny planet in the folder of its argument.

Reads orders from standard input, one a line, forks a worker for each and says how it ended. An order is two numbers:
before which of its durable steps (fsync, replace) the worker kills itself, and the file size at which the kernel kills it
in the middle of a write. Zero means never.
"""

from __future__ import annotations

import itertools
import os
import pathlib
import resource
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from skyproof.stages.sandbox.planet import build_planet
from skyproof.stages.sandbox.profiles import find_profile


def die_before(step: int) -> None:
    count = itertools.count(1)

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            if next(count) == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments)

        return call

    os.fsync = counted(os.fsync)
    pathlib.Path.replace = counted(pathlib.Path.replace)  # type: ignore[method-assign]


def die_in_the_write_beyond(size: int) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def work(folder: pathlib.Path, step: int, size: int) -> None:
    if step:
        die_before(step)
    if size:
        die_in_the_write_beyond(size)
    build_planet(folder, replace(find_profile("small"), name="tiny", days=10, learn_days=6, places=4), seed=1)


if __name__ == "__main__":
    for line in sys.stdin:
        worker = os.fork()
        if not worker:
            work(pathlib.Path(sys.argv[1]), *map(int, line.split()))
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]), flush=True)
