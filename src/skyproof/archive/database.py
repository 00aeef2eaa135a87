"""The database behind the tables: SQLite in the home by default, PostgreSQL by URL.

SQLite runs in WAL mode with ``synchronous=FULL``: a commit that returned survives a power cut, readers never wait for
the writer. Writers take the write lock at the start (``BEGIN IMMEDIATE``), so that two of them queue instead of failing.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, IntegrityError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from skyproof.archive.breaker import Breaker
from skyproof.domain.errors import DatabaseAwayError, InvalidValueError, SkyproofError, StoreUnavailableError

#: How long a writer waits for another one before it gives up.
BUSY_TIMEOUT_S = 30.0
#: The same where callers wait for an answer.
SERVING_PATIENCE_S = 2.0
#: SQLite's codes for what may be over in a moment: busy, locked, read-only, I/O, full, cannot be opened, locking protocol.
_AWAY_CODES = frozenset((5, 6, 8, 10, 13, 14, 15))
#: The same as classes of PostgreSQL's states: connection, resources, locked, shut down, system.
_AWAY_STATES = frozenset(("08", "53", "55", "57", "58"))
_LOCKED_ROW = "55P03"
#: A statement may take so many times as long as anyone waits for a lock.
_ANSWERS_WITHIN = 2.5
#: How often, and after how many seconds each, writers of receipts look for SQLite's lock before they wait for it as others do.
_LOOKS = 100
_LOOK_S = 0.0005
# A server's thread pool may hold forty threads, each asking for a connection.
_POOL: dict[str, int] = {"pool_size": 8, "max_overflow": 40}
_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
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

    def __init__(self, url: str, *, patience_s: float | None = None) -> None:
        """Prepare an engine; nothing is connected yet.

        Args:
            url: of the database.
            patience_s: for those who answer callers: nobody waits longer for a connection or a lock, in seconds, and once
                somebody waited in vain nobody else does until the database is back. None: long, and everyone for himself.
        """
        self.is_impatient = patience_s is not None
        waits_s = BUSY_TIMEOUT_S if patience_s is None else patience_s
        parsed = _read_url(url)
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        self.engine: Engine
        if self.is_sqlite:
            file = Path(str(parsed.database)).absolute()
            file.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(OSError):  # connecting says what is wrong
                file.touch()
            self.engine = sa.create_engine(
                parsed, pool_timeout=waits_s, creator=partial(_connect_sqlite, file, waits_s), **_POOL
            )
            sa.event.listen(self.engine, "connect", _prepare_sqlite)
            sa.event.listen(self.engine, "begin", _begin_sqlite)
        else:
            # A server that was restarted leaves dead connections in the pool; asking first costs one round trip.
            connecting: dict[str, object] = {"connect_timeout": 10}
            if patience_s is not None:
                # A server that vanished without a word: libpq waits two seconds at least to connect.
                connecting = {"connect_timeout": max(2, round(waits_s)), "tcp_user_timeout": round(2000 * waits_s)}
            self.engine = sa.create_engine(
                parsed, pool_pre_ping=True, pool_timeout=waits_s, connect_args=connecting, **_POOL
            )
            if patience_s is not None:
                sa.event.listen(self.engine, "do_connect", partial(_connect_postgres, _ANSWERS_WITHIN * waits_s))
                sa.event.listen(self.engine, "connect", lambda driver, _: _limit_locks(driver, waits_s))
        self.shown_url = _without_password(parsed)
        driver_error: type[Exception] = self.engine.dialect.loaded_dbapi.Error
        self._errors = (SQLAlchemyError, driver_error)
        self._refusals: tuple[type[Exception], ...] = (IntegrityError, self.engine.dialect.loaded_dbapi.IntegrityError)
        self._operational: type[Exception] = self.engine.dialect.loaded_dbapi.OperationalError
        self._reads = Breaker("cannot be read", self._probe_reading)
        self._writes = Breaker("takes nothing", self._probe_writing)

    @property
    def is_away(self) -> bool:
        """Whether the database was away a moment ago, for those who read or those who write."""
        return self._reads.is_open or self._writes.is_open

    @property
    def takes_nothing(self) -> bool:
        """Whether it was away a moment ago for those who write."""
        return self._writes.is_open

    def try_now(self) -> None:
        """If it was away, find out now whether it is back."""
        self._reads.try_now()
        self._writes.try_now()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that sees one consistent state."""
        with self._minding(self._reads), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction: committed and durable when the block ends, undone when it raises."""
        with self._minding(self._writes), self.engine.connect() as plain:
            connection = plain.execution_options(writes=True)
            with connection.begin():
                yield connection

    @contextmanager
    def writing_rows(self) -> Iterator[Any]:
        """The same as :meth:`writing` with the driver's own cursor: a tenth of the cost where one statement is all there is."""
        with self._minding(self._writes):
            connection = self.engine.raw_connection()
            try:
                cursor = connection.cursor()
                if self.is_sqlite:
                    _begin_soon(cursor)
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
            DatabaseAwayError: the database does not answer, is locked, or full.
            StoreUnavailableError: it refused a statement.
        """
        try:
            yield
        except self._errors as error:
            if isinstance(cause := getattr(error, "orig", None), SkyproofError):
                raise cause from error  # a value of ours that SQLAlchemy could not bind
            reason = str(getattr(error, "orig", None) or error).strip().split("\n")[0]
            kind = DatabaseAwayError if self._means_away(error) else StoreUnavailableError
            raise kind(
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
        self._reads.close()
        self._writes.close()
        self.engine.dispose()

    @contextmanager
    def _minding(self, breaker: Breaker) -> Iterator[None]:
        breaker.check()
        try:
            with self.translating():
                yield
        except DatabaseAwayError as error:
            # Someone else's row, held for long, says nothing about the database.
            if self.is_impatient and getattr(getattr(error.__cause__, "orig", None), "sqlstate", None) != _LOCKED_ROW:
                breaker.open(error)
            raise

    def _means_away(self, error: Exception) -> bool:
        """Whether an error is about the database and may be over in a moment, not about a statement."""
        if isinstance(error, PoolTimeoutError):
            return True
        cause = getattr(error, "orig", None) or error
        if not isinstance(cause, self._operational):
            return False
        if self.is_sqlite:
            return getattr(cause, "sqlite_errorcode", 0) & 0xFF in _AWAY_CODES
        state = getattr(cause, "sqlstate", None)
        return state is None or state[:2] in _AWAY_STATES

    def _probe_reading(self) -> None:
        with self.translating(), self.engine.connect() as connection:
            connection.execute(sa.text("SELECT 1"))

    def _probe_writing(self) -> None:
        with self.translating(), self.engine.connect() as plain:
            connection = plain.execution_options(writes=True)
            with connection.begin():
                connection.execute(sa.text("SELECT 1"))


def raw_cursor(connection: Connection) -> Any:
    """The driver's own cursor inside the connection's transaction, for the few statements that move many rows."""
    connection.execute(sa.text("SELECT 1"))  # makes SQLAlchemy begin the transaction the cursor then works in
    return connection.connection.cursor()


def rows_as_dicts(rows: Sequence[Any]) -> list[dict[str, Any]]:
    """Result rows as plain dicts, ready for a record's constructor."""
    return [dict(row._mapping) for row in rows]


def _connect_sqlite(file: Path, waits_s: float) -> sqlite3.Connection:
    # A file that was moved away is not begun anew, empty.
    return sqlite3.connect(f"{file.as_uri()}?mode=rw", uri=True, timeout=waits_s, check_same_thread=False)


def _connect_postgres(within_s: float, _dialect: Any, _record: Any, arguments: list[Any], named: dict[str, Any]) -> Any:
    from skyproof.archive.postgres import ImpatientConnection  # noqa: PLC0415 its driver is loaded where it is used

    connection = ImpatientConnection.connect(*arguments, **named)
    connection.within_s = within_s
    return connection


def _prepare_sqlite(driver_connection: Any, _record: Any) -> None:
    # The driver must not begin transactions on its own: it would take the write lock late and fail when two meet.
    driver_connection.isolation_level = None
    cursor = driver_connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(pragma)
    cursor.close()


def _begin_soon(cursor: Any) -> None:
    """Begin to write as soon as another process lets go.

    SQLite looks for a lock again after 1, 2, 5, 10 and up to 100 ms, while those who write receipts hold it for a few.
    """
    (waits_ms,) = cursor.execute("PRAGMA busy_timeout").fetchone()
    cursor.execute("PRAGMA busy_timeout=0")
    try:
        for _ in range(_LOOKS):
            try:
                cursor.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
                time.sleep(_LOOK_S)
            else:
                return
    finally:
        cursor.execute(f"PRAGMA busy_timeout={waits_ms}")
    cursor.execute("BEGIN IMMEDIATE")


def _limit_locks(driver_connection: Any, waits_s: float) -> None:
    driver_connection.autocommit = True
    driver_connection.execute(f"SET lock_timeout = {round(1000 * waits_s)}")
    driver_connection.autocommit = False


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
