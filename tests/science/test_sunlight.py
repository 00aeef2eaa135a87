"""The sun: where almanacs say it is, and what a cloudless sky gives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyproof.science.sunlight import clear_sky_index, clear_sky_mean, clear_sky_radiation, cosine_of_zenith


def elevation(instant, latitude, longitude):
    cosine = cosine_of_zenith(np.array([instant], dtype="datetime64[s]"), latitude=latitude, longitude=longitude)
    return float(90 - np.degrees(np.arccos(cosine[0])))


@pytest.mark.parametrize(
    ("instant", "latitude", "longitude", "wanted"),
    [
        ("2026-06-21T11:28", 47.38, 8.54, 90 - 47.38 + 23.44),  # true noon of Zurich at the solstice
        ("2026-12-21T11:24", 47.38, 8.54, 90 - 47.38 - 23.44),
        ("2026-03-20T12:07", 0.0, 0.0, 90.0),  # equinox at the equator
        ("2026-06-21T00:02", 70.0, 0.0, 23.44 - 20.0),  # midnight sun
    ],
)
def test_the_sun_stands_where_almanacs_say(instant, latitude, longitude, wanted):
    assert elevation(instant, latitude, longitude) == pytest.approx(wanted, abs=0.6)


def test_the_equation_of_time_is_that_of_almanacs():
    """True noon at Greenwich: 11:43:35 on 3 November, 12:14:15 on 11 February (Astronomical Almanac, to the minute)."""
    for day, minutes in (("2026-11-03", 11 * 60 + 43.6), ("2026-02-11", 12 * 60 + 14.2)):
        times = np.datetime64(f"{day}T11:00", "s") + np.arange(7200) * np.timedelta64(1, "s")
        highest = np.argmax(cosine_of_zenith(times, latitude=40.0, longitude=0.0))
        assert 660 + highest / 60 == pytest.approx(minutes, abs=1.0)


def test_clear_sky_by_hand():
    # overhead: 1098 exp(-0.057)
    np.testing.assert_allclose(clear_sky_radiation(np.array([1.0, 0.0, -0.3])), [1037.16, 0, 0], rtol=1e-4)


def test_a_mean_over_an_interval_is_an_integral():
    end = np.array(["2026-06-21T12:00", "2026-06-21T00:00"], dtype="datetime64[s]")
    mean = clear_sky_mean(end, latitude=47.4, longitude=8.5, interval_hours=3)
    instants = end[0] - np.arange(1, 10801) * np.timedelta64(1, "s")
    plain = clear_sky_radiation(cosine_of_zenith(instants, latitude=47.4, longitude=8.5)).mean()
    assert mean[0] == pytest.approx(plain, rel=1e-3)
    assert mean[1] == 0


@given(st.floats(0, 1500), st.floats(0, 1100))
def test_the_clear_sky_index_is_bounded_and_missing_at_night(radiation, clear):
    index = clear_sky_index(np.array([radiation]), np.array([clear]))[0]
    assert np.isnan(index) if clear < 20 else 0 <= index <= 1.3
