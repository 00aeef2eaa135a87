"""What is wrong with an archive, and how to mend it. Reads everything that is kept, changes nothing."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa

from skyproof.archive.archive import Archive
from skyproof.archive.deliveries import unpack_body
from skyproof.archive.objects import LocalObjectStore, digest_in_key
from skyproof.archive.schema import HEAD, current_revision
from skyproof.archive.tables import OBJECT_COLUMNS, bodies, runs
from skyproof.domain.errors import IntegrityError

Severity = Literal["error", "warning", "info"]
#: Below this much free disk a day's work may not fit.
MINIMUM_FREE_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be.

    ``kind`` is one of ``missing_object``, ``damaged_object``, ``damaged_body``, ``damaged_database``, ``old_schema``,
    ``orphan_object``, ``leftover_file``, ``low_disk``.
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
    held = set(archive.objects.keys())
    named = named_objects(archive)
    for key, table in sorted(named.items()):
        remedy = _REMEDIES.get(table, "restore it from a backup")
        if key not in held:
            yield Finding("missing_object", "error", f"object {key}, named in {table}, is missing", remedy)
        elif hashlib.sha256(archive.objects.get(key)).hexdigest() != digest_in_key(key):
            yield Finding(
                "damaged_object", "error", f"object {key}, named in {table}, does not match its digest", remedy
            )
    for key in sorted(held - named.keys()):
        yield Finding(
            "orphan_object",
            "info",
            f"object {key} is named by no row; an interrupted write left it",
            "harmless; skyproof doctor --mend removes it",
        )


def _check_bodies(archive: Archive) -> Iterator[Finding]:
    query = sa.select(bodies.c.forecast_id, bodies.c.digest, bodies.c.body).order_by(bodies.c.forecast_id)
    with archive.database.reading() as connection:
        for forecast_id, digest, body in connection.execution_options(yield_per=256).execute(query):
            try:
                unpack_body(forecast_id, digest, body)
            except IntegrityError as error:
                yield Finding("damaged_body", "error", error.message, "restore the database from a backup")


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


_REMEDIES = {
    "cycles": "take the source's cycles in again, or restore it from a backup",
    "releases": "restore it from a backup, or learn again",
    "runs": "restore it from a backup; the same issue time forecast again gives the same file",
    "experts": "forecast that issue time again",
    "checkpoints": "it is derived: skyproof backtest builds it again",
    "scores": "verify that day again",
}
