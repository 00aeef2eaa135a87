"""As-of is one path: cutting the archive at T never changes a forecast issued at T; memo changes nothing either."""

from __future__ import annotations

import shutil
import tempfile
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skyproof.archive.archive import Archive
from tests.stages import toy_world

LEARNED = toy_world.START + timedelta(days=36, hours=12)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    with Archive.open(tmp_path_factory.mktemp("whole")) as archive:
        toy_world.build_world(archive)
        toy_world.learn(archive, as_of=LEARNED)
        yield archive


def run_bytes(archive, run):
    return archive.objects.get(run.object_key)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 12 * 24 - 1))
def test_cutting_the_archive_at_the_issue_time_never_changes_the_forecast(whole, later_hours):
    issue_time = LEARNED + timedelta(hours=later_hours)
    expected = run_bytes(whole, toy_world.forecast(whole, issue_time))
    with tempfile.TemporaryDirectory() as folder, Archive.open(Path(folder)) as cut:
        toy_world.build_world(cut, latest=issue_time)
        toy_world.learn(cut, as_of=LEARNED)
        assert run_bytes(cut, toy_world.forecast(cut, issue_time)) == expected


def test_a_forecast_from_memo_equals_one_made_from_nothing(whole, tmp_path):
    issue_time = LEARNED + timedelta(days=5, hours=3)
    for day in range(1, 5):
        toy_world.forecast(whole, LEARNED + timedelta(days=day))
    remembered = run_bytes(whole, toy_world.forecast(whole, issue_time))
    with Archive.open(tmp_path) as fresh:
        toy_world.build_world(fresh)
        toy_world.learn(fresh, as_of=LEARNED)
        assert run_bytes(fresh, toy_world.forecast(fresh, issue_time)) == remembered
    shutil.rmtree(tmp_path)


def test_the_same_data_give_the_same_release(whole, tmp_path):
    with Archive.open(tmp_path) as other:
        toy_world.build_world(other)
        assert toy_world.learn(other, as_of=LEARNED).release_id == whole.releases.newest(as_of=LEARNED).release_id


def test_runs_are_whole_sorted_and_inside_physical_limits(whole):
    values = whole.runs.open(toy_world.forecast(whole, LEARNED + timedelta(days=2))).values()
    assert np.isfinite(values.quantiles).all()
    assert (np.diff(values.quantiles, axis=-1) >= 0).all()
    assert (values.quantiles[1:] >= 0).all()
