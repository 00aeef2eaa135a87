"""Writes that happen once: the change, its audit entry and the answer to its Idempotency-Key are one transaction.

A caller that never heard our answer sends the same request with the same key again and gets that answer, and nothing is done
twice. Answers are kept for a day, without their secrets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from skyproof.archive.account_tables import writes_done
from skyproof.archive.audit import write_audit
from skyproof.archive.database import Database
from skyproof.domain.accounts import AuditEntry
from skyproof.domain.errors import ConflictError

#: What a change works in; whoever makes a change need not know the database.
Transaction: TypeAlias = Connection
#: How long the answer to an Idempotency-Key is kept.
REMEMBERED_FOR = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a write amounts to: status and answer. ``secrets`` are members of the answer that are sent once and not kept."""

    status: int
    answer: Mapping[str, object]
    audit: AuditEntry | None = None
    secrets: Mapping[str, str] = field(default_factory=dict)
    is_replay: bool = False


@dataclass(frozen=True, slots=True)
class WriteRequest:
    """Who asks for what: ``digest`` stands for method, address and body. An empty key means: not remembered."""

    customer_id: str
    idempotency_key: str
    digest: str
    now: datetime


class Writes:
    """Does writes once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def once(self, request: WriteRequest, change: Callable[[Transaction], Outcome]) -> Outcome:
        """Make a change, or give again what was answered when it was made.

        ``change`` works in the connection it is given and nowhere else; where it raises, nothing is kept, the key included.

        Raises:
            ConflictError: the key was used for another request.
        """
        with self._database.writing() as connection:
            if request.idempotency_key:
                done = self._claim(connection, request)
                if done is not None:
                    return done
            outcome = change(connection)
            if outcome.audit is not None:
                write_audit(connection, outcome.audit)
            if request.idempotency_key:
                kept = {**outcome.answer, **dict.fromkeys(outcome.secrets)}
                connection.execute(
                    sa.update(writes_done).where(*_is_of(request)).values(status=outcome.status, answer=kept)
                )
            return outcome

    def _claim(self, connection: Connection, request: WriteRequest) -> Outcome | None:
        """Take the key, waiting for whoever holds it unfinished; or say what was answered under it."""
        expired = writes_done.c.created_at < request.now - REMEMBERED_FOR
        connection.execute(sa.delete(writes_done).where(writes_done.c.customer_id == request.customer_id, expired))
        row = {
            "customer_id": request.customer_id,
            "idempotency_key": request.idempotency_key,
            "digest": request.digest,
            "created_at": request.now,
            "status": 0,
            "answer": {},
        }
        claim = self._database.insert_new(writes_done).values(row).returning(writes_done.c.status)
        if connection.execute(claim).first() is not None:
            return None
        held = connection.execute(sa.select(writes_done).where(*_is_of(request))).one()
        if held.digest != request.digest:
            raise ConflictError(
                "this Idempotency-Key was used for another request",
                hint="use a new key for a new request, and the same only to send the same request again",
            )
        return Outcome(held.status, held.answer, is_replay=True)


def _is_of(request: WriteRequest) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        writes_done.c.customer_id == request.customer_id,
        writes_done.c.idempotency_key == request.idempotency_key,
    )
