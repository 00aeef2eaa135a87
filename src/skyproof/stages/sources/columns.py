"""Columns of a table as numbers, instants and names; each parser also says which rows it could not understand.

Times and names repeat over many rows, so each distinct value is parsed once, in plain Python, with a clear reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from skyproof.domain.errors import ContractError
from skyproof.domain.times import Instants, to_epoch_seconds

_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_NOT_IDENTIFIER = re.compile(r"[^a-z0-9_.-]+")
_NO_TIME = np.iinfo(np.int64).min


def parse_numbers(
    column: pa.ChunkedArray, *, decimal: str = ".", missing: tuple[str, ...] = ("",)
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Numbers of a column of numbers or of text.

    Returns:
        float64 values of the column's length, NaN where it holds nothing (or one of the words in ``missing``), and
        the rows that hold something that is no number.
    """
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        text = pc.utf8_trim_whitespace(column.cast(pa.string()))
        text = pc.if_else(pc.is_in(text, value_set=pa.array(missing, pa.string())), None, text)
        dotted = text if decimal == "." else pc.replace_substring(text, decimal, ".")
        good = pc.fill_null(pc.match_substring_regex(dotted, _NUMBER), False)
        bad = pc.and_(pc.is_valid(text), pc.invert(good))
        numbers = pc.if_else(good, dotted, None).cast(pa.float64())
    elif pa.types.is_floating(column.type) or pa.types.is_integer(column.type) or pa.types.is_decimal(column.type):
        numbers = column.cast(pa.float64(), safe=False)
        bad = pc.fill_null(pc.is_inf(numbers), False)
        numbers = pc.if_else(bad, None, numbers)
    elif pa.types.is_null(column.type):
        return np.full(len(column), np.nan), np.zeros(len(column), dtype=bool)
    else:
        return np.full(len(column), np.nan), np.ones(len(column), dtype=bool)
    return _to_numpy(pc.fill_null(numbers, np.nan), np.float64), _to_numpy(bad, np.bool_)


def parse_instants(
    column: pa.ChunkedArray, name: str, *, zone: ZoneInfo | None, text_format: str | None = None
) -> tuple[Instants, NDArray[np.bool_]]:
    """Instants (UTC, ``datetime64[s]``) of a column of times, dates or text, and the rows that hold none.

    A local time that its zone skips or repeats is no instant: nobody can know which was meant.

    Raises:
        ContractError: times without a zone, and ``zone`` is not given.
    """
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us", tz=column.type.tz), safe=False)

    def parse(value: Any) -> int | None:
        instant = _read_instant(value, text_format)
        if instant is None:
            return None
        if instant.tzinfo is None:
            if zone is None:
                raise ContractError(
                    f"column {name} holds times without a time zone, such as {value}",
                    hint="say in the ingest spec what they are in: time: {zone: UTC}",
                )
            first, second = instant.replace(tzinfo=zone), instant.replace(tzinfo=zone, fold=1)
            if first.utcoffset() != second.utcoffset():
                return None
            instant = first
        return to_epoch_seconds(instant)

    codes, parsed = _parse_distinct(column, parse)
    seconds = np.array([_NO_TIME if value is None else value for value in (*parsed, None)], dtype=np.int64)[codes]
    return seconds.astype("datetime64[s]"), seconds == _NO_TIME


def parse_names(column: pa.ChunkedArray, *, prefix: str = "") -> tuple[NDArray[np.str_], NDArray[np.bool_]]:
    """Identifiers of a column (see :func:`to_identifier`), and the rows that hold none."""
    codes, parsed = _parse_distinct(column, lambda value: to_identifier(value, prefix=prefix) or None)
    names = np.array([name or "" for name in (*parsed, None)], dtype=str)[codes]
    return names, names == ""


def to_identifier(value: Any, *, prefix: str = "") -> str:
    """A name as our identifiers are written: lower case, anything but ``a-z 0-9 _ . -`` becomes ``-``; '' if empty."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = "" if value is None or value != value else str(value).strip()  # noqa: PLR0124 - NaN is unlike itself
    return _NOT_IDENTIFIER.sub("-", (prefix + text).lower()).strip("-_.") if text else ""


def rows_where(column: pa.ChunkedArray, wanted: str | float) -> NDArray[np.bool_]:
    """The rows whose value is ``wanted``, compared as text unless both are numbers."""

    def equal(value: Any) -> bool:
        if isinstance(value, int | float) and isinstance(wanted, int | float):
            return value == wanted
        return value is not None and str(value).strip() == str(wanted)

    codes, parsed = _parse_distinct(column, equal)
    return np.array([bool(value) for value in (*parsed, False)], dtype=bool)[codes]


def _read_instant(value: Any, text_format: str | None) -> datetime | None:
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    if not isinstance(value, str) or len(value) > 64:
        return None
    try:
        text = value.strip()
        # Without a zone on purpose: the caller decides what a time without one means.
        return datetime.strptime(text, text_format) if text_format else datetime.fromisoformat(text)  # noqa: DTZ007
    except ValueError:
        return None


def _parse_distinct(column: pa.ChunkedArray, parse: Callable[[Any], Any]) -> tuple[NDArray[np.int64], list[Any]]:
    """Each distinct value parsed, and for every row its position among them (the last position for nulls)."""
    encoded = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    encoded = encoded if isinstance(encoded, pa.DictionaryArray) else encoded.dictionary_encode()
    values = encoded.dictionary.to_pylist()
    codes = _to_numpy(pc.fill_null(encoded.indices.cast(pa.int64()), len(values)), np.int64)
    return codes, [parse(value) for value in values]


def _to_numpy(column: Any, dtype: Any) -> NDArray[Any]:
    return (
        np.asarray(column.to_numpy(zero_copy_only=False), dtype=dtype)
        if isinstance(column, pa.Array)
        else np.asarray(column.to_numpy(), dtype=dtype)
    )
