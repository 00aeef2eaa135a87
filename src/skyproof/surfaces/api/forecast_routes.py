"""The forecasts themselves: ``GET /v1/forecast`` and ``GET /v1/forecasts/{id}``.

No forecast leaves before its receipt is durable. A 304 and a HEAD carry none, and need none.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from datetime import datetime
from email.utils import format_datetime
from http import HTTPStatus
from urllib.parse import parse_qsl

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from skyproof.archive.archive import Archive
from skyproof.archive.deliveries import ReceiptWriter
from skyproof.domain.deliveries import ApiKey, Receipt
from skyproof.domain.errors import InputError, NotAvailableError, SkyproofError
from skyproof.domain.forecasts import Run
from skyproof.domain.protocols import Clock
from skyproof.domain.sites import check_identifier
from skyproof.stages.deliver.desk import Desk
from skyproof.stages.deliver.receipts import make_receipt, new_receipt_id
from skyproof.stages.deliver.requests import Fault, ForecastRequest, check_request
from skyproof.surfaces.api.authentication import Authenticator
from skyproof.surfaces.api.problems import error_problem, faults_problem

#: Bytes of queries; what is remembered of a thousand places takes some thirty times those of its query.
_REMEMBERED_BYTES = 2 << 20
_DRAWN_AT_ONCE = 2
_UNCHANGING = "private, max-age=31536000, immutable"
_REVALIDATE = "private, max-age=60"
#: A forecast never changes; what is found wrong about it later stands there.
_RELATED = '</v1/corrigenda>; rel="related"'
_VARY = "Authorization, X-API-Key"


class Parsed:
    """Requests met before, by their query."""

    def __init__(self, most_bytes: int = _REMEMBERED_BYTES) -> None:
        self._kept: OrderedDict[bytes, ForecastRequest] = OrderedDict()
        self._most_bytes = most_bytes
        self._held_bytes = 0

    def get(self, query: bytes) -> ForecastRequest | None:
        """The request, if it was met."""
        return self._kept.get(query)

    def keep(self, query: bytes, asked: ForecastRequest) -> None:
        """Remember a request, in place of the oldest ones."""
        self._kept[query] = asked
        self._held_bytes += len(query)
        while self._held_bytes > self._most_bytes:
            self._held_bytes -= len(self._kept.popitem(last=False)[0])


@dataclass(frozen=True, slots=True)
class ForecastRoutes:
    """The two routes and what they need."""

    archive: Archive
    clock: Clock
    desk: Desk
    authenticator: Authenticator
    writer: ReceiptWriter
    parsed: Parsed = field(default_factory=Parsed)
    #: Scenarios take memory and a processor: few are drawn at a time, the others wait in line and hold no thread.
    drawing: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_DRAWN_AT_ONCE))

    async def forecast(self, request: Request) -> Response:
        """Answer a forecast request; a plain route, because this is the one that is asked all day."""
        # Open-Meteo's clients take everything but 400 and 429 for data.
        if b"format=flatbuffers" in request.scope["query_string"]:
            request.scope["as_400"] = (HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.NOT_FOUND)
        try:
            now = self.clock.now()
            key = await self.authenticator.check(request, now)
            asked = self._parse(request)
            if not isinstance(asked, ForecastRequest):
                return faults_problem(request, asked)
            return await self.respond(request, key, asked, now=now)
        except SkyproofError as error:
            return error_problem(request, error)

    async def respond(self, request: Request, key: ApiKey, asked: ForecastRequest, *, now: datetime) -> Response:
        """The answer to a valid request of the holder of ``key``; its receipt is durable before it is returned.

        Raises:
            SkyproofError: there is no answer.
        """
        # Only what asks the database or renders many places goes to another thread.
        quick = self.desk.is_quick(key.customer_id, asked)
        if quick:
            question = self.desk.ask(key.customer_id, asked, now=now)
        else:
            await self.authenticator.gate.take_turn(request.scope["turns"], key.customer_id)
            question = await run_in_threadpool(self.desk.ask, key.customer_id, asked, now=now)
        headers = forecast_headers(question.forecast_id, question.view.run, named=isinstance(asked.run, str))
        if question.view.warning:
            # Not every form of an answer has a place for warnings. It is not to be kept: a better one comes soon.
            headers |= {"Forecast-Warning": question.view.warning, "Cache-Control": "no-store"}
        if _is_known(request, question.forecast_id):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        if quick:
            answer = self.desk.answer(question)
        else:
            async with self.drawing if asked.needs_members else contextlib.nullcontext():
                answer = await run_in_threadpool(self.desk.answer, question)
        if not request.scope.get("is_head"):
            receipt = make_receipt(answer, key, served_at=now)
            await self.writer.record_on_loop(receipt, answer.body)
        return Response(answer.body, headers={**headers, "content-type": answer.media_type})

    async def delivered(self, request: Request, forecast_id: str, key: ApiKey) -> Response:
        """The exact bytes of an earlier answer to this customer."""
        now = self.clock.now()
        try:
            check_identifier(forecast_id, "forecast")
            first, body = await run_in_threadpool(
                self.archive.deliveries.body, forecast_id, customer_id=key.customer_id
            )
        except InputError as error:
            return error_problem(request, error, missing_is_404=True)
        headers = {"ETag": f'"{first.forecast_id}"', "Cache-Control": _UNCHANGING, "Vary": _VARY}
        if _is_known(request, first.forecast_id):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        if not request.scope.get("is_head"):
            again = await run_in_threadpool(self._receipt_again, first, key)
            await self.writer.record_on_loop(replace(again, receipt_id=new_receipt_id(now), served_at=now), body)
        return Response(body, headers={**headers, "content-type": first.media_type})

    def _receipt_again(self, first: Receipt, key: ApiKey) -> Receipt:
        try:
            newest = self.desk.newest_run(now=self.clock.now()).run_id
        except NotAvailableError:
            newest = first.newest_run_id
        return replace(first, key_id=key.key_id, newest_run_id=newest)

    def _parse(self, request: Request) -> ForecastRequest | tuple[Fault, ...]:
        query: bytes = request.scope["query_string"]
        asked = self.parsed.get(query)
        if asked is None:
            outcome = check_request(parse_qsl(query.decode("latin-1"), keep_blank_values=True))
            if not isinstance(outcome, ForecastRequest):
                return outcome
            asked = outcome
            self.parsed.keep(query, asked)
        return asked


def forecast_headers(forecast_id: str, run: Run, *, named: bool = False) -> dict[str, str]:
    """The headers of a forecast, whether its body is sent or not. ``named``: asked for by run id, so it never changes."""
    return {
        "ETag": f'"{forecast_id}"',
        "Last-Modified": format_datetime(run.published_at, usegmt=True),
        "Cache-Control": _UNCHANGING if named else _REVALIDATE,
        "Vary": _VARY,
        "Forecast-Regime": run.regime.regime_id,
        "Link": _RELATED,
    }


def names_tag(condition: bytes, forecast_id: str) -> bool:
    """Whether an If-None-Match names this answer (RFC 9110: weak comparison)."""
    tags = [tag.strip().removeprefix("W/") for tag in condition.decode("latin-1").split(",")]
    return f'"{forecast_id}"' in tags or "*" in tags


def _is_known(request: Request, forecast_id: str) -> bool:
    """Whether the caller says that it holds this answer."""
    return any(name == b"if-none-match" and names_tag(value, forecast_id) for name, value in request.scope["headers"])
