"""``skyproof scenarios``: members and sums in files that say where they come from."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from pyarrow import parquet


def test_members_are_written_as_a_table_that_says_where_it_comes_from(home, call, tmp_path):
    out = tmp_path / "members.parquet"
    told = call(home, "scenarios", "--members", 8, "--out", out, "--json").data
    table = parquet.read_table(out)
    assert table.column_names[:4] == ["site", "valid_time", "lead_hours", "member"]
    assert table.num_rows == 3 * 4 * 8
    kept = json.loads(table.schema.metadata[b"skyproof"])
    assert kept == {name: value for name, value in told.items() if name != "out"}
    assert kept["template"]["kind"] == "ensemble"
    assert kept["units"]["precipitation"] == "mm"
    again = tmp_path / "again.parquet"
    call(home, "scenarios", "--members", 8, "--run", told["run_id"], "--out", again)
    assert again.read_bytes() == out.read_bytes(), "the same question has the same answer"


def test_a_portfolio_is_summed_member_by_member_and_shown_as_quantiles(home, call, tmp_path):
    words = ("--site", "s0", "--site", "s2", "--variable", "wind_speed_10m", "--issue-time", "2025-02-01T12:00Z")
    each, total, bands = (tmp_path / name for name in ("each.json", "total.json", "bands.csv"))
    assert call(home, "scenarios", *words, "--members", 20, "--out", each).code == 0
    weighted = (*words, "--members", 20, "--sum", "--weights", "1,3")
    assert call(home, "scenarios", *weighted, "--out", total).code == 0
    assert call(home, "scenarios", *weighted, "--quantiles", "0.1,0.5,0.9", "--out", bands).code == 0
    members = np.array(json.loads(each.read_text())["columns"]["wind_speed_10m"]).reshape(2, 4, 20)
    summed = json.loads(total.read_text())
    assert set(summed["columns"]["site"]) == {"sum"}
    assert summed["columns"]["valid_time"][0] == "2025-02-01T18:00:00Z"
    np.testing.assert_allclose(
        np.array(summed["columns"]["wind_speed_10m"]).reshape(4, 20), members[0] + 3 * members[1], rtol=1e-5
    )
    rows = list(csv.DictReader(bands.read_text().splitlines()))
    assert list(rows[0]) == [
        "site",
        "valid_time",
        "lead_hours",
        "wind_speed_10m_p10",
        "wind_speed_10m_p50",
        "wind_speed_10m_p90",
    ]
    low, middle, high = ([float(row[f"wind_speed_10m_p{level}"]) for row in rows] for level in (10, 50, 90))
    assert (np.diff([low, middle, high], axis=0) >= 0).all()


def test_people_are_told_what_was_drawn_and_where_it_lies(home, call, tmp_path):
    shown = call(home, "scenarios", "--members", 4, "--out", tmp_path / "x.csv").out
    assert "ensemble" in shown
    assert str(tmp_path / "x.csv") in shown.replace("\n", "")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--out", "x.txt"), 2, "end its name with .parquet"),
        (("--out", "none/x.csv"), 5, "cannot be written"),
        (("--out", "x.csv", "--members", "0"), 2, "wanted 1 to"),
        (("--out", "x.csv", "--site", "nowhere"), 2, "nowhere"),
        (("--out", "x.csv", "--variable", "snow"), 2, "snow"),
        (("--out", "x.csv", "--template", "vine"), 2, "vine"),
        (("--out", "x.csv", "--run", "run_0"), 2, "run_0"),
        (("--out", "x.csv", "--issue-time", "2020-01-01"), 4, "no run was issued"),
        (("--out", "x.csv", "--quantiles", "0.5,2"), 2, "between 0 and 1"),
        (("--out", "x.csv", "--quantiles", "half"), 2, "no number"),
        (("--out", "x.csv", "--weights", "1,2,3"), 2, "--sum"),
        (("--out", "x.csv", "--weights", "1,2,3", "--sum"), 2, "--site"),
        (("--out", "x.csv", "--weights", "1,2", "--sum", "--site", "s0"), 2, "2 weights for 1 sites"),
    ],
)
def test_a_wrong_question_ends_with_one_line_and_no_file(home, call, tmp_path, monkeypatch, words, code, message):
    monkeypatch.chdir(tmp_path)
    told = call(home, "scenarios", *words)
    assert (told.code, told.out) == (code, "")
    assert message in " ".join(told.err.split())
    assert not list(tmp_path.glob("*x.*"))


def test_derived_quantities_are_written_with_what_they_are_made_of(home, call, tmp_path):
    out = tmp_path / "spells.json"
    words = ("--above", 5, "--hours", 6, "--site", "s0", "--members", 30)
    told = call(home, "derive", "spell", *words, "--out", out, "--json").data
    assert (told["quantity"], told["unit"], told["template"]["kind"]) == ("wind_speed_10m_spell", "1", "ensemble")
    kept = json.loads(out.read_text())
    assert kept["meta"] == {name: value for name, value in told.items() if name != "out"}
    assert kept["columns"]["label"][-1] == "total"
    assert all(0 <= value <= 1 for value in kept["columns"]["wind_speed_10m_spell_probability"])
    shown = call(home, "derive", "gusts", "--quantiles", "0.5,0.98", "--sum", "--out", tmp_path / "g.parquet").out
    assert "wind_gusts_10m" in shown
    table = parquet.read_table(tmp_path / "g.parquet")
    assert table.column_names == ["site", "label", "start", "end", "wind_gusts_10m_p50", "wind_gusts_10m_p98"]
    assert set(table["site"].to_pylist()) == {"sum"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("weekly",), "use one of daily-maximum"),
        (("spell",), "--above or --below"),
        (("solar-power",), "shortwave_radiation"),
        (("gusts", "--weights", "1,2"), "--sum"),
        (("gusts", "--quantiles", "1"), "between 0 and 1"),
        (("accumulation", "--hours", "7"), "multiple of 6 h"),
    ],
)
def test_a_wrong_derived_question_ends_with_one_line_and_no_file(home, call, tmp_path, words, message):
    told = call(home, "derive", *words, "--out", tmp_path / "x.csv")
    assert (told.code, told.out) == (2, "")
    assert message in " ".join(told.err.split())
    assert not list(tmp_path.glob("*x.*"))
