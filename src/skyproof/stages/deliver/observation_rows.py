"""Observations as customers send them: JSON, NDJSON or CSV, row by row; a wrong row is refused with its reason, the others go on.

A row is one value: ``time`` (with its zone), ``variable``, ``value`` (null or empty: nothing was measured) and, if it is not the
variable's own, ``unit``.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from skyproof.domain.errors import InputError, InvalidValueError, TooLargeError, UnreadableFileError
from skyproof.domain.times import require_utc
from skyproof.domain.units import conversion
from skyproof.domain.variables import find_variable

MOST_ROWS = 10_000
COLUMNS = ("time", "variable", "value", "unit")
#: Media type to the name of the form.
FORMS = {"application/json": "json", "application/x-ndjson": "ndjson", "application/jsonl": "ndjson", "text/csv": "csv"}
#: Older than any series of a customer, and so far ahead that no clock is that wrong.
_EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
_LATEST_AHEAD = timedelta(days=1)
_NUMBER = re.compile(r"[+-]?([0-9]{1,12}(\.[0-9]{0,12})?|\.[0-9]{1,12})([eE][+-]?[0-9]{1,2})?")


@dataclass(frozen=True, slots=True)
class ObservationRow:
    """One value as it was sent. ``value`` is NaN where nothing was measured, in ``unit`` (a UCUM code)."""

    number: int
    valid_time: datetime
    variable: str
    value: float
    unit: str


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row that says nothing that can be kept, and why."""

    number: int
    reason: str


def read_rows(data: bytes, form: str, *, now: datetime) -> tuple[tuple[ObservationRow, ...], tuple[RefusedRow, ...]]:
    """Read a body.

    Args:
        data: the body.
        form: ``json``, ``ndjson`` or ``csv``.
        now: the present; nothing was measured later.

    Raises:
        UnreadableFileError: not of that form at all.
        TooLargeError: more than 10,000 rows.
    """
    readers = {"json": _read_json, "ndjson": _read_ndjson, "csv": _read_csv}
    good: list[ObservationRow] = []
    refused: list[RefusedRow] = []
    cells: dict[tuple[str, datetime], int] = {}
    for number, raw in enumerate(_bounded(readers[form](data))):
        try:
            row = _read_row(number, raw, now)
            before = cells.setdefault((row.variable, row.valid_time), number)
            if before != number:
                raise InvalidValueError(
                    f"row {before} of this request speaks of the same variable and time", hint="send it once"
                )
            good.append(row)
        except InputError as error:
            refused.append(RefusedRow(number, str(error)[:200]))
    return tuple(good), tuple(refused)


def _bounded(rows: Iterable[Any]) -> Iterator[Any]:
    for number, row in enumerate(rows):
        if number >= MOST_ROWS:
            raise TooLargeError(f"the body has more than {MOST_ROWS:,} rows", hint="send them in several requests")
        yield row


def _read_json(data: bytes) -> Iterable[Any]:
    try:
        body = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise UnreadableFileError(f"the body is no JSON: {str(error)[:100]}", hint="see /docs") from error
    rows = body.get("observations") if isinstance(body, dict) and len(body) == 1 else body
    if not isinstance(rows, list):
        raise UnreadableFileError(
            "the JSON holds no list of rows", hint='send {"observations": [{...}, ...]} or [{...}, ...]'
        )
    return rows


def _read_ndjson(data: bytes) -> Iterator[Any]:
    for line in io.BytesIO(data):
        if line.strip():
            try:
                yield orjson.loads(line)
            except orjson.JSONDecodeError:
                yield None


def _read_csv(data: bytes) -> Iterator[Any]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableFileError("the CSV is no UTF-8", hint="save it as UTF-8") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        if not {"time", "variable", "value"} <= set(header) <= set(COLUMNS) or len(set(header)) != len(header):
            raise UnreadableFileError(
                f"the CSV begins with {','.join(header)[:80]!r}", hint=f"begin it with the line {','.join(COLUMNS)}"
            )
        for fields in reader:
            if fields:
                yield dict(zip(header, fields, strict=False)) if len(fields) == len(header) else None
    except csv.Error as error:
        raise UnreadableFileError(f"the CSV cannot be read: {error}", hint="quote fields that hold commas") from error


def _read_row(number: int, raw: Any, now: datetime) -> ObservationRow:
    if not isinstance(raw, Mapping):
        raise InvalidValueError("the row is no object of its members", hint=f"give {', '.join(COLUMNS)}")
    unknown = [str(name)[:40] for name in raw if name not in COLUMNS]
    if unknown:
        raise InvalidValueError(f"{unknown[0]!r} is not known in a row", hint=f"give {', '.join(COLUMNS)}")
    variable = find_variable(str(raw.get("variable", "")))
    unit = str(raw.get("unit") or variable.unit)
    conversion(unit, variable.unit)
    if "value" not in raw:
        raise InvalidValueError("value is missing", hint="give a number, or null where nothing was measured")
    return ObservationRow(number, _read_time(raw.get("time"), now), variable.name, _read_value(raw["value"]), unit)


def _read_time(text: Any, now: datetime) -> datetime:
    try:
        instant = datetime.fromisoformat(text[:40]) if isinstance(text, str) and len(text) <= 40 else None
    except ValueError:
        instant = None
    if instant is None:
        raise InvalidValueError(
            f"time {str(text)[:40]!r} is not an ISO 8601 instant", hint="write it like 2026-01-31T06:00Z"
        )
    # Without its zone a time is two instants in one night of the year.
    instant = require_utc(instant, "time")
    if instant.microsecond:
        raise InvalidValueError("time is finer than a second", hint="give whole seconds")
    if not _EARLIEST <= instant <= now + _LATEST_AHEAD:
        raise InvalidValueError(
            f"time {text[:40]} is impossible", hint="nothing was measured before 1900 or later than now"
        )
    return instant


def _read_value(value: Any) -> float:
    if value is None or value == "":
        return math.nan
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or abs(value) > 1e12:
        raise InvalidValueError(f"value {str(value)[:40]!r} is no number", hint="give a number, or null")
    return float(value)
