"""How customers change what is theirs: one way for every write, with its bounds, its Idempotency-Key and its audit entry."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import orjson
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from skyproof.archive.archive import Archive
from skyproof.archive.writes import Outcome, Transaction, WriteRequest
from skyproof.domain.deliveries import ApiKey
from skyproof.domain.protocols import Clock
from skyproof.surfaces.api.bodies import idempotency_key, request_digest

_HEADERS = {"Cache-Control": "no-store"}
_IDEMPOTENCY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Sent again within a day with the same request, it gets the same answer and changes nothing.",
    "schema": {"type": "string", "maxLength": 128},
}


class CustomerWrites:
    """Does the writes of customers."""

    def __init__(self, archive: Archive, clock: Clock) -> None:
        self._archive = archive
        self._clock = clock

    async def __call__(
        self, request: Request, key: ApiKey, body: bytes, change: Callable[[Transaction, datetime], Outcome]
    ) -> Response:
        """Make a change once and say what it amounts to; ``change`` gets a transaction and the present."""
        now = self._clock.now()
        asked = WriteRequest(key.customer_id, idempotency_key(request), request_digest(request, body), now)
        outcome = await run_in_threadpool(
            self._archive.writes.once, asked, lambda transaction: change(transaction, now)
        )
        return outcome_response(outcome)


def outcome_response(outcome: Outcome) -> Response:
    """An outcome as it is sent; secrets leave here, once."""
    headers = {**_HEADERS, "Idempotent-Replayed": "true"} if outcome.is_replay else _HEADERS
    body = orjson.dumps({**outcome.answer, **outcome.secrets})
    return Response(body, outcome.status, headers, media_type="application/json")


def described(
    answer: type[BaseModel], *, status: int = 200, body: type[BaseModel] | None = None, **media: dict[str, Any]
) -> dict[str, Any]:
    """What a write's route tells the description: its body, its answer, and that it takes an Idempotency-Key.

    ``media``: schemas of other forms of the body, by media type with ``_`` for ``/``.
    """
    extra: dict[str, Any] = {"parameters": [_IDEMPOTENCY]}
    content = {name.replace("_", "/"): {"schema": schema} for name, schema in media.items()}
    if body is not None:
        content["application/json"] = {"schema": {"$ref": f"#/components/schemas/{body.__name__}"}}
    if content:
        extra["requestBody"] = {"required": True, "content": content}
    return {"responses": {status: {"model": answer}}, "status_code": status, "openapi_extra": extra}
