"""Serving over HTTP: uvicorn with uvloop and httptools, one process or several, an orderly end.

The access log is off: addresses name customers' places, and every answer has a receipt anyway.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import uvicorn

from skyproof.archive.archive import Archive
from skyproof.archive.database import SERVING_PATIENCE_S
from skyproof.cycle.point_forecast import PointForecasts
from skyproof.cycle.pushing import make_pusher
from skyproof.cycle.verify_cycle import release_scorecard
from skyproof.cycle.wiring import Product, open_product
from skyproof.domain.errors import InvalidValueError, NotAvailableError, StoreUnavailableError
from skyproof.domain.protocols import Clock
from skyproof.surfaces.api.app import create_app
from skyproof.surfaces.api.draining import DrainingServer
from skyproof.surfaces.api.express_protocol import ExpressProtocol
from skyproof.surfaces.api.front import Front
from skyproof.surfaces.api.supervisor import Supervisor

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

logger = logging.getLogger(__name__)

_SHUTDOWN_S = 10
_RETRY_S = 1.0
_BACKLOG = 2048
#: How soon a waiting thread gets the interpreter, in seconds. The writer of receipts waits for it between its steps, and every
#: answer waits for the writer: with Python's own 0.005 s the server is idle half of the time under load.
_SWITCH_S = 0.0002


def serve(
    product: Product, *, console: bool = True, workers: int = 1, announce: Callable[[str], None] | None = None
) -> None:
    """Serve a product until SIGTERM or SIGINT; requests under way are finished first.

    Args:
        product: the home, opened with the patience of a server; its settings say where to listen.
        console: serve the operators' page too, to callers on this machine.
        workers: processes; more than one open the home on their own.
        announce: told the address once it is listened on.

    Raises:
        InvalidValueError: the address cannot be listened on.
    """
    settings = product.settings
    with listen(settings.host, settings.port) as listener:
        if announce is not None:
            announce(f"http://{settings.host}:{listener.getsockname()[1]}")
        if workers > 1:
            target = partial(work, product.home.absolute(), console=console)
            Supervisor(target, listener, workers=workers).run()
            return
        run_app(_product_app(product, console=console), listener)


def serve_archive(archive: Archive, *, clock: Clock, host: str, port: int, **options: Any) -> None:
    """Serve an archive without settings: what :func:`serve` does, for benchmarks and tests.

    ``options`` are those of :func:`create_app`.

    Raises:
        InvalidValueError: the address cannot be listened on.
    """
    with listen(host, port) as listener:
        run_app(create_app(archive, clock=clock, **options), listener)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        InvalidValueError: the address is taken, or not ours.
    """
    hint = "choose another one with --port or --host; port 0 takes any that is free"
    if not 0 <= port <= 65535:
        raise InvalidValueError(f"cannot listen on {host}:{port}: a port is a number from 0 to 65535", hint=hint)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise InvalidValueError(f"cannot listen on {host}:{port}: {error.strerror}", hint=hint) from error


def run_app(app: Any, listener: socket.socket) -> None:
    """Run an application on a socket until SIGTERM or SIGINT; requests under way are finished first."""
    _tune_process()
    DrainingServer(_config(app)).run(sockets=[listener])


def work(home: Path, listener: socket.socket, link: Connection, *, console: bool) -> None:
    """A worker process: opens the home, and serves it until told to end, or until nobody reads its signs of life."""
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    with contextlib.suppress(KeyboardInterrupt), _open_patiently(home) as product:
        _tune_process()
        server = DrainingServer(_config(_product_app(product, console=console)), beat=partial(link.send_bytes, b"."))
        server.run(sockets=[listener])


def scorecard_data(product: Product) -> Callable[[], dict[str, Any] | None]:
    """The console's view of the standing claim; None while nothing is verified."""

    def claim() -> dict[str, Any] | None:
        try:
            return release_scorecard(product).to_dict()
        except NotAvailableError:
            return None

    return claim


def _product_app(product: Product, *, console: bool) -> Front:
    return create_app(
        product.archive,
        clock=product.clock,
        claim=scorecard_data(product),
        console=console,
        nearest_site_km=product.settings.nearest_site_km,
        keys_outlive_s=60.0 * product.settings.keys_outlive_database_minutes,
        plans=product.settings.all_plans,
        points=PointForecasts(product),
        pusher=make_pusher(product),
    )


@contextlib.contextmanager
def _open_patiently(home: Path) -> Iterator[Product]:
    """Open a home as soon as it can be: a worker that is replaced while the database is away waits for it."""
    with contextlib.ExitStack() as stack:
        product = None
        while product is None:
            try:
                product = stack.enter_context(open_product(home, patience_s=SERVING_PATIENCE_S))
            except StoreUnavailableError as error:
                logger.error("a worker waits for the store: %s", error)
                time.sleep(_RETRY_S)
        yield product


def _tune_process() -> None:
    sys.setswitchinterval(_SWITCH_S)
    if resource is not None:
        # Every connection is an open file, and a caller who holds many of them must not keep the others out.
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    # What was imported stays: left out of every later collection, which would stop all answers for a tenth of a second.
    gc.collect()
    gc.freeze()


def _config(app: Any, **more: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="uvloop" if os.name == "posix" else "asyncio",
        http=ExpressProtocol,
        ws="none",
        lifespan="on",
        access_log=False,
        # What hostile callers send is no news; it would fill the log.
        log_level="error",
        server_header=False,
        # Who calls is who connects: a header must not make anyone look local.
        proxy_headers=False,
        timeout_graceful_shutdown=_SHUTDOWN_S,
        **more,
    )
