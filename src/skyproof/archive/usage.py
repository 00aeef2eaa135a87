"""How much customers asked, in spans of a minute and of a day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from skyproof.archive.account_tables import usage
from skyproof.archive.database import Database, rows_as_dicts


@dataclass(frozen=True, slots=True)
class UsageRow:
    """Requests of a customer in the span of ``span_s`` seconds from ``starts_at``, and how many were refused beside them."""

    customer_id: str
    span_s: int
    starts_at: datetime
    requests: int
    refused: int = 0


class Usage:
    """Counts that several processes add to."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, rows: Sequence[UsageRow]) -> tuple[UsageRow, ...]:
        """Add counts to those kept; durable on return. Returns what is kept now for the same spans, in the same order."""
        if not rows:
            return ()
        insert: Any = sqlite.insert(usage) if self._database.is_sqlite else postgresql.insert(usage)
        added = insert.on_conflict_do_update(
            index_elements=["customer_id", "span_s", "starts_at"],
            set_={name: usage.c[name] + insert.excluded[name] for name in ("requests", "refused")},
        ).returning(*usage.c)
        with self._database.writing() as connection:
            # In one order for every process, so that two of them never wait for each other's rows.
            answers = [connection.execute(added, asdict(row)).one() for row in sorted(rows, key=_key)]
        kept = [UsageRow(**row) for row in rows_as_dicts(answers)]
        by_key = {_key(row): row for row in kept}
        return tuple(by_key[_key(row)] for row in rows)

    def spans(self, customer_id: str, span_s: int, *, since: datetime, until: datetime) -> tuple[UsageRow, ...]:
        """The spans of one length that begin in [since, until], newest first."""
        query = (
            sa.select(usage)
            .where(
                usage.c.customer_id == customer_id, usage.c.span_s == span_s, usage.c.starts_at.between(since, until)
            )
            .order_by(usage.c.starts_at.desc())
        )
        with self._database.reading() as connection:
            return tuple(UsageRow(**row) for row in rows_as_dicts(connection.execute(query).all()))

    def forget(self, span_s: int, *, before: datetime) -> int:
        """Drop spans of one length that began before an instant; returns how many."""
        with self._database.writing() as connection:
            gone = sa.delete(usage).where(usage.c.span_s == span_s, usage.c.starts_at < before)
            return int(connection.execute(gone).rowcount)


def _key(row: UsageRow) -> tuple[str, int, datetime]:
    return row.customer_id, row.span_s, row.starts_at
