"""Cases from the archive: at each issue time what was known then, and nothing that came later."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from archive_samples import OK, at, make_cycles, make_grid, make_observations, no_flags
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skyproof.archive import case_inputs
from skyproof.archive.archive import Archive

SOURCES = ("alba", "boreas", "corvus")


def fill(archive: Archive) -> None:
    """Two sources, one of which offers temperature alone and comes every other day; and hourly-late observations."""
    archive.cycles.append(make_cycles(1, init_hours=(0, 24, 48)), [OK] * 3, recorded_at=at(60))
    boreas = make_cycles(
        2, source_id="boreas", init_hours=(0, 48), variables=("temperature_2m",), leads=(0, 6, 12, 24, 36, 42)
    )
    archive.cycles.append(boreas, [OK] * 2, recorded_at=at(60))
    rows = [("s0001", "temperature_2m", float(hour), hour + 1.0, float(hour)) for hour in range(0, 84, 6)]
    batch = make_observations([*rows, ("s0001", "temperature_2m", 30, 90, 99.0)])
    archive.observations.append(batch, no_flags(batch))


def test_each_source_stands_where_its_valid_times_meet_those_of_the_run(archive: Archive) -> None:
    fill(archive)
    alba, boreas = (
        make_cycles(1, init_hours=(0, 24, 48)),
        make_cycles(
            2, source_id="boreas", init_hours=(0, 48), variables=("temperature_2m",), leads=(0, 6, 12, 24, 36, 42)
        ),
    )
    temperature, wind = archive.inputs.cases(make_grid(), SOURCES, [at(6), at(30)], as_of=at(100))
    assert temperature.issue_times.tolist() == [at(6).replace(tzinfo=None), at(30).replace(tzinfo=None)]
    assert (temperature.lead_hours, tuple(temperature.members)) == ((6, 12, 18), ("alba", "boreas"))
    assert tuple(wind.members) == ("alba",)
    # At hour 6 the cycle of hour 0 is there: its lead of 12 is the run's of 6; those of 18 and 24 it lacks.
    np.testing.assert_array_equal(temperature.members["alba"][0, 0], alba.values[0, 0, 2])
    assert np.isnan(temperature.members["alba"][0, 1:]).all()
    np.testing.assert_array_equal(temperature.members["alba"][1, 0], alba.values[1, 0, 2])
    # At hour 30 the newest of boreas is still that of hour 0: 36 and 42 are its leads, 48 is not.
    np.testing.assert_array_equal(temperature.members["boreas"][1, :2], boreas.values[0, 0, 4:])
    assert np.isnan(temperature.members["boreas"][1, 2]).all()


def test_predictors_are_the_other_variables_means(archive: Archive) -> None:
    fill(archive)
    temperature, wind = archive.inputs.cases(make_grid(), SOURCES, [at(6), at(30)], as_of=at(100))
    assert set(temperature.predictors) == {"wind_speed_10m:alba"}
    assert set(wind.predictors) == {"temperature_2m:alba", "temperature_2m:boreas"}
    expected = wind.members["alba"].mean(axis=-1)
    np.testing.assert_allclose(temperature.predictors["wind_speed_10m:alba"], expected)


def test_a_history_too_large_to_be_held_is_read_again_and_the_same(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(archive)
    held = archive.inputs.cases(make_grid(), SOURCES, [at(6), at(30)], as_of=at(100))
    monkeypatch.setattr(case_inputs, "_HELD_BYTES", 0)
    again = archive.inputs.cases(make_grid(), SOURCES, [at(6), at(30)], as_of=at(100))
    for first, second in zip(held, again, strict=True):
        assert first.members.keys() == second.members.keys()
        for source_id, members in first.members.items():
            np.testing.assert_array_equal(members, second.members[source_id])
    assert held[0].members["alba"] is held[0].members["alba"]
    assert again[0].members["alba"] is not again[0].members["alba"]


def test_an_outline_names_what_the_cases_hold(archive: Archive) -> None:
    fill(archive)
    reader = archive.inputs.cases(make_grid(), SOURCES, [at(6), at(30)], as_of=at(100))
    for index, cases in enumerate(reader):
        outline = reader.outline(index)
        assert (outline.variable, len(outline.issue_times)) == (cases.variable, 0)
        assert {name: values.shape[-1] for name, values in outline.members.items()} == {
            name: values.shape[-1] for name, values in cases.members.items()
        }
        assert outline.predictors.keys() == cases.predictors.keys()


def test_observations_are_those_known_as_of(archive: Archive) -> None:
    fill(archive)
    (early, _), (late, _) = (archive.inputs.cases(make_grid(), SOURCES, [at(24)], as_of=at(end)) for end in (40, 95))
    np.testing.assert_array_equal(early.observed[0, :, 1], np.array([30, 36, np.nan], dtype=np.float32))
    np.testing.assert_array_equal(late.observed[0, :, 1], np.array([99, 36, 42], dtype=np.float32))
    assert np.isnan(late.observed[0, :, [0, 2]]).all()
    # Nothing counts as known in the hour of its measurement.
    assert not late.known(np.datetime64(at(30).replace(tzinfo=None), "s")).any()


@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(issue=st.integers(0, 80), max_age=st.integers(1, 60))
def test_what_a_run_is_given_is_what_the_cases_hold(sqlite_archive: Archive, issue: int, max_age: int) -> None:
    if not sqlite_archive.sources.all() and sqlite_archive.observations.newest_recorded_at(as_of=at(200)) is None:
        fill(sqlite_archive)
    grid, oldest = make_grid(), timedelta(hours=max_age)
    inputs = sqlite_archive.inputs.gather(grid, SOURCES, issue_time=at(issue), max_age=oldest)
    for index, cases in enumerate(
        sqlite_archive.inputs.cases(grid, SOURCES, [at(issue)], as_of=at(issue), max_age=oldest)
    ):
        assert cases.issue_times[0] == np.datetime64(inputs.init_time.replace(tzinfo=None), "s")
        given = inputs.cases[index]
        for source_id, cycle in inputs.cycles.items():
            expected = np.full(cases.observed.shape[1:], np.nan)
            age = np.nan
            if cycle is not None:
                data = sqlite_archive.cycles.read(cycle, site_ids=grid.site_ids, variables=grid.variables)
                shift = (inputs.init_time - cycle.init_time) // timedelta(hours=1)
                age = (inputs.issue_time - cycle.init_time) / timedelta(hours=1)
                for place, lead in enumerate(grid.lead_hours):
                    if lead + shift in data.lead_hours:
                        expected[place] = data.values[index, data.lead_hours.index(lead + shift)].mean(axis=-1)
            found = (
                cases.members[source_id][0].mean(axis=-1)
                if source_id in cases.members
                else np.full_like(expected, np.nan)
            )
            np.testing.assert_array_equal(found, expected)
            np.testing.assert_array_equal(cases.age_hours[source_id], [age])
            np.testing.assert_array_equal(given.age_hours[source_id], [age])
        assert given.members.keys() == cases.members.keys()
        for source_id, members in cases.members.items():
            np.testing.assert_array_equal(given.members[source_id], members)


def test_cutting_the_archive_at_an_instant_changes_no_cases_as_of_it(archive: Archive) -> None:
    fill(archive)
    before = archive.inputs.cases(make_grid(), SOURCES, [at(6), at(30)], as_of=at(40))
    archive.cycles.append(make_cycles(9, init_hours=(24,), latency=20), [OK], recorded_at=at(60))
    batch = make_observations([("s0001", "temperature_2m", 12, 41, -5.0)])
    archive.observations.append(batch, no_flags(batch))
    for first, second in zip(
        before, archive.inputs.cases(make_grid(), SOURCES, [at(6), at(30)], as_of=at(40)), strict=True
    ):
        np.testing.assert_array_equal(first.observed, second.observed)
        for source_id in first.members:
            np.testing.assert_array_equal(first.members[source_id], second.members[source_id])


def test_no_issue_time_and_no_source_make_empty_cases(archive: Archive) -> None:
    archive.sites.add(make_grid().sites)
    for issue_times in ([], [at(6)]):
        for cases in archive.inputs.cases(make_grid(), SOURCES, issue_times, as_of=at(100)):
            assert cases.observed.shape == (len(issue_times), 3, 3)
            assert not cases.members
            assert replace(cases).sites[0].place_id == "s0000"
