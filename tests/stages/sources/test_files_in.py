"""From files to the archive: every format, every way a file can be wrong, nothing lost and nothing twice."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xarray as xr

from skyproof.domain.errors import (
    ContractError,
    InvalidValueError,
    SkyproofError,
    UnknownNameError,
    UnreadableFileError,
)
from skyproof.stages.sources.intake import take_in_cycles, take_in_observations
from skyproof.stages.sources.plan import plan_ingest
from tests.stages.sources.source_samples import DATA, data_file, grib_message, make_sites

NOW = datetime(2025, 6, 1, tzinfo=UTC)
SITES = "sites: [{id: harbour, latitude: 50, longitude: 10}, {id: summit, latitude: 51, longitude: 11}]\n"
FORECASTS = (
    SITES
    + """
inputs:
  - kind: forecasts
    files: "*.csv"
    time: {init_time: run, lead_hours: lead, zone: UTC}
    site: {id: station}
    available_after: PT6H
    values:
      - {variable: temperature_2m, unit: Cel, sources: {alba: [m1, m2]}}
"""
)
OBSERVATIONS = (
    SITES
    + """
inputs:
  - kind: observations
    source: stations
    files: "*.csv"
    time: {valid_time: time, zone: UTC}
    site: {id: station}
    available_after: PT10M
    values:
      - {variable: temperature_2m, unit: Cel, column: t}
      - {variable: precipitation, unit: mm, column: rain}
"""
)
GOOD = "run,lead,station,m1,m2\n2025-01-01T00:00,6,harbour,5.0,6.0\n2025-01-01T00:00,12,harbour,7.0,8.0\n"


def ingest(archive, folder, spec, *, strict=False, sites=()):
    """Write the spec beside the files, take everything in, and return the reports."""
    (folder / "spec.yaml").write_text(spec)
    plan = plan_ingest(folder / "spec.yaml", ingested_at=NOW, strict=strict, sites=sites)
    archive.sites.add(plan.sites)
    reports = []
    for source in plan.sources:
        archive.sources.register(source.spec)
        reports.append(take_in_cycles(archive, source, plan.sites, after=None, until=NOW))
    reports += [take_in_observations(archive, feed, plan.sites, after=None, until=NOW) for feed in plan.feeds]
    return reports


def told(report):
    return " | ".join(report.messages)


def newest(archive, source_id="alba"):
    cycle = archive.cycles.catalogue(source_id, as_of=NOW, usable_only=False)[-1]
    return archive.cycles.read(cycle, site_ids=("harbour", "summit"), variables=("temperature_2m",))


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_table_of_forecasts_becomes_cycles_and_twice_is_once(archive, tmp_path, form):
    (tmp_path / "f.csv").write_text(GOOD)
    spec = FORECASTS
    if form == "parquet":
        (tmp_path / "f.csv").unlink()
        columns = {
            "run": pa.array([datetime(2025, 1, 1)] * 2), "lead": [6, 12], "station": ["harbour"] * 2,
            "m1": [5.0, 7.0], "m2": [6.0, 8.0],
        }  # fmt: skip
        pq.write_table(pa.table(columns), tmp_path / "f.parquet")
        spec = FORECASTS.replace("*.csv", "*.parquet")
    (report,) = ingest(archive, tmp_path, spec)
    assert (report.received, report.stored, report.rejected) == (1, 1, 0)
    data = newest(archive)
    assert data.lead_hours == (6, 12)
    np.testing.assert_array_equal(data.values[0, :, 0], [[5, 6], [7, 8]])
    assert data.cycle.available_at == datetime(2025, 1, 1, 6, tzinfo=UTC)
    (again,) = ingest(archive, tmp_path, spec)
    assert (again.stored, again.duplicates) == (0, 1)


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_table_of_observations_is_kept_with_when_it_was_known(archive, tmp_path, form):
    spec = OBSERVATIONS
    if form == "csv":
        (tmp_path / "o.csv").write_text(
            "time,station,t,rain\n2025-01-01T00:00,harbour,5.5,0.2\n2025-01-01T01:00,harbour,,0\n"
        )
    else:
        columns = {
            "time": pa.array([datetime(2025, 1, 1, hour) for hour in (0, 1)]), "station": ["harbour"] * 2,
            "t": [5.5, None], "rain": [0.2, 0.0],
        }  # fmt: skip
        pq.write_table(pa.table(columns), tmp_path / "o.parquet")
        spec = OBSERVATIONS.replace("*.csv", "*.parquet")
    ingest(archive, tmp_path, spec)

    def known(as_of):
        start = datetime(2025, 1, 1, tzinfo=UTC)
        question = {"variables": ("temperature_2m", "precipitation"), "site_ids": ("harbour",), "step_hours": 1}
        end = datetime(2025, 1, 1, 1, tzinfo=UTC)
        return archive.observations.grid(valid_from=start, valid_until=end, as_of=as_of, **question)[1][:, :, 0]

    np.testing.assert_allclose(known(NOW), [[5.5, np.nan], [0.2, 0.0]], rtol=1e-6)
    assert np.isnan(known(datetime(2025, 1, 1, 0, 9, tzinfo=UTC))).all()
    assert ingest(archive, tmp_path, spec)[0].stored == 0


def test_grib_messages_are_taken_at_the_sites_with_units_made_ours(sqlite_archive, tmp_path):
    field = np.full((21, 21), 280.15) + np.arange(21)[None, :]  # a degree warmer for each degree east
    messages = [grib_message(field + lead, lead=lead, member=member) for lead in (6, 12) for member in (1, 2)]
    (tmp_path / "f.grib2").write_bytes(b"".join(messages))
    spec = (
        SITES
        + "inputs: [{kind: fields, source: alba, files: '*.grib2', interpolation: bilinear, available_after: PT5H}]"
    )
    (report,) = ingest(sqlite_archive, tmp_path, spec)
    assert (report.stored, report.rejected) == (1, 0)
    data = newest(sqlite_archive)
    np.testing.assert_allclose(data.values[0, :, :, 0], [[23, 24], [29, 30]], atol=0.02)


def test_netcdf_is_read_by_standard_names_and_units(sqlite_archive, tmp_path):
    write_netcdf(tmp_path / "f.nc")
    (report,) = ingest(sqlite_archive, tmp_path, netcdf_spec())
    assert (report.stored, report.rejected) == (1, 0)
    np.testing.assert_allclose(newest(sqlite_archive).values[0, :, :, 0], [[7, 7], [8, 8]], atol=0.02)


def netcdf_spec():
    return SITES + "inputs: [{kind: fields, source: alba, files: '*.nc', available_after: PT5H}]"


def write_netcdf(path, units="K"):
    values = np.full((2, 3, 3), 280.15, dtype=np.float32)
    values[1] += 1
    attributes = {"standard_name": "air_temperature", "units": units, "long_name": "2 m"}
    dataset = xr.Dataset(
        {"t2m": (("step", "latitude", "longitude"), values, attributes)},
        coords={
            "time": np.datetime64("2025-01-01T00:00", "ns"),
            "step": ("step", np.array([6, 12], dtype="timedelta64[h]").astype("timedelta64[ns]")),
            "latitude": ("latitude", [49.0, 50.0, 51.0], {"units": "degrees_north", "standard_name": "latitude"}),
            "longitude": ("longitude", [9.0, 10.0, 11.0], {"units": "degrees_east", "standard_name": "longitude"}),
        },
    )  # fmt: skip
    dataset.to_netcdf(path, engine="h5netcdf")


@pytest.mark.parametrize(
    ("name", "content", "spec"),
    [
        ("f.grib2", b"this is no GRIB at all", "inputs: [{kind: fields, source: alba, files: '*.grib2'}]"),
        ("f.grib2", b"", "inputs: [{kind: fields, source: alba, files: '*.grib2'}]"),
        ("f.nc", b"\x89HDF\r\n\x1a\n cut short", netcdf_spec()),
        ("f.nc", b"", netcdf_spec()),
        ("f.parquet", b"PAR1 but no table", FORECASTS.replace("*.csv", "*.parquet")),
        ("f.csv", b"", FORECASTS),
        ("f.csv", b"\xff\xfe\x00\x01 binary", FORECASTS),
    ],
)
def test_a_file_that_is_not_what_it_claims_is_named_and_nothing_is_kept(sqlite_archive, tmp_path, name, content, spec):
    (tmp_path / name).write_bytes(content)
    with pytest.raises((UnreadableFileError, ContractError), match=r"f\."):
        ingest(sqlite_archive, tmp_path, spec if "sites" in spec else SITES + spec)
    assert not sqlite_archive.cycles.catalogue("alba", as_of=NOW, usable_only=False)


def test_a_truncated_netcdf_is_named(sqlite_archive, tmp_path):
    write_netcdf(tmp_path / "f.nc")
    whole = (tmp_path / "f.nc").read_bytes()
    (tmp_path / "f.nc").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UnreadableFileError, match=r"f\.nc"):
        ingest(sqlite_archive, tmp_path, netcdf_spec())


def test_of_a_truncated_grib_the_whole_messages_are_kept_and_the_rest_is_named(sqlite_archive, tmp_path):
    field = np.full((21, 21), 280.15)
    whole = [grib_message(field, lead=lead) for lead in (6, 12)]
    (tmp_path / "f.grib2").write_bytes(whole[0] + whole[1][:-40])
    spec = SITES + "inputs: [{kind: fields, source: alba, files: '*.grib2', available_after: PT5H}]"
    (report,) = ingest(sqlite_archive, tmp_path, spec)
    assert report.stored == 1
    assert report.rejected == 1
    assert "f.grib2" in told(report)
    assert newest(sqlite_archive).lead_hours == (6,)
    with pytest.raises(ContractError):
        ingest(sqlite_archive, tmp_path, spec, strict=True)


def test_a_wrong_delimiter_is_named(sqlite_archive, tmp_path):
    (tmp_path / "f.csv").write_text(GOOD.replace(",", ";"))
    with pytest.raises(ContractError, match=r"f\.csv"):
        ingest(sqlite_archive, tmp_path, FORECASTS)


def test_words_for_no_value_are_missing_and_other_words_are_refused_with_their_line(sqlite_archive, tmp_path):
    rows = "2025-01-01T00:00,6,harbour,NaN,6.0\n2025-01-01T00:00,12,harbour,warm,8.0\n"
    (tmp_path / "f.csv").write_text("run,lead,station,m1,m2\n" + rows)
    (report,) = ingest(sqlite_archive, tmp_path, FORECASTS)
    assert report.rejected == 1
    assert "f.csv row 3, m1" in told(report)
    values = newest(sqlite_archive).values[0, 0, 0]
    assert np.isnan(values[0])
    assert values[1] == 6


@pytest.mark.parametrize(
    ("row", "word"),
    [
        ("yesterday,6,harbour,1,2", "run"),
        ("2025-01-01T00:00,-6,harbour,1,2", "lead"),
        ("2025-01-01T00:00,half,harbour,1,2", "lead"),
        ("2025-01-01T00:00,6,,1,2", "station"),
        ("2025-01-01T00:00,6,nowhere,1,2", "nowhere"),
    ],
)
def test_a_bad_row_is_refused_by_line_and_the_good_ones_are_kept(sqlite_archive, tmp_path, row, word):
    (tmp_path / "f.csv").write_text(GOOD + row + "\n")
    (report,) = ingest(sqlite_archive, tmp_path, FORECASTS)
    assert word in told(report)
    assert report.stored == 1
    np.testing.assert_array_equal(newest(sqlite_archive).values[0, :, 0], [[5, 6], [7, 8]])


def test_repeated_rows_are_counted_once(sqlite_archive, tmp_path):
    (tmp_path / "f.csv").write_text(GOOD + GOOD.split("\n", 1)[1])
    (report,) = ingest(sqlite_archive, tmp_path, FORECASTS)
    assert report.stored == 1
    assert report.duplicates == 2


def test_a_cycle_from_the_future_is_refused(sqlite_archive, tmp_path):
    (tmp_path / "f.csv").write_text(GOOD + "2031-01-01T00:00,6,harbour,1,2\n")
    (report,) = ingest(sqlite_archive, tmp_path, FORECASTS)
    assert report.stored == 1
    assert report.rejected == 1
    assert "2031-01-01" in told(report)


def test_negative_precipitation_is_flagged_and_never_used(sqlite_archive, tmp_path):
    (tmp_path / "o.csv").write_text("time,station,t,rain\n2025-01-01T00:00,harbour,5.5,-3\n")
    (report,) = ingest(sqlite_archive, tmp_path, OBSERVATIONS)
    assert report.flagged == 1
    assert "precipitation" in told(report)
    start = datetime(2025, 1, 1, tzinfo=UTC)
    question = {"variables": ("precipitation",), "site_ids": ("harbour",), "valid_from": start, "valid_until": start}
    assert np.isnan(sqlite_archive.observations.grid(step_hours=1, as_of=NOW, **question)[1]).all()
    kept = sqlite_archive.observations.grid(step_hours=1, as_of=NOW, include_flagged=True, **question)[1]
    assert kept[0, 0, 0] == -3


@pytest.mark.parametrize(
    ("change", "kind", "word"),
    [
        (("temperature_2m", "ozone"), UnknownNameError, "ozone"),
        (("unit: Cel", "unit: reaumur"), UnknownNameError, "reaumur"),
        (("unit: Cel", "unit: mm"), SkyproofError, "mm"),
        (("kind: forecasts", "kind: guesses"), InvalidValueError, "guesses"),
        (("lead_hours: lead", "lead_hours: step"), ContractError, "step"),
        (("sources: {alba: [m1, m2]}", "sources: {alba: [m9]}"), ContractError, "m9"),
        (("*.csv", "*.txt"), UnreadableFileError, "txt"),
        (("*.csv", "../../*.csv"), SkyproofError, "folder"),
        (("inputs:", "outputs:"), InvalidValueError, "outputs"),
    ],
)
def test_a_wrong_spec_is_explained(sqlite_archive, tmp_path, change, kind, word):
    (tmp_path / "f.csv").write_text(GOOD)
    with pytest.raises(kind, match=word):
        ingest(sqlite_archive, tmp_path, FORECASTS.replace(*change))


@pytest.mark.data
@pytest.mark.parametrize("name", sorted(p.name for p in (DATA / "samples/grib").glob("*.gr*b*")) or ["none"])
def test_real_grib_files_are_read_or_refused_in_words(sqlite_archive, name):
    path, now = data_file(f"samples/grib/{name}"), datetime(2027, 1, 1, tzinfo=UTC)
    sites = make_sites()
    sqlite_archive.sites.add(sites)

    def take_in():
        (source,) = plan_ingest(path, ingested_at=now, sites=sites).sources
        sqlite_archive.sources.register(source.spec)
        return take_in_cycles(sqlite_archive, source, sites, after=None, until=now)

    try:
        report = take_in()
    except SkyproofError as refused:
        said = str(refused)
    else:
        said = told(report) if not report.stored else name
    assert name in said or "nothing" in said


@pytest.mark.data
def test_a_real_global_forecast_gives_plausible_values(sqlite_archive):
    path = data_file("samples/grib/gfs.t12z.pgrbf120.2p5deg.grib2")
    now = datetime(2012, 1, 1, tzinfo=UTC)
    sites = make_sites()
    (source,) = plan_ingest(path, ingested_at=now, sites=sites).sources
    sqlite_archive.sites.add(sites)
    sqlite_archive.sources.register(source.spec)
    report = take_in_cycles(sqlite_archive, source, sites, after=None, until=now)
    assert report.stored == 1
    (cycle,) = sqlite_archive.cycles.catalogue(source.spec.source_id, as_of=now, usable_only=False)
    data = sqlite_archive.cycles.read(
        cycle, site_ids=[s.site_id for s in sites], variables=("temperature_2m", "pressure_msl")
    )
    assert data.lead_hours == (120,)
    assert ((data.values[0] > -30) & (data.values[0] < 30)).all()
    assert ((data.values[1] > 950) & (data.values[1] < 1060)).all()
