"""Which steps an answer holds and how their times are written, on ordinary days and when clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skyproof.domain.errors import InvalidValueError
from skyproof.stages.deliver.requests import parse_request
from skyproof.stages.deliver.time_axis import TimeAxis, make_axis

#: Clocks in Zurich: 2025-03-30 01:00Z from 02:00 to 03:00; 2025-10-26 01:00Z from 03:00 to 02:00.
SPRING = datetime(2025, 3, 29, 12, tzinfo=UTC)
AUTUMN = datetime(2025, 10, 25, 12, tzinfo=UTC)
HOURLY = range(73)


def axis(init_time: datetime, zone: str = "Europe/Zurich", leads=HOURLY, **asked: str) -> TimeAxis:
    request = parse_request([("site", "zurich"), ("hourly", "temperature_2m"), *asked.items()])
    return make_axis(init_time, tuple(leads), zone, request)


def days(made: TimeAxis) -> dict[str, int]:
    """How many steps each local day has."""
    counts: dict[str, int] = {}
    for label in made.labels:
        counts[label[:10]] = counts.get(label[:10], 0) + 1
    return counts


def test_all_steps_in_utc_are_written_with_a_z():
    made = axis(SPRING, "UTC", leads=(6, 12))
    assert made.labels == ("2025-03-29T18:00Z", "2025-03-30T00:00Z")
    assert made.valid_seconds.tolist() == [int((SPRING + timedelta(hours=h)).timestamp()) for h in (6, 12)]
    assert (made.zone, made.abbreviation, made.utc_offset_seconds) == ("UTC", "UTC", 0)


def test_the_day_the_clocks_go_forward_has_23_hours():
    made = axis(SPRING, forecast_days="2")
    assert days(made) == {"2025-03-29": 11, "2025-03-30": 23}
    assert "2025-03-30T02:00+01:00" not in made.labels
    night = made.labels.index("2025-03-30T01:00+01:00")
    assert made.labels[night + 1] == "2025-03-30T03:00+02:00"
    assert (made.abbreviation, made.utc_offset_seconds) == ("CET", 3600)


def test_the_day_the_clocks_go_back_has_25_hours_and_no_label_twice():
    made = axis(AUTUMN, forecast_days="2")
    assert days(made) == {"2025-10-25": 10, "2025-10-26": 25}
    assert len(set(made.labels)) == len(made.labels)
    night = made.labels.index("2025-10-26T02:00+02:00")
    assert made.labels[night + 1] == "2025-10-26T02:00+01:00"
    assert (made.abbreviation, made.utc_offset_seconds) == ("CEST", 7200)


def test_a_day_whose_midnight_is_left_out_begins_at_one():
    # Santiago: 2025-09-07 00:00 does not exist, the clocks go to 01:00 (04:00Z).
    made = axis(datetime(2025, 9, 6, 4, tzinfo=UTC), "America/Santiago", forecast_days="2")
    assert days(made) == {"2025-09-06": 24, "2025-09-07": 23}
    assert "2025-09-07T01:00-03:00" in made.labels


def test_an_hour_that_happens_twice_is_asked_whole():
    made = axis(AUTUMN, start_hour="2025-10-26T02:00", end_hour="2025-10-26T02:00")
    assert made.labels == ("2025-10-26T02:00+02:00", "2025-10-26T02:00+01:00")
    made = axis(AUTUMN, start_hour="2025-10-26T02:00+01:00", end_hour="2025-10-26T02:00+01:00")
    assert made.labels == ("2025-10-26T02:00+01:00",)


def test_an_hour_that_never_happens_is_refused_alone_and_harmless_as_a_border():
    with pytest.raises(InvalidValueError, match="no step"):
        axis(SPRING, start_hour="2025-03-30T02:00", end_hour="2025-03-30T02:59")
    made = axis(SPRING, start_hour="2025-03-30T02:00", end_hour="2025-03-30T04:00")
    assert made.labels == ("2025-03-30T03:00+02:00", "2025-03-30T04:00+02:00")


def test_hours_count_from_the_init_time_and_include_the_last():
    assert axis(SPRING, leads=(6, 12, 18), forecast_hours="12").last == 2
    assert axis(SPRING, leads=(6, 12, 18), forecast_hours="11").last == 1
    assert axis(SPRING, leads=(6, 12, 18), forecast_hours="1000").last == 3


def test_the_first_local_day_is_that_of_the_init_time():
    init = datetime(2025, 6, 1, 20, tzinfo=UTC)  # 01:30 of the second in Kolkata
    made = axis(init, "Asia/Kolkata", forecast_days="1")
    assert days(made) == {"2025-06-02": 23}
    assert made.labels[0] == "2025-06-02T01:30+05:30"


@pytest.mark.parametrize(
    "asked",
    [
        {"forecast_hours": "5"},
        {"start_hour": "2026-01-01T00:00"},
        {"end_hour": "2024-01-01T00:00Z"},
        {"start_hour": "2025-03-30T00:00Z", "end_hour": "2025-03-29T00:00Z"},
        {"start_hour": "9998-12-31T23:59"},
        {"end_hour": "0002-01-01T00:00"},
    ],
    ids=str,
)
def test_a_window_without_a_step_says_where_the_run_reaches(asked):
    with pytest.raises(InvalidValueError) as caught:
        axis(SPRING, leads=(6, 12), **asked)
    assert caught.value.hint == "the run reaches from 2025-03-29T18:00:00Z to 2025-03-30T00:00:00Z"


def test_times_can_be_epoch_seconds():
    made = axis(AUTUMN, leads=(6, 12), timeformat="unixtime")
    assert made.labels == tuple(int((AUTUMN + timedelta(hours=h)).timestamp()) for h in (6, 12))
    assert made.utc_offset_seconds == 7200


ZONES = [
    "UTC",
    "Europe/Zurich",
    "America/Santiago",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Pacific/Apia",
    "Asia/Beirut",
]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 3 * 365 * 24), st.sampled_from(ZONES), st.integers(1, 3))
def test_a_window_of_days_is_what_counting_local_dates_gives(hours, zone, count):
    init = datetime(2023, 1, 1, tzinfo=UTC) + timedelta(hours=hours)
    made = axis(init, zone, leads=range(97), forecast_days=str(count))
    local = [(init + timedelta(hours=lead)).astimezone(ZoneInfo(zone)) for lead in range(97)]
    wanted = [instant for instant in local if (instant.date() - local[0].date()).days < count]
    assert made.last - made.first == len(wanted)
    for label, instant in zip(made.labels, wanted, strict=True):
        assert datetime.fromisoformat(label) == instant
