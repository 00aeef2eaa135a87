"""``skyproof doctor``: each thing that can be wrong with a home is found, and mended where nothing is lost by it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from skyproof.archive.archive import Archive
from skyproof.cycle.clock import SimulatedClock
from skyproof.cycle.settings import load_settings, save_settings
from skyproof.cycle.wiring import CLOCK_FILE
from tests.stages import toy_world

ISSUE = "2025-02-03T12:00Z"
RECORDED = toy_world.START + timedelta(days=40)


def findings(told, what="findings"):
    """Kinds and messages; how much disk this machine has left is not the test's business."""
    return sorted((f["kind"], f["message"]) for f in told.data[what] if f["kind"] != "low_disk")


def kinds(told, what="findings"):
    return [kind for kind, _ in findings(told, what)]


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def objects(home, table):
    return sorted(path for path in (home / "objects" / table).rglob("*") if path.is_file())


def simulate(home, simulated, system):
    save_settings(home, load_settings(home, environment={}).model_copy(update={"clock": "simulated"}))
    anchor = {"simulated": simulated.isoformat(), "system": system.isoformat()}
    (home / CLOCK_FILE).write_text(json.dumps(anchor))


def test_a_sound_home_has_nothing_wrong_and_every_setting_is_shown(home, call):
    told = call(home, "doctor", "--json")
    assert (told.code, findings(told), told.data["mended"]) == (0, [], [])
    assert told.data["settings"]["horizon_hours"] == 48
    assert call(home, "doctor", "--mend", "--json").data["mended"] == []
    assert "horizon_hours" in call(home, "doctor").out


def test_a_missing_home_is_named_and_not_made(tmp_path, call):
    told = call(tmp_path / "none", "doctor", "--json")
    assert (told.code, kinds(told), told.data["settings"]) == (1, ["missing_home"], None)
    assert not (tmp_path / "none").exists()
    assert "--home" in call(tmp_path / "none", "doctor", "--mend").out


@pytest.mark.parametrize("text", ["port: 99999\n", "horizon_days: 5\n", "- a\n", "a: [1\nb: }\n"])
def test_bad_settings_are_a_finding_with_a_remedy(home, call, text):
    (home / "skyproof.yaml").write_text(text)
    told = call(home, "doctor", "--json")
    assert (told.code, kinds(told), told.data["settings"]) == (1, ["bad_settings"], None)
    assert "skyproof.yaml" in told.data["findings"][0]["remedy"]


def test_what_interrupted_work_left_over_is_named_and_removed_one_by_one(home, call):
    left = [
        home / "objects" / "runs" / ".writing-1-1-x.nc", home / ".skyproof.yaml.tmp", home / "clock.tmp",
        home / "demo-key.tmp", home / "sandbox" / "small-0123" / "alba-000.4711.tmp",
    ]  # fmt: skip
    for path in (*left, home / "objects" / "runs" / "orphan.nc", home / "sandbox" / "small-0123" / "alba-000.npz"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    told = call(home, "doctor", "--json")
    assert told.code == 0, "nothing is broken"
    assert kinds(told) == ["leftover_file"] * 5 + ["orphan_object"]
    assert all(any(path.name in message for _, message in findings(told)) for path in left)
    assert all(path.exists() for path in left), "looking changes nothing"
    mended = call(home, "doctor", "--mend", "--json")
    assert findings(mended, "mended") == findings(told)
    assert (mended.code, findings(mended)) == (0, [])
    assert not any(path.exists() for path in left)
    assert (home / "sandbox" / "small-0123" / "alba-000.npz").exists(), "what is whole stays"
    assert findings(call(home, "doctor", "--json")) == []


def test_people_are_told_what_was_mended(home, call):
    (home / "clock.tmp").write_bytes(b"half")
    shown = call(home, "doctor", "--mend").out
    assert "mended" in shown
    assert "clock.tmp" in shown
    assert "nothing is wrong" in shown


@pytest.mark.parametrize("how", ["damaged", "missing"])
@pytest.mark.parametrize("table", ["checkpoints", "scores"])
def test_what_is_made_again_when_needed_is_dropped_and_made_again(home, call, table, how):
    known = ("--as-of", "2025-02-05")
    run = call(home, "forecast", "--issue-time", ISSUE, "--json").data
    call(home, "verify", *known)
    card = call(home, "scorecard", *known, "--json").data
    for path in objects(home, table):
        damage(path) if how == "damaged" else path.unlink()
    told = call(home, "doctor", "--json")
    assert told.code == 1
    assert set(kinds(told)) == {f"{how}_object"}
    mended = call(home, "doctor", "--mend", "--json")
    assert (mended.code, findings(mended, "mended"), findings(mended)) == (0, findings(told), [])
    again = call(home, "forecast", "--issue-time", ISSUE, "--json").data
    assert again["digest"] == run["digest"]
    assert call(home, "verify", *known).code == 0
    assert call(home, "scorecard", *known, "--json").data == card


@pytest.mark.parametrize("table", ["cycles", "releases", "runs"])
def test_what_cannot_be_made_again_is_named_and_never_touched(home, call, table):
    path = objects(home, table)[0]
    damage(path)
    damaged = path.read_bytes()
    told = call(home, "doctor", "--mend", "--json")
    assert told.code == 1
    ((kind, message),) = findings(told)
    assert kind == "damaged_object"
    assert path.name in message
    assert "backup" in told.data["findings"][0]["remedy"]
    assert told.data["mended"] == []
    assert path.read_bytes() == damaged


def test_a_damaged_run_moved_away_comes_out_the_same_when_forecast_again(home, call, tmp_path):
    before = set(objects(home, "runs"))
    call(home, "forecast", "--issue-time", ISSUE)
    (path,) = set(objects(home, "runs")) - before
    good = path.read_bytes()
    damage(path)
    assert kinds(call(home, "doctor", "--json")) == ["damaged_object"]
    assert call(home, "forecast", "--issue-time", ISSUE).code == 5, "a file is never written over"
    path.rename(tmp_path / path.name)
    assert call(home, "forecast", "--issue-time", ISSUE).code == 0
    assert path.read_bytes() == good
    assert findings(call(home, "doctor", "--json")) == []


def test_a_database_that_is_none_is_a_finding(home, call):
    (home / "archive.sqlite").write_bytes(b"this is no database" * 1000)
    for words in (("doctor",), ("doctor", "--mend")):
        told = call(home, *words, "--json")
        assert (told.code, kinds(told)) == (1, ["store_unavailable"])


def test_a_machine_clock_that_jumped_back_is_found(home, call):
    simulate(home, RECORDED, datetime(2999, 1, 1, tzinfo=UTC))
    told = call(home, "doctor", "--json")
    assert (told.code, kinds(told)) == (0, ["clock_behind"])
    assert "stands still" in told.data["findings"][0]["message"]
    assert "clock right" in told.data["findings"][0]["remedy"]


def test_records_from_what_is_now_the_future_are_found(home, call):
    simulate(home, toy_world.START, datetime(2025, 1, 1, tzinfo=UTC))
    SimulatedClock(home / CLOCK_FILE).set(toy_world.START + timedelta(days=20))
    told = call(home, "doctor", "--json")
    assert kinds(told) == ["clock_behind"]
    assert "it is 2025-01-21T" in told.data["findings"][0]["message"]
    with Archive.open(home) as archive:
        newest = archive.observations.newest_recorded_at(as_of=datetime(2030, 1, 1, tzinfo=UTC))
    assert f"recorded at {newest:%Y-%m-%dT%H:%M:%S}Z" in told.data["findings"][0]["message"]


def test_a_lost_or_damaged_simulated_clock_is_found(home, call):
    simulate(home, RECORDED, datetime(2025, 1, 1, tzinfo=UTC))
    for damaged in ("{", None):
        (home / CLOCK_FILE).unlink() if damaged is None else (home / CLOCK_FILE).write_text(damaged)
        told = call(home, "doctor", "--json")
        assert (told.code, kinds(told)) == (1, ["store_unavailable"])
        assert "simulated clock" in told.data["findings"][0]["message"]
