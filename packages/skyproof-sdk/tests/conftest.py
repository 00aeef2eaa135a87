"""The archives that the application is served from in the tests of the project."""

from tests.conftest import (
    archive,
    database_url,
    postgres_server,
    postgres_url,
    shared_schema,
    sqlite_template,
)

__all__ = ["archive", "database_url", "postgres_server", "postgres_url", "shared_schema", "sqlite_template"]
