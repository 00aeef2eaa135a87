"""The outermost layer: gives each request an id, bounds addresses, answers HEAD like GET without a body, and says 500.

Written as plain ASGI, because every layer costs each request.
"""

from __future__ import annotations

import logging
import random
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from skyproof.surfaces.api.express import Express, RawHeaders
from skyproof.surfaces.api.gate import RETRY_AFTER_S, Gate
from skyproof.surfaces.api.lifecycle import Deprecation, deprecation_headers
from skyproof.surfaces.api.problems import on_unexpected_error, problem

Endpoint = Callable[[Request], Awaitable[Response]]

logger = logging.getLogger(__name__)

#: Bytes of path and query together: a thousand coordinates fit.
LONGEST_ADDRESS = 40_000
#: Whoever watches over the process is answered however much is under way.
_WATCHED = frozenset(("/healthz", "/readyz"))
_SOON = {"Retry-After": str(RETRY_AFTER_S)}
_CLIENT_ID = re.compile(rb"[A-Za-z0-9_-]{8,64}")
_HTML_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_HTML_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"content-security-policy", _HTML_POLICY.encode()),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
)


class Front:
    """Wraps the application."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        quick: Mapping[str, Endpoint] | None = None,
        express: Express | None = None,
        gate: Gate | None = None,
        deprecations: tuple[Deprecation, ...] = (),
    ) -> None:
        """Wrap ``app``.

        Args:
            app: answers what nothing below does.
            quick: GET of such a path goes straight to its endpoint, past the layers of the framework.
            express: what the server's protocol asks before it asks this application.
            gate: bounds what is under way.
            deprecations: what goes away; answers that it concerns say so.
        """
        self._deprecations = deprecations
        self.app = app
        self._quick = quick or {}
        self.express = express
        self.gate = gate or Gate()
        self._closing: RawHeaders = ()
        #: Whether the server is about to end.
        self.is_draining = False

    def drain(self) -> None:
        """The server is about to end: from now on every answer closes its connection, and ``/readyz`` says no."""
        self._closing = ((b"connection", b"close"),)
        self.is_draining = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        # Shared by all copies of the scope.
        turns: list[str] = []
        scope["turns"] = turns
        if scope["path"] in _WATCHED:
            await self._serve(scope, receive, send)
            return
        if not self.gate.enter():
            await self._shed(scope, receive, send)
            return
        try:
            await self._serve(scope, receive, send)
        finally:
            self.gate.leave(turns)

    async def _shed(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Say that too much is under way."""
        scope["request_id"] = request_id = read_request_id(scope["headers"])
        response = problem(Request(scope), "overloaded", "too many requests are under way", headers=_SOON)
        response.raw_headers.extend((*common_headers(request_id), *self._closing))
        await response(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["request_id"] = request_id = read_request_id(scope["headers"])
        is_head = scope["method"] == "HEAD"
        if is_head:
            # A copy: the server reads the method in its own, to know that no body follows.
            scope = {**scope, "method": "GET"}
        scope["is_head"] = is_head
        # Headers that whoever answers wants to add to the answer, errors included.
        added = self._deprecated(scope) if self._deprecations else []
        scope["added_headers"] = added
        started = ended = False

        async def send_on(message: Message) -> None:
            nonlocal started, ended
            ended = message["type"] == "http.response.body" and not message.get("more_body", False)
            if message["type"] == "http.response.start":
                started = True
                message["headers"].extend(added)
                _add_headers(message, (*common_headers(request_id), *self._closing))
            elif is_head and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        if len(scope.get("raw_path") or scope["path"]) + len(scope["query_string"]) > LONGEST_ADDRESS:
            request = Request(scope)
            response = problem(request, "uri_too_long", f"the address is longer than {LONGEST_ADDRESS} bytes")
            await response(scope, receive, send_on)
            return
        try:
            endpoint = self._quick.get(scope["path"]) if scope["method"] == "GET" else None
            if endpoint is None:
                await self.app(scope, receive, send_on)
            else:
                answer = await endpoint(Request(scope, receive))
                await answer(scope, receive, send_on)
        except Exception as error:
            # The last line of defence: whatever it was, the caller gets our shape, and the log gets all of it.
            if ended:  # the framework raises again what it has answered
                return
            if started:
                raise
            response = await on_unexpected_error(Request(scope), error)
            await response(scope, receive, send_on)

    def _deprecated(self, scope: Scope) -> list[tuple[bytes, bytes]]:
        return [*deprecation_headers(self._deprecations, scope["method"], scope["path"], scope["query_string"])]


def read_request_id(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The id the caller gives a request, or a new one."""
    for name, value in headers:
        if name == b"x-request-id" and _CLIENT_ID.fullmatch(value):
            return str(value.decode())
    return f"req_{random.getrandbits(64):016x}"


def common_headers(request_id: str) -> RawHeaders:
    """What every answer says."""
    return (b"x-request-id", request_id.encode()), (b"x-content-type-options", b"nosniff")


def _add_headers(message: Message, more: RawHeaders) -> None:
    headers = message["headers"]
    headers.extend(more)
    for name, value in headers:
        if name == b"content-type" and value.startswith(b"text/html"):
            headers.extend(_HTML_HEADERS)
            break
