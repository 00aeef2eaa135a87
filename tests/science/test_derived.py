"""Days of a zone, extremes, sums, degree days, spells: by hand, against plain loops, and as properties."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyproof.domain.errors import InvalidValueError
from skyproof.science.derived import (
    cooling_degrees,
    heating_degrees,
    in_spells,
    local_days,
    over_windows,
    rolling_windows,
    spell_probabilities,
)

ZURICH, UTC_ZONE = ZoneInfo("Europe/Zurich"), ZoneInfo("UTC")


def hourly(first, count, step=1):
    return np.datetime64(first, "s") + np.arange(count) * np.timedelta64(3600 * step, "s")


def test_days_of_clock_changes_have_23_and_25_hours():
    spring = local_days(hourly("2026-03-28T00:00", 72), ZURICH, step_hours=1, instant=True)
    assert [(day.label, day.hours, len(day.places)) for day in spring] == [
        ("2026-03-29", 23, 23),
        ("2026-03-30", 24, 24),
    ]
    autumn = local_days(hourly("2026-10-24T00:00", 72), ZURICH, step_hours=1, instant=True)
    assert [(day.label, day.hours, len(day.places)) for day in autumn] == [
        ("2026-10-25", 25, 25),
        ("2026-10-26", 24, 24),
    ]
    assert str(spring[0].start) == "2026-03-28T23:00:00"
    assert str(spring[0].end) == "2026-03-29T22:00:00"


def test_midnight_begins_a_day_of_instants_and_closes_a_day_of_sums():
    times = hourly("2026-01-01T00:00", 49)
    instants = local_days(times, UTC_ZONE, step_hours=1, instant=True)
    sums = local_days(times, UTC_ZONE, step_hours=1, instant=False)
    assert [list(day.places[[0, -1]]) for day in instants] == [[0, 23], [24, 47]]
    assert [list(day.places[[0, -1]]) for day in sums] == [[1, 24], [25, 48]]


@given(
    start=st.integers(0, 24 * 400), count=st.integers(0, 100), step=st.sampled_from([1, 3, 6]),
    zone=st.sampled_from(["UTC", "Europe/Zurich", "Asia/Kolkata", "Australia/Lord_Howe", "America/St_Johns"]),
)  # fmt: skip
def test_days_are_those_of_a_plain_count(start, count, step, zone):
    """Against the slow way: sort every instant by its local date, keep dates none of whose instants is missing."""
    first = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=start)
    times = hourly(first.replace(tzinfo=None).isoformat(), count, step)
    held, everything = {}, {}
    for k in range(-60, count + 60):
        instant = first + timedelta(hours=k * step)
        label = instant.astimezone(ZoneInfo(zone)).date().isoformat()
        everything.setdefault(label, []).append(k)
        if 0 <= k < count:
            held.setdefault(label, []).append(k)
    wanted = {label: places for label, places in held.items() if places == everything[label]}
    found = local_days(times, ZoneInfo(zone), step_hours=step, instant=True)
    assert {day.label: list(day.places) for day in found} == wanted


def test_a_days_maximum_is_taken_member_by_member():
    """Two members that peak at different hours: the median of the maximum is above every hour's median."""
    members = np.array([[10.0, 20.0], [20.0, 10.0]])
    days = local_days(hourly("2026-01-01T00:00", 2, 12), UTC_ZONE, step_hours=12, instant=True)
    np.testing.assert_array_equal(over_windows(members, days, "maximum"), [[20.0, 20.0]])
    np.testing.assert_array_equal(over_windows(members, days, "minimum"), [[10.0, 10.0]])
    np.testing.assert_array_equal(over_windows(members, days, "mean"), [[15.0, 15.0]])
    assert np.median(members, axis=-1).max() == 15


def test_rain_over_windows_is_a_convolution():
    values = np.random.default_rng(1).random((2, 3, 8, 5))
    windows = rolling_windows(hourly("2026-01-01T06:00", 8, 6), step_hours=6, window_hours=24)
    assert len(windows) == 5
    assert windows[0].label == "2026-01-01T00:00Z"
    assert windows[0].hours == 24
    sums = over_windows(values, windows, "sum")
    plain = np.apply_along_axis(lambda row: np.convolve(row, np.ones(4), "valid"), 2, values)
    np.testing.assert_allclose(sums, plain)


def test_windows_do_not_bridge_missing_leads_and_must_consist_of_steps():
    times = hourly("2026-01-01T00:00", 8, 6)[[0, 1, 3, 4, 5]]
    assert [list(window.places) for window in rolling_windows(times, step_hours=6, window_hours=12)] == [
        [0, 1],
        [2, 3],
        [3, 4],
    ]
    for hours in (0, 9):
        with pytest.raises(InvalidValueError, match="steps of 6 h"):
            rolling_windows(times, step_hours=6, window_hours=hours)
    assert over_windows(np.ones((2, 5, 3)), (), "sum").shape == (2, 0, 3)
    assert local_days(times[:0], UTC_ZONE, step_hours=6, instant=True) == ()


def test_a_missing_value_leaves_its_window_missing():
    values = np.ones((4, 2))
    values[1, 0] = np.nan
    windows = rolling_windows(hourly("2026-01-01T06:00", 4, 6), step_hours=6, window_hours=12)
    assert np.isnan(over_windows(values, windows, "sum")).tolist() == [[True, False], [True, False], [False, False]]


def test_degree_days_by_hand():
    means = np.array([10.5, 15.5, 16.0, 30.0])
    np.testing.assert_allclose(heating_degrees(means), [5, 0, 0, 0])
    np.testing.assert_allclose(cooling_degrees(means), [0, 0, 0, 8])
    # Eurostat: 18 - T on days of at most 15, T - 21 on days of at least 24
    means = np.array([10.0, 15.0, 16.0, 23.0, 24.0])
    np.testing.assert_allclose(heating_degrees(means, base=18, limit=15), [8, 3, 0, 0, 0])
    np.testing.assert_allclose(cooling_degrees(means, base=21, limit=24), [0, 0, 0, 0, 3])
    assert np.isnan(heating_degrees(np.array([np.nan]), base=18, limit=15)).all()


@given(st.floats(-40, 50), st.floats(5, 25))
def test_heating_less_cooling_is_the_distance_to_the_base(mean, base):
    assert heating_degrees(mean, base=base) - cooling_degrees(mean, base=base) == pytest.approx(base - mean)


def test_spells_by_hand():
    happens = np.array([[1, 1, 0, 1, 1, 1, 0, 1]], dtype=bool).T
    assert in_spells(happens, 1)[:, 0].astype(int).tolist() == [1, 1, 0, 1, 1, 1, 0, 1]
    assert in_spells(happens, 2)[:, 0].astype(int).tolist() == [1, 1, 0, 1, 1, 1, 0, 0]
    assert in_spells(happens, 3)[:, 0].astype(int).tolist() == [0, 0, 0, 1, 1, 1, 0, 0]
    assert not in_spells(happens, 4).any()
    assert not in_spells(happens, 9).any()


@given(seed=st.integers(0, 200), steps=st.integers(1, 5))
def test_spells_are_those_of_a_plain_loop_and_fewer_when_longer(seed, steps):
    happens = np.random.default_rng(seed).random((2, 9, 4)) < 0.6
    slow = np.zeros_like(happens)
    for index in np.ndindex(2, 4):
        row = happens[index[0], :, index[1]]
        for k in range(9):
            left = k
            while left > 0 and row[left - 1]:
                left -= 1
            right = k
            while right < 8 and row[right + 1]:
                right += 1
            slow[index[0], k, index[1]] = row[k] and right - left + 1 >= steps
    np.testing.assert_array_equal(in_spells(happens, steps), slow)
    by_lead, ever = spell_probabilities(happens, steps)
    assert by_lead.shape == (2, 9)
    assert (ever >= by_lead.max(axis=-1)).all()
    assert (spell_probabilities(happens, steps + 1)[1] <= ever).all()
