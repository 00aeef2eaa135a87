"""The list of corrections, only ever added to: a wrong correction is corrected by another one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from skyproof.archive.database import Database, rows_as_dicts
from skyproof.archive.push_tables import corrigenda
from skyproof.domain.corrigenda import Corrigendum


class Corrigenda:
    """What was delivered and later found wrong."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, corrigendum: Corrigendum) -> None:
        """Add one; durable on return."""
        row = asdict(corrigendum)
        row |= {name: list(row[name]) for name in ("run_ids", "variables")}
        with self._database.writing() as connection:
            connection.execute(sa.insert(corrigenda), row)

    def page(
        self, *, as_of: datetime, since: datetime | None = None, before: int | None = None, limit: int = 200
    ) -> tuple[tuple[int, Corrigendum], ...]:
        """Corrections published by ``as_of`` with their numbers, newest first; ``before`` goes on below a number."""
        query = sa.select(corrigenda).where(corrigenda.c.published_at <= as_of)
        if since is not None:
            query = query.where(corrigenda.c.published_at >= since)
        if before is not None:
            query = query.where(corrigenda.c.sequence < before)
        with self._database.reading() as connection:
            rows = rows_as_dicts(connection.execute(query.order_by(corrigenda.c.sequence.desc()).limit(limit)).all())
        return tuple(_numbered(rows))


def _numbered(rows: Iterable[dict[str, Any]]) -> Iterable[tuple[int, Corrigendum]]:
    for row in rows:
        number = int(row.pop("sequence"))
        names = {name: tuple(row[name]) for name in ("run_ids", "variables")}
        yield number, Corrigendum(**{**row, **names})
