"""The database behind the tables: SQLite in the home by default, PostgreSQL by URL.

SQLite runs in WAL mode with ``synchronous=FULL``: a commit that returned survives a power cut, readers never wait for
the writer. Writers take the write lock at the start (``BEGIN IMMEDIATE``), so that two of them queue instead of failing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, IntegrityError, SQLAlchemyError

from skyproof.domain.errors import InvalidValueError, SkyproofError, StoreUnavailableError

#: How long a writer waits for another one before it gives up.
BUSY_TIMEOUT_S = 30.0
# A server's thread pool may hold forty threads, each asking for a connection.
_POOL: dict[str, int] = {"pool_size": 8, "max_overflow": 40}
_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    f"PRAGMA busy_timeout={int(BUSY_TIMEOUT_S * 1000)}",
    "PRAGMA foreign_keys=ON",
    "PRAGMA temp_store=MEMORY",
    "PRAGMA cache_size=-32768",
)


def _read_url(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise InvalidValueError(
            "the database URL cannot be read", hint="write it like postgresql://user@host:5432/name"
        ) from error
    backend = parsed.get_backend_name()
    if backend in {"postgres", "postgresql"}:
        return parsed.set(drivername="postgresql+psycopg")
    if backend == "sqlite" and parsed.database not in {None, "", ":memory:"}:
        return parsed
    raise InvalidValueError(
        f"a database of kind {backend!r} is not supported", hint="use postgresql://... or sqlite:///FILE"
    )


def hide_password(url: str) -> str:
    """A database URL that may be shown."""
    try:
        return _without_password(_read_url(url))
    except InvalidValueError:
        return "(not readable)"


def _without_password(parsed: URL) -> str:
    secrets = {name: "hidden" for name in parsed.query if "password" in name}
    return parsed.update_query_dict(secrets).render_as_string(hide_password=True)


class Database:
    """One engine and its uses: :meth:`reading`, :meth:`writing`, and :meth:`writing_rows` on the hottest path."""

    def __init__(self, url: str) -> None:
        parsed = _read_url(url)
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        self.engine: Engine
        if self.is_sqlite:
            Path(str(parsed.database)).parent.mkdir(parents=True, exist_ok=True)
            self.engine = sa.create_engine(
                parsed, connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False}, **_POOL
            )
            sa.event.listen(self.engine, "connect", _prepare_sqlite)
            sa.event.listen(self.engine, "begin", _begin_sqlite)
        else:
            # A server that was restarted leaves dead connections in the pool; asking first costs one round trip.
            self.engine = sa.create_engine(parsed, pool_pre_ping=True, **_POOL, connect_args={"connect_timeout": 10})
        self.shown_url = _without_password(parsed)
        driver_error: type[Exception] = self.engine.dialect.loaded_dbapi.Error
        self._errors = (SQLAlchemyError, driver_error)
        self._refusals: tuple[type[Exception], ...] = (IntegrityError, self.engine.dialect.loaded_dbapi.IntegrityError)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that sees one consistent state."""
        with self.translating(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction: committed and durable when the block ends, undone when it raises."""
        with self.translating(), self.engine.connect() as plain:
            connection = plain.execution_options(writes=True)
            with connection.begin():
                yield connection

    @contextmanager
    def writing_rows(self) -> Iterator[Any]:
        """The same as :meth:`writing` with the driver's own cursor: a tenth of the cost where one statement is all there is."""
        with self.translating():
            connection = self.engine.raw_connection()
            try:
                cursor = connection.cursor()
                if self.is_sqlite:
                    cursor.execute("BEGIN IMMEDIATE")
                yield cursor
                connection.commit()
            except BaseException:
                connection.rollback()
                raise
            finally:
                connection.close()

    @contextmanager
    def translating(self) -> Iterator[None]:
        """Turn the driver's errors into ours.

        Raises:
            StoreUnavailableError: the database does not answer, is locked, or refused a statement.
        """
        try:
            yield
        except self._errors as error:
            if isinstance(cause := getattr(error, "orig", None), SkyproofError):
                raise cause from error  # a value of ours that SQLAlchemy could not bind
            reason = str(getattr(error, "orig", None) or error).strip().split("\n")[0]
            raise StoreUnavailableError(
                f"the database {self.shown_url} refused: {reason}",
                hint="see that it runs and has space, then try again; skyproof doctor tells more",
            ) from error

    def is_refusal(self, error: Exception) -> bool:
        """Whether a translated error is about the rows (a key already held), not about the database."""
        return isinstance(error.__cause__, self._refusals)

    def insert_new(self, table: sa.Table) -> Any:
        """An INSERT that leaves rows alone whose key is already held."""
        if self.is_sqlite:
            return sqlite.insert(table).on_conflict_do_nothing()
        return postgresql.insert(table).on_conflict_do_nothing()

    def upsert(self, table: sa.Table) -> Any:
        """An INSERT that replaces the other columns of a row whose key is already held."""
        key = [column.name for column in table.primary_key]
        statement: Any = sqlite.insert(table) if self.is_sqlite else postgresql.insert(table)
        others = {column.name: statement.excluded[column.name] for column in table.c if column.name not in key}
        return statement.on_conflict_do_update(index_elements=key, set_=others)

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def raw_cursor(connection: Connection) -> Any:
    """The driver's own cursor inside the connection's transaction, for the few statements that move many rows."""
    connection.execute(sa.text("SELECT 1"))  # makes SQLAlchemy begin the transaction the cursor then works in
    return connection.connection.cursor()


def rows_as_dicts(rows: Sequence[Any]) -> list[dict[str, Any]]:
    """Result rows as plain dicts, ready for a record's constructor."""
    return [dict(row._mapping) for row in rows]


def _prepare_sqlite(driver_connection: Any, _record: Any) -> None:
    # The driver must not begin transactions on its own: it would take the write lock late and fail when two meet.
    driver_connection.isolation_level = None
    cursor = driver_connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(pragma)
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
