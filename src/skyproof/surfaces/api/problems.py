"""One shape for everything that can go wrong: problem+json (RFC 9457) with a stable code, a hint and the request's id.

``type`` is an address on this server that explains the code; ``error`` and ``reason`` are what Open-Meteo's clients look for, and
only where the status is 400 (``scope["as_400"]`` lists what becomes that). Nothing of the inside leaks: errors of the store
and of ourselves are told in fixed words and logged whole.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import orjson
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match

from skyproof.domain.errors import (
    AccessError,
    AuthenticationError,
    BusyError,
    DatabaseAwayError,
    InputError,
    NotAvailableError,
    QuotaError,
    SkyproofError,
    StoreError,
)
from skyproof.stages.deliver.requests import Fault, fault_error
from skyproof.surfaces.api.bodies import BodyFaultsError, MediaTypeError

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Code:
    """One kind of problem: its stable code, status, title and what it means."""

    code: str
    status: int
    title: str
    meaning: str


CODES: tuple[Code, ...] = (
    Code("input", 422, "The request is wrong", "Change the request; the errors say where."),
    Code(
        "unknown_name",
        422,
        "A name is not known",
        "A parameter, variable, site, unit, run or zone that does not exist.",
    ),
    Code("invalid_value", 422, "A value is impossible", "A known parameter with a value out of range, form or size."),
    Code("not_found", 404, "Nothing is here", "An address that does not exist, or not for you."),
    Code("method_not_allowed", 405, "The method is not allowed", "The address exists; the Allow header says for what."),
    Code(
        "authentication", 401, "The key opens nothing", "No key, or one that is malformed, wrong, expired or revoked."
    ),
    Code("permission_denied", 403, "The key does not open this", "A good key without the scope for this address."),
    Code("quota", 429, "Your plan allows no more", "Ask again when Retry-After says, or take a larger plan."),
    Code("conflict", 409, "It does not fit what is there", "Right in itself, but not beside what is there already."),
    Code("too_large", 413, "The body is too large", "Send it in several requests."),
    Code("unsupported_media_type", 415, "The body's form is not known", "The hint lists the forms that are."),
    Code("uri_too_long", 414, "The address is too long", "Ask in several requests."),
    Code("not_available", 404, "There is no answer yet", "A right question that cannot be answered (yet)."),
    Code("no_run", 404, "There is no run yet", "No run was published by the time asked for."),
    Code("no_release", 404, "There is no release yet", "Nothing has been learned yet."),
    Code("busy", 429, "Too much is asked at once", "Ask again when Retry-After says."),
    Code(
        "day_closed", 503, "The day of the answer is closed", "It took past midnight UTC and was not sent; ask again."
    ),
    Code("store_unavailable", 503, "The store does not answer", "Our fault; try again in a moment."),
    Code(
        "database_away",
        503,
        "The database is away",
        "What needs it has to wait; forecasts are answered. Ask again soon.",
    ),
    Code("overloaded", 503, "Too much is asked at once", "Ask again when Retry-After says; others are being served."),
    Code("headers_too_large", 431, "Address and headers are too large", "Send fewer or shorter headers."),
    Code("shutting_down", 503, "This server is about to end", "Ask again: another one answers, or this one soon."),
    Code("internal", 500, "Something went wrong here", "Our fault; tell us the request id."),
    Code("http_error", 400, "The request failed", "Another HTTP error; the status says which."),
)
BY_CODE = {code.code: code for code in CODES}


def problem(
    request: Request,
    code: str,
    detail: str,
    *,
    hint: str = "",
    errors: Sequence[Mapping[str, Any]] = (),
    status: int = 0,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A problem as a response. ``status`` replaces the code's own where one code has several."""
    known = BY_CODE[code]
    status = status or known.status
    if status in request.scope.get("as_400", ()):
        status = HTTPStatus.BAD_REQUEST
    facts = {"instance": request.url.path, "request_id": request.scope.get("request_id", ""), "status": status}
    _, body = write_problem(code, detail, hint=hint, errors=list(errors), **facts)
    plain = {"Cache-Control": "no-store", **(headers or {})}
    return Response(body, status, plain, media_type=MEDIA_TYPE)


def write_problem(code: str, detail: str, *, hint: str = "", **more: Any) -> tuple[int, bytes]:
    """Status and body of a problem, for whoever has no request; ``more`` members replace what is known of the code."""
    known = BY_CODE[code]
    body = {
        "type": f"/docs#problem-{known.code}",
        "title": known.title,
        "status": known.status,
        "code": known.code,
        "detail": detail,
        "instance": "",
        "request_id": "",
        "hint": hint or known.meaning,
        "errors": [],
        "error": True,
        "reason": detail,
        **more,
    }
    return known.status, orjson.dumps(body)


def faults_problem(request: Request, faults: tuple[Fault, ...]) -> Response:
    """Everything that is wrong with the parameters of a request."""
    error = fault_error(faults)
    errors = [
        {"parameter": fault.parameter, "value": fault.value, "code": fault.kind, "detail": fault.message, "hint": fault.hint}
        for fault in faults
    ]  # fmt: skip
    return problem(request, error.kind, error.message, hint=error.hint, errors=errors)


def error_problem(request: Request, error: SkyproofError, *, missing_is_404: bool = False) -> Response:
    """One of our errors. ``missing_is_404``: the unknown name stood in the address, not in a parameter."""
    if isinstance(error, StoreError):
        if isinstance(error, DatabaseAwayError):  # said once by whoever found out, not once a request
            logger.debug("request %s: %s", request.scope.get("request_id"), error)
        else:
            logger.error("request %s: %s", request.scope.get("request_id"), error, exc_info=error)
        code = error.kind if error.kind in BY_CODE else "internal"
        headers = {"Retry-After": "5"} if BY_CODE[code].status == HTTPStatus.SERVICE_UNAVAILABLE else None
        return problem(request, code, "what we keep cannot be reached at the moment", headers=headers)
    if isinstance(error, AuthenticationError):
        headers = {"WWW-Authenticate": 'Bearer realm="skyproof"'}
        return problem(request, "authentication", error.message, hint=error.hint, headers=headers)
    if isinstance(error, QuotaError | BusyError):
        headers = {"Retry-After": str(error.retry_after_s)} if error.retry_after_s else None
        return problem(request, error.kind, error.message, hint=error.hint, headers=headers)
    if missing_is_404 and isinstance(error, InputError):
        return problem(request, "not_found", error.message, hint=error.hint)
    if isinstance(error, InputError | NotAvailableError | AccessError):
        code = error.kind if error.kind in BY_CODE else _fallback(error)
        return problem(request, code, error.message, hint=error.hint)
    logger.error("request %s: %s", request.scope.get("request_id"), error, exc_info=error)
    return problem(request, "internal", "the request could not be answered")


def _fallback(error: SkyproofError) -> str:
    if isinstance(error, InputError):
        return "input"
    return "not_available" if isinstance(error, NotAvailableError) else "permission_denied"


async def on_skyproof_error(request: Request, error: Exception) -> Response:
    """Handler of our own errors."""
    assert isinstance(error, SkyproofError)
    return error_problem(request, error)


async def on_http_error(request: Request, error: Exception) -> Response:
    """Handler of what the framework refuses: unknown addresses and methods."""
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.NOT_FOUND:
        detail = f"{request.url.path[:100]} does not exist"
        return problem(request, "not_found", detail, hint="GET /openapi.json lists all addresses", headers=headers)
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = _methods_of(request)
        headers = {"Allow": ", ".join(sorted(allowed | {"OPTIONS"}))}
        if request.method == "OPTIONS":
            return Response(status_code=HTTPStatus.NO_CONTENT, headers=headers)
        detail = f"{request.method[:20]} is not allowed here"
        return problem(request, "method_not_allowed", detail, hint=f"use {headers['Allow']}", headers=headers)
    detail = HTTPStatus(error.status_code).phrase
    return problem(request, "http_error", detail, status=error.status_code, headers=headers)


def _methods_of(request: Request) -> set[str]:
    """What the address of a request allows; the router knows only the first of several routes."""
    routes = request.app.routes
    allowed = {
        method
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE")
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes)
    }
    return allowed | {"HEAD"} if "GET" in allowed else allowed


async def on_validation_error(request: Request, error: Exception) -> Response:
    """Handler of parameters the framework found wrong."""
    assert isinstance(error, RequestValidationError)
    errors = [
        {
            "parameter": str(item["loc"][-1])[:80],
            "value": str(item.get("input", ""))[:80],
            "code": "unknown_name" if item["type"] == "extra_forbidden" else "invalid_value",
            "detail": "is not known here" if item["type"] == "extra_forbidden" else str(item["msg"]),
            "hint": "",
        }
        for item in error.errors()
    ]
    first = errors[0]
    return problem(request, str(first["code"]), f"{first['parameter']}: {first['detail']}", errors=errors)


async def on_body_faults(request: Request, error: Exception) -> Response:
    """Handler of bodies with wrong members."""
    assert isinstance(error, BodyFaultsError)
    return faults_problem(request, error.faults)


async def on_media_type_error(request: Request, error: Exception) -> Response:
    """Handler of bodies in a form nobody here reads."""
    assert isinstance(error, MediaTypeError)
    return problem(request, "unsupported_media_type", error.message, hint=error.hint)


async def on_disconnect(request: Request, error: Exception) -> Response:  # noqa: ARG001 as every handler
    """Handler of callers who went away in the middle of their body: nobody is there to be told."""
    return problem(request, "http_error", "the body ended before its end")


async def on_unexpected_error(request: Request, error: Exception) -> Response:
    """Handler of everything else: said in one line, logged whole."""
    logger.error("request %s failed", request.scope.get("request_id"), exc_info=error)
    return problem(request, "internal", "the request could not be answered")
