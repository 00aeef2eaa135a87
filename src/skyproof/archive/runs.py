"""Published runs: one immutable file each, and one row that makes it visible.

The file is durable before its row is committed. A reader therefore sees a whole run or the one before, never half.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import fields
from datetime import datetime
from threading import Lock
from typing import Any

import sqlalchemy as sa

from skyproof.archive.database import Database, rows_as_dicts
from skyproof.archive.derived import delete_objects, drop_scores
from skyproof.archive.objects import content_key
from skyproof.archive.run_file import RunDraft, RunReader, SiteSeries, write_run
from skyproof.archive.run_records import inputs_from_json, inputs_to_json, regime_from_json, regime_to_json
from skyproof.archive.tables import runs
from skyproof.domain.errors import NoRunError, UnknownNameError
from skyproof.domain.forecasts import Run
from skyproof.domain.protocols import ObjectStore
from skyproof.domain.times import format_instant, hours, to_epoch_seconds

__all__ = ["RunDraft", "RunReader", "Runs", "SiteSeries"]

#: Readers kept open: the runs a customer may still ask about, one file descriptor each.
_READERS = 32
#: What orders runs; instants as the whole seconds they are kept as.
_PLACE = (
    sa.type_coerce(runs.c.issue_time, sa.BigInteger),
    sa.type_coerce(runs.c.published_at, sa.BigInteger),
    runs.c.run_id,
)
_COLUMNS = tuple(runs.c[field.name] for field in fields(Run))


class Runs:
    """The catalogue of published runs and their values."""

    def __init__(self, database: Database, objects: ObjectStore) -> None:
        self._database = database
        self._objects = objects
        self._readers: OrderedDict[str, RunReader] = OrderedDict()
        self._lock = Lock()

    def publish(self, draft: RunDraft) -> Run:
        """Publish a run; durable and visible on return. The same forecast again is the same run: the first row stays.

        Raises:
            InvalidValueError: the grid is empty, or a value is beyond what its variable can hold.
        """
        data = write_run(draft)
        key, digest = content_key("runs", data, ".nc")
        self._objects.put(key, data)
        row = {
            "run_id": f"run_{digest[:16]}",
            "release_id": draft.release_id,
            "issue_time": draft.issue_time,
            "init_time": draft.init_time,
            "published_at": draft.published_at,
            "regime": regime_to_json(draft.regime),
            "inputs": inputs_to_json(draft.inputs),
            "object_key": key,
            "experts_key": draft.experts_key,
            "digest": digest,
            "generation_ms": float(draft.generation_ms),
            "warnings": list(draft.warnings),
        }
        days = {(draft.init_time + hours(lead)).date() for lead in draft.grid.lead_hours}
        dropped: list[str] = []
        with self._database.writing() as connection:
            insert = self._database.insert_new(runs).returning(runs.c.run_id)
            if connection.execute(insert, row).one_or_none() is not None:
                known_since = dict.fromkeys(days, draft.published_at)
                dropped = drop_scores(connection, known_since, release_id=draft.release_id)
        delete_objects(self._objects, dropped)
        return self.find(f"run_{digest[:16]}")

    def newest(self, *, as_of: datetime, release_id: str | None = None) -> Run:
        """The run of the newest issue time among those published by ``as_of``.

        Raises:
            NoRunError: there is none.
        """
        query = _published(as_of, release_id).order_by(*_newest_first()).limit(1)
        return self._one(query, f"no run was published by {format_instant(as_of)}")

    def find(self, run_id: str) -> Run:
        """The run of that id.

        Raises:
            UnknownNameError: no such run.
        """
        with self._database.reading() as connection:
            row = connection.execute(sa.select(*_COLUMNS).where(runs.c.run_id == run_id)).one_or_none()
        if row is None:
            raise UnknownNameError(f"run {run_id[:64]!r} is not known", hint="ask for the newest, or list the runs")
        return _to_run(rows_as_dicts([row])[0])

    def find_by_init(self, init_time: datetime, *, as_of: datetime) -> Run:
        """The run of that init time published last by ``as_of``.

        Raises:
            NoRunError: there is none.
        """
        query = _published(as_of, None).where(runs.c.init_time == init_time).order_by(*_newest_first()).limit(1)
        return self._one(query, f"no run with init time {format_instant(init_time)} was published by then")

    def between(
        self, *, issue_from: datetime, issue_until: datetime, as_of: datetime, release_id: str | None = None
    ) -> tuple[Run, ...]:
        """Runs issued in [issue_from, issue_until] and published by ``as_of``, oldest first."""
        query = _published(as_of, release_id).where(runs.c.issue_time.between(issue_from, issue_until))
        query = query.order_by(runs.c.issue_time, runs.c.published_at, runs.c.run_id)
        with self._database.reading() as connection:
            rows = rows_as_dicts(connection.execute(query).all())
        return tuple(_to_run(row) for row in rows)

    def by_init(
        self, *, init_from: datetime, init_until: datetime, as_of: datetime, release_id: str | None = None, limit: int
    ) -> tuple[Run, ...]:
        """Runs begun in [init_from, init_until] and published by ``as_of``, oldest first; of one init time the newest alone.

        At most ``limit`` rows are read; whoever gets as many knows that there may be more.
        """
        query = _published(as_of, release_id).where(runs.c.init_time.between(init_from, init_until))
        query = query.order_by(runs.c.init_time, runs.c.issue_time, runs.c.published_at, runs.c.run_id).limit(limit)
        with self._database.reading() as connection:
            rows = rows_as_dicts(connection.execute(query).all())
        return tuple({row["init_time"]: _to_run(row) for row in rows}.values())

    def page(
        self, *, as_of: datetime, since: datetime | None = None, after: Run | None = None, limit: int
    ) -> tuple[Run, ...]:
        """Runs published by ``as_of``, issued at or after ``since``, newest first: at most ``limit``, those behind ``after``."""
        query = _published(as_of, None)
        if since is not None:
            query = query.where(runs.c.issue_time >= since)
        if after is not None:
            place = (to_epoch_seconds(after.issue_time), to_epoch_seconds(after.published_at), after.run_id)
            query = query.where(sa.tuple_(*_PLACE) < sa.tuple_(*(sa.literal(part) for part in place)))
        with self._database.reading() as connection:
            rows = rows_as_dicts(connection.execute(query.order_by(*_newest_first()).limit(limit)).all())
        return tuple(_to_run(row) for row in rows)

    def open(self, run: Run) -> RunReader:
        """A memory-mapped reader of a run's file; the last few stay open.

        Raises:
            IntegrityError: the file is missing or damaged.
        """
        with self._lock:
            reader = self._readers.get(run.object_key)
            if reader is not None:
                self._readers.move_to_end(run.object_key)
                return reader
        with self._objects.local_path(run.object_key) as path:
            reader = RunReader(path)
        with self._lock:
            self._readers[run.object_key] = reader
            if len(self._readers) > _READERS:
                self._readers.popitem(last=False)
        return reader

    def close(self) -> None:
        """Let go of all readers."""
        with self._lock:
            self._readers.clear()

    def _one(self, query: sa.Select[Any], message: str) -> Run:
        with self._database.reading() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise NoRunError(message, hint="skyproof forecast makes one; GET /v1/runs lists what there is")
        return _to_run(rows_as_dicts([row])[0])


def _published(as_of: datetime, release_id: str | None) -> sa.Select[Any]:
    query = sa.select(*_COLUMNS).where(runs.c.published_at <= as_of)
    return query if release_id is None else query.where(runs.c.release_id == release_id)


def _newest_first() -> tuple[sa.ColumnElement[Any], ...]:
    return (runs.c.issue_time.desc(), runs.c.published_at.desc(), runs.c.run_id.desc())


def _to_run(row: dict[str, Any]) -> Run:
    return Run(
        **{
            **row,
            "regime": regime_from_json(row["regime"]),
            "inputs": inputs_from_json(row["inputs"]),
            "warnings": tuple(row["warnings"]),
        }
    )
