"""Fixtures every floor's tests may use: an archive on SQLite and on PostgreSQL."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from hypothesis import settings

from skyproof.archive.archive import DATABASE_FILE, Archive
from skyproof.archive.schema import HEAD
from skyproof.archive.tables import metadata

# The same examples every time, and none is too slow: a test that depends on the machine's load tests the machine.
settings.register_profile("skyproof", deadline=None, derandomize=True)
settings.load_profile("skyproof")

POSTGRES_URL = os.environ.get("SKYPROOF_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/postgres")


def _postgres_problem() -> str | None:
    try:
        psycopg.connect(POSTGRES_URL, connect_timeout=3).close()
    except psycopg.Error as error:
        return str(error).strip().split("\n")[0]
    return None


@pytest.fixture(scope="session")
def postgres_server() -> str:
    """URL of a PostgreSQL server; skips without one, fails instead where SKYPROOF_REQUIRE_POSTGRES=1 says it must be there."""
    problem = _postgres_problem()
    if problem is None:
        return POSTGRES_URL
    if os.environ.get("SKYPROOF_REQUIRE_POSTGRES") == "1":
        pytest.fail(f"SKYPROOF_REQUIRE_POSTGRES=1, but no server answers: {problem}")
    pytest.skip(f"no PostgreSQL server answers (SKYPROOF_TEST_POSTGRES names one): {problem}")


@contextmanager
def throwaway_schema(server: str) -> Iterator[str]:
    """URL of a fresh schema of its own on the server; gone with all it holds when the block ends."""
    name = f"skyproof_test_{uuid.uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}".encode())
        try:
            yield f"{server}{'&' if '?' in server else '?'}options=-csearch_path%3D{name}"
        finally:
            connection.execute("SET client_min_messages = warning")
            connection.execute(f"DROP SCHEMA {name} CASCADE".encode())


@pytest.fixture(scope="session")
def shared_schema(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a migrated schema that tests use one after the other: making one for each would take most of their time."""
    with throwaway_schema(postgres_server) as url:
        Archive.open(tmp_path_factory.mktemp("home"), database_url=url).close()
        yield url


def clear(url: str) -> None:
    """Delete every row, and put the revision back."""
    statements = [f"DELETE FROM {table.name}" for table in reversed(metadata.sorted_tables)]
    statements.append(f"UPDATE alembic_version SET version_num = '{HEAD}'")
    with psycopg.connect(url) as connection:
        connection.execute("; ".join(statements).encode())


@pytest.fixture
def postgres_url(shared_schema: str) -> str:
    """URL of a PostgreSQL database with our tables and no rows."""
    clear(shared_schema)
    return shared_schema


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest) -> str | None:
    """``None`` for SQLite in the home, or the URL of a PostgreSQL database with our tables and no rows."""
    return None if request.param == "sqlite" else request.getfixturevalue("postgres_url")


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def empty_database_url(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """``None`` for SQLite in the home, or the URL of a PostgreSQL database of its own without any table."""
    if request.param == "sqlite":
        yield None
        return
    with throwaway_schema(request.getfixturevalue("postgres_server")) as url:
        yield url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file without rows, to copy."""
    home = tmp_path_factory.mktemp("template")
    Archive.open(home).close()
    return home / DATABASE_FILE


def prepare_home(home: Path, template: Path) -> None:
    """Make a home whose tables exist already."""
    home.mkdir()
    shutil.copy(template, home / DATABASE_FILE)


@pytest.fixture
def archive(tmp_path: Path, database_url: str | None, sqlite_template: Path) -> Iterator[Archive]:
    """An empty archive, once on SQLite and once on PostgreSQL."""
    if database_url is None:
        prepare_home(tmp_path / "home", sqlite_template)
    with Archive.open(tmp_path / "home", database_url=database_url) as opened:
        yield opened


@pytest.fixture
def sqlite_archive(tmp_path: Path, sqlite_template: Path) -> Iterator[Archive]:
    """An empty archive on SQLite, where the database does not matter."""
    prepare_home(tmp_path / "home", sqlite_template)
    with Archive.open(tmp_path / "home") as opened:
        yield opened


@pytest.fixture
def reopen(tmp_path: Path, database_url: str | None) -> Callable[[], Archive]:
    """Opens the home of the ``archive`` fixture once more, as another process would."""
    return lambda: Archive.open(tmp_path / "home", database_url=database_url)
