"""The tables: migrations make exactly what the code expects, newer databases are refused, failures are translated."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from archive_samples import at, make_sites

from skyproof.archive.archive import Archive
from skyproof.archive.database import Database
from skyproof.archive.schema import HEAD, MIGRATIONS, REVISIONS, current_revision, upgrade
from skyproof.archive.tables import canonical_json, metadata
from skyproof.domain.errors import InvalidValueError, StoreUnavailableError


def test_the_migrations_make_exactly_the_tables_of_the_code(archive: Archive) -> None:
    with archive.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []
        inspector = sa.inspect(connection)
        for table in metadata.sorted_tables:
            key = inspector.get_pk_constraint(table.name)
            assert key["constrained_columns"] == [column.name for column in table.primary_key]
            nullable = {column["name"]: column["nullable"] for column in inspector.get_columns(table.name)}
            assert nullable == {column.name: column.nullable for column in table.c}


def test_the_known_revisions_are_those_of_the_package() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    scripts = ScriptDirectory.from_config(config)
    assert scripts.get_current_head() == HEAD
    assert tuple(reversed([script.revision for script in scripts.walk_revisions()])) == REVISIONS


def test_opening_again_keeps_what_is_there(archive: Archive, reopen: Callable[[], Archive]) -> None:
    archive.sites.add(make_sites(1))
    with reopen() as again:
        assert again.sites.all() == make_sites(1)
        with again.engine.connect() as connection:
            assert current_revision(connection) == HEAD


def test_a_newer_database_is_refused_and_left_alone(archive: Archive, reopen: Callable[[], Archive]) -> None:
    with archive.engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreUnavailableError, match="revision '9999'") as caught:
        reopen()
    assert "upgrade the package" in caught.value.hint
    with archive.engine.connect() as connection:
        assert current_revision(connection) == "9999"


def test_many_processes_may_open_a_new_home_at_once(tmp_path: Path, empty_database_url: str | None) -> None:
    def open_once(number: int) -> int:
        with Archive.open(tmp_path / "home", database_url=empty_database_url) as archive:
            archive.events.add("opened", {"number": number}, recorded_at=at(0))
        return number

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(open_once, range(4))) == [0, 1, 2, 3]
    with Archive.open(tmp_path / "home", database_url=empty_database_url) as archive:
        assert len(archive.events.all(as_of=at(0))) == 4


def test_an_interrupted_upgrade_leaves_nothing(
    tmp_path: Path, empty_database_url: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(empty_database_url or f"sqlite:///{tmp_path / 'x.sqlite'}")
    with monkeypatch.context() as patch:

        def fail(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        patch.setattr("alembic.op.create_index", fail)
        with pytest.raises(KeyboardInterrupt):
            upgrade(database)
    with database.reading() as connection:
        assert sa.inspect(connection).get_table_names() == []
    upgrade(database)
    database.close()


def test_a_failed_transaction_is_undone(archive: Archive) -> None:
    def fail_late() -> None:
        with archive.database.writing() as connection:
            connection.execute(sa.text("INSERT INTO customers (customer_id, name) VALUES ('acme', 'Acme')"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_late()
    assert archive.customers.all() == ()


def test_driver_errors_are_translated(archive: Archive) -> None:
    with pytest.raises(StoreUnavailableError, match="refused") as caught, archive.database.reading() as connection:
        connection.execute(sa.text("SELECT nothing FROM nowhere"))
    assert "doctor" in caught.value.hint
    with pytest.raises(StoreUnavailableError), archive.database.writing() as connection:
        connection.connection.cursor().execute("not sql")


def test_a_server_that_does_not_answer_is_said(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError, match=r"postgresql\+psycopg://user:\*\*\*@127.0.0.1:1/none"):
        Archive.open(tmp_path, database_url="postgresql://user:secret@127.0.0.1:1/none")


def test_urls_we_cannot_use_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match="'mysql' is not supported"):
        Archive.open(tmp_path, database_url="mysql://user@host/name")
    with pytest.raises(InvalidValueError, match="cannot be read"):
        Archive.open(tmp_path, database_url="no url")


def test_a_home_that_cannot_be_made_or_is_no_database_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreUnavailableError, match="cannot be made"):
        Archive.open(tmp_path / "file" / "home")
    (tmp_path / "archive.sqlite").write_bytes(b"this is no database, but long enough to look at" * 50)
    with pytest.raises(StoreUnavailableError, match="not a database"):
        Archive.open(tmp_path)


def test_sqlite_is_set_to_survive_a_power_cut(sqlite_archive: Archive) -> None:
    with sqlite_archive.engine.connect() as connection:
        wanted = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30000}
        for pragma, value in wanted.items():
            assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar_one() == value


def test_canonical_json_by_hand() -> None:
    assert canonical_json({"b": [1, 2.5], "a": "é"}) == '{"a":"é","b":[1,2.5]}'
    for value in (float("nan"), object()):
        with pytest.raises(InvalidValueError, match="cannot be written as JSON"):
            canonical_json({"x": value})


def test_a_value_that_cannot_be_kept_is_the_callers_error(archive: Archive) -> None:
    with pytest.raises(InvalidValueError, match="cannot be written as JSON"):
        archive.events.add("x", {"value": float("nan")}, recorded_at=at(0))
    with pytest.raises(InvalidValueError, match="no time zone"):
        archive.events.add("x", {}, recorded_at=at(0).replace(tzinfo=None))
    assert archive.events.all(as_of=at(1)) == ()
