"""Webhooks and the pushes on their way to them."""

from __future__ import annotations

from dataclasses import asdict, fields
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from skyproof.archive.database import Database, rows_as_dicts
from skyproof.archive.notices import Notices, push_row
from skyproof.archive.push_tables import pushes, webhooks
from skyproof.archive.tables import customers
from skyproof.domain.notices import Notice, Push, PushState, Webhook

_PUSH_COLUMNS = tuple(pushes.c[field.name] for field in fields(Push))


class Webhooks:
    """Where customers want to be told, and how far that got."""

    def __init__(self, database: Database, notices: Notices) -> None:
        self._database = database
        self._notices = notices

    def all(self, customer_id: str) -> tuple[Webhook, ...]:
        """A customer's webhooks by id."""
        with self._database.reading() as connection:
            return self.own(connection, customer_id)

    def own(self, connection: Connection, customer_id: str, *, lock: bool = False) -> tuple[Webhook, ...]:
        """The same within a transaction; ``lock`` lets no other one change them until it ends."""
        if lock:
            owner = sa.select(customers).where(customers.c.customer_id == customer_id)
            connection.execute(owner.with_for_update())
        query = sa.select(webhooks).where(webhooks.c.customer_id == customer_id).order_by(webhooks.c.webhook_id)
        return tuple(_to_webhook(row) for row in rows_as_dicts(connection.execute(query).all()))

    def put(self, connection: Connection, webhook: Webhook) -> None:
        """Insert a webhook or change it, within a transaction."""
        connection.execute(self._database.upsert(webhooks), {**asdict(webhook), "kinds": list(webhook.kinds)})

    def delete(self, connection: Connection, webhook_id: str) -> None:
        """Drop a webhook and all its pushes, within a transaction."""
        connection.execute(sa.delete(pushes).where(pushes.c.webhook_id == webhook_id))
        connection.execute(sa.delete(webhooks).where(webhooks.c.webhook_id == webhook_id))

    def disable(self, webhook_id: str, reason: str) -> None:
        """Push nothing more to a webhook until its owner enables it."""
        change = sa.update(webhooks).where(webhooks.c.webhook_id == webhook_id).values(disabled_reason=reason)
        with self._database.writing() as connection:
            connection.execute(change)

    def deliveries(
        self, webhook_id: str, *, state: PushState | None = None, before: str = "", limit: int = 200
    ) -> tuple[Push, ...]:
        """Pushes to a webhook, newest first; ``before`` goes on below an id."""
        query = sa.select(*_PUSH_COLUMNS).where(pushes.c.webhook_id == webhook_id)
        if state is not None:
            query = query.where(pushes.c.state == state)
        if before:
            query = query.where(pushes.c.delivery_id < before)
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(pushes.c.delivery_id.desc()).limit(limit)).all()
        return tuple(Push(**row) for row in rows_as_dicts(rows))

    def delivery(self, connection: Connection, webhook_id: str, delivery_id: str) -> Push | None:
        """One push to a webhook, within a transaction."""
        query = sa.select(*_PUSH_COLUMNS).where(pushes.c.webhook_id == webhook_id, pushes.c.delivery_id == delivery_id)
        row = connection.execute(query).one_or_none()
        return None if row is None else Push(**rows_as_dicts([row])[0])

    def push_again(self, connection: Connection, webhook: Webhook, event_id: str, now: datetime) -> str:
        """Set an event on its way once more, within a transaction; returns the new delivery's id."""
        row = push_row(webhook.webhook_id, self._notices.find(connection, webhook.customer_id, event_id), now)
        connection.execute(sa.insert(pushes), row)
        return str(row["delivery_id"])

    def claim_due(self, now: datetime, *, most: int, claim_for: timedelta) -> tuple[tuple[Push, Webhook, Notice], ...]:
        """Take pushes that are due, counting the attempt; nobody else gets them until the claim ends.

        A process that dies meanwhile leaves its claim to run out, and the push is made again: at least once, never silently not.
        """
        due = (
            sa.select(pushes.c.delivery_id)
            .join(webhooks, webhooks.c.webhook_id == pushes.c.webhook_id)
            .where(
                pushes.c.state == "pending",
                pushes.c.due_at <= now,
                pushes.c.claimed_until <= now,
                webhooks.c.disabled_reason == "",
            )
            .order_by(pushes.c.due_at, pushes.c.delivery_id)
            .limit(most)
            .with_for_update(skip_locked=True, of=pushes)
        )
        claim = (
            sa.update(pushes)
            .where(pushes.c.delivery_id.in_(due.scalar_subquery()))
            .values(claimed_until=now + claim_for, attempts=pushes.c.attempts + 1)
            .returning(*_PUSH_COLUMNS, pushes.c.customer_id)
        )
        claimed = []
        with self._database.writing() as connection:
            for row in rows_as_dicts(connection.execute(claim).all()):
                customer_id = row.pop("customer_id")
                push = Push(**row)
                query = sa.select(webhooks).where(webhooks.c.webhook_id == push.webhook_id)
                webhook = _to_webhook(rows_as_dicts([connection.execute(query).one()])[0])
                claimed.append((push, webhook, self._notices.find(connection, customer_id, push.event_id)))
        return tuple(claimed)

    def has_due(self, now: datetime) -> bool:
        """Whether anything may be claimed; asks without taking the write lock."""
        query = sa.select(pushes.c.delivery_id).where(pushes.c.state == "pending", pushes.c.due_at <= now).limit(1)
        with self._database.reading() as connection:
            return connection.execute(query).first() is not None

    def settle(self, push: Push) -> None:
        """Keep what became of an attempt."""
        values = {name: getattr(push, name) for name in ("state", "due_at", "last_status", "last_error", "finished_at")}
        change = sa.update(pushes).where(pushes.c.delivery_id == push.delivery_id)
        with self._database.writing() as connection:
            connection.execute(change.values(claimed_until=push.due_at, **values))


def _to_webhook(row: dict[str, Any]) -> Webhook:
    return Webhook(**{**row, "kinds": tuple(row["kinds"])})
