"""Scores as mergeable sums: one object per release, valid day and verification."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import numpy as np
import sqlalchemy as sa
import zstandard
from numpy.typing import NDArray

from skyproof.archive.array_file import read_arrays, write_arrays
from skyproof.archive.database import Database, rows_as_dicts
from skyproof.archive.objects import content_key
from skyproof.archive.tables import scores
from skyproof.domain.errors import IntegrityError
from skyproof.domain.protocols import ObjectStore
from skyproof.domain.scores import STATISTICS, DayScores, ScoreDay
from skyproof.domain.times import format_instant, parse_instant

_COMPRESSION_LEVEL = 1
#: The bytes do not depend on how many there are.
_THREADS = 2
#: Every so many numbers are looked at first: most arrays are told apart by them.
_SAMPLE = 997


class Scores:
    """What verification found, day by day; a day scored again keeps its earlier findings."""

    def __init__(self, database: Database, objects: ObjectStore) -> None:
        self._database = database
        self._objects = objects

    def add(self, day_scores: DayScores, *, scored_at: datetime) -> ScoreDay:
        """Keep the sums of one day; durable on return. The same sums at the same instant are kept once."""
        data = _write(day_scores)
        key, digest = content_key(f"scores/{day_scores.release_id}", data, ".h5.zst")
        self._objects.put(key, data)
        row = {
            "release_id": day_scores.release_id,
            "valid_day": day_scores.valid_day,
            "scored_at": scored_at,
            "object_key": key,
            "digest": digest,
            "pairs": int(day_scores.sums[0, ..., STATISTICS.index("n")].sum()) if len(day_scores.models) else 0,
        }
        with self._database.writing() as connection:
            connection.execute(self._database.insert_new(scores), row)
        return ScoreDay(**row)  # type: ignore[arg-type]

    def days(
        self, release_id: str, *, as_of: datetime, day_from: date | None = None, day_until: date | None = None
    ) -> tuple[ScoreDay, ...]:
        """The newest entry scored by ``as_of`` of every valid day in [day_from, day_until], oldest day first."""
        query = sa.select(scores).where(scores.c.release_id == release_id, scores.c.scored_at <= as_of)
        if day_from is not None:
            query = query.where(scores.c.valid_day >= day_from)
        if day_until is not None:
            query = query.where(scores.c.valid_day <= day_until)
        query = query.order_by(scores.c.valid_day, scores.c.scored_at, scores.c.digest)
        with self._database.reading() as connection:
            rows = rows_as_dicts(connection.execute(query).all())
        newest = {row["valid_day"]: row for row in rows}
        return tuple(ScoreDay(**row) for row in newest.values())

    def read(self, day: ScoreDay) -> DayScores:
        """The sums of one day.

        Raises:
            IntegrityError: the object is missing or damaged.
        """
        try:
            data = zstandard.ZstdDecompressor().decompress(self._objects.get(day.object_key))
        except zstandard.ZstdError as error:
            raise IntegrityError(
                f"the scores {day.object_key} are damaged", hint="verify that day again, or run skyproof doctor"
            ) from error
        return _read(data)


def _write(day: DayScores) -> bytes:
    arrays: dict[str, NDArray[Any]] = {
        "models": np.array(day.models, dtype=str),
        "variables": np.array(day.variables, dtype=str),
        "site_ids": np.array(day.site_ids, dtype=str),
        "lead_hours": np.array(day.lead_hours, dtype=np.int32),
        "pit": _narrowed(day.pit),
    }
    arrays |= {f"sum_{name}": _narrowed(day.sums[..., index]) for index, name in enumerate(STATISTICS)}
    known = "" if day.known_until is None else format_instant(day.known_until)
    named = {"release_id": day.release_id, "valid_day": day.valid_day.isoformat(), "known_until": known}
    return zstandard.ZstdCompressor(level=_COMPRESSION_LEVEL, threads=_THREADS).compress(
        write_arrays(arrays, attributes=named)
    )


def _read(data: bytes) -> DayScores:
    arrays, named = read_arrays(data)
    return DayScores(
        release_id=str(named["release_id"]),
        valid_day=date.fromisoformat(str(named["valid_day"])),
        models=tuple(arrays["models"].tolist()),
        variables=tuple(arrays["variables"].tolist()),
        site_ids=tuple(arrays["site_ids"].tolist()),
        lead_hours=tuple(arrays["lead_hours"].tolist()),
        sums=np.stack([arrays[f"sum_{name}"].astype(np.float64) for name in STATISTICS], axis=-1),
        pit=arrays["pit"].astype(np.float64),
        known_until=parse_instant(str(named["known_until"])) if named["known_until"] else None,
    )


def _narrowed(values: NDArray[np.floating]) -> NDArray[Any]:
    """The same numbers in the smallest type that holds every one exactly: counts become one byte instead of eight."""
    values = np.ascontiguousarray(values)
    for dtype in (np.uint8, np.uint16, np.float32):
        if values.dtype == dtype:
            return values
        if _is_exact(values.reshape(-1)[::_SAMPLE], dtype) and _is_exact(values, dtype):
            return values.astype(dtype)
    return values


def _is_exact(values: NDArray[np.floating], dtype: type[np.number]) -> bool:
    with np.errstate(invalid="ignore", over="ignore"):
        return np.array_equal(values.astype(dtype), values, equal_nan=dtype is np.float32)
