"""What sources said: one immutable object per batch, one catalogue row per cycle."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from threading import Lock
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from skyproof.archive.array_file import (
    FileArray,
    FileLayout,
    pack,
    packed_attributes,
    read_layout,
    read_stored,
    unpack,
    write_file,
)
from skyproof.archive.database import Database, rows_as_dicts
from skyproof.archive.derived import delete_objects, drop_derived
from skyproof.archive.objects import content_key
from skyproof.archive.tables import cycles
from skyproof.domain.cycles import USABLE_QUALITIES, CycleBatch, CycleData, Quality, SourceCycle
from skyproof.domain.errors import InvalidValueError, UnknownNameError
from skyproof.domain.protocols import ObjectStore
from skyproof.domain.times import format_instant, from_epoch_seconds, to_epoch_seconds
from skyproof.domain.variables import find_variable

#: Layouts remembered: a year of objects of ten sources, a few kilobytes each.
_LAYOUTS = 4096


#: Of one init time: when it was available, when recorded, and the digest of its values. The greatest counts.
_Revision = tuple[datetime, datetime, str]


@dataclass(frozen=True, slots=True)
class _PackedCycle:
    """One cycle of a batch on its way in. ``values``: one (lead, site, member) int16 array per variable."""

    index: int
    values: tuple[NDArray[np.int16], ...]
    digest: str
    got: int
    notes: tuple[str, ...]


class Cycles:
    """The catalogue of source cycles and their values."""

    def __init__(self, database: Database, objects: ObjectStore) -> None:
        self._database = database
        self._objects = objects
        self._layouts: OrderedDict[str, FileLayout] = OrderedDict()
        self._lock = Lock()

    def append(
        self,
        batch: CycleBatch,
        verdicts: Sequence[tuple[Quality, tuple[str, ...]]],
        *,
        recorded_at: datetime,
        expected: Sequence[int] | None = None,
    ) -> tuple[SourceCycle, ...]:
        """Keep the cycles of a batch, canonical units; durable on return.

        A cycle that repeats what was last said of its init time is skipped; one with other values is a revision.
        Values beyond what int16 can hold at the variable's resolution are kept at the limit, and the cycle's reasons
        say so.

        Args:
            batch: the cycles.
            verdicts: quality and reasons of each cycle.
            recorded_at: when we took them in.
            expected: how many values each cycle promised; all of its shape by default.

        Returns:
            The cycles that are new.

        Raises:
            InvalidValueError: not one verdict per cycle, or a unit that is not canonical.
        """
        _check_batch(batch, verdicts, expected)
        packed = [_pack_cycle(batch, index) for index in range(len(batch.init_times))]
        new = self._only_new(batch, packed, recorded_at)
        if not new:
            return ()
        data = _write_batch(batch, new)
        key, _ = content_key(f"cycles/{batch.source_id}", data, ".nc")
        self._objects.put(key, data)
        entries = tuple(
            SourceCycle(
                source_id=batch.source_id,
                init_time=_whole(batch.init_times[cycle.index]),
                available_at=_whole(batch.available_ats[cycle.index]),
                recorded_at=_whole(recorded_at),
                object_key=key,
                position=position,
                got=cycle.got,
                expected=expected[cycle.index] if expected is not None else batch.values[0].size,
                digest=cycle.digest,
                quality=verdicts[cycle.index][0],
                reasons=(*verdicts[cycle.index][1], *cycle.notes),
            )
            for position, cycle in enumerate(new)
        )
        rows = [asdict(entry) | {"reasons": list(entry.reasons)} for entry in entries]
        with self._database.writing() as connection:
            connection.execute(self._database.insert_new(cycles), rows)
            dropped = drop_derived(connection, min(entry.available_at for entry in entries))
        delete_objects(self._objects, dropped)
        return entries

    def catalogue(
        self,
        source_id: str,
        *,
        as_of: datetime,
        init_from: datetime | None = None,
        init_until: datetime | None = None,
        usable_only: bool = True,
    ) -> tuple[SourceCycle, ...]:
        """Cycles available by ``as_of``, one per init time, oldest first; both bounds included.

        Of several revisions the newest available counts; with ``usable_only`` the newest that may be used.
        """
        query = self._known(source_id, as_of, usable_only=usable_only)
        if init_from is not None:
            query = query.where(cycles.c.init_time >= init_from)
        if init_until is not None:
            query = query.where(cycles.c.init_time <= init_until)
        query = query.order_by(cycles.c.init_time, cycles.c.available_at, cycles.c.recorded_at, cycles.c.digest)
        with self._database.reading() as connection:
            rows = rows_as_dicts(connection.execute(query).all())
        newest = {row["init_time"]: row for row in rows}
        return tuple(_to_cycle(row) for row in newest.values())

    def newest(self, source_id: str, *, as_of: datetime, max_age: timedelta) -> SourceCycle | None:
        """The usable cycle of the newest init time at or after ``as_of - max_age``; None if there is none."""
        query = self._known(source_id, as_of, usable_only=True).where(cycles.c.init_time >= as_of - max_age)
        newest_first = (cycles.c.init_time, cycles.c.available_at, cycles.c.recorded_at, cycles.c.digest)
        query = query.order_by(*(column.desc() for column in newest_first)).limit(1)
        with self._database.reading() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _to_cycle(rows_as_dicts([row])[0])

    def find(self, source_id: str, init_time: datetime, digest: str) -> SourceCycle:
        """The cycle with those values, as a run's lineage names it.

        Raises:
            UnknownNameError: it is not kept (any more).
        """
        query = sa.select(cycles).where(
            cycles.c.source_id == source_id, cycles.c.init_time == init_time, cycles.c.digest == digest
        )
        with self._database.reading() as connection:
            row = connection.execute(query.order_by(cycles.c.available_at).limit(1)).one_or_none()
        if row is None:
            raise UnknownNameError(
                f"cycle {format_instant(init_time)} of {source_id} with digest {digest[:16]} is not kept",
                hint="restore the archive the run was made from",
            )
        return _to_cycle(rows_as_dicts([row])[0])

    def site_ids(self, cycle: SourceCycle) -> tuple[str, ...]:
        """The places that a cycle's object has, in its order."""
        return self._layout(cycle.object_key).texts["site_id"]

    def read(self, cycle: SourceCycle, *, site_ids: Sequence[str], variables: Sequence[str]) -> CycleData:
        """The values of a cycle. Sites and variables it lacks come as NaN.

        Raises:
            IntegrityError: its object is missing or damaged.
        """
        layout = self._layout(cycle.object_key)
        leads, members = self._axes(layout)
        values = np.full((1, len(variables), len(leads), len(site_ids), members), np.nan, dtype=np.float32)
        self._fill(values, cycle.object_key, [cycle.position], site_ids=site_ids, variables=variables)
        return CycleData(cycle, tuple(variables), leads, tuple(site_ids), values[0])

    def reach(self, entries: Sequence[SourceCycle]) -> tuple[tuple[int, ...], int]:
        """Lead hours that any of some cycles has, and the largest number of members; (), 0 for no cycle at all.

        Raises:
            IntegrityError: an object is missing or damaged.
        """
        axes = [self._axes(self._layout(key)) for key in dict.fromkeys(entry.object_key for entry in entries)]
        leads = {lead for own_leads, _ in axes for lead in own_leads}
        return tuple(sorted(leads)), max((count for _, count in axes), default=0)

    def read_all(
        self, entries: Sequence[SourceCycle], *, site_ids: Sequence[str], variables: Sequence[str]
    ) -> tuple[tuple[int, ...], NDArray[np.float32]]:
        """The values of many cycles of one source, each object opened once.

        Returns:
            Lead hours (all that any cycle has), and values with dims (cycle, variable, lead, site, member), float32, NaN
            where a cycle lacks something.

        Raises:
            IntegrityError: an object is missing or damaged.
        """
        by_object: dict[str, list[int]] = {}
        for index, entry in enumerate(entries):
            by_object.setdefault(entry.object_key, []).append(index)
        axes = {key: self._axes(self._layout(key)) for key in by_object}
        leads, members = self.reach(entries)
        values = np.full((len(entries), len(variables), len(leads), len(site_ids), members), np.nan, dtype=np.float32)
        for key, indices in by_object.items():
            own_leads, own_members = axes[key]
            positions = [entries[index].position for index in indices]
            if own_leads == leads and own_members == members and indices == list(range(indices[0], indices[-1] + 1)):
                target = values[indices[0] : indices[-1] + 1]
                self._fill(target, key, positions, site_ids=site_ids, variables=variables)
                continue
            part = np.full(
                (len(indices), len(variables), len(own_leads), len(site_ids), own_members), np.nan, np.float32
            )
            self._fill(part, key, positions, site_ids=site_ids, variables=variables)
            places = [leads.index(lead) for lead in own_leads]
            values[np.ix_(indices, range(len(variables)), places, range(len(site_ids)), range(own_members))] = part
        return leads, values

    def _known(self, source_id: str, as_of: datetime, *, usable_only: bool) -> sa.Select[Any]:
        query = sa.select(cycles).where(cycles.c.source_id == source_id, cycles.c.available_at <= as_of)
        return query.where(cycles.c.quality.in_(USABLE_QUALITIES)) if usable_only else query

    def _only_new(self, batch: CycleBatch, packed: list[_PackedCycle], recorded_at: datetime) -> list[_PackedCycle]:
        if not packed:
            return []
        first, last = min(batch.init_times), max(batch.init_times)
        query = sa.select(cycles.c.init_time, cycles.c.available_at, cycles.c.recorded_at, cycles.c.digest).where(
            cycles.c.source_id == batch.source_id, cycles.c.init_time.between(first, last)
        )
        held: dict[datetime, list[_Revision]] = {}
        with self._database.reading() as connection:
            for init_time, available_at, known_at, digest in connection.execute(query):
                held.setdefault(init_time, []).append((available_at, known_at, digest))
        new = []
        for cycle in packed:
            revisions = held.setdefault(_whole(batch.init_times[cycle.index]), [])
            revision = (_whole(batch.available_ats[cycle.index]), _whole(recorded_at), cycle.digest)
            if _changes_what_is_known(revisions, revision):
                revisions.append(revision)
                new.append(cycle)
        return new

    def _layout(self, key: str) -> FileLayout:
        with self._lock:
            layout = self._layouts.get(key)
        if layout is None:
            with self._objects.local_path(key) as path:
                layout = read_layout(path)
            with self._lock:
                self._layouts[key] = layout
                if len(self._layouts) > _LAYOUTS:
                    self._layouts.popitem(last=False)
        return layout

    @staticmethod
    def _axes(layout: FileLayout) -> tuple[tuple[int, ...], int]:
        return tuple(layout.facts["lead_hours"]), int(layout.facts["members"])

    def _fill(
        self,
        out: NDArray[np.float32],
        key: str,
        positions: list[int],
        *,
        site_ids: Sequence[str],
        variables: Sequence[str],
    ) -> None:
        """Write cycles of one object into ``out`` (cycle, variable, lead, site, member), which is NaN before."""
        layout = self._layout(key)
        own_sites = layout.texts["site_id"]
        same_sites = own_sites == tuple(site_ids)
        place = {site_id: index for index, site_id in enumerate(own_sites)}
        here = [index for index, site_id in enumerate(site_ids) if site_id in place]
        there = [place[site_ids[index]] for index in here]
        with self._objects.local_path(key) as path:
            for index, variable in enumerate(variables):
                stored = layout.arrays.get(variable)
                if stored is None:
                    continue
                packed = read_stored(path, stored)
                for row, position in enumerate(positions):
                    if same_sites:
                        unpack(packed[position], stored.scale, out[row, index])
                    else:
                        part = np.empty((packed.shape[1], len(here), packed.shape[3]), dtype=np.float32)
                        unpack(packed[position][:, there], stored.scale, part)
                        out[row, index][:, here] = part


def _whole(instant: datetime) -> datetime:
    """The instant as the tables keep it: whole seconds."""
    return from_epoch_seconds(to_epoch_seconds(instant))


def _changes_what_is_known(held: list[_Revision], revision: _Revision) -> bool:
    """Whether a delivery says anything new: not if the newest of those available by then has the same values."""
    known = [other for other in held if other[0] <= revision[0]]
    again = any((other[0], other[2]) == (revision[0], revision[2]) for other in known)
    return not again and not (known and max(known)[2] == revision[2])


def _to_cycle(row: dict[str, Any]) -> SourceCycle:
    return SourceCycle(**{**row, "reasons": tuple(row["reasons"])})


def _check_batch(
    batch: CycleBatch, verdicts: Sequence[tuple[Quality, tuple[str, ...]]], expected: Sequence[int] | None
) -> None:
    count = len(batch.init_times)
    if len(verdicts) != count or (expected is not None and len(expected) != count):
        raise InvalidValueError(
            f"{count} cycles of {batch.source_id} came with {len(verdicts)} verdicts", hint="give one verdict per cycle"
        )
    for variable in batch.variables:
        unit = batch.units.get(variable)
        if unit != find_variable(variable).unit:
            raise InvalidValueError(
                f"{variable} of {batch.source_id} arrives at the archive in {unit!r}, wanted {find_variable(variable).unit!r}",
                hint="convert to canonical units first",
            )


def _pack_cycle(batch: CycleBatch, index: int) -> _PackedCycle:
    hasher = hashlib.sha256(
        repr((batch.source_id, batch.variables, batch.lead_hours, batch.site_ids, batch.values.shape[4])).encode()
    )
    values, notes = [], []
    for position, name in enumerate(batch.variables):
        packed, saturated = pack(batch.values[index, position], find_variable(name).resolution)
        hasher.update(packed.tobytes())
        values.append(packed)
        if saturated:
            notes.append(f"{saturated} values of {name} are beyond what can be kept and were held at the limit")
    got = int(np.count_nonzero(~np.isnan(batch.values[index])))
    return _PackedCycle(index, tuple(values), hasher.hexdigest(), got, tuple(notes))


def _write_batch(batch: CycleBatch, new: list[_PackedCycle]) -> bytes:
    dims = ("init_time", "lead", "site_id", "member")
    seconds = np.array([to_epoch_seconds(batch.init_times[cycle.index]) for cycle in new], dtype="<i8")
    since = {"units": "seconds since 1970-01-01T00:00:00Z", "calendar": "standard"}
    arrays = [
        FileArray("init_time", ("init_time",), seconds, {**since, "standard_name": "forecast_reference_time"}),
        FileArray("lead", ("lead",), np.array(batch.lead_hours, dtype="<i4"),
                  {"units": "hours", "standard_name": "forecast_period"}),
        FileArray("site_id", ("site_id",), np.array(batch.site_ids, dtype=object), {"cf_role": "timeseries_id"}),
        FileArray("member", ("member",), np.arange(batch.values.shape[4], dtype="<i4"),
                  {"standard_name": "realization", "units": "1"}),
    ]  # fmt: skip
    for position, name in enumerate(batch.variables):
        variable = find_variable(name)
        attributes = {"standard_name": variable.standard_name, "long_name": variable.title, "units": variable.unit}
        values = np.stack([cycle.values[position] for cycle in new])
        arrays.append(FileArray(name, dims, values, attributes | packed_attributes(variable.resolution)))
    return write_file(
        arrays,
        attributes={
            "Conventions": "CF-1.11",
            "title": f"Cycles of {batch.source_id} at sites",
            "source": batch.source_id,
        },
        facts={"lead_hours": list(batch.lead_hours), "members": batch.values.shape[4]},
    )
