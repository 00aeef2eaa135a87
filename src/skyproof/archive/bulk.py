"""Many rows at once, in columns: the driver's own fast path on SQLite, binary COPY on PostgreSQL.

PostgreSQL's binary rows have a fixed size as long as nothing is NULL, so numpy writes and reads them without a loop
(PostgreSQL manual, COPY, "Binary Format").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.engine import Connection

from skyproof.archive.database import Database, raw_cursor

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)  # signature, flags, length of the header's extension
_TRAILER = b"\xff\xff"


def insert_many(database: Database, connection: Connection, table: str, columns: Mapping[str, NDArray[Any]]) -> int:
    """Insert rows that are not held yet; returns how many that were.

    Args:
        database: whose connection it is.
        connection: a writing one.
        table: a table of ours.
        columns: every column of the table, all of one length: int32, int64, float64 or text.
    """
    cursor = raw_cursor(connection)
    names = ", ".join(columns)
    if database.is_sqlite:
        marks = ", ".join("?" * len(columns))
        rows = zip(*(values.tolist() for values in columns.values()), strict=True)
        cursor.executemany(f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({marks})", rows)  # noqa: S608 names of our own
        return int(cursor.rowcount)
    arriving = f"arriving_{table}"
    cursor.execute(f"CREATE TEMP TABLE {arriving} (LIKE {table}) ON COMMIT DROP")
    with cursor.copy(f"COPY {arriving} ({names}) FROM STDIN (FORMAT BINARY)") as copy:
        copy.write(_HEADER)
        for part in _binary_rows(columns):
            copy.write(part)
        copy.write(_TRAILER)
    cursor.execute(f"INSERT INTO {table} ({names}) SELECT {names} FROM {arriving} ON CONFLICT DO NOTHING")  # noqa: S608
    return int(cursor.rowcount)


def fetch_many(database: Database, connection: Connection, query: str, kinds: Mapping[str, str]) -> NDArray[Any]:
    """The rows of a query without NULLs as one structured array.

    Args:
        database: whose connection it is.
        connection: a reading one.
        query: holds no text from outside.
        kinds: name and numpy kind (``i4``, ``i8``, ``f8``) of each result column, as the database has them.
    """
    cursor = raw_cursor(connection)
    if database.is_sqlite:
        return np.fromiter(cursor.execute(query), dtype=np.dtype(list(kinds.items())))
    with cursor.copy(f"COPY ({query}) TO STDOUT (FORMAT BINARY)") as copy:
        data = b"".join(copy)
    row = _binary_row(kinds)
    count = (len(data) - len(_HEADER) - len(_TRAILER)) // row.itemsize
    return np.frombuffer(data, dtype=row, count=count, offset=len(_HEADER))


def _binary_row(kinds: Mapping[str, str]) -> np.dtype[Any]:
    """One row: the number of fields, then length and big-endian bytes of each."""
    fields: list[tuple[str, str]] = [("fields", ">i2")]
    for name, kind in kinds.items():
        fields.append((f"length of {name}", ">i4"))
        if kind != "S0":
            fields.append((name, kind if kind[0] == "S" else f">{kind}"))
    return np.dtype(fields)


def _binary_rows(columns: Mapping[str, NDArray[Any]]) -> Iterator[bytes]:
    """Binary rows, one part for each distinct text of the (at most one) text column: within a part all sizes are equal."""
    texts = [name for name, values in columns.items() if values.dtype.kind == "U"]
    if not texts:
        yield _binary_part(columns, {})
        return
    distinct, group = np.unique(columns[texts[0]], return_inverse=True)
    for number, text in enumerate(distinct.tolist()):
        chosen = group == number
        part = {name: values[chosen] for name, values in columns.items() if name != texts[0]}
        yield _binary_part(
            {name: part.get(name, values) for name, values in columns.items()}, {texts[0]: text.encode()}
        )


def _binary_part(columns: Mapping[str, NDArray[Any]], constants: Mapping[str, bytes]) -> bytes:
    kinds = {
        name: f"S{len(constants[name])}" if name in constants else f"{values.dtype.kind}{values.dtype.itemsize}"
        for name, values in columns.items()
    }
    row = _binary_row(kinds)
    rows = np.empty(next(len(values) for name, values in columns.items() if name not in constants), dtype=row)
    rows["fields"] = len(columns)
    for name, values in columns.items():
        rows[f"length of {name}"] = len(constants[name]) if name in constants else values.dtype.itemsize
        if kinds[name] != "S0":
            rows[name] = constants.get(name, values)
    return rows.tobytes()
