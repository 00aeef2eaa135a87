"""The spec of a table: what may stand in it, and what is said about what may not."""

from __future__ import annotations

import numpy as np
import pytest

from skyproof.domain.errors import InvalidValueError, UnreadableFileError
from skyproof.domain.quantiles import LEVEL_ARRAY
from skyproof.stages.sources.case_spec import load_case_spec, parse_case_spec
from tests.stages.case_samples import SPECS, make_spec

EXAMPLE = """
name: uw-t2m-2004
files: [t2m.parquet]
time: {valid_time: valid_time, lead_hours: lead_hours}
site: {id: station_id, latitude: lat, longitude: lon, elevation: elev}
target: {column: obs, variable: temperature_2m, unit: K, lower: null, upper: null, observation_delay_hours: 0}
sources:
  CMCG: [CMCG]
  GFS: [GFS]
features: []
evaluate: {from: 2004-02-07, quantiles: 21, score: crps}
"""


def test_the_example_of_the_manual_is_read(tmp_path):
    path = tmp_path / "spec.yaml"
    path.write_text(EXAMPLE)
    spec = load_case_spec(path)
    assert spec.name == "uw-t2m-2004"
    assert {name: source.columns for name, source in spec.sources.items()} == {"CMCG": ("CMCG",), "GFS": ("GFS",)}
    assert spec.evaluate.from_[0].isoformat() == "2004-02-07T00:00:00+00:00"
    assert spec.evaluate.refit == "auto"
    np.testing.assert_array_equal(spec.evaluate.levels, LEVEL_ARRAY)


@pytest.mark.parametrize(
    ("sources", "wanted"),
    [
        (["x", "y"], {"x": ("x",), "y": ("y",)}),
        ({"X": "x"}, {"X": ("x",)}),
        ({"X": ["x", "y"]}, {"X": ("x", "y")}),
        ({"X": {"columns": ["x"], "unit": "K"}}, {"X": ("x",)}),
        ({2004: [1, 2]}, {"2004": ("1", "2")}),
        ("x", {"x": ("x",)}),
    ],
)
def test_sources_may_be_written_in_every_natural_way(sources, wanted):
    spec = parse_case_spec(make_spec(sources=sources))
    assert {name: source.columns for name, source in spec.sources.items()} == wanted


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ({"from": "2013-01"}, "2013-01-01T00:00:00", None),
        ({"from": "2013-01-02T06:00", "until": "2013-02"}, "2013-01-02T06:00:00", "2013-02-28T23:59:59"),
        ({"from": "2013-01-02", "until": "2013-01-03"}, "2013-01-02T00:00:00", "2013-01-03T23:59:59"),
    ],
)
def test_a_period_is_made_of_whole_days_and_months(asked, first, last):
    evaluate = parse_case_spec(make_spec(evaluate=asked)).evaluate
    assert evaluate.from_[0].isoformat()[:19] == first
    assert (evaluate.until[1].isoformat()[:19] if evaluate.until else None) == last


def test_99_quantiles_are_the_percentiles():
    levels = parse_case_spec(make_spec(evaluate={"from": "2024-01-25", "quantiles": 99})).evaluate.levels
    np.testing.assert_allclose(levels, np.arange(1, 100) / 100, rtol=0, atol=1e-12)
    assert parse_case_spec(
        make_spec(evaluate={"from": "2024-01-25", "quantiles": [0.1, 0.9]})
    ).evaluate.levels.tolist() == [
        0.1,
        0.9,
    ]


WRONG = [
    ({"fils": ["a"]}, "unknown key 'fils' .*did you mean 'files'"),
    ({"time": None}, "'time' is missing"),
    ({"time": {"valid_time": "valid"}}, "time: give lead_hours, lead_days or issue_hour"),
    ({"time": {"lead_hours": 24}}, "time: give valid_time or init_time"),
    ({"time": {"valid_time": "v", "lead_hours": 1, "issue_hour": 0}}, "give only one of"),
    ({"time": {"init_time": "v", "issue_hour": 0}}, "issue_hour goes with valid_time"),
    ({"time": {"valid_time": "v", "issue_hour": 24}}, "time.issue_hour.*less than 24"),
    ({"time": {"valid": "v", "lead_hours": 1}}, "unknown key 'time.valid' .*valid_time"),
    ({"site": {"id": "a", "constant": "b"}}, "either id .* or constant"),
    ({"target": {"variable": "temperature_2m"}}, "give target.column"),
    ({"target": {"column": "obs", "lower": 1, "upper": 0}}, "lower 1 is not below upper 0"),
    ({"target": {"column": "obs", "observation_delay_hours": -1}}, "observation_delay_hours"),
    ({"sources": {}}, "give sources, or features"),
    ({"sources": {"X": {"colums": ["x"]}}}, "unknown key 'sources.X.colums' .*columns"),
    ({"sources": {"X": []}}, "sources.X.columns"),
    ({"evaluate": {"quantiles": 21}}, "'evaluate.from' is missing"),
    ({"evaluate": {"from": "soon"}}, "'soon' is no date"),
    ({"evaluate": {"from": "2024-01-25", "quantiles": 2}}, "outside 3 to 199"),
    ({"evaluate": {"from": "2024-01-25", "quantiles": [0.5, 0.1]}}, "rising"),
    ({"evaluate": {"from": "2024-01-25", "quantiles": [0.0, 0.5]}}, "between 0 and 1"),
    ({"evaluate": {"from": "2024-01-25", "score": "mae"}}, "evaluate.score: .*crps"),
    ({"evaluate": {"from": "2024-01-25", "refit": "hourly"}}, "evaluate.refit"),
    ({"evaluate": {"from": "2024-01-25", "leave_out": "days"}}, "evaluate.leave_out"),
    ({"pivot": {"source": "model"}}, "'pivot.value' is missing"),
    ({"observations": {"files": ["o.csv"]}}, "observations: give valid_time"),
    ({"files": []}, "files"),
    ({"name": ""}, "name"),
]


@pytest.mark.parametrize(("change", "told"), WRONG, ids=[told for _, told in WRONG])
def test_a_wrong_spec_is_refused_and_the_key_is_named(change, told):
    with pytest.raises(InvalidValueError, match=told):
        parse_case_spec(make_spec(**change))


def test_a_file_that_is_no_spec_is_unreadable(tmp_path):
    path = tmp_path / "spec.yaml"
    path.write_text("- a\n- b\n")
    with pytest.raises(UnreadableFileError, match="mapping"):
        load_case_spec(path)


@pytest.mark.parametrize("path", sorted(SPECS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_spec_of_the_benchmarks_is_valid(path):
    assert load_case_spec(path).name == path.stem
