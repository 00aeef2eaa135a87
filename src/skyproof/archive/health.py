"""What is wrong with an archive, and how to mend it. Looking changes nothing; only ``remove_orphans`` and ``drop_damaged`` do."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import sqlalchemy as sa

from skyproof.archive.archive import Archive
from skyproof.archive.deliveries import unpack_body
from skyproof.archive.objects import LocalObjectStore, digest_in_key
from skyproof.archive.schema import HEAD, current_revision
from skyproof.archive.tables import (
    OBJECT_COLUMNS,
    bodies,
    checkpoints,
    cycles,
    events,
    experts,
    receipts,
    releases,
    runs,
    scores,
)
from skyproof.domain.errors import IntegrityError

Severity = Literal["error", "warning", "info"]
_FAR_FUTURE = datetime(9999, 1, 1, tzinfo=UTC)
#: Tables whose objects are made again when needed, except experts a published run names: those count as the run's.
_MADE_AGAIN = {"experts": experts, "checkpoints": checkpoints, "scores": scores}
#: Below this much free disk a day's work may not fit.
MINIMUM_FREE_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be.

    ``kind`` is one of ``missing_object``, ``damaged_object``, ``damaged_body``, ``changed_receipts``,
    ``damaged_database``, ``old_schema``, ``orphan_object``, ``leftover_file``, ``low_disk``, ``queued_receipts``,
    ``damaged_queue``, ``refused_receipts``; of a home
    also ``missing_home``, ``bad_settings``, ``clock_behind``, and the kinds of errors that opening it raised.
    """

    kind: str
    severity: Severity
    message: str
    remedy: str


def check_archive(archive: Archive, *, minimum_free_bytes: int = MINIMUM_FREE_BYTES) -> tuple[Finding, ...]:
    """Look at everything; an empty answer means all is well. The worst comes first.

    Raises:
        StoreUnavailableError: database or object store do not answer.
    """
    findings = [
        *_check_database(archive),
        *_check_objects(archive),
        *_check_bodies(archive),
        *_check_ledger(archive),
        *_check_queue(archive),
        *_check_leftovers(archive),
        *_check_disk(archive, minimum_free_bytes),
    ]
    order: tuple[Severity, ...] = ("error", "warning", "info")
    return tuple(sorted(findings, key=lambda finding: order.index(finding.severity)))


def named_objects(archive: Archive) -> dict[str, str]:
    """Every object key that a row names, and the table of that row."""
    named: dict[str, str] = {}
    with archive.database.reading() as connection:
        for column in (*OBJECT_COLUMNS, runs.c.experts_key):
            keys = connection.execute(sa.select(column).distinct()).scalars()
            named.update((key, column.table.name) for key in keys if key)
    return named


def remove_orphans(archive: Archive) -> int:
    """Remove objects no row names; returns how many. Only while nothing else writes: a new object has no row yet."""
    named = named_objects(archive)
    orphans = [key for key in archive.objects.keys() if key not in named]  # noqa: SIM118 a store is no mapping
    for key in orphans:
        archive.objects.delete(key)
    return len(orphans)


def drop_damaged(archive: Archive) -> int:
    """Drop damaged or missing objects that are made again when needed, rows included; returns how many."""
    dropped = 0
    for key, table, _ in list(_bad_objects(archive)):
        if table in _MADE_AGAIN:
            with archive.database.writing() as connection:
                connection.execute(sa.delete(_MADE_AGAIN[table]).where(_MADE_AGAIN[table].c.object_key == key))
            archive.objects.delete(key)
            dropped += 1
    return dropped


def newest_record(archive: Archive) -> datetime | None:
    """The latest instant at which anything was recorded; None in an empty archive."""
    columns = (
        cycles.c.recorded_at, releases.c.created_at, runs.c.published_at, scores.c.scored_at, receipts.c.served_at,
        events.c.recorded_at,
    )  # fmt: skip
    with archive.database.reading() as connection:
        found = [connection.execute(sa.select(sa.func.max(column))).scalar_one() for column in columns]
    found.append(archive.observations.newest_recorded_at(as_of=_FAR_FUTURE))
    return max((instant for instant in found if instant is not None), default=None)


def _check_database(archive: Archive) -> Iterator[Finding]:
    with archive.database.reading() as connection:
        revision = current_revision(connection)
        if revision != HEAD:
            yield Finding(
                "old_schema",
                "error",
                f"the tables are at revision {revision}, wanted {HEAD}",
                "open the home once more",
            )
        if archive.database.is_sqlite:
            for line in connection.execute(sa.text("PRAGMA quick_check(10)")).scalars():
                if line != "ok":
                    yield Finding(
                        "damaged_database", "error", f"SQLite reports: {line}", "restore the home from a backup"
                    )


def _check_objects(archive: Archive) -> Iterator[Finding]:
    for key, table, kind in _bad_objects(archive):
        wrong = "is missing" if kind == "missing_object" else "does not match its digest"
        yield Finding(kind, "error", f"object {key}, named in {table}, {wrong}", _REMEDIES[table])
    for key in sorted(set(archive.objects.keys()) - named_objects(archive).keys()):
        yield Finding(
            "orphan_object",
            "info",
            f"object {key} is named by no row; an interrupted write left it",
            "harmless; skyproof doctor --mend removes it",
        )


def _bad_objects(archive: Archive) -> Iterator[tuple[str, str, str]]:
    """Key, table and kind of finding of every named object that is not there as it was kept."""
    held = set(archive.objects.keys())
    for key, table in sorted(named_objects(archive).items()):
        if key not in held:
            yield key, table, "missing_object"
        elif hashlib.sha256(archive.objects.get(key)).hexdigest() != digest_in_key(key):
            yield key, table, "damaged_object"


def _check_bodies(archive: Archive) -> Iterator[Finding]:
    query = sa.select(bodies.c.forecast_id, bodies.c.digest, bodies.c.body).order_by(bodies.c.forecast_id)
    with archive.database.reading() as connection:
        for forecast_id, digest, body in connection.execution_options(yield_per=256).execute(query):
            try:
                unpack_body(forecast_id, digest, body)
            except IntegrityError as error:
                yield Finding("damaged_body", "error", error.message, "restore the database from a backup")


def _check_ledger(archive: Archive) -> Iterator[Finding]:
    for day in archive.ledger.changed_days():
        message = f"the receipts of {day} are not those its ledger was closed with"
        yield Finding("changed_receipts", "error", message, "restore the database from a backup")


def _check_queue(archive: Archive) -> Iterator[Finding]:
    try:
        waiting = archive.journal.count()
    except IntegrityError as error:
        yield Finding("damaged_queue", "error", error.message, "restore it from a backup; the rest of it is written")
    else:
        if waiting:
            message = f"{waiting} receipts wait on disk for the database"
            yield Finding("queued_receipts", "warning", message, "a server writes them, or skyproof doctor --mend")
    for path in archive.journal.refused_files():
        message = f"{path.name} holds receipts that the database did not take"
        yield Finding("refused_receipts", "error", message, "see the reason in the file, then move it away")


def _check_leftovers(archive: Archive) -> Iterator[Finding]:
    if isinstance(archive.objects, LocalObjectStore):
        for path in archive.objects.leftovers():
            message = f"{path.name} was left by a writer that died"
            yield Finding("leftover_file", "warning", message, "skyproof doctor --mend removes it")


def _check_disk(archive: Archive, minimum_free_bytes: int) -> Iterator[Finding]:
    free = shutil.disk_usage(archive.home).free
    if free < minimum_free_bytes:
        wanted = minimum_free_bytes / (1 << 20)
        yield Finding(
            "low_disk",
            "warning",
            f"{free / (1 << 20):.0f} MiB are free where {archive.home} lies, wanted {wanted:.0f}",
            "free some space before the next run",
        )


_AWAY = "move a damaged file away"
_REMEDIES = {
    "cycles": "restore it from a backup",
    "releases": f"restore it from a backup; or {_AWAY} and learn again as of the same instant",
    "runs": f"restore it from a backup; or {_AWAY} and forecast that issue time again: the same file comes out",
    "experts": "skyproof doctor --mend drops it; it is made again when needed",
    "checkpoints": "skyproof doctor --mend drops it; the next forecast makes it again",
    "scores": "skyproof doctor --mend drops it; skyproof verify makes it again",
}
