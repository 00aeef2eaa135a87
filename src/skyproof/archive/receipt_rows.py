"""What every writer of receipts does alike: bodies once under their name, and no receipt of a day that is closed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import date

import sqlalchemy as sa
import zstandard
from sqlalchemy.engine import Connection

from skyproof.archive.database import Database
from skyproof.archive.tables import bodies
from skyproof.domain.errors import DayClosedError, IntegrityError

_COMPRESSION_LEVEL = 1


def digest_of(body: bytes) -> str:
    """The digest under which a body is kept."""
    return hashlib.sha256(body).hexdigest()


def check_same(forecast_id: str, held: str, digest: str) -> None:
    """Pass where a body is the one that is held under the same name.

    Raises:
        IntegrityError: it is another.
    """
    if held != digest:
        raise IntegrityError(
            f"forecast {forecast_id} was delivered before with other bytes",
            hint="the same forecast id must always be the same bytes; do not send this answer",
        )


def check_open(first: date, closed: date | None) -> None:
    """Pass where the earliest day of some receipts is not closed in the ledger.

    Raises:
        DayClosedError: it is.
    """
    if closed is not None and first <= closed:
        raise DayClosedError("the day of a receipt is closed in the ledger", hint="the answer took too long; ask again")


def insert_bodies(
    database: Database, connection: Connection, new: Mapping[str, bytes], digests: Mapping[str, str]
) -> None:
    """Keep bodies, by forecast id, that are not kept yet.

    Raises:
        IntegrityError: another one is, under the same id.
    """
    if not new:
        return
    query = sa.select(bodies.c.forecast_id, bodies.c.digest).where(bodies.c.forecast_id.in_(new))
    held = {name: str(digest) for name, digest in connection.execute(query).all()}
    for name, digest in held.items():
        check_same(name, digest, digests[name])
    compress = zstandard.ZstdCompressor(level=_COMPRESSION_LEVEL).compress
    rows = [
        {"forecast_id": name, "digest": digests[name], "body": compress(body)}
        for name, body in new.items()
        if name not in held
    ]
    if rows:
        connection.execute(database.insert_new(bodies), rows)
