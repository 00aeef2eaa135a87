"""Releases, runs, experts, checkpoints and scores: immutable, named by content, read as of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import xarray
import zstandard
from archive_samples import (
    OK,
    VARIABLES,
    at,
    make_cycles,
    make_draft,
    make_grid,
    make_observations,
    make_scores,
    make_values,
    no_flags,
)

from skyproof.archive.archive import Archive
from skyproof.archive.array_file import write_arrays
from skyproof.archive.objects import LocalObjectStore, MemoryObjectStore
from skyproof.domain.errors import IntegrityError, InvalidValueError, NoReleaseError, NoRunError, UnknownNameError
from skyproof.domain.forecasts import ForecastValues, Release
from skyproof.domain.quantiles import LEVELS
from skyproof.domain.scores import STATISTICS
from skyproof.domain.times import format_instant

TRAINED = {
    "trained_from": at(-1000),
    "trained_until": at(0),
    "sources": ("alba", "boreas"),
    "card": {"b": 1, "a": [2.5]},
}


def damage(archive: Archive, key: str, data: bytes) -> None:
    assert isinstance(archive.objects, LocalObjectStore)
    (archive.objects.folder / key).write_bytes(data)


# Releases


def test_a_release_is_its_content(archive: Archive) -> None:
    release = archive.releases.add(b"abc", created_at=at(1), **TRAINED)
    assert release.release_id == "rel_ba7816bf8f01cfea"  # FIPS 180-2, appendix B.1
    assert archive.releases.add(b"abc", created_at=at(9), **TRAINED) == release
    assert archive.releases.content(release) == b"abc"
    assert archive.releases.find(release.release_id) == release
    assert (release.sources, release.card, release.state) == (("alba", "boreas"), {"a": [2.5], "b": 1}, "stable")


def test_the_newest_release_is_read_as_of_and_by_state(archive: Archive) -> None:
    def newest(hour: float, state: str = "stable") -> Release:
        return archive.releases.newest(as_of=at(hour), state=state)

    first = archive.releases.add(b"1", created_at=at(1), **TRAINED)
    second = archive.releases.add(b"2", created_at=at(5), state="shadow", **TRAINED)
    with pytest.raises(NoReleaseError, match="no release is stable"):
        newest(0.9)
    assert newest(5) == first
    assert newest(5, "shadow") == second
    archive.releases.set_state(second.release_id, "stable")
    assert newest(5) == replace(second, state="stable")
    assert newest(4) == first
    assert archive.releases.all(as_of=at(4)) == (first,)
    with pytest.raises(UnknownNameError):
        archive.releases.set_state("rel_x", "stable")


def test_a_damaged_release_is_never_used(archive: Archive) -> None:
    release = archive.releases.add(b"learned", created_at=at(1), **TRAINED)
    damage(archive, release.object_key, b"Learned")
    with pytest.raises(IntegrityError, match="damaged"):
        archive.releases.content(release)


# Runs


def test_a_published_run_is_read_back_site_by_site(archive: Archive) -> None:
    draft = make_draft()
    draft.values.quantiles[0, 1] = np.nan
    draft.values.mean[0, 1] = np.nan
    draft.reasons[0, 1] = 2
    run = archive.runs.publish(draft)
    reader = archive.runs.open(run)
    assert (reader.site_ids, reader.variables, reader.lead_hours) == (draft.grid.site_ids, VARIABLES, (6, 12, 18))
    for index, site_id in enumerate(draft.grid.site_ids):
        series = reader.site(site_id)
        np.testing.assert_allclose(series.quantiles, draft.values.quantiles[:, index], atol=1e-9)
        np.testing.assert_allclose(series.mean, draft.values.mean[:, index], atol=1e-6)
        np.testing.assert_array_equal(series.reasons, draft.reasons[:, index])
        assert series.quantiles.dtype == np.float64
    np.testing.assert_array_equal(reader.values().quantiles, draft.values.quantiles)
    np.testing.assert_allclose(reader.values().mean, draft.values.mean, atol=1e-5)
    np.testing.assert_array_equal(reader.reasons(), draft.reasons)
    assert archive.runs.open(run) is reader
    with pytest.raises(UnknownNameError, match="'elsewhere' is not in this run"):
        reader.site("elsewhere")


def test_a_row_says_everything_about_a_run(archive: Archive) -> None:
    draft = make_draft(experts_key="experts/x.nc")
    run = archive.runs.publish(draft)
    assert run.run_id == f"run_{run.digest[:16]}"
    assert (run.regime, run.inputs, run.warnings) == (draft.regime, draft.inputs, draft.warnings)
    assert (run.issue_time, run.init_time, run.published_at) == (at(12), at(12), at(12.5))
    assert (run.release_id, run.experts_key, run.generation_ms) == (draft.release_id, "experts/x.nc", 12.5)
    assert archive.runs.find(run.run_id) == run


def test_the_same_forecast_is_the_same_run_however_long_it_took(archive: Archive) -> None:
    first = archive.runs.publish(make_draft())
    again = archive.runs.publish(make_draft(published_at=at(99), generation_ms=1.0, warnings=()))
    assert again == first
    assert len(list(archive.objects.keys("runs/"))) == 1
    assert archive.runs.publish(make_draft(2)).run_id != first.run_id


def test_runs_are_found_as_of_when_they_were_published(archive: Archive) -> None:
    early = archive.runs.publish(make_draft(1, issue_hour=12))
    late = archive.runs.publish(make_draft(2, issue_hour=36))
    again = archive.runs.publish(make_draft(3, issue_hour=12, published_at=at(40)))
    other = archive.runs.publish(make_draft(4, issue_hour=60, release_id="rel_other"))
    runs = archive.runs
    with pytest.raises(NoRunError, match="no run was published by 2025-01-01T12:00:00Z"):
        runs.newest(as_of=at(12))
    assert runs.newest(as_of=at(36)) == early
    assert runs.newest(as_of=at(40)) == late
    assert runs.newest(as_of=at(99)) == other
    assert runs.newest(as_of=at(99), release_id=late.release_id) == late
    assert runs.find_by_init(at(12), as_of=at(39)) == early
    assert runs.find_by_init(at(12), as_of=at(40)) == again
    with pytest.raises(NoRunError, match="init time"):
        runs.find_by_init(at(13), as_of=at(99))
    assert runs.between(issue_from=at(12), issue_until=at(36), as_of=at(39)) == (early, late)
    assert runs.between(issue_from=at(12), issue_until=at(36), as_of=at(99)) == (early, again, late)
    assert runs.between(issue_from=at(0), issue_until=at(99), as_of=at(99), release_id="rel_other") == (other,)


def test_a_run_file_is_plain_cf_for_anyone(archive: Archive) -> None:
    draft = make_draft(
        grid=make_grid(2, ("temperature_2m", "precipitation")),
        reason_names=("", "source missing"),
        attributes={"sandbox": True, "seed": 7},
    )
    draft.values.quantiles[1, 0, 0] = np.nan
    run = archive.runs.publish(draft)
    with archive.objects.local_path(run.object_key) as path, xarray.open_dataset(path, engine="h5netcdf") as dataset:
        assert "sandbox planet" in dataset.attrs["title"]
        assert dataset.attrs["seed"] == "7"
        assert '"regime_id":"without-alba"' in dataset.attrs["lineage"]
        precipitation = dataset["precipitation_quantiles"]
        assert precipitation.dims == ("site", "lead", "quantile")
        assert precipitation.attrs["standard_name"] == "lwe_thickness_of_precipitation_amount"
        assert precipitation.attrs["cell_methods"] == "time: sum (interval: 6 hours)"
        assert precipitation.attrs["units"] == "mm"
        np.testing.assert_allclose(precipitation, draft.values.quantiles[1], atol=1e-6)
        assert dataset["temperature_2m_mean"].attrs["cell_methods"] == "time: point"
        assert dataset["temperature_2m_mean"].attrs["height"] == "2 m above ground"
        assert dataset["quantile"].values.tolist() == list(LEVELS)
        assert dataset["site_id"].values.tolist() == ["s0000", "s0001"]
        assert dataset["latitude"].values.tolist() == [40.0, 40.01]
        assert dataset["elevation"].attrs["standard_name"] == "surface_altitude"
        assert dataset["lead"].values.tolist() == [6, 12, 18]
        assert dataset["time"].values[0] == np.datetime64("2025-01-01T18:00")
        assert dataset["init_time"].values == dataset["issue_time"].values == np.datetime64("2025-01-01T12:00")
        assert dataset["precipitation_reason"].attrs["flag_meanings"] == "none source_missing"
    plain = archive.runs.publish(make_draft())
    with archive.objects.local_path(plain.object_key) as path, xarray.open_dataset(path, engine="h5netcdf") as dataset:
        assert "sandbox" not in dataset.attrs["title"]
    assert archive.runs.open(run).reason_names == ("", "source missing")


def test_drafts_that_cannot_be_published_leave_nothing(archive: Archive) -> None:
    draft = make_draft()
    draft.values.quantiles[0, 0, 0, -1] = 400.0
    with pytest.raises(InvalidValueError, match=r"beyond 327\.67 Cel"):
        archive.runs.publish(draft)
    with pytest.raises(InvalidValueError, match="empty"):
        archive.runs.publish(make_draft(grid=make_grid(0)))
    with pytest.raises(InvalidValueError, match="wanted"):
        make_draft(values=ForecastValues(draft.values.quantiles[:1], draft.values.mean))
    assert list(archive.objects.keys()) == []


def test_a_damaged_run_file_is_an_integrity_error(archive: Archive) -> None:
    run = archive.runs.publish(make_draft())
    data = archive.objects.get(run.object_key)
    damage(archive, run.object_key, data[:1000])
    with pytest.raises(IntegrityError):
        archive.runs.open(run)
    archive.objects.delete(run.object_key)
    with pytest.raises(IntegrityError, match="missing"):
        archive.runs.open(run)


def test_readers_of_a_store_without_a_folder_read_the_same(tmp_path: Path) -> None:
    with Archive.open(tmp_path, objects=MemoryObjectStore()) as archive:
        draft = make_draft()
        reader = archive.runs.open(archive.runs.publish(draft))
        np.testing.assert_array_equal(reader.values().quantiles, draft.values.quantiles)
        (entry,) = archive.cycles.append(make_cycles(), [OK], recorded_at=at(7))
        archive.cycles.read(entry, site_ids=("s0000",), variables=VARIABLES)
        assert archive.sweep() == 0


def test_more_readers_than_stay_open_still_answer(archive: Archive) -> None:
    grid = make_grid(1, VARIABLES[:1], (6,))
    runs = [archive.runs.publish(make_draft(seed, issue_hour=seed * 6.0, grid=grid)) for seed in range(40)]
    readers = [archive.runs.open(run) for run in runs]
    assert archive.runs.open(runs[-1]) is readers[-1]
    np.testing.assert_array_equal(archive.runs.open(runs[0]).values().mean, readers[0].values().mean)


# Experts and checkpoints


def test_experts_come_back_by_issue_time_and_by_key(archive: Archive) -> None:
    grid = make_grid()
    quantiles = np.stack([make_values(grid, seed).quantiles for seed in (1, 2)])
    quantiles[1, 0] = np.nan
    key = archive.experts.put("rel_1", at(12), ("emos:alba", "climatology"), quantiles, grid)
    for names, values in (archive.experts.read("rel_1", at(12)), archive.experts.read_key(key)):
        assert names == ("emos:alba", "climatology")
        np.testing.assert_array_equal(values, quantiles)
    assert archive.experts.read("rel_1", at(13)) is None
    newer = archive.experts.put("rel_1", at(12), ("emos:alba", "climatology"), quantiles + 1, grid)
    assert archive.experts.read("rel_1", at(12))[1][0, 0, 0, 0, 0] == quantiles[0, 0, 0, 0, 0] + 1
    assert newer != key
    with pytest.raises(InvalidValueError, match="wanted"):
        archive.experts.put("rel_1", at(12), ("one",), quantiles, grid)


def test_the_newest_checkpoint_at_or_before_an_instant(archive: Archive) -> None:
    put, newest = archive.checkpoints.put, archive.checkpoints.newest
    for hour in (12, 36, 60):
        put("rel_1", at(hour), {"weights": np.array([float(hour)])})
    put("rel_2", at(50), {"weights": np.array([0.0])})
    assert newest("rel_1", before=at(11)) is None
    issue_time, state = newest("rel_1", before=at(36))
    assert (issue_time, state["weights"].tolist()) == (at(36), [36.0])
    put("rel_1", at(36), {"weights": np.array([1.0])})
    assert newest("rel_1", before=at(59))[1]["weights"].tolist() == [1.0]
    assert len(list(archive.objects.keys("checkpoints/rel_1/"))) == 3
    archive.checkpoints.drop_after(at(36))
    assert newest("rel_1", before=at(99))[0] == at(12)
    assert newest("rel_2", before=at(99)) is None
    assert len(list(archive.objects.keys("checkpoints/"))) == 1


def derived_hours(archive: Archive, hours: tuple[float, ...]) -> list[list[float]]:
    kept = [hour for hour in hours if archive.experts.read("rel_1", at(hour)) is not None]
    states = [
        hour
        for hour in hours
        if (found := archive.checkpoints.newest("rel_1", before=at(hour))) and found[0] == at(hour)
    ]
    return [kept, states]


def test_facts_that_arrive_late_drop_what_was_derived_without_them(archive: Archive) -> None:
    grid, hours = make_grid(), (12.0, 36.0, 60.0, 84.0)
    keys = {}
    for hour in hours:
        quantiles = make_values(grid, int(hour)).quantiles[None]
        keys[hour] = archive.experts.put("rel_1", at(hour), ("climatology",), quantiles, grid)
        archive.checkpoints.put("rel_1", at(hour), {"hour": np.array(hour)})
    archive.runs.publish(make_draft(issue_hour=36, experts_key=keys[36.0]))
    assert derived_hours(archive, hours) == [[12, 36, 60, 84]] * 2

    archive.cycles.append(make_cycles(init_hours=(72,), latency=10), [OK], recorded_at=at(200))
    assert derived_hours(archive, hours) == [[12, 36, 60], [12, 36, 60]]
    assert not archive.objects.exists(keys[84.0])

    batch = make_observations([("a", "temperature_2m", 6, 20, 1.0)])
    archive.observations.append(batch, no_flags(batch))
    assert derived_hours(archive, hours) == [[12, 36], [12]]

    archive.checkpoints.put("rel_1", at(60), {"hour": np.array(60)})
    archive.observations.append(batch, no_flags(batch))
    archive.cycles.append(make_cycles(init_hours=(72,), latency=10), [OK], recorded_at=at(200))
    assert derived_hours(archive, hours) == [[12, 36], [12, 60]]


# Scores


def test_scores_come_back_to_the_bit(archive: Archive, reopen: Callable[[], Archive]) -> None:
    scores = make_scores()
    day = archive.scores.add(scores, scored_at=at(40))
    assert day.pairs == 2 * 3 * 3
    with reopen() as fresh:
        (listed,) = fresh.scores.days(scores.release_id, as_of=at(40))
        assert listed == day
        read = fresh.scores.read(listed)
    np.testing.assert_array_equal(read.sums, scores.sums)
    np.testing.assert_array_equal(read.pit, scores.pit)
    assert replace(read, sums=scores.sums, pit=scores.pit) == scores


def test_scores_of_any_numbers_survive_narrowing(archive: Archive) -> None:
    scores = make_scores()
    edges = [0.0, -0.0, 255.0, 256.0, 65535.0, 65536.0, 1e300, -1.0, 0.1, np.nan, np.inf, 2**53]
    for index, edge in enumerate(edges):
        scores.sums[..., index] = edge
        scores.sums[0, 0, 0, 0, index] = 1.0
    read = archive.scores.read(archive.scores.add(scores, scored_at=at(40)))
    np.testing.assert_array_equal(read.sums, scores.sums)


def test_the_newest_scoring_of_a_day_counts_as_of_then(archive: Archive) -> None:
    first = archive.scores.add(make_scores(1), scored_at=at(40))
    again = archive.scores.add(make_scores(2), scored_at=at(50))
    other = archive.scores.add(make_scores(3, day=date(2025, 1, 5)), scored_at=at(45))
    days, release_id = archive.scores.days, first.release_id
    assert days(release_id, as_of=at(39)) == ()
    assert days(release_id, as_of=at(45)) == (first, other)
    assert days(release_id, as_of=at(50)) == (again, other)
    assert days(release_id, as_of=at(50), day_from=date(2025, 1, 3)) == (other,)
    assert days(release_id, as_of=at(50), day_until=date(2025, 1, 3)) == (again,)
    assert days("rel_none", as_of=at(50)) == ()
    assert archive.scores.add(make_scores(2), scored_at=at(50)) == again


def test_scores_compressed_as_a_whole_as_they_were_at_first_stay_readable(archive: Archive) -> None:
    scores = make_scores()
    day = archive.scores.add(scores, scored_at=at(40))
    arrays = {f"sum_{name}": scores.sums[..., index] for index, name in enumerate(STATISTICS)} | {
        "models": np.array(scores.models), "variables": np.array(scores.variables), "site_ids": np.array(scores.site_ids),
        "lead_hours": np.array(scores.lead_hours, dtype=np.int32), "pit": scores.pit,
    }  # fmt: skip
    known = "" if scores.known_until is None else format_instant(scores.known_until)
    named = {
        "release_id": scores.release_id,
        "valid_day": scores.valid_day.isoformat(),
        "known_until": known,
    }
    key = f"scores/{scores.release_id}/first.h5.zst"
    archive.objects.put(key, zstandard.ZstdCompressor().compress(write_arrays(arrays, attributes=named)))
    read = archive.scores.read(replace(day, object_key=key))
    np.testing.assert_array_equal(read.sums, scores.sums)
    np.testing.assert_array_equal(read.pit, scores.pit)
    assert replace(read, sums=scores.sums, pit=scores.pit) == scores


def test_damaged_scores_are_an_integrity_error(archive: Archive) -> None:
    day = archive.scores.add(make_scores(), scored_at=at(40))
    damage(archive, day.object_key, archive.objects.get(day.object_key)[:-9])
    with pytest.raises(IntegrityError, match="damaged"):
        archive.scores.read(day)


# Inputs


def test_inputs_hold_what_was_known_at_the_issue_time_and_nothing_later(archive: Archive) -> None:
    grid = make_grid()
    archive.cycles.append(make_cycles(1, init_hours=(0, 24)), [OK, OK], recorded_at=at(30))
    archive.cycles.append(make_cycles(2, source_id="boreas", init_hours=(-70,)), [OK], recorded_at=at(30))
    rows = [("s0000", "temperature_2m", hour, hour + 1, hour) for hour in (-48.0, 6.0, 24.0, 30.0)]
    batch = make_observations([*rows, ("s0000", "temperature_2m", 6, 40, 99.0)])
    archive.observations.append(batch, no_flags(batch))
    inputs = archive.inputs.gather(grid, ("alba", "boreas", "corvus"), issue_time=at(29))
    assert (inputs.issue_time, inputs.init_time) == (at(29), at(24))
    assert inputs.cycles["alba"].init_time == at(0)
    assert inputs.cycles["boreas"] is None
    assert inputs.cycles["corvus"] is None
    assert inputs.recent.valid_times[[0, -1]].tolist() == [at(-24).replace(tzinfo=None), at(24).replace(tzinfo=None)]
    temperature = inputs.recent.values[0, :, 0]
    assert temperature[[5, 8]].tolist() == [6.0, 24.0]
    assert np.isnan(temperature[[0, 1, 2, 3, 4, 6, 7]]).all()


def test_the_record_is_what_was_known_as_of(archive: Archive) -> None:
    batch = make_observations([("s0001", "wind_speed_10m", 6, 7, 3.0), ("s0001", "wind_speed_10m", 6, 29, 4.0)])
    archive.observations.append(batch, no_flags(batch))
    record = archive.inputs.record(make_grid(), since=at(-1), as_of=at(29))
    assert record.valid_times[[0, -1]].tolist() == [at(-6).replace(tzinfo=None), at(24).replace(tzinfo=None)]
    assert record.observations[1, 2, 1] == 4.0
    assert np.count_nonzero(~np.isnan(record.observations)) == 1
