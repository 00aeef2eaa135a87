"""Places: those a customer sees, its own that it creates, changes and retires, and what it measured there.

Annotations are evaluated at once here: FastAPI has to see the dependencies, which are local names.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from skyproof.archive.archive import Archive
from skyproof.archive.observations import ObservationRecord
from skyproof.cycle.customer_observations import prepare_names, source_of, take_in_rows
from skyproof.domain.deliveries import ApiKey
from skyproof.domain.errors import InvalidValueError, NoRunError
from skyproof.domain.protocols import Clock
from skyproof.domain.times import format_instant, parse_instant, require_utc
from skyproof.domain.variables import find_variable
from skyproof.stages.deliver import observation_rows
from skyproof.stages.deliver.place_changes import (
    change_site,
    create_site,
    retire_site,
    site_facts,
    visible_site,
)
from skyproof.surfaces.api import place_wire as shapes
from skyproof.surfaces.api import wire
from skyproof.surfaces.api.authentication import Authenticator
from skyproof.surfaces.api.bodies import MediaTypeError, media_type, parse_model, read_body
from skyproof.surfaces.api.customer_writes import CustomerWrites, described

_MOST_BYTES = 4 << 20
_LONGEST_SPAN = timedelta(days=31)


def site_router(archive: Archive, clock: Clock, authenticator: Authenticator) -> APIRouter:
    """The routes of places, each behind the scope it needs."""
    router = APIRouter(prefix="/v1")
    write = CustomerWrites(archive, clock)
    reads, writes = Depends(authenticator), Depends(authenticator.requires("sites:write"))

    def in_newest_run() -> frozenset[str]:
        try:
            return frozenset(archive.runs.open(archive.runs.newest(as_of=clock.now())).site_ids)
        except NoRunError:
            return frozenset()

    @router.get("/sites", summary="Your places, and those shared with everyone")
    def sites(page: Annotated[wire.Page, Query()], key: Annotated[ApiKey, reads]) -> shapes.SitesOut:
        found = [site for site in archive.sites.all(customer_id=key.customer_id) if site.site_id > page.cursor]
        held = in_newest_run()
        rows = [
            shapes.SiteOut.model_validate(site_facts(site, is_forecast=site.site_id in held))
            for site in found[: page.limit]
        ]
        return shapes.SitesOut(sites=rows, next_cursor=rows[-1].site if len(found) > page.limit else None)

    @router.get("/sites/{site_id}", summary="One place")
    def site(
        nothing: Annotated[wire.Nothing, Query()],  # noqa: ARG001 refuses parameters
        site_id: str,
        key: Annotated[ApiKey, reads],
    ) -> shapes.SiteOut:
        found = visible_site(archive, key.customer_id, site_id)
        return shapes.SiteOut.model_validate(site_facts(found, is_forecast=site_id in in_newest_run()))

    @router.post(
        "/sites", summary="Create a place of your own", **described(shapes.SiteOut, status=201, body=shapes.SiteIn)
    )
    async def create(request: Request, key: Annotated[ApiKey, writes]) -> Response:
        body = await read_body(request)
        facts = _facts(parse_model(request, body, shapes.SiteIn))
        plan = authenticator.meter.plan(key.customer_id)
        return await write(
            request, key, body, lambda transaction, now: create_site(archive, transaction, key, plan, facts, now)
        )

    @router.patch(
        "/sites/{site_id}", summary="Change a place of yours", **described(shapes.SiteOut, body=shapes.SiteChangeIn)
    )
    async def change(request: Request, site_id: str, key: Annotated[ApiKey, writes]) -> Response:
        body = await read_body(request)
        facts = _facts(parse_model(request, body, shapes.SiteChangeIn))
        held = await run_in_threadpool(in_newest_run)
        return await write(
            request,
            key,
            body,
            lambda transaction, now: change_site(
                archive, transaction, key, site_id, facts, now, is_forecast=site_id in held
            ),
        )

    @router.delete("/sites/{site_id}", summary="Retire a place of yours", **described(shapes.SiteOut))
    async def retire(request: Request, site_id: str, key: Annotated[ApiKey, writes]) -> Response:
        return await write(
            request, key, b"", lambda transaction, now: retire_site(archive, transaction, key, site_id, now)
        )

    _add_observations(router, archive, clock, authenticator, write)
    return router


def _add_observations(
    router: APIRouter, archive: Archive, clock: Clock, authenticator: Authenticator, write: CustomerWrites
) -> None:
    forms: dict[str, Any] = {"application_x-ndjson": {"type": "string"}, "text_csv": {"type": "string"}}

    @router.post(
        "/sites/{site_id}/observations",
        summary="Send what you measured: a verdict for each row",
        **described(shapes.VerdictsOut, body=shapes.ObservationsIn, **forms),
    )
    async def send(
        request: Request, site_id: str, key: Annotated[ApiKey, Depends(authenticator.requires("observations:write"))]
    ) -> Response:
        form = observation_rows.FORMS.get(media_type(request))
        if form is None:
            known = ", ".join(observation_rows.FORMS)
            raise MediaTypeError(
                "the body does not say in which form its rows are", f"send Content-Type: one of {known}"
            )
        body = await read_body(request, most_bytes=_MOST_BYTES)
        rows, refused = await run_in_threadpool(observation_rows.read_rows, body, form, now=clock.now())
        await run_in_threadpool(prepare_names, archive, key.customer_id, site_id, rows)
        afterwards: list[Callable[[], None]] = []
        answer = await write(
            request,
            key,
            body,
            lambda transaction, now: take_in_rows(
                archive, transaction, key, site_id, rows, refused, now=now, afterwards=afterwards
            ),
        )
        for finish in afterwards:
            await run_in_threadpool(finish)
        return answer

    @router.get("/sites/{site_id}/observations", summary="What you sent, revisions included")
    def read(
        page: Annotated[shapes.ObservationPage, Query()],
        site_id: str,
        key: Annotated[ApiKey, Depends(authenticator.requires("observations:read"))],
    ) -> shapes.ObservationsOut:
        visible_site(archive, key.customer_id, site_id)
        variable = find_variable(page.variable)
        start, end = require_utc(page.start, "start"), require_utc(page.end, "end")
        if not timedelta(0) <= end - start <= _LONGEST_SPAN:
            raise InvalidValueError("end is not within 31 days after start", hint="ask month by month")
        found = archive.observations.rows(
            source_of(key.customer_id),
            site_id,
            variable.name,
            valid_from=start,
            valid_until=end,
            after=_read_cursor(page.cursor),
            limit=page.limit + 1,
        )
        rows = found[: page.limit]
        return shapes.ObservationsOut(
            site=site_id,
            variable=variable.name,
            unit=variable.unit,
            observations=[
                _observation(row) for row in rows if page.qc == "all" or (row.flag == "") == (page.qc == "passed")
            ],
            next_cursor=_cursor(rows[-1]) if len(found) > page.limit else None,
        )


def _facts(model: shapes.SiteIn | shapes.SiteChangeIn) -> dict[str, Any]:
    facts = model.model_dump(exclude_none=True)
    if "elevation" in facts:
        facts["elevation_m"] = facts.pop("elevation")
    return facts


def _observation(row: ObservationRecord) -> shapes.ObservationOut:
    return shapes.ObservationOut(
        time=format_instant(row.valid_time), value=row.value, flag=row.flag, recorded_at=format_instant(row.recorded_at)
    )


def _cursor(row: ObservationRecord) -> str:
    return f"{format_instant(row.valid_time)},{format_instant(row.recorded_at)}"


def _read_cursor(cursor: str) -> tuple[datetime, datetime] | None:
    if not cursor:
        return None
    valid, comma, recorded = cursor.partition(",")
    if not comma:
        raise InvalidValueError(f"cursor {cursor[:40]!r} is none of ours", hint="give next_cursor of the answer before")
    return parse_instant(valid, "cursor"), parse_instant(recorded, "cursor")
