"""Databases that go away and come back: SQLite locked by someone else, PostgreSQL behind a door that shuts."""

from __future__ import annotations

import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy.engine import make_url

from skyproof.archive.archive import DATABASE_FILE


class Door:
    """Carries bytes between whoever connects to a loopback port and a server, until it is shut."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._thawed = threading.Event()
        self._thawed.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._start()

    def shut(self) -> None:
        """Cut every connection; new ones are refused."""
        self._thawed.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()  # no connection comes any more
        self._listener.close()
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads[1:]:
            thread.join()
        for each in self._sockets:
            each.close()
        self._sockets, self._threads = set(), []

    def freeze(self) -> None:
        """Carry nothing any more, and cut nothing: who waits for an answer waits for good."""
        self._thawed.clear()

    def thaw(self) -> None:
        """Carry on."""
        self._thawed.set()

    def open(self) -> None:
        """Let everyone in again."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._start()

    def _start(self) -> None:
        self._spawn(self._accept, self._listener)

    def _spawn(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
                far = socket.create_connection(self._target)
            except OSError:
                return
            self._sockets |= {near, far}
            for one, other in ((near, far), (far, near)):
                self._spawn(self._carry, one, other)

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(65536):
                self._thawed.wait()
                other.sendall(data)
        for each in (one, other):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


@contextmanager
def door_to(database_url: str) -> Iterator[tuple[Door, str]]:
    """A door to a PostgreSQL server, and the URL that leads through it."""
    url = make_url(database_url)
    door = Door(url.host or "127.0.0.1", url.port or 5432)
    try:
        yield door, url.set(host="127.0.0.1", port=door.port).render_as_string(hide_password=False)
    finally:
        if door._threads:
            door.shut()


def sqlite_lock(home: Path) -> tuple[Callable[[], None], Callable[[], None]]:
    """What locks the database of a home for all writers, and what lets go."""
    connections: list[sqlite3.Connection] = []

    def lock() -> None:
        connections.append(
            sqlite3.connect(home / DATABASE_FILE, isolation_level=None, check_same_thread=False, timeout=30)
        )
        connections[0].execute("BEGIN IMMEDIATE").close()

    return lock, lambda: connections.pop().close()
