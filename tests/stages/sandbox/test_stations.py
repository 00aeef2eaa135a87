"""What stations report, measured against a weather we know exactly."""

from __future__ import annotations

import numpy as np
import pytest

from skyproof.stages.sandbox.stations import observe
from skyproof.stages.sandbox.surface import VARIABLES

STEPS, SITES = 4 * 365, 40
T, WIND, RAIN, P = range(4)


@pytest.fixture(scope="module")
def calm():
    """A year of one and the same weather, so that all that differs is the stations' doing."""
    weather = np.empty((STEPS, 4, SITES), np.float32)
    weather[:, T], weather[:, WIND], weather[:, RAIN], weather[:, P] = 12.5, 6.0, 0.0, 1010.0
    weather[::4, RAIN] = 4.0
    return weather


@pytest.fixture(scope="module")
def reports(calm):
    return observe(calm, 1)


def gaps(reports):
    return np.isnan(reports.values[:, T])


def test_the_same_seed_reports_the_same_and_another_seed_something_else(calm, reports):
    np.testing.assert_array_equal(observe(calm, 1).values, reports.values)
    assert not np.array_equal(observe(calm, 2).values, reports.values, equal_nan=True)


def test_each_station_has_an_error_of_representativeness_that_lasts(calm, reports):
    for variable, wanted in ((T, 0.25), (WIND, 0.15), (P, 0.25)):
        error = reports.values[:, variable] - calm[:, variable]
        first, second = (np.nanmean(half, axis=0) for half in np.array_split(error, 2))
        assert np.corrcoef(first, second)[0, 1] > 0.95
        assert 0.6 * wanted < np.nanmean(error, axis=0).std(ddof=1) < 1.5 * wanted
        assert abs(np.nanmean(error)) < 3 * wanted / np.sqrt(SITES), "the network as a whole has no bias"


def test_noise_has_the_size_it_should_and_heavy_tails(calm, reports):
    error = reports.values[:, T] - calm[:, T]
    error -= np.nanmedian(error, axis=0)
    around = np.nanquantile(np.abs(error), 0.6827)
    assert 0.27 < around < 0.35
    beyond = np.nanmean(np.abs(error) > 4 * around)
    assert 0.003 < beyond < 0.012, "a Gaussian has 0.00006 there"


def test_reports_are_rounded_to_a_tenth(planet):
    values = planet.reports().values
    corrected = np.isfinite(planet.reports().corrected)
    tenths = 10 * values[np.isfinite(values) & ~corrected]
    np.testing.assert_allclose(tenths, np.round(tenths), atol=5e-3)


def test_dry_stays_dry_and_no_report_is_impossible(calm, reports):
    rain, first = reports.values[:, RAIN], np.isnan(reports.corrected[:, RAIN])
    dry = (calm[:, RAIN] == 0) & np.isfinite(rain) & first
    assert (rain[dry] == 0).all()
    for variable in (WIND, RAIN):
        assert np.nanmin(reports.values[:, variable]) >= 0


def test_reports_are_missing_at_random_in_outages_of_days_and_in_storms(calm, reports):
    missing = gaps(reports)
    assert 0.02 < missing.mean() < 0.08
    np.testing.assert_array_equal(missing[:, None].repeat(4, axis=1), np.isnan(reports.values))
    longest = 0
    for site in range(SITES):
        edges = np.flatnonzero(np.diff(np.r_[0, missing[:, site].astype(int), 0]))
        longest = max(longest, int((edges[1::2] - edges[::2]).max()))
    assert 8 <= longest <= 80
    stormy = calm.copy()
    stormy[:, WIND] = 25.0
    assert gaps(observe(stormy, 1)).mean() > 0.2 > 2 * missing.mean()


def test_reports_come_after_half_an_hour_and_some_much_later(reports):
    usual = reports.delay_minutes <= 40
    assert reports.delay_minutes.min() >= 20
    assert 0.01 < 1 - usual.mean() < 0.05
    assert (reports.delay_minutes[~usual] >= 9 * 60).all()


def test_some_reports_are_corrected_for_the_better(calm, reports):
    corrected = np.isfinite(reports.corrected)
    assert 0.005 < corrected.mean() < 0.015
    assert not (corrected & np.isnan(reports.values)).any(), "nothing is corrected that was not reported"
    for variable in range(4):
        here = corrected[:, variable]
        before = np.abs(reports.values[:, variable] - calm[:, variable])[here].mean()
        assert np.abs(reports.corrected[:, variable] - calm[:, variable])[here].mean() < before, VARIABLES[variable]


def test_stations_of_the_small_planet_see_its_weather_but_not_exactly(planet):
    weather, values = planet.weather(), planet.reports().values
    for variable, most in ((T, 0.8), (WIND, 0.8), (P, 0.8)):
        error = (values - weather)[:, variable]
        assert 0.2 < np.nanstd(error) < most
        both = np.isfinite(error)
        assert np.corrcoef(values[:, variable][both], weather[:, variable][both])[0, 1] > 0.9
