"""A run goes out whole and sound, or stays in and the ledger says why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from numpy.typing import NDArray

from skyproof.archive.archive import Archive
from skyproof.archive.runs import RunDraft
from skyproof.domain.errors import NoRunError, RunWithheldError
from skyproof.domain.forecasts import ForecastGrid, ForecastValues, Regime
from skyproof.domain.quantiles import LEVEL_ARRAY
from skyproof.domain.reasons import REASONS
from skyproof.domain.sites import Site
from skyproof.stages.publish.checks import check_run
from skyproof.stages.publish.publish_run import publish_run

ISSUED = datetime(2025, 3, 1, 12, tzinfo=UTC)
VARIABLES = ("temperature_2m", "wind_speed_10m", "precipitation", "relative_humidity_2m")
SITES = tuple(Site(f"s{k}", f"S{k}", 46.0 + k, 7.0, 400.0) for k in range(4))
LEADS = tuple(range(6, 66, 6))
GRID = ForecastGrid(SITES, VARIABLES, LEADS, 6)
TEMPERATURE, WIND, RAIN, HUMIDITY = range(4)


def sound(*, warmer: float = 0.0) -> ForecastValues:
    """One smooth forecast for every cell: temperature, wind, rain that may not fall, humidity up to 100 %."""
    one = np.stack([
        10 + warmer + 4 * LEVEL_ARRAY, 3 + 5 * LEVEL_ARRAY, np.maximum(6 * LEVEL_ARRAY - 3, 0), 70 + 30 * LEVEL_ARRAY
    ])  # fmt: skip
    quantiles = np.tile(one[:, None, None], (1, len(SITES), len(LEADS), 1)).astype(np.float32)
    return ForecastValues(quantiles, quantiles.mean(axis=-1))


def draft(values: ForecastValues | None = None, *, days: int = 0, grid: ForecastGrid = GRID) -> RunDraft:
    issued = ISSUED + timedelta(days=days)
    values = values or sound()
    return RunDraft(
        "rel_1", issued, issued, issued, Regime("full", (), (), 1.0, 0.8, 100), (), grid, values,
        np.zeros(values.mean.shape, dtype=np.uint8), "", 1.0, (), REASONS,
    )  # fmt: skip


def spoiled(spoil: Callable[[NDArray[np.float32], NDArray[np.float32]], None]) -> ForecastValues:
    values = sound()
    spoil(values.quantiles, values.mean)
    return values


def cross(quantiles: NDArray[np.float32], mean: NDArray[np.float32]) -> None:
    quantiles[TEMPERATURE, 1, 2, 5:7] = quantiles[TEMPERATURE, 1, 2, [6, 5]]


def rain_below_zero(quantiles: NDArray[np.float32], mean: NDArray[np.float32]) -> None:
    quantiles[RAIN, 0, 0, 0] = -0.5


def too_hot(quantiles: NDArray[np.float32], mean: NDArray[np.float32]) -> None:
    quantiles[TEMPERATURE, 0, 0, -1] = 61.0


def too_damp(quantiles: NDArray[np.float32], mean: NDArray[np.float32]) -> None:
    quantiles[HUMIDITY, 3, 9, -1] = 101.0


def nothing(quantiles: NDArray[np.float32], mean: NDArray[np.float32]) -> None:
    quantiles[:], mean[:] = np.nan, np.nan


def no_wind(quantiles: NDArray[np.float32], mean: NDArray[np.float32]) -> None:
    quantiles[WIND], mean[WIND] = np.nan, np.nan


def a_hole(quantiles: NDArray[np.float32], mean: NDArray[np.float32]) -> None:
    quantiles[WIND, 2, 3, 7] = np.nan


def endless(quantiles: NDArray[np.float32], mean: NDArray[np.float32]) -> None:
    quantiles[WIND, 2, 3, -1] = np.inf


def strange_mean(quantiles: NDArray[np.float32], mean: NDArray[np.float32]) -> None:
    mean[RAIN, 2, 3] = 50.0


FAULTS = [
    (cross, "consistent", "temperature_2m: quantiles cross"),
    (rain_below_zero, "physical", "precipitation: -0.5 mm is outside 0 to 600"),
    (too_hot, "physical", "temperature_2m: 61 Cel is outside -90 to 60"),
    (too_damp, "physical", "relative_humidity_2m: 101 % is outside 0 to 100"),
    (nothing, "complete", "temperature_2m: 100% of the cells are missing"),
    (no_wind, "complete", "wind_speed_10m: 100% of the cells are missing"),
    (a_hole, "finite", "wind_speed_10m: a cell with a mean has no finite quantiles"),
    (endless, "finite", "wind_speed_10m: a cell with a mean has no finite quantiles"),
    (strange_mean, "consistent", "precipitation: a mean lies outside its own quantiles"),
]


@pytest.mark.parametrize(("spoil", "check", "message"), FAULTS, ids=[fault[0].__name__ for fault in FAULTS])
def test_every_fault_is_found_and_named(
    spoil: Callable[[NDArray[np.float32], NDArray[np.float32]], None], check: str, message: str
) -> None:
    failures = check_run(spoiled(spoil), GRID)
    assert (check, message) in [(failure.check, failure.message) for failure in failures]


def test_a_sound_run_has_no_fault_and_a_few_missing_cells_are_none() -> None:
    assert check_run(sound(), GRID) == ()
    few = sound()
    # One cell of forty is 2.5 %; at most 5 % may be missing.
    few.quantiles[:, 0, 0], few.mean[:, 0, 0] = np.nan, np.nan
    assert check_run(few, GRID) == ()
    few.quantiles[TEMPERATURE, 0, :4], few.mean[TEMPERATURE, 0, :4] = np.nan, np.nan
    assert [(f.check, f.message) for f in check_run(few, GRID)] == [
        ("complete", "temperature_2m: 10% of the cells are missing")
    ]


def test_all_faults_are_told_at_once() -> None:
    values = spoiled(cross)
    rain_below_zero(values.quantiles, values.mean)
    no_wind(values.quantiles, values.mean)
    assert [failure.check for failure in check_run(values, GRID)] == ["consistent", "complete", "physical"]


@pytest.mark.parametrize("spoil", [cross, rain_below_zero, nothing], ids=["crossing", "out of limits", "all missing"])
def test_a_faulty_run_is_withheld_and_the_run_before_stays(
    archive: Archive, spoil: Callable[[NDArray[np.float32], NDArray[np.float32]], None]
) -> None:
    before = publish_run(archive, draft(sound(warmer=1)))
    later = draft(spoiled(spoil), days=1)
    with pytest.raises(RunWithheldError, match="was withheld") as caught:
        publish_run(archive, later)
    assert "the run before stays in service" in caught.value.hint
    assert archive.runs.newest(as_of=later.published_at) == before
    (event,) = archive.events.all(as_of=later.published_at, kind="run.withheld")
    assert event.recorded_at == later.published_at
    assert event.payload["issue_time"] == "2025-03-02T12:00:00Z"
    assert len(event.payload["reasons"]) == len(check_run(later.values, GRID, previous=sound(warmer=1)))


def test_the_first_run_withheld_leaves_no_run(sqlite_archive: Archive) -> None:
    with pytest.raises(RunWithheldError):
        publish_run(sqlite_archive, draft(spoiled(nothing)))
    with pytest.raises(NoRunError):
        sqlite_archive.runs.newest(as_of=ISSUED)


def test_a_run_published_twice_is_one_run(archive: Archive) -> None:
    first = publish_run(archive, draft())
    again = publish_run(archive, replace(draft(), generation_ms=99.0))
    assert again == first
    assert archive.runs.between(issue_from=ISSUED, issue_until=ISSUED, as_of=ISSUED) == (first,)
    assert archive.runs.newest(as_of=ISSUED) == first


def test_what_is_read_is_what_was_published(sqlite_archive: Archive) -> None:
    run = publish_run(sqlite_archive, draft())
    read = sqlite_archive.runs.open(run).values()
    # Values are kept in steps of at most 0.02 of their unit.
    np.testing.assert_allclose(read.quantiles, sound().quantiles, atol=0.011)
    np.testing.assert_allclose(read.mean, sound().mean, atol=0.011)
    assert check_run(read, GRID) == ()


def test_a_new_label_on_the_values_of_the_run_before_is_withheld_as_frozen(sqlite_archive: Archive) -> None:
    publish_run(sqlite_archive, draft())
    with pytest.raises(RunWithheldError, match="frozen: every value equals the run before"):
        publish_run(sqlite_archive, draft(days=1))
    # One value that moved by one step of what is kept is a sign of life.
    alive = sound()
    alive.quantiles[HUMIDITY, 3, 9, -1] += 0.01
    assert publish_run(sqlite_archive, draft(alive, days=1)).issue_time == ISSUED + timedelta(days=1)


def test_a_second_run_of_the_same_init_time_may_say_the_same(sqlite_archive: Archive) -> None:
    first = publish_run(sqlite_archive, draft())
    later = replace(draft(), issue_time=ISSUED + timedelta(hours=2), published_at=ISSUED + timedelta(hours=2))
    again = publish_run(sqlite_archive, later)
    assert (again.init_time, again.issue_time) == (first.init_time, later.issue_time)


def test_dry_weather_that_lasts_is_no_standstill(sqlite_archive: Archive) -> None:
    grid = replace(GRID, variables=("precipitation",))
    dry = ForecastValues(
        np.zeros((1, len(SITES), len(LEADS), len(LEVEL_ARRAY)), np.float32),
        np.zeros((1, len(SITES), len(LEADS)), np.float32),
    )
    publish_run(sqlite_archive, draft(dry, grid=grid))
    assert publish_run(sqlite_archive, draft(dry, days=1, grid=grid)).issue_time == ISSUED + timedelta(days=1)


def test_a_run_of_the_past_is_not_compared_with_a_later_one(sqlite_archive: Archive) -> None:
    publish_run(sqlite_archive, draft(days=1))
    past = replace(draft(), published_at=ISSUED + timedelta(days=2))
    assert publish_run(sqlite_archive, past).issue_time == ISSUED


def test_another_grid_is_not_compared(sqlite_archive: Archive) -> None:
    publish_run(sqlite_archive, draft())
    values = sound()
    fewer = replace(GRID, sites=SITES[:2])
    part = ForecastValues(values.quantiles[:, :2], values.mean[:, :2])
    assert publish_run(sqlite_archive, draft(part, days=1, grid=fewer)).issue_time == ISSUED + timedelta(days=1)
