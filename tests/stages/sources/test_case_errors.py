"""What is said about tables that cannot be right: the column, the row, and what to do."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from skyproof.domain.errors import ContractError, InputError, InvalidValueError, UnreadableFileError
from skyproof.stages.sources.case_axes import find_axes
from skyproof.stages.sources.case_cubes import build_bench_table
from skyproof.stages.sources.case_spec import parse_case_spec
from skyproof.stages.sources.case_table import find_files
from skyproof.stages.sources.case_times import RowTimes
from tests.stages.case_samples import load, make_rows, make_spec, write

POWER = {"column": "obs", "variable": "power", "lower": 0, "upper": 1}
IN_DAYS = {"valid_time": "valid", "lead_days": "lead"}
THREE = {"valid_time": "valid", "init_time": "issued", "lead_hours": "lead"}
BY_PLACE = {"source": "place", "value": "x"}
COLD = {"column": "obs", "variable": "temperature_2m", "unit": "Cel"}


def change(**columns):
    return lambda rows: {**rows, **{name: edit(rows[name].copy()) for name, edit in columns.items()}}


def put(where, value):
    def edit(values):
        values = values.astype(str).astype(object) if isinstance(value, str) else values
        values[where] = value
        return values

    return edit


def repeat(rows):
    return {name: np.concatenate([values, values[3:5]]) for name, values in rows.items()}


def end_early(rows):
    return {**rows, "obs": np.where(rows["valid"] > np.datetime64("2024-01-20"), np.nan, rows["obs"])}


def kelvin(values):
    return values + 273.15


def as_words(values):
    return values.astype("datetime64[m]").astype(str)


#: What was done to the rows, what to the spec, and what is said.
WRONG = {
    "a column that is not there": (None, {"sources": {"X": ["xx"]}}, "has no column 'xx', which sources.X names"),
    "another spelling is offered": (None, {"target": {**COLD, "column": "Obs"}}, "did you mean 'obs'"),
    "a site column in another spelling": (None, {"site": {"id": "plac"}}, "did you mean 'place'"),
    "a time column that is not there": (None, {"time": {"valid_time": "when", "lead_hours": "lead"}}, "time.valid_time"),
    "a file that is not there": (None, {"files": ["other.parquet"]}, "no 'other.parquet'.*SKYPROOF_BENCH_DATA"),
    "a file of another kind": (None, {"files": ["toy.xlsx"]}, "neither Parquet nor CSV"),
    "a repeated row": (repeat, {}, "2 rows repeat .*row 162.*site b, issued 2024-01-01T00:00:00, lead 48"),
    "a word among numbers": (change(x=put(7, "warm")), {}, "row 9: column 'x' holds 'warm', wanted a number"),
    "a word for a lead": (change(lead=put(2, "soon")), {}, "'soon', wanted a lead"),
    "a time that is none": (change(valid=lambda v: put(2, "noon")(as_words(v))), {}, "'noon', wanted a time"),
    "a missing time": (change(valid=put(2, np.datetime64("NaT"))), {}, "row 4: column 'valid' holds no time"),
    "a negative lead": (change(lead=put(2, -24)), {}, "lead of -24 h is negative"),
    "a broken lead": (change(lead=lambda v: put(2, 23.5)(v.astype(float))), {}, "23.5 h is no whole number of hours"),
    "hours said to be days": (change(lead=lambda v: v * 30), {"time": IN_DAYS}, "longer than 9600 h"),
    "times that contradict each other": (change(lead=put(2, 72)), {"time": THREE}, "is not the time from"),
    "a column of times as numbers": (None, {"sources": {"X": ["valid"]}}, "wanted numbers"),
    "no observation": (change(obs=put(slice(None), np.nan)), {}, "holds no observation at all"),
    "a nameless site": (change(place=lambda v: put(2, None)(v.astype(object))), {}, "row 4: column 'place' names no site"),
    "a place off the earth": (change(lat=put(2, 95.0)), {}, "latitude 95 is outside"),
    "kelvin said to be Celsius": (change(obs=kelvin, x=kelvin, y=kelvin), {}, "unit 'Cel' cannot be right.*look like K"),
    "a source in kelvin": (change(y=kelvin), {}, "Y: column 'y': unit 'Cel' cannot be right.*look like K"),
    "a unit of another dimension": (None, {"target": {**COLD, "unit": "mm"}}, "does not measure temperature_2m.*K"),
    "a unit nobody knows": (None, {"target": {**COLD, "unit": "warmth"}}, "'warmth' does not measure"),
    "no unit": (None, {"target": {"column": "obs", "variable": "temperature_2m"}}, "target.unit is missing"),
    "a direction": (None, {"target": {"column": "obs", "variable": "wind_direction_10m", "unit": "deg"}}, "has no quantiles"),
    "limits that do not hold": (None, {"target": POWER}, "lie outside the limits 0 to 1"),
    "the target as a source": (None, {"sources": {"X": ["obs"]}}, "sources.X names 'obs', the observation itself"),
    "the target as a feature": (None, {"features": ["obs"]}, "features names 'obs'"),
    "a source as a feature": (None, {"features": ["x"]}, "a source already"),
    "a period after the data": (None, {"evaluate": {"from": "2025-01-01"}}, "lies outside of the table.*2024-01-02"),
    "a period before the data": (None, {"evaluate": {"from": "2023-01-01", "until": "2023-02-01"}}, "lies outside"),
    "a period turned round": (None, {"evaluate": {"from": "2024-02-01", "until": "2024-01-20"}}, "lies before evaluate.from"),
    "nothing to learn from": (None, {"evaluate": {"from": "2024-01-03"}}, "cases were known when the first judged"),
    "a delay that hides all": (None, {"target": {**COLD, "observation_delay_hours": 8000}}, "only 0 cases were known"),
    "a period without observations": (end_early, {}, "has both an observation and a forecast"),
    "no row fits": (None, {"where": {"place": "c"}}, "no row has place = c.*a, b"),
    "a model that is not there": (None, {"pivot": BY_PLACE, "sources": {"M": "c"}}, "no row has place = c"),
    "members twice": (repeat, {"pivot": BY_PLACE, "sources": None}, "1 row repeats"),
}  # fmt: skip


@pytest.mark.parametrize(("edit", "spec", "told"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_named(tmp_path, edit, spec, told):
    rows = make_rows()
    if "toy.xlsx" in str(spec):
        (tmp_path / "toy.xlsx").write_text("no table")
    with pytest.raises(InputError) as caught:
        load(tmp_path, edit(rows) if edit else rows, **spec)
    assert re.search(told, str(caught.value)), str(caught.value)
    assert caught.value.hint


def test_a_damaged_file_is_unreadable(tmp_path):
    path = write(tmp_path, make_rows())
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UnreadableFileError, match="cannot be read as parquet"):
        build_bench_table(parse_case_spec(make_spec()), [tmp_path])
    (tmp_path / "toy.csv").write_text("")
    with pytest.raises(UnreadableFileError, match="is empty"):
        build_bench_table(parse_case_spec(make_spec(files="toy.csv")), [tmp_path])


def test_a_ragged_row_of_a_csv_file_is_named(tmp_path):
    path = write(tmp_path, make_rows(), "toy.csv")
    lines = path.read_text().splitlines()
    lines[4] += ",1"
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(ContractError, match=r"toy\.csv row 5: 10 columns, wanted 9"):
        build_bench_table(parse_case_spec(make_spec(files="toy.csv")), [tmp_path])


def test_a_cube_that_fits_nowhere_is_refused_before_it_is_made():
    minutes = np.datetime64("2024-01-01", "s") + np.arange(40_000) * np.timedelta64(60, "s")
    times = RowTimes(minutes, minutes + 3600, np.arange(40_000))
    with pytest.raises(ContractError, match="40,000 issue times x 40,000 leads x 1 sites"):
        find_axes(times, np.full(40_000, "a", dtype=object), values_per_cell=2)


def test_observations_that_meet_no_forecast_are_refused(tmp_path):
    rows = make_rows()
    observed = {"place": rows["place"], "at": rows["issued"] + 90 * 24, "obs": rows["obs"]}
    apart = {"files": "observed.parquet", "valid_time": "at"}
    write(tmp_path, observed, "observed.parquet")
    with pytest.raises(ContractError, match="same site and time"):
        load(tmp_path, rows, observations=apart)
    once = np.arange(0, 160, 4)
    write(tmp_path, {name: values[once] for name, values in observed.items()}, "observed.parquet")
    with pytest.raises(ContractError, match="none has the site and valid time"):
        load(tmp_path, rows, observations=apart)
    observed["place"] = np.full(160, "elsewhere")
    write(tmp_path, {name: values[once] for name, values in observed.items()}, "observed.parquet")
    with pytest.raises(ContractError, match=r"none of their sites.*elsewhere.*a, b"):
        load(tmp_path, rows, observations=apart)


def test_a_word_that_no_column_resembles_is_the_one_site(tmp_path):
    rows = {name: values[::2] for name, values in make_rows(leads=(24,)).items()}
    table = load(tmp_path, rows, site={"id": "Innsbruck", "latitude": 47.3, "longitude": 11.4})
    assert table.cases.sites[0].place_id == "Innsbruck"
    assert table.cases.sites[0].latitude == 47.3
    assert "taken as the one site" in table.warnings[0]


def test_a_few_values_that_cannot_be_are_missing_and_said(tmp_path):
    rows = make_rows()
    rows["obs"][4], rows["x"][5] = 99, 5000
    table = load(tmp_path, rows)
    assert np.isnan(table.cases.observed).sum() == 1
    assert np.isnan(table.cases.members["X"]).sum() == 1
    assert len(table.warnings) == 2
    power = make_rows()
    power["obs"] = np.linspace(0, 1.001, 160)
    table = load(tmp_path, power, target=POWER)
    assert table.cases.observed.max() == 1
    assert "outside the limits" in table.warnings[0]


def test_a_source_without_any_value_is_left_out_and_said(tmp_path):
    rows = make_rows()
    rows["y"][:] = np.nan
    table = load(tmp_path, rows)
    assert set(table.cases.members) == {"X"}
    assert table.warnings == ("Y holds no value at all and is left out",)
    rows["x"][:] = np.nan
    with pytest.raises(ContractError, match="no source and no feature"):
        load(tmp_path, rows)


def test_a_case_without_any_forecast_is_not_judged_and_that_is_said(tmp_path):
    rows = make_rows()
    silent = (rows["lead"] == 48) & (rows["place"] == "a")
    rows["x"][silent] = rows["y"][silent] = np.nan
    table = load(tmp_path, rows)
    assert not table.scored[:, 1, 0].any()
    assert table.scored[:, 1, 1].any()
    assert table.warnings == ("18 cases of the period have an observation and no forecast at all; they are not scored",)


def test_an_unclear_question_is_an_invalid_value(tmp_path):
    with pytest.raises(InvalidValueError):
        load(tmp_path, evaluate={"from": "2030-01-01"})


def test_a_file_is_found_in_the_one_folder_below_that_has_it(tmp_path: Path) -> None:
    (tmp_path / "set-a").mkdir()
    (tmp_path / "set-a" / "table.parquet").touch()
    assert find_files(["table.parquet"], [tmp_path]) == (tmp_path / "set-a" / "table.parquet",)


def test_a_file_in_several_folders_below_must_be_named_with_its_folder(tmp_path: Path) -> None:
    for name in ("set-a", "set-b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "table.parquet").touch()
    with pytest.raises(InvalidValueError, match=r"set-a/table\.parquet, set-b/table\.parquet"):
        find_files(["table.parquet"], [tmp_path])
    assert find_files(["set-b/table.parquet"], [tmp_path]) == (tmp_path / "set-b" / "table.parquet",)
