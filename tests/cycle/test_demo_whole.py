"""The whole product on a small planet: the demo, its resumption after ``kill -9``, and what it left behind."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from skyproof.archive.health import check_archive
from skyproof.cycle.wiring import open_product


def start_demo(home: Path) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-m",
        "skyproof",
        "--home",
        str(home),
        "--json",
        "demo",
        "--no-serve",
        "--profile",
        "small",
    ]
    environment = {**os.environ, "SKYPROOF_WORKERS": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )


def finish(child: subprocess.Popen[str]) -> dict:
    out, complaint = child.communicate(timeout=300)
    assert child.returncode == 0, complaint
    return json.loads(out)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    home = tmp_path_factory.mktemp("undisturbed")
    began = time.monotonic()
    result = finish(start_demo(home))
    return home, result, time.monotonic() - began


def runs_of(home: Path) -> list[tuple[str, str]]:
    with open_product(home) as product:
        now = product.clock.now()
        first = product.archive.releases.newest(as_of=now).trained_from
        runs = product.archive.runs.between(issue_from=first, issue_until=now, as_of=now)
        return [(str(run.issue_time), run.run_id) for run in runs]


def test_the_demo_publishes_delivers_and_proves(undisturbed):
    home, result, _ = undisturbed
    assert result["runs"] >= 10
    assert result["receipts"] > 0
    assert result["newest_run"]["regime"]["regime_id"]
    with open_product(home) as product:
        assert not [f for f in check_archive(product.archive) if f.severity == "error"]
        assert product.archive.deliveries.count() == result["receipts"]


def test_a_demo_run_again_changes_nothing(undisturbed):
    home, result, _ = undisturbed
    before = runs_of(home)
    again = finish(start_demo(home))
    assert again["release"] == result["release"]
    assert runs_of(home) == before


def test_a_demo_killed_at_random_instants_ends_with_the_runs_of_an_undisturbed_one(undisturbed, tmp_path):
    home, result, seconds = undisturbed
    chance = random.Random(20260101)
    for _ in range(6):
        child = start_demo(tmp_path)
        try:
            child.communicate(timeout=chance.uniform(0.1, 0.5) * seconds)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.communicate()
    again = finish(start_demo(tmp_path))
    assert again["release"] == result["release"]
    assert runs_of(tmp_path) == runs_of(home)
    with open_product(tmp_path) as product:
        assert not [finding for finding in check_archive(product.archive) if finding.severity == "error"]
