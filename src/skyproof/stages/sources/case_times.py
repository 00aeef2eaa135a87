"""The times of a table's rows: issue time, valid time and lead, from whichever of them its columns give."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from skyproof.domain.errors import ContractError
from skyproof.domain.sites import find_zone
from skyproof.domain.times import Instants
from skyproof.stages.sources.case_spec import ObservationsSpec, TimeSpec
from skyproof.stages.sources.case_table import Table

_HOUR, _DAY = 3600, 86_400
#: "36 hour", "36h", "+36", "36.0"
_LEAD_WORD = re.compile(r"\+?\s*(-?\d+(?:\.\d*)?)\s*(?:h|hr|hrs|hour|hours|d|day|days)?\.?", re.IGNORECASE)
_LONGEST_LEAD_HOURS = 24 * 400


@dataclass(frozen=True, slots=True)
class RowTimes:
    """Issue and valid time (datetime64[s]) and whole hours between them, of every row."""

    issue: Instants
    valid: Instants
    lead_hours: NDArray[np.int64]


def time_columns(spec: TimeSpec | ObservationsSpec, prefix: str) -> dict[str, str]:
    """Columns that say when, and the key that names each."""
    keys = ("valid_time", "init_time", "lead_hours", "lead_days")
    return {value: f"{prefix}.{key}" for key in keys if isinstance(value := getattr(spec, key, None), str)}


def read_times(table: Table, spec: TimeSpec) -> RowTimes:
    """The times of every row.

    Raises:
        ContractError: a time that cannot be read, a lead that is no number, is negative or no whole number of hours.
    """
    valid = _instants(table, spec.valid_time, spec.zone, spec.format) if spec.valid_time else None
    issue = _instants(table, spec.init_time, spec.zone, spec.format) if spec.init_time else None
    lead, key = _lead_seconds(table, spec), "lead_days" if spec.lead_days is not None else "lead_hours"
    if spec.issue_hour is not None and valid is not None:
        start = round(spec.issue_hour * _HOUR)
        # Strictly before: what speaks of 00 UTC and is issued at 00 UTC was issued a day ago.
        seconds = valid.astype(np.int64) - 1 - start
        issue = (seconds // _DAY * _DAY + start).astype("datetime64[s]")
    if issue is None and valid is not None and lead is not None:
        issue = valid - lead
    if valid is None and issue is not None and lead is not None:
        valid = issue + lead
    if issue is None or valid is None:
        raise ContractError("time: columns do not say when rows were issued", hint="give valid_time and lead_hours")
    between = (valid - issue).astype(np.int64)
    if lead is not None and (wrong := between != lead.astype(np.int64)).any():
        raise ContractError(
            f"{table.name_rows(wrong)}: time.{key} is not the time from time.init_time to time.valid_time",
            hint="give only two of the three, or mend the column that is wrong",
        )
    _check_leads(table, between, key if lead is not None else "valid_time")
    return RowTimes(issue, valid, between // _HOUR)


def read_observation_times(table: Table, spec: ObservationsSpec) -> Instants:
    """Valid time of every observation, datetime64[s].

    Raises:
        ContractError: a time that cannot be read.
    """
    if spec.valid_time is not None:
        return _instants(table, spec.valid_time, spec.zone, spec.format)
    lead = _lead_seconds(table, spec)
    if spec.init_time is None or lead is None:
        raise ContractError("observations: columns do not say when", hint="give observations.valid_time")
    return np.asarray(_instants(table, spec.init_time, spec.zone, spec.format) + lead)


def _check_leads(table: Table, seconds: NDArray[np.int64], key: str) -> None:
    if (negative := seconds < 0).any():
        worst = seconds[negative].min() / _HOUR
        raise ContractError(
            f"{table.name_rows(negative)}: lead of {worst:g} h is negative (time.{key})",
            hint="a forecast is issued before the time it speaks of: check which column is which",
        )
    if (far := seconds > _LONGEST_LEAD_HOURS * _HOUR).any():
        raise ContractError(
            f"{table.name_rows(far)}: lead of {seconds.max() / _HOUR:g} h is longer than {_LONGEST_LEAD_HOURS} h",
            hint="lead_hours are hours, lead_days are days",
        )
    if (broken := seconds % _HOUR != 0).any():
        raise ContractError(
            f"{table.name_rows(broken)}: lead of {seconds[broken][0] / _HOUR:g} h is no whole number of hours",
            hint="keep the rows at full hours after the issue time, or average the rows of each hour",
        )


def _lead_seconds(table: Table, spec: TimeSpec | ObservationsSpec) -> NDArray[np.timedelta64] | None:
    days = getattr(spec, "lead_days", None)
    named, unit = (days, _DAY) if days is not None else (spec.lead_hours, _HOUR)
    if named is None:
        return None
    if not isinstance(named, str):
        return np.full(table.rows, round(named * unit), dtype="timedelta64[s]")
    types = {column.type for column in table.columns(named)}
    if all(pa.types.is_duration(kind) for kind in types):
        lengths = [c.cast(pa.duration("s")).to_numpy() for c in table.columns(named)]
        return np.concatenate(lengths).astype("timedelta64[s]")
    if any(pa.types.is_string(kind) or pa.types.is_large_string(kind) for kind in types):
        hours = _words_as_leads(table, named)
    else:
        hours = table.numbers(named)
    if (absent := ~np.isfinite(hours)).any():
        raise ContractError(
            f"{table.name_rows(absent)}: column {named!r} holds no lead", hint="fill the cells in or drop the rows"
        )
    return np.round(hours * unit).astype("timedelta64[s]")


def _words_as_leads(table: Table, column: str) -> NDArray[np.float64]:
    words = table.texts(column)
    known: dict[Any, float] = {None: float("nan")}
    for word in {word for word in words if word is not None}:
        found = _LEAD_WORD.fullmatch(word)
        if found is None:
            raise ContractError(
                f"{table.name_rows(words == word)}: column {column!r} holds {word[:40]!r}, wanted a lead as a number",
                hint="name the column that holds hours from issue to valid time",
            )
        known[word] = float(found[1])
    return np.array([known[word] for word in words], dtype=np.float64)


def _instants(table: Table, column: str, zone: str | None, pattern: str | None) -> Instants:
    local = find_zone(zone) if zone else None
    pieces = [_cells_as_instants(column_part, local) for column_part in table.columns(column)]
    if all(piece is not None for piece in pieces):
        seconds = np.concatenate([piece for piece in pieces if piece is not None])
    else:
        seconds = _words_as_instants(table, column, local, pattern)
    if (absent := np.isnat(seconds)).any():
        raise ContractError(
            f"{table.name_rows(absent)}: column {column!r} holds no time", hint="fill the cells in or drop the rows"
        )
    return seconds


def _cells_as_instants(values: pa.ChunkedArray, local: ZoneInfo | None) -> Instants | None:
    """Instants of a column that holds times; None for one that holds words or numbers."""
    kind = values.type
    if pa.types.is_date(kind):
        values = values.cast(pa.timestamp("s"))
    elif not pa.types.is_timestamp(kind):
        return None
    if local is not None and getattr(values.type, "tz", None) is None:
        # Twice the same hour in autumn: the earlier is meant. An hour that does not exist in spring is the next.
        values = pc.assume_timezone(values, local.key, ambiguous="earliest", nonexistent="latest")
    if values.type.tz is not None:
        values = values.cast(pa.timestamp(values.type.unit, "UTC"))
    return np.asarray(values.to_numpy(), dtype="datetime64[s]")


def _words_as_instants(table: Table, column: str, local: ZoneInfo | None, pattern: str | None) -> Instants:
    words = table.texts(column)
    known: dict[Any, np.datetime64] = {None: np.datetime64("NaT", "s")}
    for word in {word for word in words if word is not None}:
        try:
            instant = _read_word(word, pattern)
        except ValueError as error:
            raise ContractError(
                f"{table.name_rows(words == word)}: column {column!r} holds {word[:40]!r}, wanted a time",
                hint="write it like 2013-01-31T06:00, or say how it is written: time: {format: '%d.%m.%Y %H:%M'}",
            ) from error
        if instant.tzinfo is None:
            instant = instant.replace(tzinfo=local or UTC)
        known[word] = np.datetime64(int(instant.timestamp()), "s")
    return np.array([known[word] for word in words], dtype="datetime64[s]")


def _read_word(word: str, pattern: str | None) -> datetime:
    if pattern is not None:
        return datetime.strptime(word, pattern)  # noqa: DTZ007 - the zone is given apart
    if word.isdigit() and len(word) == len("2004020712"):
        return datetime.strptime(word, "%Y%m%d%H")  # noqa: DTZ007
    if word.isdigit() and len(word) != len("20040207"):
        raise ValueError(word)
    return datetime.fromisoformat(word)
