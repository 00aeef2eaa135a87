"""The archive the desk answers from, the same as the API's tests serve."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from skyproof.archive.archive import Archive
from tests.conftest import prepare_home
from tests.surfaces.api.served import Served, fill


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Served]:
    """The archive on SQLite, shared by tests that change nothing in it."""
    home = tmp_path_factory.mktemp("desk") / "home"
    prepare_home(home, sqlite_template)
    with Archive.open(home) as archive:
        yield fill(archive)
