"""Instants: aware, UTC, and counted as people count."""

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyproof.domain import times
from skyproof.domain.errors import InvalidValueError

INSTANTS = st.datetimes(datetime(1980, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC)).map(
    lambda t: t.replace(microsecond=0)
)


def test_a_naive_instant_is_refused_and_another_zone_is_translated():
    with pytest.raises(InvalidValueError, match="time zone"):
        times.require_utc(datetime(2026, 1, 1))
    zone = timezone(timedelta(hours=5, minutes=30))
    assert times.require_utc(datetime(2026, 1, 1, 5, 30, tzinfo=zone)) == datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", "", "2026-01-01T25:00Z", "9" * 60])
def test_words_that_are_no_instant_are_refused(text):
    with pytest.raises(InvalidValueError, match="issue time"):
        times.parse_instant(text, "issue time")


def test_a_date_is_its_midnight_and_a_bare_time_is_utc():
    assert times.parse_instant("2026-01-31") == datetime(2026, 1, 31, tzinfo=UTC)
    assert times.parse_instant("2026-01-31T06:00") == datetime(2026, 1, 31, 6, tzinfo=UTC)
    assert times.parse_instant("2026-01-31T06:00+02:00") == datetime(2026, 1, 31, 4, tzinfo=UTC)


@given(INSTANTS)
def test_instants_survive_every_round_trip(instant):
    assert times.parse_instant(times.format_instant(instant)) == instant
    assert times.from_epoch_seconds(times.to_epoch_seconds(instant)) == instant
    assert times.from_datetime64(times.to_datetime64(instant)) == instant
    assert times.from_datetime64(np.datetime64(times.to_datetime64(instant), "ns")) == instant


@given(INSTANTS, st.sampled_from([1, 3, 6, 12, 24]))
def test_flooring_goes_back_by_less_than_a_step(instant, step):
    floored = times.floor_to_hours(instant, step)
    assert timedelta(0) <= instant - floored < timedelta(hours=step)
    assert floored.hour % step == 0


@given(INSTANTS, st.integers(0, 300), st.sampled_from([6, 12, 24]), st.integers(0, 23))
def test_a_schedule_holds_every_nominal_time_of_the_period_and_no_other(start, span_hours, every, at_hour):
    end = start + timedelta(hours=span_hours)
    brute = []
    instant = (
        datetime(start.year, start.month, start.day, tzinfo=UTC) - timedelta(days=1) + timedelta(hours=at_hour % every)
    )
    while instant <= end:
        if instant >= start:
            brute.append(instant)
        instant += timedelta(hours=every)
    assert list(times.schedule(start, end, every, at_hour)) == brute
