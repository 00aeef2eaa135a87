"""A server that ends without losing a request.

Told to end it takes in whoever the kernel has connected already and then listens no more. Every answer says
``Connection: close``, and a connection on which nobody asks for a while is closed. What is under way is finished, within
uvicorn's bound.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from socket import socket

import uvicorn

from skyproof.surfaces.api.slow_clients import SlowClients

#: How long an idle connection may still bring a request after the end has begun, in seconds: its caller does not know yet.
LINGER_S = 1.0
_LOOK_S = 0.02
#: uvicorn's ticks in a second.
_TICKS = 10


class DrainingServer(uvicorn.Server):
    """uvicorn's server with an end that loses nothing, and a sign of life for whoever watches over it."""

    def __init__(self, config: uvicorn.Config, *, beat: Callable[[], None] | None = None) -> None:
        """Make a server.

        Args:
            config: as for uvicorn; its application is told of the end if it has a method ``drain``.
            beat: called about once a second while requests are taken, first when the first one can be answered. Where it raises
                OSError nobody watches any more, and the server ends.
        """
        super().__init__(config)
        self._beat = beat or (lambda: None)
        self._slow = SlowClients()

    async def on_tick(self, counter: int) -> bool:
        """What uvicorn does ten times a second; once a second a sign of life, and slow callers are let go."""
        if counter % _TICKS == 0:
            self._slow.look(list(self.server_state.connections), asyncio.get_running_loop().time())
            try:
                self._beat()
            except OSError:
                self.should_exit = True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """Finish everything, then end."""
        drain = getattr(self.config.loaded_app, "drain", None)
        if drain is not None:
            drain()
        await self._stop_listening(sockets or [])
        loop = asyncio.get_running_loop()
        ends = loop.time() + LINGER_S
        while self.server_state.connections and not self.force_exit and loop.time() < ends:
            await asyncio.sleep(_LOOK_S)
        await super().shutdown(sockets)

    async def _stop_listening(self, sockets: list[socket]) -> None:
        # Closing a listening socket resets what waits in its queue: it is kept open by a copy until the queue is empty.
        copies = [each.dup() for each in sockets]
        for server in self.servers:
            server.close()
        loop = asyncio.get_running_loop()
        for copy in copies:
            copy.setblocking(False)
            with contextlib.suppress(OSError):  # BlockingIOError: nobody waits
                while True:
                    connection, _ = copy.accept()
                    await loop.connect_accepted_socket(self._make_protocol, connection)
            copy.close()

    def _make_protocol(self) -> asyncio.Protocol:
        make: Callable[..., asyncio.Protocol] = self.config.http_protocol_class
        return make(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take the signals that end a server. uvicorn raises them again afterwards; an orderly end is exit code 0 instead."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
