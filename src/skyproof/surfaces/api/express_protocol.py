"""uvicorn's reader of HTTP with a shorter way for what is known.

A task, a scope and two messages for each answer take longer than the answer itself. Here a plain request for what was answered
before is answered from its headers; everything else goes uvicorn's way. A receipt is as durable before its first byte leaves.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from skyproof.domain.errors import StoreUnavailableError
from skyproof.surfaces.api.bounded_protocol import BoundedProtocol
from skyproof.surfaces.api.express import PATH, Known
from skyproof.surfaces.api.front import Front, common_headers, read_request_id

_ADDRESS = PATH.encode() + b"?"


class _NoEvent:
    """Nobody waits for the body of a request that has none."""

    def set(self) -> None: ...


class _Pending:
    """Stands where uvicorn keeps the request under way, so that it queues what is pipelined behind and ends in order."""

    __slots__ = ("body", "disconnected", "keep_alive", "more_body", "response_complete", "scope")

    message_event = _NoEvent()

    def __init__(self, scope: Any) -> None:
        self.scope = scope
        self.keep_alive = True
        self.response_complete = self.disconnected = False
        self.more_body = True


class ExpressProtocol(BoundedProtocol):
    """One connection."""

    cycle: Any

    def on_headers_complete(self) -> None:
        """Answer what is known; leave the rest to uvicorn."""
        if not self._is_plain() or not self._answer():
            super().on_headers_complete()

    def _is_plain(self) -> bool:
        """Whether this is a GET of a forecast that nothing comes before, on a connection that goes on."""
        return (
            self.url.startswith(_ADDRESS)
            and isinstance(self.app, Front)
            and not self.app.is_draining
            and not self.app.gate.is_full
            and self.parser.get_method() == b"GET"
            and self.parser.get_http_version() == "1.1"
            and self.parser.should_keep_alive()
            and (self.cycle is None or self.cycle.response_complete)
            and not self.flow.write_paused
        )

    def _answer(self) -> bool:
        express = self.app.express
        known = None if express is None else express.find(self.url[len(_ADDRESS) :], self.headers)
        if known is None:
            return False
        self.scope["method"] = "GET"
        self.cycle = pending = _Pending(self.scope)
        if known.receipt is None:
            self._send(pending, known)
            return True
        try:
            kept = express.writer.record_on_loop(known.receipt, known.body)
        except StoreUnavailableError:
            self._go_the_ordinary_way(pending, known)
            return True
        self.app.gate.enter()
        kept.add_done_callback(partial(self._receipt_is_kept, pending, known))
        return True

    def _receipt_is_kept(self, pending: _Pending, known: Known, kept: asyncio.Future[None]) -> None:
        self.app.gate.leave([])
        if kept.exception() is None:
            self._send(pending, known)
        else:
            self._go_the_ordinary_way(pending, known)

    def _send(self, pending: _Pending, known: Known) -> None:
        pending.response_complete = True
        if self.transport.is_closing():
            return
        if self.app.is_draining:
            pending.keep_alive = False
        common = common_headers(read_request_id(pending.scope["headers"]))
        parts = [STATUS_LINE[known.status]]
        for name, value in (*self.server_state.default_headers, *known.headers, *common):
            parts += (name, b": ", value, b"\r\n")
        parts.append(b"\r\n" if pending.keep_alive else b"connection: close\r\n\r\n")
        self.transport.writelines((b"".join(parts), known.body))
        if not pending.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def _go_the_ordinary_way(self, pending: _Pending, known: Known) -> None:
        """Begin as uvicorn would have; it is counted already."""
        if self.transport.is_closing():
            return
        pending.scope.update(
            method="GET", path=PATH, raw_path=PATH.encode(), query_string=known.query, taken=known.left
        )
        cycle = RequestResponseCycle(
            scope=pending.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=pending.keep_alive,
            on_response=self.on_response_complete,
        )
        cycle.more_body = pending.more_body
        if self.cycle is pending:
            self.cycle = cycle
        self._start_asgi_task(cycle, self.app)
