"""Forecasts and observations in CSV and Parquet tables, as an ingest spec describes them.

A row that cannot be understood is refused with its file, row number and value; the good rows go on.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skyproof.domain.cycles import ObservationBatch
from skyproof.domain.errors import InvalidValueError
from skyproof.domain.sites import Site, find_zone
from skyproof.domain.times import Instants, to_datetime64
from skyproof.stages.sources.columns import parse_instants, parse_names, parse_numbers, rows_where, to_identifier
from skyproof.stages.sources.ingest_spec import ForecastTable, ObservationTable
from skyproof.stages.sources.points import ForecastPoints
from skyproof.stages.sources.problems import Problems
from skyproof.stages.sources.table_files import TableFile, read_table_file

_HOUR = np.timedelta64(3600, "s")
#: Clocks of providers may be this far ahead of ours.
CLOCK_TOLERANCE = np.timedelta64(600, "s")
Table = ForecastTable | ObservationTable


@dataclass(frozen=True, slots=True)
class ObservedRows:
    """Observations of one file and network, and the unit of each variable."""

    source_id: str
    batch: ObservationBatch


class RowSieve:
    """Marks rows of a file that cannot be used, and says why."""

    def __init__(self, file: TableFile, problems: Problems) -> None:
        self.bad = np.zeros(len(file.rows), dtype=bool)
        self._file = file
        self._problems = problems

    def refuse(self, rows: NDArray[np.bool_], column: str, why: str) -> None:
        """Mark rows; a row already marked is not named again."""
        new = rows & ~self.bad
        self.bad |= rows
        if not new.any():
            return
        values = self._file.column(column).filter(pa.array(new)) if column in self._file.table.column_names else None
        for index, number in enumerate(self._file.rows[new]):
            said = f" {str(values[index].as_py())[:40]!r}" if values is not None else ""
            self._problems.reject(f"{self._file.name} row {number}, {column}{said}: {why}")


def read_forecast_table(
    table: ForecastTable,
    path: Path,
    file_format: str,
    *,
    ingested_at: datetime,
    problems: Problems,
    member_numbers: dict[str, int],
) -> tuple[dict[str, list[ForecastPoints]], tuple[Site, ...]]:
    """Read one file of forecasts.

    Args:
        table: what the file holds.
        path: the file.
        file_format: csv or parquet.
        ingested_at: when we hold the file; nothing in it was available later.
        problems: takes what was refused.
        member_numbers: member names seen so far, in order of appearance; new ones are added. Shared by the files of a
            table, so that each file may hold one member.

    Returns:
        The parts of each source, and the places that the file describes.

    Raises:
        UnreadableFileError: the file is not what it should be.
        ContractError: a column is missing or holds times without a zone.
    """
    columns = [column for value in table.values for names in value.sources.values() for column in names]
    file = _open(table, path, file_format, [*columns, *_given(table.member)], problems)
    sieve = RowSieve(file, problems)
    init_times, leads, _ = _forecast_times(table, file, sieve)
    names = _site_ids(table, file, sieve)
    members = _members(table, file, sieve, member_numbers)
    numbers = {column: _numbers(table, file, column, sieve) for column in dict.fromkeys(columns)}
    available = _known_at(table, file, sieve, init_times, ingested_at, table.time.available_at)
    sites = _sites(table, file, names, sieve)
    good = ~sieve.bad
    origins = np.char.add(f"{path.name} row ", file.rows[good].astype(str))
    parts: dict[str, list[ForecastPoints]] = {}
    for value in table.values:
        for source_id, own in value.sources.items():
            matrix = np.stack([numbers[column][good] for column in own], axis=1).astype(np.float32)
            part = ForecastPoints(
                variable=value.variable,
                unit=value.unit,
                init_times=init_times[good],
                available_ats=available[good],
                lead_hours=leads[good],
                site_ids=names[good],
                first_members=members[good],
                values=matrix,
                origins=origins,
            )
            parts.setdefault(source_id, []).append(part)
    return parts, sites


def read_observation_table(
    table: ObservationTable, path: Path, file_format: str, *, ingested_at: datetime, problems: Problems
) -> tuple[ObservedRows, tuple[Site, ...]]:
    """Read one file of observations; arguments and errors as in :func:`read_forecast_table`."""
    columns = [value.column for value in table.values]
    file = _open(table, path, file_format, columns, problems)
    sieve = RowSieve(file, problems)
    valid_times = _valid_times(table, file, sieve)
    names = _site_ids(table, file, sieve)
    numbers = {column: _numbers(table, file, column, sieve) for column in dict.fromkeys(columns)}
    recorded = _known_at(table, file, sieve, valid_times, ingested_at, table.time.recorded_at)
    sites = _sites(table, file, names, sieve)
    good = ~sieve.bad
    count, times = int(good.sum()), len(table.values)
    batch = ObservationBatch(
        source_id=table.source,
        site_ids=np.tile(names[good], times),
        variables=np.repeat(np.array([value.variable for value in table.values], dtype=str), count),
        valid_times=np.tile(valid_times[good], times),
        recorded_ats=np.tile(recorded[good], times),
        values=np.concatenate([numbers[value.column][good] for value in table.values]),
        units={value.variable: value.unit for value in table.values},
    )
    return ObservedRows(table.source, batch), sites


def _open(table: Table, path: Path, file_format: str, columns: list[str], problems: Problems) -> TableFile:
    time, site = table.time, table.site
    lead = time.lead_hours if isinstance(time.lead_hours, str) else None
    keys = _given(time.init_time, time.valid_time, lead, time.available_at, time.recorded_at)
    keys += _given(site.id, site.latitude, site.longitude, site.elevation, site.name, *table.where)
    file = read_table_file(
        path, columns=[*keys, *columns], file_format=file_format, delimiter=table.delimiter, problems=problems
    )
    for column, wanted in table.where.items():
        file = file.take(rows_where(file.column(column), wanted))
    if table.where and not len(file.rows):
        problems.note(f"{path.name} has no row where {table.where}")
    return file


def _given(*names: str | None) -> list[str]:
    return [name for name in names if name is not None]


def _instants(table: Table, file: TableFile, column: str, sieve: RowSieve) -> Instants:
    zone = find_zone(table.time.zone) if table.time.zone else None
    instants, bad = parse_instants(file.column(column), column, zone=zone, text_format=table.time.format)
    sieve.refuse(bad, column, "is no time (or one that its zone skips or repeats)")
    return instants


def _forecast_times(
    table: ForecastTable, file: TableFile, sieve: RowSieve
) -> tuple[Instants, NDArray[np.int64], Instants]:
    """Init times, leads in hours and valid times from whichever two the table has."""
    time = table.time
    inits = _instants(table, file, time.init_time, sieve) if time.init_time else None
    valids = _instants(table, file, time.valid_time, sieve) if time.valid_time else None
    leads = _leads(table, file, sieve)
    if leads is None and valids is not None and time.issue_hour is not None:
        hour = (valids - valids.astype("datetime64[D]")) // _HOUR
        leads = (hour - time.issue_hour - 1) % 24 + 1
        inits = valids.astype("datetime64[h]").astype("datetime64[s]") - leads * _HOUR
    if leads is None and inits is not None and valids is not None:
        ahead = valids - inits
        leads = (ahead // _HOUR).astype(np.int64)
        sieve.refuse(
            (ahead != leads * _HOUR) & ~sieve.bad, str(time.valid_time), "is no whole number of hours after init"
        )
    if inits is None and valids is not None and leads is not None:
        inits = valids - leads * _HOUR
    if inits is None or leads is None:
        raise InvalidValueError(
            f"the table of {file.name} says neither init time nor lead",
            hint="name two of init_time, valid_time and lead_hours under time, or valid_time and issue_hour",
        )
    if valids is None:
        valids = inits + leads * _HOUR
    sieve.refuse((valids != inits + leads * _HOUR) & ~sieve.bad, str(time.valid_time), "is not init time plus lead")
    sieve.refuse((leads < 0) & ~sieve.bad, _lead_column(table), "the lead is negative")
    return inits, leads, valids


def _lead_column(table: ForecastTable) -> str:
    return str(table.time.lead_hours if table.time.lead_hours is not None else table.time.valid_time)


def _leads(table: ForecastTable, file: TableFile, sieve: RowSieve) -> NDArray[np.int64] | None:
    lead = table.time.lead_hours
    if lead is None:
        return None
    if isinstance(lead, int):
        return np.full(len(file.rows), lead, dtype=np.int64)
    values, bad = parse_numbers(file.column(lead), decimal=table.decimal, missing=table.missing)
    sieve.refuse(bad | ~(np.isfinite(values) & (values == np.rint(values))), lead, "is no whole number of hours")
    return np.where(sieve.bad, 0, values).astype(np.int64)


def _valid_times(table: ObservationTable, file: TableFile, sieve: RowSieve) -> Instants:
    if table.time.valid_time is None:
        raise InvalidValueError(
            f"the table of {file.name} does not say when", hint="name the column under time: valid_time"
        )
    return _instants(table, file, table.time.valid_time, sieve)


def _known_at(
    table: Table, file: TableFile, sieve: RowSieve, spoken_of: Instants, ingested_at: datetime, column: str | None
) -> Instants:
    """When each row was known: what the file says, else ``available_after``, else now; by rule never later than now."""
    now = to_datetime64(ingested_at)
    if column is not None:
        known = _instants(table, file, column, sieve)
        sieve.refuse((known > now + CLOCK_TOLERANCE) & ~sieve.bad, column, "lies in the future")
        return known
    if table.available_after is None:
        return np.full(len(file.rows), now, dtype="datetime64[s]")
    after = np.timedelta64(int(table.available_after / timedelta(seconds=1)), "s")
    return np.minimum(spoken_of + after, now).astype("datetime64[s]")


def _site_ids(table: Table, file: TableFile, sieve: RowSieve) -> NDArray[np.str_]:
    if table.site.id is None:
        name = to_identifier(table.site.constant, prefix=table.site.prefix)
        return np.full(len(file.rows), name, dtype=f"U{max(len(name), 1)}")
    names, bad = parse_names(file.column(table.site.id), prefix=table.site.prefix)
    sieve.refuse(bad | (np.char.str_len(names) > 64), table.site.id, "names no site")
    return names


def _members(
    table: ForecastTable, file: TableFile, sieve: RowSieve, member_numbers: dict[str, int]
) -> NDArray[np.int64]:
    if table.member is None:
        return np.zeros(len(file.rows), dtype=np.int64)
    names, bad = parse_names(file.column(table.member))
    sieve.refuse(bad, table.member, "names no member")
    distinct, inverse = np.unique(names, return_inverse=True)
    numbers = [member_numbers.setdefault(str(name), len(member_numbers)) if name else 0 for name in distinct]
    return np.array(numbers, dtype=np.int64)[inverse]


def _numbers(table: Table, file: TableFile, column: str, sieve: RowSieve) -> NDArray[np.float64]:
    values, bad = parse_numbers(file.column(column), decimal=table.decimal, missing=table.missing)
    sieve.refuse(bad, column, f"is no number (with {table.decimal!r} as decimal mark)")
    return values


def _sites(table: Table, file: TableFile, names: NDArray[np.str_], sieve: RowSieve) -> tuple[Site, ...]:
    """The places that the rows describe: each as its first row says."""
    site = table.site
    if site.latitude is None or site.longitude is None:
        return ()
    latitudes = _numbers(table, file, site.latitude, sieve)
    longitudes = _numbers(table, file, site.longitude, sieve)
    heights = _numbers(table, file, site.elevation, sieve) if site.elevation else np.zeros(len(names))
    titles = file.column(site.name) if site.name else None
    sieve.refuse(~np.isfinite(latitudes) | ~np.isfinite(longitudes), site.latitude, "the place of the site is missing")
    good = np.flatnonzero(~sieve.bad)
    found = []
    for row in good[np.unique(names[good], return_index=True)[1]]:
        title = str(titles[int(row)].as_py()) if titles is not None else str(names[row])
        height = float(heights[row]) if np.isfinite(heights[row]) else 0.0
        try:
            found.append(Site(str(names[row]), title, float(latitudes[row]), float(longitudes[row]), round(height, 1)))
        except InvalidValueError as error:
            sieve.refuse(names == names[row], str(site.id or site.constant), str(error))
    return tuple(found)
