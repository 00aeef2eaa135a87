"""What was learned: immutable artefacts, named by their content."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from skyproof.archive.database import Database, rows_as_dicts
from skyproof.archive.objects import content_key, digest_in_key
from skyproof.archive.release_content import ReleaseContent
from skyproof.archive.tables import releases
from skyproof.domain.errors import IntegrityError, NoReleaseError, UnknownNameError
from skyproof.domain.forecasts import Release
from skyproof.domain.protocols import ObjectStore


class Releases:
    """Learned artefacts and their states."""

    def __init__(self, database: Database, objects: ObjectStore) -> None:
        self._database = database
        self._objects = objects
        self._held: tuple[str, ReleaseContent] | None = None

    def add(
        self,
        content: bytes,
        *,
        created_at: datetime,
        trained_from: datetime,
        trained_until: datetime,
        sources: Sequence[str],
        card: Mapping[str, object],
        state: str = "stable",
    ) -> Release:
        """Keep a release; durable on return. The same content is the same release: the first entry stays."""
        key, digest = content_key("releases", content, ".bin")
        self._objects.put(key, content)
        row = {
            "release_id": f"rel_{digest[:16]}",
            "created_at": created_at,
            "trained_from": trained_from,
            "trained_until": trained_until,
            "sources": list(sources),
            "state": state,
            "object_key": key,
            "digest": digest,
            "card": dict(card),
        }
        with self._database.writing() as connection:
            connection.execute(self._database.insert_new(releases), row)
        return self.find(f"rel_{digest[:16]}")

    def newest(self, *, as_of: datetime, state: str = "stable") -> Release:
        """The release created last, by ``as_of``, that is now in ``state``.

        Raises:
            NoReleaseError: there is none.
        """
        query = sa.select(releases).where(releases.c.created_at <= as_of, releases.c.state == state)
        query = query.order_by(releases.c.created_at.desc(), releases.c.release_id.desc()).limit(1)
        with self._database.reading() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise NoReleaseError(f"no release is {state} by then", hint="skyproof learn makes one")
        return _to_release(rows_as_dicts([row])[0])

    def find(self, release_id: str) -> Release:
        """The release of that id.

        Raises:
            UnknownNameError: no such release.
        """
        with self._database.reading() as connection:
            row = connection.execute(sa.select(releases).where(releases.c.release_id == release_id)).one_or_none()
        if row is None:
            raise UnknownNameError(f"release {release_id[:64]!r} is not known", hint="skyproof release list shows all")
        return _to_release(rows_as_dicts([row])[0])

    def all(self, *, as_of: datetime) -> tuple[Release, ...]:
        """Releases created by ``as_of``, oldest first."""
        query = sa.select(releases).where(releases.c.created_at <= as_of)
        with self._database.reading() as connection:
            rows = rows_as_dicts(connection.execute(query.order_by(releases.c.created_at, releases.c.release_id)).all())
        return tuple(_to_release(row) for row in rows)

    def content(self, release: Release) -> bytes:
        """The bytes of a release.

        Raises:
            IntegrityError: they are missing, or are not those that were kept.
        """
        data = self._objects.get(release.object_key)
        if hashlib.sha256(data).hexdigest() != digest_in_key(release.object_key):
            raise IntegrityError(
                f"release {release.release_id} is damaged", hint="restore its object from a backup, or learn again"
            )
        return data

    def read(self, release: Release) -> ReleaseContent:
        """What is inside a release; the last one read is kept at hand, because every cycle asks for it again.

        Raises:
            IntegrityError: as :meth:`content`, or the bytes are no release of this version.
        """
        held = self._held
        if held is None or held[0] != release.object_key:
            held = (release.object_key, ReleaseContent.from_bytes(self.content(release)))
            self._held = held
        return held[1]

    def set_state(self, release_id: str, state: str) -> None:
        """Change the state of a release.

        Raises:
            UnknownNameError: no such release.
        """
        self.find(release_id)
        change = sa.update(releases).where(releases.c.release_id == release_id).values(state=state)
        with self._database.writing() as connection:
            connection.execute(change)


def _to_release(row: dict[str, Any]) -> Release:
    del row["digest"]
    return Release(**{**row, "sources": tuple(row["sources"])})
