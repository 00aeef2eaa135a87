"""The ledger of what mattered."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import sqlalchemy as sa

from skyproof.archive.database import Database
from skyproof.archive.tables import events
from skyproof.domain.deliveries import LedgerEvent


class Events:
    """Things that matter to the business, only ever added to."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, kind: str, payload: Mapping[str, object], *, recorded_at: datetime) -> None:
        """Add one event; durable on return."""
        with self._database.writing() as connection:
            connection.execute(sa.insert(events), {"kind": kind, "payload": dict(payload), "recorded_at": recorded_at})

    def all(self, *, as_of: datetime, kind: str | None = None) -> tuple[LedgerEvent, ...]:
        """Events recorded by ``as_of``, oldest first; ``kind`` keeps one kind."""
        query = sa.select(events).where(events.c.recorded_at <= as_of)
        if kind is not None:
            query = query.where(events.c.kind == kind)
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(events.c.recorded_at, events.c.event_id)).all()
        return tuple(LedgerEvent(row.recorded_at, row.kind, row.payload) for row in rows)
