"""CSV and Parquet files as tables, with the number of every row and a clear word for what is wrong with the file."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet
from numpy.typing import NDArray

from skyproof.domain.errors import ContractError, UnreadableFileError
from skyproof.stages.sources.problems import Problems

_DELIMITERS = (",", ";", "\t", "|")
_HEADER_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class TableFile:
    """One table. ``rows`` holds the number of each row in the file; the header is row 1, as a spreadsheet counts."""

    name: str
    table: pa.Table
    rows: NDArray[np.int64]

    def column(self, name: str) -> pa.ChunkedArray:
        """One column."""
        return self.table.column(name)

    def take(self, keep: NDArray[np.bool_]) -> TableFile:
        """Only the rows of a mask."""
        return TableFile(self.name, self.table.filter(pa.array(keep)), self.rows[keep])


def read_table_file(
    path: Path, *, columns: Collection[str], file_format: str, delimiter: str, problems: Problems
) -> TableFile:
    """Read the wanted columns of a file. CSV columns come as text, so that each row can be judged on its own.

    Raises:
        UnreadableFileError: not the format it claims to be, or cut short.
        ContractError: a column is missing; the delimiter is wrong.
    """
    wanted = list(dict.fromkeys(columns))
    try:
        if file_format == "parquet":
            names = pa_parquet.read_schema(path).names
            _check_columns(path.name, wanted, names)
            table = pa_parquet.read_table(path, columns=wanted)
            return TableFile(path.name, table, np.arange(2, table.num_rows + 2))
        names = _header(path, delimiter)
        _check_columns(path.name, wanted, names, delimiter=delimiter)
        return _read_csv(path, wanted, delimiter, problems)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UnreadableFileError(
            f"{path.name} cannot be read as {file_format}: {_one_line(error)}",
            hint="check that the file is whole and of that format",
        ) from error


def _read_csv(path: Path, wanted: list[str], delimiter: str, problems: Problems) -> TableFile:
    skipped: list[int] = []

    def refuse(row: Any) -> str:
        skipped.append(row.number)
        problems.reject(
            f"{path.name} row {row.number}: {row.actual_columns} columns, wanted {row.expected_columns}: {row.text[:80]!r}"
        )
        return "skip"

    table = pa_csv.read_csv(
        path,
        read_options=pa_csv.ReadOptions(use_threads=False),
        parse_options=pa_csv.ParseOptions(
            delimiter=delimiter, invalid_row_handler=refuse, ignore_empty_lines=False, newlines_in_values=True
        ),
        convert_options=pa_csv.ConvertOptions(
            include_columns=wanted, column_types=dict.fromkeys(wanted, pa.string()), strings_can_be_null=False
        ),
    )
    numbers = np.arange(2, table.num_rows + len(skipped) + 2)
    return TableFile(path.name, table, numbers[~np.isin(numbers, skipped)])


def _header(path: Path, delimiter: str) -> list[str]:
    with path.open("rb") as file:
        line = file.readline(_HEADER_BYTES)
    if not line.strip():
        raise UnreadableFileError(f"{path.name} is empty, wanted a header line", hint="check that the file is whole")
    text = line.decode("utf-8-sig")
    return [name.strip().strip('"') for name in text.strip().split(delimiter)]


def _check_columns(name: str, wanted: list[str], found: list[str], *, delimiter: str | None = None) -> None:
    absent = [column for column in wanted if column not in found]
    if not absent:
        return
    if delimiter is not None and len(found) == 1:
        counts = {other: found[0].count(other) for other in _DELIMITERS if other != delimiter}
        likely = max(counts, key=lambda other: counts[other])
        if counts[likely]:
            raise ContractError(
                f"{name} has one column when split at {delimiter!r}, wanted {', '.join(wanted[:8])}",
                hint=f"its header holds {likely!r} {counts[likely]} times: set delimiter: {likely!r}",
            )
    raise ContractError(
        f"{name} has no column {', '.join(repr(column) for column in absent[:8])}",
        hint=f"it has {', '.join(found[:40])}",
    )


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
