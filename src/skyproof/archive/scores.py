"""Scores as mergeable sums: one object per release, valid day and verification."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
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
_THREADS = 2
#: How keys end whose file is compressed as a whole, as all were at first.
_WHOLE = ".zst"
_FORMS = "forms"
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
        key, digest = content_key(f"scores/{day_scores.release_id}", data, ".h5")
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
        data = self._objects.get(day.object_key)
        try:
            if day.object_key.endswith(_WHOLE):
                data = zstandard.ZstdDecompressor().decompress(data)
            arrays, named = read_arrays(data)
            return _to_scores(_unpacked(arrays, named), named)
        except (IntegrityError, zstandard.ZstdError, ValueError, KeyError) as error:
            raise IntegrityError(
                f"the scores {day.object_key} are damaged", hint="verify that day again, or run skyproof doctor"
            ) from error


def _write(day: DayScores) -> bytes:
    """Each large array compressed by itself, side by side: the bytes do not depend on how many threads there are."""
    large = {"pit": day.pit} | {f"sum_{name}": day.sums[..., index] for index, name in enumerate(STATISTICS)}
    with ThreadPoolExecutor(max_workers=_THREADS) as pool:
        packed = dict(zip(large, pool.map(_packed, large.values()), strict=True))
    arrays: dict[str, NDArray[Any]] = {
        "models": np.array(day.models, dtype=str),
        "variables": np.array(day.variables, dtype=str),
        "site_ids": np.array(day.site_ids, dtype=str),
        "lead_hours": np.array(day.lead_hours, dtype=np.int32),
    }
    arrays |= {name: values for name, (values, _) in packed.items()}
    known = "" if day.known_until is None else format_instant(day.known_until)
    named = {"release_id": day.release_id, "valid_day": day.valid_day.isoformat(), "known_until": known}
    forms = {name: (dtype, large[name].shape) for name, (_, dtype) in packed.items()}
    return write_arrays(arrays, attributes={**named, _FORMS: json.dumps(forms, sort_keys=True)})


def _packed(values: NDArray[np.floating]) -> tuple[NDArray[np.uint8], str]:
    narrowed = _narrowed(values)
    data = zstandard.ZstdCompressor(level=_COMPRESSION_LEVEL, write_checksum=True).compress(
        narrowed.data if narrowed.size else b""
    )
    return np.frombuffer(data, dtype=np.uint8), narrowed.dtype.str


def _unpacked(arrays: dict[str, NDArray[Any]], named: dict[str, Any]) -> dict[str, NDArray[Any]]:
    forms = json.loads(named[_FORMS]) if _FORMS in named else {}
    plain = {
        name: np.frombuffer(zstandard.ZstdDecompressor().decompress(arrays[name].tobytes()), dtype=dtype).reshape(shape)
        for name, (dtype, shape) in forms.items()
    }
    return arrays | plain


def _to_scores(arrays: dict[str, NDArray[Any]], named: dict[str, Any]) -> DayScores:
    return DayScores(
        release_id=str(named["release_id"]),
        valid_day=date.fromisoformat(str(named["valid_day"])),
        models=tuple(arrays["models"].tolist()),
        variables=tuple(arrays["variables"].tolist()),
        site_ids=tuple(arrays["site_ids"].tolist()),
        lead_hours=tuple(arrays["lead_hours"].tolist()),
        # Each statistic stays together in memory, as it is kept and as it is read.
        sums=np.moveaxis(np.stack([arrays[f"sum_{name}"].astype(np.float64) for name in STATISTICS]), 0, -1),
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
