"""The feed of what customers are told, and the pushes that carry it: made together or not at all."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from skyproof.archive.database import Database
from skyproof.archive.push_tables import notices, pushes, webhooks
from skyproof.domain.notices import Notice

# Any constant of our own. Numbers are given one transaction after the other, so that whoever reads on after the last number
# it has seen never misses one that was given earlier and committed later.
_ADVISORY_LOCK = 7_596_372


def new_delivery_id(created_at: datetime) -> str:
    """A unique id that sorts by time."""
    return f"dl_{int(created_at.timestamp()):010x}{secrets.token_hex(8)}"


class Notices:
    """What customers are told, in the order in which it was said."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, new: Iterable[Notice], *, now: datetime) -> int:
        """Tell what was not told yet, and set it on its way to every webhook that wants it; returns how many were new.

        A notice of an event that the customer was told already changes nothing. ``now`` is by the machine's clock.
        """
        told = 0
        with self._database.writing() as connection:
            if not self._database.is_sqlite:
                connection.execute(sa.text(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})"))
            for notice in new:
                insert = self._database.insert_new(notices).values(**_row(notice)).returning(notices.c.sequence)
                if connection.execute(insert).first() is not None:
                    told += 1
                    self._push(connection, notice, now)
        return told

    def told(self, event_ids: Sequence[str]) -> frozenset[str]:
        """Those of the events that any customer was told of."""
        query = sa.select(notices.c.event_id).where(notices.c.event_id.in_(event_ids)).distinct()
        with self._database.reading() as connection:
            return frozenset(connection.execute(query).scalars())

    def page(
        self, customer_id: str, *, after: int = 0, kinds: Sequence[str] = (), limit: int = 200
    ) -> tuple[tuple[int, Notice], ...]:
        """What a customer was told after a number, oldest first; ``kinds`` keeps those."""
        query = sa.select(notices).where(notices.c.customer_id == customer_id, notices.c.sequence > after)
        if kinds:
            query = query.where(notices.c.kind.in_(kinds))
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(notices.c.sequence).limit(limit)).all()
        return tuple((int(row.sequence), _to_notice(row)) for row in rows)

    def forget(self, *, before: datetime) -> int:
        """Drop notices of what happened before an instant, and their pushes; returns how many notices.

        What is still on its way is kept, and the last notice of all, so that numbers go on from it.
        """
        old = notices.c.occurred_at < before
        of_notice = sa.and_(pushes.c.event_id == notices.c.event_id, pushes.c.customer_id == notices.c.customer_id)
        last = sa.select(sa.func.max(notices.c.sequence)).scalar_subquery()
        with self._database.writing() as connection:
            settled = sa.delete(pushes).where(
                pushes.c.state != "pending", sa.exists(sa.select(1).select_from(notices).where(of_notice, old))
            )
            connection.execute(settled)
            waiting = sa.exists(sa.select(1).select_from(pushes).where(of_notice))
            return int(connection.execute(sa.delete(notices).where(old, ~waiting, notices.c.sequence < last)).rowcount)

    def find(self, connection: Connection, customer_id: str, event_id: str) -> Notice:
        """What a customer was told of an event."""
        query = sa.select(notices).where(notices.c.event_id == event_id, notices.c.customer_id == customer_id)
        return _to_notice(connection.execute(query).one())

    def _push(self, connection: Connection, notice: Notice, now: datetime) -> None:
        wanting = sa.select(webhooks.c.webhook_id, webhooks.c.kinds).where(
            webhooks.c.customer_id == notice.customer_id, webhooks.c.disabled_reason == ""
        )
        for webhook_id, kinds in connection.execute(wanting).all():
            if notice.kind in kinds:
                connection.execute(sa.insert(pushes), push_row(webhook_id, notice, now))


def push_row(webhook_id: str, notice: Notice, now: datetime) -> dict[str, Any]:
    """A push that is due at once."""
    return {
        "delivery_id": new_delivery_id(now),
        "webhook_id": webhook_id,
        "customer_id": notice.customer_id,
        "event_id": notice.event_id,
        "kind": notice.kind,
        "state": "pending",
        "attempts": 0,
        "due_at": now,
        "claimed_until": now,
        "created_at": now,
        "last_status": None,
        "last_error": "",
        "finished_at": None,
    }


def _row(notice: Notice) -> dict[str, Any]:
    return {**asdict(notice), "data": dict(notice.data)}


def _to_notice(row: Any) -> Notice:
    return Notice(row.event_id, row.customer_id, row.kind, row.occurred_at, row.data)
