"""The console's addresses. It knows no keys; so it answers only callers on this machine, and only when asked by a local name."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from ipaddress import ip_address
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Query
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from skyproof.archive.archive import Archive
from skyproof.domain.errors import SkyproofError
from skyproof.domain.protocols import Clock
from skyproof.surfaces.console.pages import render, stylesheet
from skyproof.surfaces.console.site_map import STEPS
from skyproof.surfaces.console.view import read_console

Claim = dict[str, Any]
#: A claim reads all scores of a release; the page may be a little behind.
_CLAIM_S = 60.0
_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]", "::1"})
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")


def add_styles(app: FastAPI) -> None:
    """Add the style all pages share."""

    @app.get("/console.css", include_in_schema=False)
    async def styles() -> Response:
        return Response(stylesheet(), media_type="text/css", headers={"Cache-Control": "max-age=3600"})


def add_console(app: FastAPI, archive: Archive, clock: Clock, *, claim: Callable[[], Claim | None] | None) -> None:
    """Add the operators' page at ``/``."""
    newest_claim = _RememberedClaim(claim) if claim else lambda: None

    @app.get("/", include_in_schema=False)
    def console(
        request: Request,
        site: Annotated[str, Query(max_length=64)] = "",
        variable: Annotated[str, Query(max_length=64)] = "",
    ) -> HTMLResponse:
        if not is_local(request):
            raise HTTPException(HTTPStatus.NOT_FOUND)
        try:
            view = read_console(archive, clock.now(), site_id=site, variable=variable)
        except SkyproofError as error:
            page = render("problem.html.j2", title="That cannot be shown", message=error.message, hint=error.hint)
            return HTMLResponse(page, HTTPStatus.NOT_FOUND)
        page = render(
            "console.html.j2",
            view=view,
            claim=newest_claim(),
            steps=STEPS,
            address=str(request.base_url).rstrip("/"),
        )
        return HTMLResponse(page, headers={"Cache-Control": "no-store"})


def is_local(request: Request) -> bool:
    """Whether the caller sits on this machine and asked for it by name.

    The name is checked because a page elsewhere may resolve its own name to this machine (DNS rebinding), and forwarding
    headers are, because behind a proxy every caller looks local.
    """
    if any(name in request.headers for name in _FORWARDED) or request.url.hostname not in _LOCAL_NAMES:
        return False
    try:
        return request.client is not None and ip_address(request.client.host).is_loopback
    except ValueError:
        return False


class _RememberedClaim:
    """The newest claim, at most a minute old; computed by one caller at a time."""

    def __init__(self, compute: Callable[[], Claim | None]) -> None:
        self._compute = compute
        self._lock = threading.Lock()
        self._held: tuple[float, Claim | None] | None = None

    def __call__(self) -> Claim | None:
        with self._lock:
            if self._held is None or time.monotonic() - self._held[0] > _CLAIM_S:
                self._held = (time.monotonic(), self._compute())
            return self._held[1]
