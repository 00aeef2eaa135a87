"""A customer's account: its keys, its usage, its audit log.

Annotations are evaluated at once here: FastAPI has to see the dependencies, which are local names.
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from skyproof.archive.archive import Archive
from skyproof.domain.deliveries import ApiKey
from skyproof.domain.errors import InvalidValueError
from skyproof.domain.protocols import Clock
from skyproof.domain.times import format_instant
from skyproof.stages.deliver.key_changes import create_key, key_facts, revoke, rotate
from skyproof.stages.deliver.quotas import DAY_S
from skyproof.surfaces.api import account_wire as shapes
from skyproof.surfaces.api import wire
from skyproof.surfaces.api.authentication import Authenticator
from skyproof.surfaces.api.bodies import parse_model, read_body
from skyproof.surfaces.api.customer_writes import CustomerWrites, described


def account_router(archive: Archive, clock: Clock, authenticator: Authenticator) -> APIRouter:
    """The routes of the account, each behind the scope it needs."""
    router = APIRouter(prefix="/v1")
    write = CustomerWrites(archive, clock)
    reads, manages = Depends(authenticator.requires("account:read")), Depends(authenticator.requires("keys:write"))

    @router.get("/keys", summary="Your keys, without their secrets")
    def keys(nothing: Annotated[wire.Nothing, Query()], key: Annotated[ApiKey, reads]) -> shapes.KeysOut:  # noqa: ARG001
        now = clock.now()
        found = archive.customers.keys(key.customer_id)
        return shapes.KeysOut(keys=[shapes.KeyOut.model_validate(key_facts(each, now)) for each in found])

    @router.post("/keys", summary="Make a key", **described(shapes.NewKeyOut, status=201, body=shapes.KeyIn))
    async def make_key(request: Request, key: Annotated[ApiKey, manages]) -> Response:
        body = await read_body(request)
        wanted = parse_model(request, body, shapes.KeyIn)
        lifetime = None if wanted.lifetime_days is None else timedelta(days=wanted.lifetime_days)
        return await write(
            request,
            key,
            body,
            lambda transaction, now: create_key(
                archive, transaction, key, scopes=tuple(wanted.scopes), lifetime=lifetime, now=now
            ),
        )

    @router.post(
        "/keys/{key_id}/rotate",
        summary="Make the key that follows another one; both open for a while",
        **described(shapes.NewKeyOut, status=201, body=shapes.RotationIn),
    )
    async def rotate_key(request: Request, key_id: str, key: Annotated[ApiKey, manages]) -> Response:
        body = await read_body(request)
        overlap = timedelta(hours=parse_model(request, body, shapes.RotationIn).overlap_hours)
        return await write(
            request,
            key,
            body,
            lambda transaction, now: rotate(archive, transaction, key, key_id, overlap=overlap, now=now),
        )

    @router.delete("/keys/{key_id}", summary="Revoke a key at once", **described(shapes.KeyOut))
    async def revoke_key(request: Request, key_id: str, key: Annotated[ApiKey, manages]) -> Response:
        return await write(
            request, key, b"", lambda transaction, now: revoke(archive, transaction, key, key_id, now=now)
        )

    @router.get("/usage", summary="What your plan allows, and what you used of it")
    def usage(page: Annotated[shapes.UsagePage, Query()], key: Annotated[ApiKey, reads]) -> shapes.UsageOut:
        # Usage is counted by the machine's clock, whatever clock forecasts live by.
        now = datetime.fromtimestamp(authenticator.meter.wall(), UTC)
        since = now - timedelta(days=page.days)
        plan = archive.customers.find(key.customer_id).plan
        account = authenticator.meter.account(key.customer_id, plan)
        left = authenticator.meter.left(account)
        spans = archive.usage.spans(key.customer_id, DAY_S, since=since, until=now)
        return shapes.UsageOut(
            plan=plan,
            requests_per_minute=left.minute_limit,
            requests_per_day=left.day_limit,
            left_this_minute=left.minute_left,
            left_today=left.day_left,
            days=[
                shapes.UsageDayOut(day=span.starts_at.date().isoformat(), requests=span.requests, refused=span.refused)
                for span in spans
            ],
        )

    @router.get("/audit", summary="Who changed what, newest first")
    def audit(page: Annotated[shapes.AuditPage, Query()], key: Annotated[ApiKey, reads]) -> shapes.AuditOut:
        before = read_number(page.cursor)
        found = archive.audit.page(key.customer_id, before=before, limit=page.limit + 1)
        rows = [
            shapes.AuditEntryOut(
                at=format_instant(entry.recorded_at),
                key_id=entry.key_id,
                action=entry.action,
                subject=entry.subject,
                detail=dict(entry.detail),
            )
            for _, entry in found[: page.limit]
        ]
        more = len(found) > page.limit
        return shapes.AuditOut(entries=rows, next_cursor=str(found[page.limit - 1][0]) if more else None)

    return router


def read_number(cursor: str) -> int | None:
    """The number in a cursor; None for an empty one.

    Raises:
        InvalidValueError: it holds none.
    """
    if not cursor:
        return None
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 10):
        raise InvalidValueError(f"cursor {cursor[:40]!r} is none of ours", hint="give next_cursor of the answer before")
    return int(cursor)
