"""A small prepared home, and a way to call the command line as a shell would."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from skyproof.archive.archive import Archive
from skyproof.cycle.settings import Settings, save_settings
from skyproof.domain.sites import Customer
from skyproof.surfaces.cli import main
from tests.stages import toy_world

LEARNED = toy_world.START + timedelta(days=30, hours=12)


@dataclass(frozen=True)
class Ended:
    """How an invocation ended."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """What it answered in JSON."""
        return json.loads(self.out)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a small world, a release, a run, its scores' inputs and a customer. To be copied, never written to."""
    home = tmp_path_factory.mktemp("prepared") / "home"
    with Archive.open(home) as archive:
        toy_world.build_world(archive, days=34)
        toy_world.learn(archive, as_of=LEARNED)
        for day in range(3):
            toy_world.forecast(archive, LEARNED + timedelta(days=day))
        archive.customers.add(Customer("acme", "Acme [harbour]"))
    variables = toy_world.VARIABLES
    save_settings(home, Settings(variables=variables, leads_hours=toy_world.GRID_LEADS, horizon_hours=48, tail_days=12))
    return home


@pytest.fixture
def home(prepared: Path, tmp_path: Path) -> Path:
    """A copy of the prepared home."""
    return Path(shutil.copytree(prepared, tmp_path / "home"))


@pytest.fixture
def empty_home(tmp_path: Path, sqlite_template: Path) -> Path:
    """A home with nothing in it but tables."""
    folder = tmp_path / "empty"
    folder.mkdir()
    shutil.copy(sqlite_template, folder / sqlite_template.name)
    return folder


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ended]:
    """Call the command line on a home; no setting of this machine's environment counts."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"SKYPROOF_{name.upper()}", raising=False)
    monkeypatch.setenv("COLUMNS", "80")

    def run(home: Path, *words: object) -> Ended:
        capfd.readouterr()
        code = main(["--home", str(home), *map(str, words)])
        shown = capfd.readouterr()
        return Ended(code, shown.out, shown.err)

    return run
