"""The files of a table as columns of numbers, times and words; every complaint names the file, the column and the row."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pa_parquet
from numpy.typing import NDArray

from skyproof.domain.errors import ContractError, InvalidValueError, UnreadableFileError
from skyproof.stages.sources.problems import Problems
from skyproof.stages.sources.table_files import TableFile, read_table_file

_PARQUET, _CSV = {".parquet", ".pq"}, {".csv", ".txt", ".tsv"}
_DELIMITERS = (",", ";", "\t", "|")
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Reading:
    """How cells become values: words or numbers for no value, and the marks of CSV files."""

    missing: tuple[str, ...]
    delimiter: str | None = None
    decimal: str = "."


@dataclass(frozen=True, slots=True)
class Table:
    """The wanted columns of several files, one below the other."""

    parts: tuple[TableFile, ...]
    reading: Reading

    @property
    def rows(self) -> int:
        """Number of rows."""
        return sum(part.table.num_rows for part in self.parts)

    def name_rows(self, where: NDArray[Any], most: int = 3) -> str:
        """Words for the first rows of a mask or of positions: ``a.csv row 5, a.csv row 9``."""
        positions = np.flatnonzero(where) if where.dtype == np.bool_ else where
        starts = np.cumsum([0, *(part.table.num_rows for part in self.parts)])
        names = []
        for position in positions[:most]:
            part = int(np.searchsorted(starts, position, side="right")) - 1
            names.append(f"{self.parts[part].name} row {self.parts[part].rows[position - starts[part]]}")
        return ", ".join(names) + (f" and {len(positions) - most:,} more" if len(positions) > most else "")

    def numbers(self, column: str) -> NDArray[np.float64]:
        """A column as numbers, NaN where there is no value.

        Raises:
            ContractError: a cell is no number.
        """
        return self._gather([self._numbers(part, column) for part in self.parts], np.float64)

    def texts(self, column: str) -> NDArray[np.object_]:
        """A column as words, None where there is no value. Whole numbers have no decimal point."""
        return self._gather([_texts(part.column(column), self.reading.missing) for part in self.parts], np.object_)

    def columns(self, column: str) -> Iterator[pa.ChunkedArray]:
        """A column as it stands in each file."""
        return (part.column(column) for part in self.parts)

    def _gather(self, arrays: Sequence[NDArray[Any]], dtype: Any) -> NDArray[Any]:
        return np.concatenate(arrays) if arrays else np.empty(0, dtype)

    def _numbers(self, part: TableFile, column: str) -> NDArray[np.float64]:
        values = part.column(column).combine_chunks()
        if pa.types.is_dictionary(values.type):
            values = values.dictionary_decode()
        if pa.types.is_boolean(values.type):
            values = values.cast(pa.int8())
        if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
            return self._words_as_numbers(part, column, values)
        if pa.types.is_temporal(values.type) or pa.types.is_nested(values.type) or pa.types.is_binary(values.type):
            raise ContractError(
                f"{part.name}: column {column!r} holds {values.type}, wanted numbers", hint="name a numeric column"
            )
        found = np.array(values.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
        marks = [float(word) for word in self.reading.missing if _is_number(word)]
        if marks:
            found[np.isin(found, marks)] = np.nan
        return found

    def _words_as_numbers(self, part: TableFile, column: str, words: pa.Array) -> NDArray[np.float64]:
        words = pc.utf8_trim_whitespace(words)
        absent = pc.is_in(words, value_set=pa.array(self.reading.missing, words.type))
        words = pc.if_else(absent, pa.scalar(None, words.type), words)
        if self.reading.decimal == ",":
            words = pc.replace_substring(words, ",", ".")
        try:
            return np.array(words.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
        except pa.ArrowInvalid as error:
            listed = words.to_pylist()
            at = next(k for k, word in enumerate(listed) if word is not None and not _is_number(word))
            raise ContractError(
                f"{part.name} row {part.rows[at]}: column {column!r} holds {listed[at][:40]!r}, wanted a number",
                hint=f"mend the cell, or list the word under missing: [{listed[at][:20]!r}]",
            ) from error


def find_files(names: Iterable[str], folders: Sequence[Path]) -> tuple[Path, ...]:
    """The files of a spec: each name (or pattern) in the first folder that has it, or in the one folder below that does.

    Raises:
        InvalidValueError: a file is in none of the folders, or in several below them.
    """
    found: list[Path] = []
    for name in names:
        for folder in folders:
            fitting = sorted(folder.glob(name)) if _is_pattern(name) else [folder / name]
            fitting = [path for path in fitting if path.is_file()]
            if fitting:
                found += fitting
                break
        else:
            found.append(_find_below(name, folders))
    return tuple(dict.fromkeys(found))


def _find_below(name: str, folders: Sequence[Path]) -> Path:
    below = sorted({path for folder in folders for path in folder.glob(f"*/{name}") if path.is_file()})
    if len(below) == 1 and not _is_pattern(name):
        return below[0]
    looked = ", ".join(str(folder) for folder in folders)
    if len(below) > 1:
        several = ", ".join(f"{path.parent.name}/{path.name}" for path in below[:5])
        raise InvalidValueError(f"files: {name!r} is in several folders: {several}", hint="name one with its folder")
    raise InvalidValueError(
        f"files: there is no {name!r} in {looked}",
        hint="put the file beside the spec, or set SKYPROOF_BENCH_DATA to the folder that holds it",
    )


def column_names(path: Path, reading: Reading) -> tuple[list[str], str]:
    """Names of the columns of a file, and the delimiter of a CSV file.

    Raises:
        UnreadableFileError: not the format its suffix says.
    """
    if _format(path) == "parquet":
        try:
            return list(pa_parquet.read_schema(path).names), ""
        except (pa.ArrowException, OSError) as error:
            raise UnreadableFileError(
                f"{path.name} cannot be read as parquet: {' '.join(str(error).split())[:200]}",
                hint="check that the file is whole and of that format",
            ) from error
    try:
        with path.open("rb") as file:
            line = file.readline(_BLOCK).decode("utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableFileError(
            f"{path.name} cannot be read as CSV: {error}", hint="save it as UTF-8 text"
        ) from error
    if not line:
        raise UnreadableFileError(f"{path.name} is empty, wanted a header line", hint="check that the file is whole")
    delimiter = reading.delimiter or max(_DELIMITERS, key=line.count)
    return [name.strip().strip('"') for name in line.split(delimiter)], delimiter


def read_table(paths: Sequence[Path], columns: Mapping[str, str], reading: Reading) -> Table:
    """Read the wanted columns of all files.

    Args:
        paths: of the files.
        columns: names of the columns, and the key of the spec that wants each.
        reading: how cells become values.

    Raises:
        ContractError: a column is missing, a row has too many or too few cells.
        UnreadableFileError: not the format its suffix says.
    """
    parts = []
    for path in paths:
        names, delimiter = column_names(path, reading)
        for column, key in columns.items():
            if column not in names:
                raise _no_column(path.name, column, key, names)
        problems = Problems()
        part = read_table_file(path, columns=columns, file_format=_format(path), delimiter=delimiter, problems=problems)
        if problems.rejected:
            raise ContractError(problems.messages[0], hint="give every row as many cells as the header has")
        if part.table.num_rows:
            parts.append(part)
    if not parts:
        raise ContractError(f"{', '.join(path.name for path in paths)}: no rows", hint="name files that hold rows")
    return Table(tuple(parts), reading)


def keep_rows(table: Table, where: Mapping[str, Any]) -> Table:
    """Only the rows with the wanted values; a list of values keeps any of them.

    Raises:
        ContractError: no row is left.
    """
    parts = table.parts
    for column, wanted in where.items():
        values = {str(value) for value in (wanted if isinstance(wanted, list) else [wanted])}
        kept = []
        for part in parts:
            words = _texts(part.column(column), table.reading.missing)
            keep = np.array([word in values for word in words], dtype=bool)
            if keep.any():
                kept.append(part.take(keep))
        if not kept:
            held = sorted({str(w) for part in parts for w in _texts(part.column(column), ()) if w is not None})[:8]
            raise ContractError(
                f"where: no row has {column} = {', '.join(sorted(values))[:80]}", hint=f"it holds {', '.join(held)}"
            )
        parts = tuple(kept)
    return Table(parts, table.reading)


def expand_columns(wanted: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """Column names with patterns (``m*``) replaced by the columns they fit, in the file's order."""
    found: list[str] = []
    for name in wanted:
        fitting = [name] if name in names or not _is_pattern(name) else [c for c in names if fnmatchcase(c, name)]
        found += fitting or [name]
    return tuple(dict.fromkeys(found))


def near_names(name: str, names: Sequence[str]) -> list[str]:
    """Columns that could have been meant."""
    by_folded = {column.casefold(): column for column in names}
    return [by_folded[near] for near in difflib.get_close_matches(name.casefold(), list(by_folded), 3, 0.6)]


def digest_files(paths: Sequence[Path]) -> str:
    """Digest of the contents of files, in order."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
        digest.update(b"\0")
    return digest.hexdigest()


def _no_column(file: str, column: str, key: str, names: Sequence[str]) -> ContractError:
    near = near_names(column, names)
    meant = f"did you mean {' or '.join(repr(name) for name in near)}? " if near else ""
    return ContractError(
        f"{file} has no column {column!r}, which {key} names", hint=f"{meant}It has {', '.join(names[:40])}"
    )


def _format(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix in _PARQUET:
        return "parquet"
    if suffix in _CSV:
        return "csv"
    raise UnreadableFileError(f"{path.name} is neither Parquet nor CSV", hint="name it .parquet or .csv")


def _texts(values: pa.ChunkedArray, missing: Sequence[str]) -> NDArray[np.object_]:
    values = values.combine_chunks()
    if pa.types.is_floating(values.type):
        numbers = values.to_pylist()
        return np.array([None if n is None or np.isnan(n) else f"{n:.15g}" for n in numbers], dtype=object)
    coded = values if pa.types.is_dictionary(values.type) else pc.dictionary_encode(values.cast(pa.string()))
    words = [str(word).strip() for word in coded.dictionary.to_pylist()]
    known = np.array([*(None if word in missing else word for word in words), None], dtype=object)
    return np.asarray(known[np.asarray(coded.indices.fill_null(len(words)))])


def _is_pattern(name: str) -> bool:
    return "*" in name or "?" in name


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
