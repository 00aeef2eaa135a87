"""Being told: webhooks and their deliveries, and the feed of the same events for those who would rather ask.

Annotations are evaluated at once here: FastAPI has to see the dependencies, which are local names.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from skyproof.archive.archive import Archive
from skyproof.cycle.push_cycle import Pusher
from skyproof.domain.deliveries import ApiKey
from skyproof.domain.errors import InvalidValueError
from skyproof.domain.notices import check_kinds
from skyproof.domain.protocols import Clock
from skyproof.stages.deliver.run_notices import render_notice
from skyproof.stages.deliver.targets import UnreachableError
from skyproof.stages.deliver.webhook_changes import (
    change_webhook,
    create_webhook,
    delete_webhook,
    own_webhook,
    push_facts,
    replay,
    rotate_secret,
    webhook_facts,
)
from skyproof.surfaces.api import push_wire as shapes
from skyproof.surfaces.api import wire
from skyproof.surfaces.api.account_routes import read_number
from skyproof.surfaces.api.authentication import Authenticator
from skyproof.surfaces.api.bodies import parse_model, read_body
from skyproof.surfaces.api.customer_writes import CustomerWrites, described


def push_router(archive: Archive, clock: Clock, authenticator: Authenticator, pusher: Pusher) -> APIRouter:
    """The routes of being told, each behind the scope it needs."""
    router = APIRouter(prefix="/v1")
    write = CustomerWrites(archive, clock)
    manages = Depends(authenticator.requires("webhooks:write"))

    async def check_target(url: str) -> None:
        try:
            await run_in_threadpool(pusher.courier.check, url)
        except UnreachableError as error:
            raise InvalidValueError(f"the url leads nowhere: {error}", hint="check its host name") from error

    @router.get("/webhooks", summary="Your webhooks, without their secrets")
    def webhooks(nothing: Annotated[wire.Nothing, Query()], key: Annotated[ApiKey, manages]) -> shapes.WebhooksOut:  # noqa: ARG001
        now = clock.now()
        found = archive.webhooks.all(key.customer_id)
        return shapes.WebhooksOut(
            webhooks=[shapes.WebhookOut.model_validate(webhook_facts(each, now)) for each in found]
        )

    @router.get("/webhooks/{webhook_id}", summary="One webhook")
    def webhook(
        nothing: Annotated[wire.Nothing, Query()],  # noqa: ARG001 refuses parameters
        webhook_id: str,
        key: Annotated[ApiKey, manages],
    ) -> shapes.WebhookOut:
        found = own_webhook(archive.webhooks.all(key.customer_id), webhook_id)
        return shapes.WebhookOut.model_validate(webhook_facts(found, clock.now()))

    @router.post(
        "/webhooks",
        summary="Be told of events; the secret is shown once",
        **described(shapes.NewWebhookOut, status=201, body=shapes.WebhookIn),
    )
    async def create(request: Request, key: Annotated[ApiKey, manages]) -> Response:
        body = await read_body(request)
        wanted = parse_model(request, body, shapes.WebhookIn)
        await check_target(wanted.url)
        plan = authenticator.meter.plan(key.customer_id)
        return await write(
            request,
            key,
            body,
            lambda transaction, now: create_webhook(
                archive, transaction, key, plan, pusher.signer, now, url=wanted.url, kinds=tuple(wanted.events)
            ),
        )

    @router.patch(
        "/webhooks/{webhook_id}",
        summary="Change a webhook, or switch it off and on",
        **described(shapes.WebhookOut, body=shapes.WebhookChangeIn),
    )
    async def change(request: Request, webhook_id: str, key: Annotated[ApiKey, manages]) -> Response:
        body = await read_body(request)
        wanted = parse_model(request, body, shapes.WebhookChangeIn)
        if wanted.url is not None:
            await check_target(wanted.url)
        kinds = None if wanted.events is None else tuple(wanted.events)
        return await write(
            request,
            key,
            body,
            lambda transaction, now: change_webhook(
                archive, transaction, key, webhook_id, now, url=wanted.url, kinds=kinds, is_active=wanted.active
            ),
        )

    @router.delete("/webhooks/{webhook_id}", summary="Drop a webhook", **described(shapes.WebhookOut))
    async def delete(request: Request, webhook_id: str, key: Annotated[ApiKey, manages]) -> Response:
        return await write(
            request, key, b"", lambda transaction, now: delete_webhook(archive, transaction, key, webhook_id, now)
        )

    @router.post(
        "/webhooks/{webhook_id}/rotate",
        summary="Give a webhook a new secret; for a day both sign",
        **described(shapes.NewWebhookOut),
    )
    async def rotate(request: Request, webhook_id: str, key: Annotated[ApiKey, manages]) -> Response:
        return await write(
            request,
            key,
            b"",
            lambda transaction, now: rotate_secret(archive, transaction, key, pusher.signer, webhook_id, now),
        )

    _add_deliveries(router, archive, pusher, write, manages)
    _add_events(router, archive, authenticator)
    return router


def _add_deliveries(
    router: APIRouter, archive: Archive, pusher: Pusher, write: CustomerWrites, manages: object
) -> None:
    @router.get(
        "/webhooks/{webhook_id}/deliveries", summary="How deliveries to a webhook went; state=dead lists those given up"
    )
    def deliveries(
        page: Annotated[shapes.DeliveryPage, Query()], webhook_id: str, key: Annotated[ApiKey, manages]
    ) -> shapes.DeliveriesOut:
        webhook = own_webhook(archive.webhooks.all(key.customer_id), webhook_id)
        found = archive.webhooks.deliveries(
            webhook.webhook_id,
            state=None if page.state == "all" else page.state,
            before=page.cursor,
            limit=page.limit + 1,
        )
        rows = [shapes.DeliveryOut.model_validate(push_facts(push)) for push in found[: page.limit]]
        more = len(found) > page.limit
        return shapes.DeliveriesOut(deliveries=rows, next_cursor=rows[-1].delivery if more else None)

    @router.post(
        "/webhooks/{webhook_id}/deliveries/{delivery_id}/replay",
        summary="Deliver an event once more",
        **described(shapes.DeliveryOut, status=201),
    )
    async def again(request: Request, webhook_id: str, delivery_id: str, key: Annotated[ApiKey, manages]) -> Response:
        due_at = pusher.wall.now()
        return await write(
            request,
            key,
            b"",
            lambda transaction, now: replay(archive, transaction, key, webhook_id, delivery_id, now, due_at=due_at),
        )


def _add_events(router: APIRouter, archive: Archive, authenticator: Authenticator) -> None:
    @router.get("/events", summary="What you are told, oldest first: the same events webhooks carry")
    def events(
        page: Annotated[shapes.EventPage, Query()],
        key: Annotated[ApiKey, Depends(authenticator.requires("events:read"))],
    ) -> shapes.EventsOut:
        after = read_number(page.cursor) or 0
        asked = tuple(kind.strip().removeprefix("skyproof.") for kind in page.type.split(",") if kind.strip())
        kinds = check_kinds(asked) if asked else ()
        found = archive.notices.page(key.customer_id, after=after, kinds=kinds, limit=page.limit)
        rows = [shapes.EventOut.model_validate(render_notice(notice)) for _, notice in found]
        return shapes.EventsOut(events=rows, next_cursor=str(found[-1][0] if found else after))
