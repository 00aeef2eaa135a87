"""The audit log: who changed what, only ever added to, in the transaction of the change itself."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from skyproof.archive.account_tables import audit
from skyproof.archive.database import Database
from skyproof.domain.accounts import AuditEntry


def write_audit(connection: Connection, entry: AuditEntry) -> None:
    """Add an entry within the transaction of what it tells of: neither is ever kept without the other."""
    connection.execute(sa.insert(audit), {**asdict(entry), "detail": dict(entry.detail)})


class Audit:
    """Reads the log."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def page(
        self, customer_id: str, *, before: int | None = None, limit: int = 200, since: datetime | None = None
    ) -> tuple[tuple[int, AuditEntry], ...]:
        """Entries of a customer with their numbers, newest first; ``before`` goes on below a number."""
        query = sa.select(audit).where(audit.c.customer_id == customer_id)
        if before is not None:
            query = query.where(audit.c.audit_id < before)
        if since is not None:
            query = query.where(audit.c.recorded_at >= since)
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(audit.c.audit_id.desc()).limit(limit)).all()
        return tuple(
            (
                int(row.audit_id),
                AuditEntry(row.recorded_at, row.customer_id, row.key_id, row.action, row.subject, row.detail),
            )
            for row in rows
        )
