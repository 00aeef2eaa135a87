"""From a table to cases: every cell lands where it belongs, whatever the table looks like."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pa_parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyproof.stages.sources.case_cubes import build_bench_table, load_bench_table
from skyproof.stages.sources.case_spec import TimeSpec, parse_case_spec
from skyproof.stages.sources.case_table import Reading, read_table
from skyproof.stages.sources.case_times import read_times
from tests.stages.case_samples import SPECS, START, load, make_rows, make_spec, real_set, write

#: Real sets and the folder each of them lies in.
REAL = {
    "ecmwf-ens-precip-frankfurt": ("ecmwf-ens-precip-frankfurt", (2896, 1, 1), 2896),
    "ecmwf-ens-t2m-germany": ("ecmwf-ens-t2m-germany", (3286, 2, 2), 9844),
    "gefcom2014-wind": ("gefcom2014-wind", (547, 24, 10), 131268),
    "gefcom2012-wind": ("gefcom2012-wind", (1098, 48, 7), 368424),
    "icon-eu-eps-berlin-wind": ("icon-eu-eps-berlin-2021", (77, 65, 1), 217),
    "pnw-t2m-2000": ("pnw-t2m-2000", (102, 1, 840), 56489),
    "seoul-ldaps-tmin": ("seoul-ldaps-tmax-tmin", (248, 1, 25), 6185),
    "us-airports-tmax": ("us-airports-openmeteo-nws-2025", (187, 4, 10), 7241),
    "uw-multimodel-t2m-2004": ("uw-multimodel-t2m-2004", (34, 1, 933), 23892),
}


def cells(table):
    """Every case that has a source, as (issued, lead, site) and its values."""
    cases = table.cases
    found = {}
    for i, issue in enumerate(cases.issue_times):
        for j, lead in enumerate(cases.lead_hours):
            for k, place in enumerate(cases.sites):
                members = tuple(tuple(cube[i, j, k].tolist()) for cube in cases.members.values())
                if np.isfinite(sum(members, ())).any():
                    found[str(issue), lead, place.place_id] = (*members, float(cases.observed[i, j, k]))
    return found


def test_every_row_lands_in_its_own_cell(tmp_path):
    rows = make_rows()
    table = load(tmp_path, rows)
    cases = table.cases
    assert cases.observed.shape == (40, 2, 2)
    assert cases.lead_hours == (24, 48)
    assert [place.place_id for place in cases.sites] == ["a", "b"]
    assert (cases.sites[1].latitude, cases.sites[1].longitude) == (51.0, 9.0)
    assert np.isnan(cases.sites[0].elevation_m)
    # Row 5: issued on day 1 (four rows a day), lead 24, site b.
    assert cases.observed[1, 0, 1] == np.float32(rows["obs"][5])
    assert cases.members["X"][1, 0, 1, 0] == np.float32(rows["x"][5])
    assert cases.issue_times[1] == START + 24
    assert (table.scale, table.offset, table.unit) == (1.0, 0.0, "Cel")
    assert table.warnings == ()


def test_only_cases_that_speak_of_the_period_are_judged(tmp_path):
    table = load(tmp_path, evaluate={"from": "2024-01-25", "until": "2024-01-26"})
    valid = table.cases.valid_times[table.scored.any(axis=2)]
    assert set(valid.astype("datetime64[D]").astype(str)) == {"2024-01-25", "2024-01-26"}
    assert str(table.first_issue) == "2024-01-23T00:00:00"


SAME = {
    "init and valid time": {"time": {"init_time": "issued", "valid_time": "valid"}},
    "issue time as another word": {"time": {"issue_time": "issued", "lead_hours": "lead"}},
    "all three times": {"time": {"init_time": "issued", "valid_time": "valid", "lead_hours": "lead"}},
    "days ahead": {"time": {"valid_time": "valid", "lead_days": "days"}},
    "words for leads": {"time": {"valid_time": "valid", "lead_hours": "words"}},
    "dates as words": {"time": {"valid_time": "written", "lead_hours": "lead"}},
    "dates as numbers": {"time": {"valid_time": "digits", "lead_hours": "lead"}},
    "dates in another fashion": {"time": {"valid_time": "german", "lead_hours": "lead", "format": "%d.%m.%Y %H Uhr"}},
    "local time": {"time": {"valid_time": "berlin", "lead_hours": "lead", "zone": "Europe/Berlin"}},
}


@pytest.mark.parametrize("change", SAME.values(), ids=SAME)
@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_the_same_table_told_otherwise_makes_the_same_cases(tmp_path, change, suffix):
    rows = make_rows()
    wanted = cells(load(tmp_path, rows))
    valid = rows["valid"]
    rows["days"] = rows["lead"] // 24
    rows["words"] = np.array([f"{lead} hours" for lead in rows["lead"]])
    rows["written"] = valid.astype("datetime64[m]").astype(str)
    rows["digits"] = np.array([int(str(v)[:13].replace("-", "").replace("T", "")) for v in valid])
    rows["german"] = np.array([f"{str(v)[8:10]}.{str(v)[5:7]}.{str(v)[:4]} {str(v)[11:13]} Uhr" for v in valid])
    rows["berlin"] = (valid + 1).astype("datetime64[s]")
    write(tmp_path, rows, f"other.{suffix}")
    spec = parse_case_spec(make_spec(files=f"other.{suffix}", **change))
    assert cells(build_bench_table(spec, [tmp_path])) == wanted


@pytest.mark.parametrize(
    ("kind", "zone"),
    [
        (pa.timestamp("ns", "UTC"), None),
        (pa.timestamp("ms", "Asia/Tokyo"), None),
        (pa.timestamp("us"), "Europe/Berlin"),
        (pa.timestamp("s"), None),
        (pa.string(), "Europe/Berlin"),
        (pa.string(), None),
    ],
    ids=str,
)
def test_times_of_every_type_and_zone_are_the_same_instants(tmp_path, kind, zone):
    """Six hours around the night in March in which Berlin loses an hour, and a summer day."""
    utc = np.array(
        ["2024-03-30T22", "2024-03-31T00", "2024-03-31T01", "2024-03-31T04", "2024-07-01T10"], "datetime64[s]"
    )
    instants = [datetime.fromtimestamp(int(t), UTC) for t in utc.astype(np.int64)]
    if kind == pa.string():
        written = [t.astimezone(ZoneInfo(zone)).replace(tzinfo=None) if zone else t for t in instants]
        column = pa.array([t.isoformat() for t in written])
    elif zone:
        column = pa.array([t.astimezone(ZoneInfo(zone)).replace(tzinfo=None) for t in instants], kind)
    else:
        column = pa.array(instants, pa.timestamp("s", "UTC")).cast(pa.timestamp(kind.unit, "UTC")).cast(kind)
    pa_parquet.write_table(pa.table({"valid": column}), tmp_path / "t.parquet")
    table = read_table([tmp_path / "t.parquet"], {"valid": "time.valid_time"}, Reading(()))
    times = read_times(table, TimeSpec(valid_time="valid", lead_hours=6, zone=zone))
    assert times.valid.astype("datetime64[s]").tolist() == utc.tolist()


def test_dates_and_durations_are_understood(tmp_path):
    columns = {
        "day": pa.array([date(2024, 1, 3), date(2024, 1, 4)]),
        "ahead": pa.array([36 * 3600, 12 * 3600], pa.duration("s")),
    }
    pa_parquet.write_table(pa.table(columns), tmp_path / "t.parquet")
    table = read_table([tmp_path / "t.parquet"], dict.fromkeys(columns, "time"), Reading(()))
    times = read_times(table, TimeSpec(valid_time="day", lead_hours="ahead"))
    assert times.lead_hours.tolist() == [36, 12]
    assert [str(t) for t in times.issue] == ["2024-01-01T12:00:00", "2024-01-03T12:00:00"]


def test_the_last_hour_of_issue_lies_strictly_before_the_valid_time(tmp_path):
    hours = np.arange(1, 24 * 40 + 1)
    rows = {"valid": START + hours, "obs": hours * 0.01, "x": hours * 0.02}
    table = load(
        tmp_path, rows, time={"valid_time": "valid", "issue_hour": 0}, site="here", sources={"X": "x"},
        target={"column": "obs", "variable": "power", "unit": "1"},
    )  # fmt: skip
    assert table.cases.lead_hours == tuple(range(1, 25))
    assert table.cases.observed.shape == (40, 24, 1)
    assert table.cases.observed[0, 23, 0] == np.float32(0.24)
    assert table.cases.sites[0].place_id == "here"


def test_files_and_patterns_are_put_one_below_the_other_and_found_in_the_folder_of_the_data(tmp_path):
    rows, data = make_rows(), tmp_path / "data" / "toy"
    data.mkdir(parents=True)
    half = len(rows["obs"]) // 2
    write(data, {name: values[:half] for name, values in rows.items()}, "part1.parquet")
    write(data, {name: values[half:] for name, values in rows.items()}, "part2.csv")
    (tmp_path / "spec.yaml").write_text(str(make_spec(files=["part1.parquet", "part?.csv"])))
    found = load_bench_table(tmp_path / "spec.yaml", data_folders=[tmp_path / "data"])
    assert cells(found) == cells(load(tmp_path, rows))


def test_a_long_table_is_the_same_as_a_wide_one(tmp_path):
    rows = make_rows()
    wanted = cells(load(tmp_path, rows, sources={"X": ["x", "y"], "Z": ["x"]}))
    kept = ("issued", "valid", "lead", "place", "lat", "lon", "obs")
    pieces = [("X", "m1", "x"), ("X", "m2", "y"), ("Z", "only", "x")]
    long = {name: np.concatenate([rows[name]] * 3) for name in kept}
    long["model"] = np.repeat([source for source, _, _ in pieces], len(rows["obs"]))
    long["member"] = np.repeat([member for _, member, _ in pieces], len(rows["obs"]))
    long["value"] = np.concatenate([rows[column] for _, _, column in pieces])
    table = load(tmp_path, long, sources=None, pivot={"source": "model", "member": "member", "value": "value"})
    assert cells(table) == wanted
    one = load(tmp_path, long, sources={"Y": "Z"}, pivot={"source": "model", "value": "value"})
    assert set(one.cases.members) == {"Y"}


def test_observations_of_another_file_are_joined_by_place_and_time(tmp_path):
    rows = make_rows()
    wanted = cells(load(tmp_path, rows))
    first = np.unique(
        np.array([f"{p}{v}" for p, v in zip(rows["place"], rows["valid"], strict=True)]), return_index=True
    )[1]
    observed = {"station": rows["place"][first], "at": rows["valid"][first], "t": rows["obs"][first]}
    observed["kind"] = np.full(len(first), "temperature")
    write(tmp_path, {name: np.concatenate([v, v[:1]]) for name, v in observed.items()}, "observed.csv")
    del rows["obs"]
    joined = {
        "files": "observed.csv", "valid_time": "at", "site": "station", "column": "t", "where": {"kind": "temperature"},
    }  # fmt: skip
    table = load(tmp_path, rows, observations=joined, target={"variable": "temperature_2m", "unit": "Cel"})
    assert cells(table) == wanted


def test_rows_in_any_order_make_the_same_cases(tmp_path):
    rows = make_rows(sites=("s10", "s9"))
    order = np.random.default_rng(1).permutation(len(rows["obs"]))
    shuffled = load(tmp_path, {name: values[order] for name, values in rows.items()})
    assert [place.place_id for place in shuffled.cases.sites] == ["s9", "s10"]
    assert cells(shuffled) == cells(load(tmp_path, rows))


@given(keep=st.sets(st.integers(0, 159), min_size=120))
def test_a_sparse_table_keeps_every_row_and_invents_none(tmp_path_factory, keep):
    rows, folder = make_rows(), tmp_path_factory.mktemp("sparse")
    chosen = np.array(sorted(keep))
    table = load(folder, {name: values[chosen] for name, values in rows.items()})
    assert len(cells(table)) == len(chosen)
    assert np.isfinite(table.cases.observed).sum() == len(chosen)


def test_units_of_target_and_sources_become_the_variables_own(tmp_path):
    rows = make_rows()
    wanted = load(tmp_path, rows).cases
    fahrenheit = {**rows, "obs": rows["obs"] * 1.8 + 32, "x": rows["x"] * 1.8 + 32, "y": rows["y"] + 273.15}
    table = load(
        tmp_path, fahrenheit, target={"column": "obs", "variable": "temperature_2m", "unit": "degF"},
        sources={"X": "x", "Y": {"columns": "y", "unit": "K"}},
    )  # fmt: skip
    np.testing.assert_allclose(table.cases.observed, wanted.observed, atol=1e-4)
    for source in ("X", "Y"):
        np.testing.assert_allclose(table.cases.members[source], wanted.members[source], atol=1e-4)
    assert table.cases.variable.unit == "Cel"
    assert table.scale * 100 + table.offset == pytest.approx(212)


def test_words_and_numbers_for_no_value_are_missing(tmp_path):
    rows = make_rows()
    rows["x"][:3] = -999
    rows["obs"] = np.array([f"{value:.3f}" for value in rows["obs"]], dtype=object)
    rows["obs"][0] = "no data"
    table = load(tmp_path, rows, missing=["no data", -999])
    assert np.isnan(table.cases.observed).sum() == 1
    assert np.isnan(table.cases.members["X"]).sum() == 3


def test_a_decimal_comma_and_any_delimiter_are_understood(tmp_path):
    rows = make_rows()
    lines = ["valid;lead;place;lat;lon;obs;x;y"]
    for k in range(len(rows["obs"])):
        numbers = [f"{rows[name][k]:.3f}".replace(".", ",") for name in ("lat", "lon", "obs", "x", "y")]
        lines.append(";".join([str(rows["valid"][k]), str(rows["lead"][k]), rows["place"][k], *numbers]))
    (tmp_path / "toy.csv").write_text("\n".join(lines) + "\n")
    table = build_bench_table(parse_case_spec(make_spec(files="toy.csv", decimal=",")), [tmp_path])
    assert cells(table) == cells(load(tmp_path, rows))


@pytest.mark.parametrize(
    ("target", "observed", "family", "limits"),
    [
        ({"variable": "power", "lower": 0, "upper": 1}, (0, 1), "bounded", (0, 1)),
        ({"variable": "pv", "lower": 0}, (0, 5), "censored", (0, None)),
        ({"variable": "load", "lower": 0}, (5, 9), "truncated", (0, None)),
        ({"variable": "demand"}, (5, 9), "gaussian", (None, None)),
        ({}, (5, 9), "gaussian", (None, None)),
        ({"variable": "precipitation_12h", "unit": "mm"}, (0, 9), "censored", (0, None)),
        ({"variable": "temperature_2m_max", "unit": "Cel"}, (0, 9), "gaussian", (None, None)),
        ({"variable": "wind_speed_10m", "unit": "km/h", "upper": 72}, (0, 30), "bounded", (0, 20)),
    ],
)
def test_limits_and_zeros_decide_the_family(tmp_path, target, observed, family, limits):
    rows = make_rows()
    spread = np.linspace(*observed, len(rows["obs"]))
    rows["obs"] = np.where(np.arange(len(spread)) % 4 == 0, observed[0], spread)
    rows["x"] = rows["y"] = rows["obs"] + 0.1
    variable = load(tmp_path, rows, target={"column": "obs", **target}).cases.variable
    assert variable.family == family
    assert (variable.lower, variable.upper) == pytest.approx(limits)
    assert variable.name == target.get("variable", "obs")


def test_namesakes_at_different_places_are_told_apart(tmp_path):
    rows = make_rows()
    rows["place"] = np.full(160, "same")
    table = load(tmp_path, rows)
    assert [place.place_id for place in table.cases.sites] == ["same@50,8", "same@51,9"]
    assert "one name, several places" in table.warnings[0]


def test_the_digest_names_table_and_question(tmp_path):
    rows = make_rows()
    first = load(tmp_path, rows).digest
    assert load(tmp_path, rows).digest == first
    assert load(tmp_path, rows, evaluate={"from": "2024-01-26"}).digest != first
    rows["obs"][0] += 1
    assert load(tmp_path, rows).digest != first


@pytest.mark.data
@pytest.mark.parametrize("name", REAL)
def test_a_real_set_becomes_cases(name):
    folder, shape, observed = REAL[name]
    table = load_bench_table(SPECS / f"{name}.yaml", data_folders=[real_set(folder)])
    assert table.cases.observed.shape == shape
    assert np.isfinite(table.cases.observed).sum() == observed
