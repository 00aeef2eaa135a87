"""The served archive, filled once for all tests that only ask."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from skyproof.archive.archive import Archive
from tests.conftest import prepare_home
from tests.surfaces.api.served import Caller, Served, calling, fill

#: Clients of others, and what they need.
CLIENTS = Path(__file__).parents[2] / "clients"


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


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Runs a script of ``tests/clients`` beside the packages it needs; skips where they cannot be had."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node and npm are not installed")
    folder = tmp_path_factory.mktemp("clients")
    for path in CLIENTS.iterdir():
        shutil.copy(path, folder)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", "--fetch-retries=0"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240, check=False)
    if done.returncode:
        pytest.skip(f"the packages cannot be had: {done.stderr.strip()[-200:]}")

    def run(script: str, *arguments: str, given: str = "") -> Any:
        environment = {"PATH": os.environ["PATH"], "NODE_PATH": str(folder / "node_modules")}
        done = subprocess.run(
            ["node", script, *arguments], cwd=folder, capture_output=True, text=True, input=given, timeout=60, env=environment,
            check=True,
        )  # fmt: skip
        return json.loads(done.stdout)

    return run
