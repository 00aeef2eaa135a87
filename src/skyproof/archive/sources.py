"""The register of sources."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from skyproof.archive.database import Database
from skyproof.archive.tables import sources
from skyproof.domain.cycles import SourceSpec
from skyproof.domain.errors import UnknownNameError

_DURATIONS = ("cadence", "latency_p50", "latency_p95")


class Sources:
    """What each source promises."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def register(self, spec: SourceSpec) -> None:
        """Insert a source's register row, or change it."""
        row = {"source_id": spec.source_id, "register_row": _to_json(spec)}
        with self._database.writing() as connection:
            connection.execute(self._database.upsert(sources), row)

    def all(self) -> tuple[SourceSpec, ...]:
        """All register rows by id."""
        with self._database.reading() as connection:
            rows = connection.execute(sa.select(sources.c.register_row)).scalars().all()
        return tuple(sorted((_from_json(row) for row in rows), key=lambda spec: spec.source_id))

    def find(self, source_id: str) -> SourceSpec:
        """The register row of that id.

        Raises:
            UnknownNameError: no such source.
        """
        query = sa.select(sources.c.register_row).where(sources.c.source_id == source_id)
        with self._database.reading() as connection:
            row = connection.execute(query).scalar_one_or_none()
        if row is None:
            raise UnknownNameError(f"source {source_id[:64]!r} is not known", hint="skyproof source list shows all")
        return _from_json(row)


def _to_json(spec: SourceSpec) -> dict[str, Any]:
    # ``units`` as pairs: the order of a source's variables is part of what it says, and sorted keys would lose it.
    row = {**asdict(spec), "units": list(spec.units.items())}
    return row | {name: row[name].total_seconds() for name in _DURATIONS}


def _from_json(row: dict[str, Any]) -> SourceSpec:
    durations = {name: timedelta(seconds=row[name]) for name in _DURATIONS}
    return SourceSpec(**{**row, **durations, "lead_hours": tuple(row["lead_hours"]), "units": dict(row["units"])})
