"""The command that judges the product on anyone's table."""

from __future__ import annotations

import json
from functools import partial

import pytest

from skyproof.surfaces.cli import bench
from tests.stages.case_samples import make_rows, make_spec, write
from tests.stages.rolled_samples import roll_past


@pytest.fixture
def spec(tmp_path, monkeypatch):
    """A spec whose table lies elsewhere, and the engine's stand-in."""
    data = tmp_path / "data"
    data.mkdir()
    write(data, make_rows())
    monkeypatch.setenv("SKYPROOF_BENCH_DATA", f"{tmp_path / 'nowhere'}:{data}")
    monkeypatch.setattr(bench, "bench_cycle", partial(bench.bench_cycle, roll=roll_past, experts=list))
    path = tmp_path / "spec.yaml"
    path.write_text(json.dumps(make_spec()))
    return path


def test_the_report_is_shown_and_the_home_keeps_nothing(call, tmp_path, spec):
    told = call(tmp_path / "home", "bench", spec)
    assert told.code == 0
    for wanted in ("toy: temperature_2m, crps in Cel", "skyproof", "raw:X", "climatology", "day 2"):
        assert wanted in told.out
    assert not list((tmp_path / "home" / "bench").iterdir())


def test_machines_get_the_report_and_nothing_else_on_standard_output(call, tmp_path, spec):
    told = call(tmp_path / "home", "bench", spec, "--json", "--out", tmp_path / "out")
    assert (told.code, told.err) == (0, "")
    assert [model["name"] for model in told.data["models"]] == ["skyproof", "raw:X", "raw:Y", "climatology"]
    written = json.loads((tmp_path / "out" / "report.json").read_text())
    assert written["models"] == told.data["models"]


def test_a_table_that_is_wrong_ends_with_2_and_says_where(call, tmp_path, spec):
    spec.write_text(json.dumps(make_spec(sources={"X": ["xx"]})))
    told = call(tmp_path / "home", "bench", spec)
    assert (told.code, told.out) == (2, "")
    assert "has no column 'xx', which sources.X names" in told.err
    spec.write_text(json.dumps(make_spec(evaluat={})))
    complaint = json.loads(call(tmp_path / "home", "bench", spec, "--json").err)["error"]
    assert complaint["kind"] == "invalid_value"
    assert "unknown key 'evaluat'" in complaint["message"]


def test_pairs_that_do_not_match_end_with_2_and_their_own_kind(call, tmp_path, spec):
    rows = make_rows()
    rows["x"] = rows["obs"]
    write(tmp_path / "data", rows)
    complaint = json.loads(call(tmp_path / "home", "bench", spec, "--json").err)["error"]
    assert complaint["kind"] == "pair_mismatch"
    accepted = call(tmp_path / "home", "bench", spec, "--json", "--accept-pairs")
    assert accepted.code == 0
    assert "equals the observation" in accepted.data["warnings"][0]
