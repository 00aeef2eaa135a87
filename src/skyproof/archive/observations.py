"""What happened, and since when we knew: bitemporal, revisions kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.engine import Connection

from skyproof.archive.bulk import fetch_many, insert_many
from skyproof.archive.database import Database
from skyproof.archive.derived import delete_objects, drop_derived, drop_scores
from skyproof.archive.names import NameRegister
from skyproof.archive.tables import from_epoch_days, observation_days, observations
from skyproof.domain.cycles import ObservationBatch
from skyproof.domain.errors import InvalidValueError
from skyproof.domain.protocols import ObjectStore
from skyproof.domain.times import Instants, from_epoch_seconds, to_epoch_seconds

#: Flag of a row that says: no value was measured.
MISSING = "missing"
_SECONDS_PER_DAY = 86_400
_DAY_SPAN = 400_000  # days within 547 years of 1970; packs an instant and a day into one integer
#: What a grid reads of each row, and what it makes of it.
_GRID_ROW = {"valid_time": "i8", "site_id": "i4", "recorded_at": "i8", "value": "f8"}
_REVISION = np.dtype([("valid", "i4"), ("site", "i4"), ("recorded_at", "i8"), ("value", "f4")])
#: Above this many sites reading all of them and choosing afterwards is faster than naming each.
_NAMED_SITES = 16
#: Instants named in one statement.
_MOST_NAMED_TIMES = 500


@dataclass(frozen=True, slots=True)
class ObservationRecord:
    """One statement about a cell, canonical unit; ``value`` is None where nothing was measured."""

    valid_time: datetime
    recorded_at: datetime
    value: float | None
    flag: str


class Observations:
    """Observations of stations and customers."""

    def __init__(self, database: Database, objects: ObjectStore, names: NameRegister) -> None:
        self._database = database
        self._objects = objects
        self._names = names

    def append(self, batch: ObservationBatch, flags: NDArray[np.str_]) -> int:
        """Keep a batch, canonical units; durable on return.

        A row equal to one we hold (source, site, variable, both times, value) is skipped. A row whose value is NaN is
        kept as the statement that nothing was measured, flagged ``missing`` unless it has a flag already.

        Args:
            batch: n observations.
            flags: n flags; the empty string means the row passed.

        Returns:
            How many rows are new.

        Raises:
            InvalidValueError: lengths differ, or a value is infinite.
        """
        if not len(batch):
            return 0
        self.prepare_names(batch)
        with self._database.writing() as connection:
            stored, dropped = self.append_within(connection, batch, flags)
        self.delete_dropped(dropped)
        return stored

    def prepare_names(self, batch: ObservationBatch) -> None:
        """Give every name in a batch its number, so that :meth:`append_within` need not."""
        self._names.give({batch.source_id, *batch.site_ids.tolist(), *batch.variables.tolist()})

    def append_within(
        self, connection: Connection, batch: ObservationBatch, flags: NDArray[np.str_]
    ) -> tuple[int, list[str]]:
        """:meth:`append` within a transaction, after :meth:`prepare_names`.

        Returns:
            How many rows are new, and what :meth:`delete_dropped` takes once the transaction is committed.
        """
        _check_batch(batch, flags)
        columns = self._columns(batch, flags)
        dropped: list[str] = []
        stored = insert_many(self._database, connection, "observations", _sorted(columns))
        if stored:
            days = _touched(columns)
            insert_many(self._database, connection, "observation_days", days)
            dropped = drop_derived(connection, from_epoch_seconds(int(days["recorded_at"][0])))
            dropped += drop_scores(connection, _known_since(days))
        return stored, dropped

    def delete_dropped(self, dropped: Sequence[str]) -> None:
        """Delete objects that no row names any more."""
        delete_objects(self._objects, list(dropped))

    def newest_within(
        self, connection: Connection, source_id: str, site_id: str, variable: str, valid_times: Sequence[datetime]
    ) -> dict[datetime, tuple[datetime, float]]:
        """What a source last said of one variable at a site, and when: valid time to (recorded_at, value)."""
        known = self._names.find((source_id, site_id, variable))
        found: dict[datetime, tuple[datetime, float]] = {}
        if len(known) < len({source_id, site_id, variable}):
            return found
        seconds = [to_epoch_seconds(instant) for instant in valid_times]
        for first in range(0, len(seconds), _MOST_NAMED_TIMES):
            query = (
                sa.select(observations.c.valid_time, observations.c.recorded_at, observations.c.value)
                .where(
                    observations.c.variable_id == known[variable],
                    observations.c.valid_time.in_(seconds[first : first + _MOST_NAMED_TIMES]),
                    observations.c.site_id == known[site_id],
                    observations.c.source_id == known[source_id],
                )
                .order_by(observations.c.recorded_at, observations.c.value)
            )
            for valid, recorded, value in connection.execute(query):
                found[from_epoch_seconds(valid)] = (from_epoch_seconds(recorded), float(value))
        return {valid: (at, np.nan if np.isneginf(value) else value) for valid, (at, value) in found.items()}

    def rows(
        self,
        source_id: str,
        site_id: str,
        variable: str,
        *,
        valid_from: datetime,
        valid_until: datetime,
        after: tuple[datetime, datetime] | None = None,
        limit: int = 1000,
    ) -> list[ObservationRecord]:
        """All a source said of one variable at a site, revisions included, by valid time and when it was recorded.

        ``after`` goes on after a row's valid time and recording.
        """
        known = self._names.find((source_id, site_id, variable))
        if len(known) < len({source_id, site_id, variable}):
            return []
        o = observations.c
        query = sa.select(o.valid_time, o.recorded_at, o.value, o.flag).where(
            o.variable_id == known[variable],
            o.valid_time.between(to_epoch_seconds(valid_from), to_epoch_seconds(valid_until)),
            o.site_id == known[site_id],
            o.source_id == known[source_id],
        )
        if after is not None:
            valid, recorded = map(to_epoch_seconds, after)
            query = query.where(sa.or_(o.valid_time > valid, sa.and_(o.valid_time == valid, o.recorded_at > recorded)))
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(o.valid_time, o.recorded_at).limit(limit)).all()
        return [
            ObservationRecord(
                from_epoch_seconds(row.valid_time),
                from_epoch_seconds(row.recorded_at),
                None if np.isneginf(row.value) else float(row.value),
                row.flag,
            )
            for row in rows
        ]

    def grid(
        self,
        *,
        variables: Sequence[str],
        site_ids: Sequence[str],
        valid_from: datetime,
        valid_until: datetime,
        step_hours: int,
        as_of: datetime,
        include_flagged: bool = False,
    ) -> tuple[Instants, NDArray[np.float32]]:
        """Observations on a regular axis of valid times, both ends included, as they were known at ``as_of``.

        Of several revisions the newest recorded by then counts; if that one is flagged the cell is NaN unless
        ``include_flagged``. Of two recorded in the same second the greater value counts, so that order of arrival
        does not matter.

        Returns:
            The valid times, and values with dims (variable, valid_time, site), float32, NaN where nothing was known.
        """
        seconds = _axis(valid_from, valid_until, step_hours)
        values = np.full((len(variables), len(seconds), len(site_ids)), np.nan, dtype=np.float32)
        axis = (valid_from, valid_until, step_hours)
        places, numbers = self._places(site_ids), self._names.find(variables)
        with self._database.reading() as connection:
            for index, variable in enumerate(variables):
                number = numbers.get(variable)
                rows = self._revisions(connection, number, places, axis, as_of, include_flagged=include_flagged)
                # Rows come oldest revision first; of repeated targets the last assignment stays.
                values[index, rows["valid"], rows["site"]] = rows["value"]
        return seconds.astype("datetime64[s]"), values

    def revisions(
        self,
        *,
        variable: str,
        site_ids: Sequence[str],
        axis: tuple[datetime, datetime, int],
        as_of: datetime,
    ) -> NDArray[Any]:
        """All that was said of one variable by ``as_of``, by valid time and site, oldest first.

        Args:
            variable: its name.
            site_ids: the sites asked for.
            axis: the first and the last valid time, and the hours between two.
            as_of: rows recorded later do not exist.

        Returns:
            A structured array: ``valid`` and ``site`` number the valid time on the axis and the site, ``recorded_at`` in epoch
            seconds, ``value`` float32, NaN for what is missing or flagged.
        """
        places, number = self._places(site_ids), self._names.find((variable,)).get(variable)
        with self._database.reading() as connection:
            return self._revisions(connection, number, places, axis, as_of)

    def _places(self, site_ids: Sequence[str]) -> tuple[list[int], NDArray[np.int64]]:
        """The numbers of the sites that are known, and for each number the site's place among those asked for, else -1."""
        known = self._names.find(tuple(site_ids))
        columns = np.full(max(known.values(), default=0) + 1, -1, dtype=np.int64)
        for column, site_id in enumerate(site_ids):
            columns[known.get(site_id, 0)] = column
        return [known[site_id] for site_id in site_ids if site_id in known], columns

    def _revisions(
        self,
        connection: Connection,
        variable_id: int | None,
        places: tuple[list[int], NDArray[np.int64]],
        axis: tuple[datetime, datetime, int],
        as_of: datetime,
        *,
        include_flagged: bool = False,
    ) -> NDArray[Any]:
        named, columns = places
        if not named or variable_id is None:
            return np.empty(0, dtype=_REVISION)
        first, step = to_epoch_seconds(axis[0]), axis[2] * 3600
        query = _grid_query(
            variable_id,
            (first, to_epoch_seconds(axis[1]), step),
            to_epoch_seconds(as_of),
            named if len(named) <= _NAMED_SITES else [],
            include_flagged,
            "-9e999" if self._database.is_sqlite else "'-Infinity'::float8",
        )
        rows = fetch_many(self._database, connection, query, _GRID_ROW)
        rows = rows[rows["site_id"] < len(columns)]
        column = columns[rows["site_id"]]
        rows, column = rows[column >= 0], column[column >= 0]
        found = np.empty(len(rows), dtype=_REVISION)
        found["valid"], found["site"] = (rows["valid_time"] - first) // step, column
        found["recorded_at"] = rows["recorded_at"]
        found["value"] = np.where(np.isneginf(rows["value"]), np.nan, rows["value"])
        return found

    def touched_days(self, *, recorded_after: datetime | None, as_of: datetime) -> tuple[date, ...]:
        """Valid days with rows recorded in (recorded_after, as_of], sorted: the days whose scores may have changed."""
        query = sa.select(observation_days.c.valid_day).distinct().where(observation_days.c.recorded_at <= as_of)
        if recorded_after is not None:
            query = query.where(observation_days.c.recorded_at > recorded_after)
        with self._database.reading() as connection:
            return tuple(sorted(connection.execute(query).scalars()))

    def newest_recorded_at(self, *, as_of: datetime, valid_day: date | None = None) -> datetime | None:
        """When the newest row known by ``as_of`` (of one valid day, if given) was recorded; None if there is none."""
        newest = sa.select(sa.func.max(observation_days.c.recorded_at)).where(observation_days.c.recorded_at <= as_of)
        if valid_day is not None:
            newest = newest.where(observation_days.c.valid_day == valid_day)
        with self._database.reading() as connection:
            return connection.execute(newest).scalar_one_or_none()

    def _columns(self, batch: ObservationBatch, flags: NDArray[np.str_]) -> dict[str, NDArray[Any]]:
        sites, variables = batch.site_ids.tolist(), batch.variables.tolist()
        number = self._names.give({batch.source_id, *sites, *variables})
        missing = np.isnan(batch.values)
        return {
            "variable_id": np.fromiter((number[name] for name in variables), np.int32, len(batch)),
            "valid_time": batch.valid_times.astype("datetime64[s]").astype(np.int64),
            "site_id": np.fromiter((number[name] for name in sites), np.int32, len(batch)),
            "recorded_at": batch.recorded_ats.astype("datetime64[s]").astype(np.int64),
            "source_id": np.full(len(batch), number[batch.source_id], dtype=np.int32),
            "value": np.where(missing, -np.inf, batch.values),
            "flag": np.where(missing & (flags == ""), MISSING, flags),
        }


def _axis(first: datetime, last: datetime, step_hours: int) -> NDArray[np.int64]:
    """Valid times in epoch seconds, both ends included."""
    return np.arange(to_epoch_seconds(first), to_epoch_seconds(last) + 1, step_hours * 3600, dtype=np.int64)


def _check_batch(batch: ObservationBatch, flags: NDArray[np.str_]) -> None:
    lengths = {len(part) for part in (batch.site_ids, batch.variables, batch.valid_times, batch.recorded_ats, flags)}
    if lengths != {len(batch)}:
        raise InvalidValueError(
            f"observations of {batch.source_id} have columns of lengths {sorted(lengths)}, wanted one"
        )
    if np.isinf(batch.values).any():
        raise InvalidValueError(f"observations of {batch.source_id} hold infinite values", hint="send NaN for missing")


def _sorted(columns: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The rows in the order of the key, so that the table grows at its end instead of everywhere."""
    order = np.lexsort(tuple(columns[name] for name in ("recorded_at", "site_id", "valid_time", "variable_id")))
    return {name: values[order] for name, values in columns.items()}


def _touched(columns: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The distinct pairs of recording instant and valid day, earliest recorded first."""
    day = columns["valid_time"] // _SECONDS_PER_DAY + _DAY_SPAN // 2
    pairs = np.unique(columns["recorded_at"] * _DAY_SPAN + day)
    return {"recorded_at": pairs // _DAY_SPAN, "valid_day": (pairs % _DAY_SPAN - _DAY_SPAN // 2).astype(np.int32)}


def _known_since(days: dict[str, NDArray[Any]]) -> dict[date, datetime]:
    """For each valid day when its first row was recorded, from :func:`_touched`."""
    valid_days, first = np.unique(days["valid_day"], return_index=True)
    instants = days["recorded_at"][first].tolist()
    return {from_epoch_days(day): from_epoch_seconds(at) for day, at in zip(valid_days.tolist(), instants, strict=True)}


def _grid_query(
    variable_id: int,
    axis: tuple[int, int, int],
    as_of: int,
    site_numbers: list[int],
    include_flagged: bool,
    nothing: str,
) -> str:
    """The rows of one variable on the axis (first, last, step), oldest revision first. Only integers go into the text."""
    first, last, step = axis
    # Numbers beyond a double are minus infinity to SQLite and an error to PostgreSQL, which has a word for it.
    value = "value" if include_flagged else f"CASE WHEN flag = '' THEN value ELSE {nothing} END"
    sites = f" AND site_id IN ({', '.join(map(str, site_numbers))})" if site_numbers else ""
    return (
        f"SELECT valid_time, site_id, recorded_at, {value} FROM observations WHERE variable_id = {variable_id}"  # noqa: S608
        f" AND valid_time BETWEEN {first} AND {last} AND (valid_time - {first}) % {step} = 0"
        f" AND recorded_at <= {as_of}{sites} ORDER BY variable_id, valid_time, site_id, recorded_at, source_id, value"
    )
