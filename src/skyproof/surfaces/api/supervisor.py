"""Several processes that answer on one socket: started, watched, replaced one at a time, ended together.

SIGTERM and SIGINT end all, each worker finishing its requests. SIGHUP replaces one worker after the other by a fresh one, which
is answering before the old one stops. A worker that dies or gives no sign of life is replaced.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import FrameType

from skyproof.domain.errors import StoreUnavailableError

logger = logging.getLogger(__name__)

Target = Callable[[socket.socket, Connection], None]

#: A worker that says nothing for so long hangs, in seconds. One that starts imports and opens first.
HANGING_S = 30.0
STARTING_S = 120.0
#: The longest a worker may take to end: it finishes what is under way, and writes what waits.
ENDING_S = 40.0
#: Between two starts of a worker that does not come up.
PAUSE_S = 1.0
_ENDING = (signal.SIGINT, signal.SIGTERM)
_RELOAD = getattr(signal, "SIGHUP", None)


@dataclass
class _Worker:
    process: BaseProcess
    link: Connection
    heard: float
    is_ready: bool = False


class Supervisor:
    """Runs workers until told to end."""

    def __init__(self, target: Target, listener: socket.socket, *, workers: int) -> None:
        """Make a supervisor.

        Args:
            target: what a worker runs, with the listener and a connection on which it sends a byte a second once it can answer; a
                function of a module, because workers are fresh processes.
            listener: the listening socket, closed when all end.
            workers: how many.
        """
        self._target = target
        self._listener = listener
        self._count = workers
        self._workers: list[_Worker] = []
        self._signals: deque[int] = deque()
        self._is_ending = self._wants_reload = False
        self._was_ready = False
        self._wake: socket.socket | None = None
        self._context = multiprocessing.get_context("spawn")

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT.

        Raises:
            StoreUnavailableError: no worker ever came up.
        """
        with self._listening_to_signals():
            try:
                self._workers = [self._start() for _ in range(self._count)]
                while not self._is_ending:
                    self._look(1.0)
                    self._replace_dead()
                    if self._wants_reload:
                        self._reload()
            finally:
                self._end()

    def _start(self) -> _Worker:
        mine, theirs = self._context.Pipe(duplex=False)
        process = self._context.Process(target=self._target, args=(self._listener, theirs))
        process.start()
        theirs.close()
        return _Worker(process, mine, time.monotonic())

    def _look(self, timeout: float) -> None:
        """Wait until something happens, and take note of it."""
        by_link = {worker.link: worker for worker in self._workers}
        assert self._wake is not None
        waiting: list[Connection | socket.socket | int] = [
            self._wake,
            *by_link,
            *(worker.process.sentinel for worker in self._workers),
        ]
        for each in wait(waiting, timeout):
            if each is self._wake:
                self._wake.recv(1024)
            elif isinstance(each, Connection):
                with contextlib.suppress(EOFError, OSError):
                    while each.poll():
                        each.recv_bytes()
                        by_link[each].heard, by_link[each].is_ready = time.monotonic(), True
                        self._was_ready = True
        while self._signals and not self._is_ending:
            number = self._signals.popleft()
            self._is_ending = number in _ENDING
            self._wants_reload = self._wants_reload or number == _RELOAD

    def _replace_dead(self) -> None:
        for place, worker in enumerate(self._workers):
            if self._is_ending:
                return
            quiet_s = time.monotonic() - worker.heard
            if worker.process.is_alive() and quiet_s > (HANGING_S if worker.is_ready else STARTING_S):
                logger.error("worker %s gave no sign of life for %.0f s and is killed", worker.process.pid, quiet_s)
                worker.process.kill()
                worker.process.join()
            if worker.process.is_alive():
                continue
            logger.error("worker %s ended with %s and is replaced", worker.process.pid, worker.process.exitcode)
            if not worker.is_ready:
                if not self._was_ready:
                    raise StoreUnavailableError("no worker could start", hint="see the log; skyproof doctor tells more")
                time.sleep(PAUSE_S)
            worker.link.close()
            self._workers[place] = self._start()

    def _reload(self) -> None:
        """Replace every worker; the first that does not come up ends it, and the old ones go on."""
        self._wants_reload = False
        for place, old in enumerate(list(self._workers)):
            new = self._start()
            self._workers.append(new)
            while not self._is_ending and not new.is_ready and new.process.is_alive():
                if time.monotonic() - new.heard > STARTING_S:
                    break
                self._look(1.0)
            if self._is_ending:
                return
            self._workers.remove(new)
            if not new.is_ready:
                logger.error("the new worker %s did not come up; the old ones stay", new.process.pid)
                _kill([new])
                return
            self._workers[place] = new
            _terminate([old])

    def _end(self) -> None:
        # The workers hold the socket, too: the last of them takes in whoever is connected, then nobody can connect any more.
        self._listener.close()
        _terminate(self._workers)

    @contextlib.contextmanager
    def _listening_to_signals(self) -> Iterator[None]:
        def note(number: int, _frame: FrameType | None) -> None:
            self._signals.append(number)

        self._wake, writer = socket.socketpair()
        writer.setblocking(False)
        before_fd = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        numbers = [*_ENDING, *([] if _RELOAD is None else [_RELOAD])]
        before = {number: signal.signal(number, note) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(before_fd)
            self._wake.close()
            writer.close()


def _terminate(workers: list[_Worker]) -> None:
    for worker in workers:
        if worker.process.is_alive():
            worker.process.terminate()
    ends = time.monotonic() + ENDING_S
    for worker in workers:
        worker.process.join(max(ends - time.monotonic(), 0.0))
    _kill(workers)


def _kill(workers: list[_Worker]) -> None:
    for worker in workers:
        if worker.process.is_alive():
            logger.error("worker %s did not end and is killed", worker.process.pid)
            worker.process.kill()
            worker.process.join()
        worker.link.close()
