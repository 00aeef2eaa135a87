"""A real server of an archive on loopback, in a thread of the test's own process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from skyproof.archive.archive import Archive
from skyproof.surfaces.api.app import create_app
from skyproof.surfaces.api.server import _config, listen
from tests.surfaces.api.served import GENEROUS, MovableClock, draw_alone


@contextmanager
def serving(archive: Archive, **options: Any) -> Iterator[str]:
    """The server's address; it ends when the block does."""
    usual = {"clock": MovableClock(), "draw": draw_alone(archive), "plans": GENEROUS}
    server = uvicorn.Server(_config(create_app(archive, **(usual | options))))
    with listen("127.0.0.1", 0) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
