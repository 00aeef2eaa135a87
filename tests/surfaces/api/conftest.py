"""The served archive, filled once for all tests that only ask."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from skyproof.archive.archive import Archive
from tests.conftest import prepare_home
from tests.surfaces.api.served import Caller, Served, calling, fill


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Served]:
    """The archive on SQLite, shared: tests ask and leave receipts, and change nothing else."""
    home = tmp_path_factory.mktemp("served") / "home"
    prepare_home(home, sqlite_template)
    with Archive.open(home) as archive:
        yield fill(archive)


@pytest.fixture(scope="module")
def ask(served: Served) -> Iterator[Caller]:
    """Asks the shared archive."""
    with calling(served.archive, served.tokens, console=True) as caller:
        yield caller
