"""States of the online blend, so that it need not learn from the beginning every time. Derived: may go at any moment."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from numpy.typing import NDArray

from skyproof.archive.array_file import read_arrays, write_arrays
from skyproof.archive.database import Database
from skyproof.archive.derived import delete_objects, drop_checkpoints
from skyproof.archive.objects import content_key
from skyproof.archive.tables import checkpoints
from skyproof.domain.protocols import ObjectStore
from skyproof.domain.times import format_instant


class Checkpoints:
    """Named arrays per release and issue time."""

    def __init__(self, database: Database, objects: ObjectStore) -> None:
        self._database = database
        self._objects = objects

    def put(self, release_id: str, issue_time: datetime, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Keep a state that has seen everything known at ``issue_time``; replaces an earlier one of that time."""
        named = {"release_id": release_id, "issue_time": format_instant(issue_time)}
        data = write_arrays(arrays, attributes=named)
        key, _ = content_key(f"checkpoints/{release_id}", data, ".h5")
        self._objects.put(key, data)
        here = sa.select(checkpoints.c.object_key).where(
            checkpoints.c.release_id == release_id, checkpoints.c.issue_time == issue_time
        )
        with self._database.writing() as connection:
            before = connection.execute(here).scalar_one_or_none()
            row = {"release_id": release_id, "issue_time": issue_time, "object_key": key}
            connection.execute(self._database.upsert(checkpoints), row)
        delete_objects(self._objects, [before] if before not in {None, key} else [])

    def newest(self, release_id: str, *, before: datetime) -> tuple[datetime, dict[str, NDArray[Any]]] | None:
        """Issue time and arrays of the newest state at or before ``before``; None if there is none."""
        query = sa.select(checkpoints.c.issue_time, checkpoints.c.object_key).where(
            checkpoints.c.release_id == release_id, checkpoints.c.issue_time <= before
        )
        with self._database.reading() as connection:
            row = connection.execute(query.order_by(checkpoints.c.issue_time.desc()).limit(1)).one_or_none()
        return None if row is None else (row.issue_time, read_arrays(self._objects.get(row.object_key))[0])

    def drop_after(self, instant: datetime) -> None:
        """Drop states that saw ``instant``: those of an issue time at or after it."""
        with self._database.writing() as connection:
            keys = drop_checkpoints(connection, instant)
        delete_objects(self._objects, keys)
