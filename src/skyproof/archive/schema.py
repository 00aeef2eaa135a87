"""Brings a database to the revision this version of Skyproof knows, and refuses one that is newer."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from skyproof.archive.database import Database
from skyproof.domain.errors import StoreUnavailableError

#: The newest revision; the older ones we can upgrade from come before it.
REVISIONS: tuple[str, ...] = ("0001", "0002", "0003", "0004", "0005", "0006")
HEAD = REVISIONS[-1]
MIGRATIONS = Path(__file__).with_name("migrations")
# Any constant of our own: keeps two processes from upgrading one PostgreSQL database at once.
_ADVISORY_LOCK = 7_596_371


def current_revision(connection: Connection) -> str | None:
    """The revision the database is at; None for an empty one."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


def upgrade(database: Database) -> None:
    """Create or upgrade the tables, all or nothing.

    Raises:
        StoreUnavailableError: the database is of a revision this version does not know.
    """
    with database.reading() as connection:
        revision = current_revision(connection)
    if revision == HEAD:
        return
    with database.writing() as connection:
        if not database.is_sqlite:
            connection.execute(sa.text(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})"))
        revision = current_revision(connection)
        if revision is not None and revision not in REVISIONS:
            raise StoreUnavailableError(
                f"the database is at revision {revision[:40]!r}, this version knows {', '.join(REVISIONS)}",
                hint="it was written by a newer Skyproof: upgrade the package, or open another home",
            )
        if revision != HEAD:
            _run_migrations(connection)


def _run_migrations(connection: Connection) -> None:
    # Alembic is slow to import and needed once in the life of a database.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
