"""Research: ``POST /v1/query`` over many runs, and what it would cost.

Annotations are evaluated at once here: FastAPI has to see the dependencies, which are local names.
"""

import re
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from skyproof.archive.archive import Archive
from skyproof.archive.deliveries import ReceiptWriter
from skyproof.domain.deliveries import ApiKey
from skyproof.domain.errors import InvalidValueError, UnknownNameError
from skyproof.domain.protocols import Clock
from skyproof.domain.sites import check_identifier
from skyproof.domain.times import from_epoch_seconds, require_utc
from skyproof.domain.variables import find_variable
from skyproof.stages.deliver.answers import Answer
from skyproof.stages.deliver.questions import Place
from skyproof.stages.deliver.receipts import make_receipt
from skyproof.stages.deliver.research import (
    MOST_RUNS,
    MOST_VALUES,
    Plan,
    ResearchQuestion,
    arrow_part,
    check_size,
    json_page,
    plan_research,
)
from skyproof.stages.deliver.table_form import ARROW_TYPE
from skyproof.stages.deliver.thresholds import Threshold, parse_threshold
from skyproof.surfaces.api import query_wire as shapes
from skyproof.surfaces.api.authentication import Authenticator
from skyproof.surfaces.api.bodies import parse_model, read_body

#: Bytes of a question: a thousand places fit.
_LARGEST_QUESTION = 128 << 10
_CURSOR = re.compile(r"([0-9]{1,11})-([0-9]{1,9})")
_HEADERS = {"Cache-Control": "private, no-store", "Vary": "Authorization, X-API-Key"}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/QueryIn"}}},
    }
}
_STREAM = {"schema": {"type": "string", "contentMediaType": "application/octet-stream"}}


def query_router(
    archive: Archive, clock: Clock, authenticator: Authenticator, writer: ReceiptWriter, *, nearest_site_km: float
) -> APIRouter:
    """The routes of research, behind a key that reads forecasts."""
    router = APIRouter(prefix="/v1")
    key = Depends(authenticator)

    async def read(request: Request, holder: ApiKey) -> tuple[shapes.QueryIn, Plan, int]:
        wanted = parse_model(request, await read_body(request, most_bytes=_LARGEST_QUESTION), shapes.QueryIn)
        question, offset = read_question(wanted, holder.customer_id, clock.now())
        plan = await run_in_threadpool(plan_research, archive, question, nearest_site_km=nearest_site_km)
        return wanted, plan, offset

    async def prove(answer: Answer, holder: ApiKey) -> bytes:
        await writer.record_on_loop(make_receipt(answer, holder, served_at=clock.now()), answer.body)
        return answer.body

    @router.post(
        "/query",
        summary="Many runs, places and leads at once, as an Arrow stream or JSON pages",
        openapi_extra=_BODY,
        responses={200: {"model": shapes.QueryOut, "content": {ARROW_TYPE: _STREAM}}},
        response_class=Response,
    )
    async def query(request: Request, holder: Annotated[ApiKey, key]) -> Response:
        wanted, plan, offset = await read(request, holder)
        check_size(plan, runs=1 if wanted.format == "json" else len(plan.runs))
        if wanted.format == "json":
            answer = await run_in_threadpool(json_page, archive, plan, offset=offset, limit=wanted.limit)
            return Response(await prove(answer, holder), headers=_HEADERS, media_type=answer.media_type)
        # What goes wrong with the first part is still a problem; later the stream breaks off without its end mark.
        first = await prove(await run_in_threadpool(arrow_part, archive, plan, 0), holder)

        async def parts() -> AsyncIterator[bytes]:
            yield first
            for number in range(1, len(plan.runs)):
                yield await prove(await run_in_threadpool(arrow_part, archive, plan, number), holder)

        return StreamingResponse(parts(), headers=_HEADERS, media_type=ARROW_TYPE)

    @router.post("/query/cost", summary="How large an answer would be", openapi_extra=_BODY)
    async def cost(request: Request, holder: Annotated[ApiKey, key]) -> shapes.CostOut:
        _, plan, _ = await read(request, holder)
        return shapes.CostOut(
            runs=len(plan.runs),
            places=len(plan.places),
            rows=plan.rows,
            values=plan.values,
            allowed=len(plan.runs) <= MOST_RUNS and plan.values <= MOST_VALUES,
        )

    return router


def read_question(wanted: shapes.QueryIn, customer_id: str, now: datetime) -> tuple[ResearchQuestion, int]:
    """The question in a body, and the row at which its page begins.

    Raises:
        InvalidValueError: a range that is none, an instant in the future, a cursor that is none of ours.
        UnknownNameError: a variable that does not exist.
    """
    as_of = now if wanted.as_of is None else require_utc(wanted.as_of, "as_of")
    if as_of > now:
        raise InvalidValueError("as_of lies in the future", hint="nobody knows what will be known then")
    start, end = require_utc(wanted.init_time.start, "start"), require_utc(wanted.init_time.end, "end")
    if end < start or wanted.lead_time.end < wanted.lead_time.start:
        raise InvalidValueError("a range ends before it starts", hint="give start before end")
    variables = tuple(dict.fromkeys(find_variable(name).name for name in wanted.variables))
    start, offset = _read_cursor(wanted.cursor, start, end)
    levels, thresholds = _statistics(wanted, variables)
    shaping = wanted.model_dump(mode="json", exclude={"cursor", "limit", "as_of"})
    question = ResearchQuestion(
        customer_id,
        f"query={orjson.dumps(shaping, option=orjson.OPT_SORT_KEYS).decode()}",
        _places(wanted),
        variables,
        levels,
        thresholds,
        start,
        end,
        wanted.lead_time.start,
        wanted.lead_time.end,
        as_of,
        wanted.version if wanted.version.startswith("rel_") else None,
    )
    return question, offset


def _read_cursor(cursor: str | None, start: datetime, end: datetime) -> tuple[datetime, int]:
    if not cursor:
        return start, 0
    match = _CURSOR.fullmatch(cursor)
    begun = None if match is None else from_epoch_seconds(int(match[1]))
    if match is None or begun is None or not start <= begun <= end:
        raise InvalidValueError(f"cursor {cursor!r} is none of this list", hint="give next_cursor of the answer before")
    return begun, int(match[2])


def _places(wanted: shapes.QueryIn) -> tuple[Place, ...]:
    geo = wanted.geo
    if isinstance(geo, shapes.Points):
        for latitude, _ in geo.value:
            if abs(latitude) > 90:
                raise InvalidValueError(f"latitude {latitude:g} is impossible", hint="latitude comes first")
        return tuple(Place("", latitude, longitude) for latitude, longitude in geo.value)
    if isinstance(geo, shapes.NamedSites):
        return tuple(Place(check_identifier(name, "site")) for name in dict.fromkeys(geo.value))
    return ()


def _statistics(wanted: shapes.QueryIn, variables: tuple[str, ...]) -> tuple[tuple[float, ...], tuple[Threshold, ...]]:
    levels: set[float] = set()
    thresholds: dict[Threshold, Any] = {}
    for statistic in wanted.statistics:
        if isinstance(statistic, shapes.ExceedanceOf):
            asked = statistic.exceedance
            if asked.variable is not None and asked.variable not in variables:
                raise UnknownNameError(f"variable {asked.variable!r} is not asked for", hint="add it to variables")
            for name in [asked.variable] if asked.variable else variables:
                thresholds[parse_threshold(f"{name}{asked.op}{round(asked.value, 4):.4f}")] = None
        elif statistic != "mean":
            levels.add(0.5 if statistic == "median" else float(statistic[1:]))
    outside = [level for level in levels if not 0.001 <= level <= 0.999]
    if outside:
        raise InvalidValueError(f"quantile {outside[0]:g} is impossible", hint="give levels between 0.001 and 0.999")
    circular = [each.name for each in thresholds if find_variable(each.name).family == "circular"]
    if circular:
        raise InvalidValueError(f"{circular[0]} goes round: nothing lies above it", hint="name another variable")
    return tuple(sorted(levels)), tuple(thresholds)
