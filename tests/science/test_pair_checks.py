"""Tables whose forecasts and observations do not belong together: planted faults are found and named, healthy ones pass."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from skyproof.domain.cases import Cases, Place
from skyproof.domain.units import convert
from skyproof.domain.variables import find_variable
from skyproof.science.pair_checks import check_pairs
from skyproof.science.pair_columns import find_constant, find_frozen, find_leak, find_wrong_unit
from skyproof.science.pair_series import departures, mean_of_members, truth_grid
from skyproof.stages.sources.case_cubes import load_bench_table
from tests.stages.case_samples import SPECS, real_set

HOUR = np.timedelta64(3600, "s")
START = np.datetime64("2023-01-01T00:00:00", "s")
REAL = {
    "ecmwf-ens-precip-frankfurt": "ecmwf-ens-precip-frankfurt",
    "ecmwf-ens-t2m-germany": "ecmwf-ens-t2m-germany",
    "ecmwf-predictors-t2m-hannover": "ecmwf-predictors-t2m-hannover",
    "gefcom2012-wind": "gefcom2012-wind",
    "gefcom2014-solar": "gefcom2014-solar",
    "gefcom2014-wind": "gefcom2014-wind",
    "gefs-reforecast-innsbruck-precip12h": "gefs-reforecast-innsbruck",
    "gefs-reforecast-innsbruck-precip3d": "gefs-reforecast-innsbruck",
    "gefs-reforecast-innsbruck-tmin": "gefs-reforecast-innsbruck",
    "icon-eu-eps-berlin-t2m": "icon-eu-eps-berlin-2021",
    "icon-eu-eps-berlin-wind": "icon-eu-eps-berlin-2021",
    "nordic-multimodel-wind": "nordic-multimodel-feb2019",
    "pnw-t2m-2000": "pnw-t2m-2000",
    "seoul-ldaps-tmax": "seoul-ldaps-tmax-tmin",
    "seoul-ldaps-tmin": "seoul-ldaps-tmax-tmin",
    "us-airports-tmax": "us-airports-openmeteo-nws-2025",
    "us-airports-tmin": "us-airports-openmeteo-nws-2025",
    "uw-multimodel-t2m-2004": "uw-multimodel-t2m-2004",
}


def make_world(days: int = 60, sites: int = 4, seed: int = 3) -> Cases:
    """Hourly temperature with a day, weather that lasts a few hours, and two sources with errors of their own."""
    chance = np.random.default_rng(seed)
    hours = 24 * (days + 2)
    weather = np.zeros((hours, sites))
    for hour in range(1, hours):
        weather[hour] = 0.97 * weather[hour - 1] + chance.normal(0, 1, sites)
    truth = 10 + 5 * np.sin(np.arange(hours) * 2 * np.pi / 24)[:, None] + weather
    leads = tuple(range(3, 25, 3))
    place = 24 * np.arange(days)[:, None] + np.array(leads)
    observed = truth[place].astype(np.float32)
    sources = {
        name: (observed + chance.normal(bias, size, observed.shape)).astype(np.float32)[..., None]
        for name, bias, size in (("alba", 0.5, 1.5), ("brisa", -0.5, 2.0))
    }
    return Cases(
        find_variable("temperature_2m"),
        START + 24 * HOUR * np.arange(days),
        leads,
        tuple(Place(f"s{k}") for k in range(sites)),
        sources,
        {},
        observed,
    )


def shifted(cases: Cases, hours: int) -> Cases:
    """The same forecasts beside the observations of so many hours later."""
    truth = truth_grid(cases)
    place = truth.places(cases.valid_times) + hours * 3600 // truth.step
    inside = (place >= 0) & (place < len(truth.observed))
    values = truth.observed[np.clip(place, 0, len(truth.observed) - 1)]
    return replace(cases, observed=np.where(inside[..., None], values, np.float32(np.nan)))


def swapped(cases: Cases, first: int, second: int) -> Cases:
    """The observations of two sites exchanged."""
    observed = cases.observed.copy()
    observed[..., [first, second]] = observed[..., [second, first]]
    return replace(cases, observed=observed)


def load_real(name: str):
    return load_bench_table(SPECS / f"{name}.yaml", data_folders=[real_set(REAL[name])])


def test_a_healthy_table_raises_nothing():
    assert check_pairs(make_world(), said="Cel") == []


@pytest.mark.parametrize(("hours", "way"), [(3, "earlier"), (6, "earlier"), (-3, "later"), (24, "earlier")])
def test_shifted_forecasts_are_refused_and_the_shift_is_named(hours, way):
    # Beside the observations of three hours later, a forecast fits the observation labelled three hours earlier.
    (finding,) = check_pairs(shifted(make_world(), hours), said="Cel")
    assert (finding.kind, finding.strength) == ("shifted", "strong")
    amount = "1 day" if abs(hours) == 24 else f"{abs(hours)} h"
    assert f"fits the observations of {amount} {way}" in finding.message
    assert "all 2 sources agree" in finding.message


def test_one_shifted_source_is_named_alone():
    cases = make_world()
    moved = np.roll(cases.members["brisa"], 1, axis=0)
    (finding,) = check_pairs(replace(cases, members={**cases.members, "brisa": moved}), said="Cel")
    assert finding.kind == "shifted"
    assert finding.message.startswith("source brisa fits the observations of 1 day earlier")


def test_swapped_stations_are_refused_and_named():
    (finding,) = check_pairs(swapped(make_world(), 0, 2), said="Cel")
    assert (finding.kind, finding.strength) == ("swapped", "strong")
    assert "sites s0 and s2 look swapped" in finding.message


@pytest.mark.parametrize("truly", ["[degF]", "K"])
def test_a_source_in_another_unit_is_refused_and_the_unit_is_named(truly):
    cases = make_world()
    wrong = convert(cases.members["alba"], "Cel", truly)
    found = check_pairs(replace(cases, members={**cases.members, "alba": wrong}), said="Cel")
    assert [(f.kind, f.strength) for f in found] == [("unit", "strong")]
    assert f"source alba looks like {truly}, said was Cel" in found[0].message


def test_wind_in_another_unit_is_doubted_only_where_no_bias_explains_it():
    chance = np.random.default_rng(1)
    observed = chance.gamma(3, 1.5, size=500).astype(np.float32)
    forecast = observed * np.exp(chance.normal(0, 0.15, size=500)).astype(np.float32)
    for truly, strength in (("km/h", "strong"), ("[kn_i]", "weak")):
        finding = find_wrong_unit("x", convert(forecast, "m/s", truly), observed, canonical="m/s", said="m/s")
        assert finding.strength == strength
        assert truly in finding.message
    assert find_wrong_unit("x", forecast * 1.3, observed, canonical="m/s", said="m/s") is None
    thousand = find_wrong_unit("x", forecast * 1000, observed, canonical="MW", said="MW")
    assert "MW x 0.001" in thousand.message


def test_a_column_that_is_the_truth_is_refused():
    cases = make_world()
    told = check_pairs(replace(cases, members={**cases.members, "alba": cases.observed[..., None]}), said="Cel")
    assert [(f.kind, f.strength) for f in told] == [("leak", "strong")]
    assert "source alba equals the observation in 100 %" in told[0].message
    told = check_pairs(replace(cases, predictors={"power": cases.observed * 3 + 1}), said="Cel")
    assert [(f.kind, f.strength) for f in told] == [("leak", "strong")]
    assert "feature power explains 100" in told[0].message
    near = cases.observed + np.random.default_rng(2).normal(0, 0.15, cases.observed.shape).astype(np.float32)
    assert find_leak("x", near, cases.observed).strength == "weak"


def test_constant_columns_are_refused_as_sources_and_doubted_as_features():
    cases = make_world()
    still = np.full_like(cases.observed, 7)
    told = check_pairs(replace(cases, members={**cases.members, "alba": still[..., None]}), said="Cel")
    assert [(f.kind, f.strength, f.message) for f in told] == [("constant", "strong", "source alba is always 7")]
    told = check_pairs(replace(cases, predictors={"slope": still}), said="Cel")
    assert [(f.kind, f.strength) for f in told] == [("constant", "weak")]
    told = check_pairs(replace(cases, observed=still), said="Cel")
    assert ("constant", "strong", "the target is always 7") in [(f.kind, f.strength, f.message) for f in told]


def test_a_stuck_column_is_found_and_dry_weather_is_not():
    chance = np.random.default_rng(4)
    values = chance.gamma(1, 2, size=(300, 2)).astype(np.float32)
    values[values < 1.5] = 0
    values[40:80] = 0
    assert find_frozen("x", values) is None
    values[100:130, 0] = 3.25
    few = find_frozen("x", values)
    assert (few.kind, few.strength) == ("frozen", "weak")
    assert "up to 30 times in a row, 5.0 % of all cases" in few.message
    values[100:290] = 3.25
    assert find_frozen("x", values).strength == "strong"


def test_the_course_of_the_sun_tells_noon_where_clouds_do_not_tell_the_power():
    cases, chance = make_world(days=40), np.random.default_rng(9)
    hour = (cases.valid_times - cases.valid_times.astype("datetime64[D]")) / HOUR
    course = np.maximum(np.sin((hour - 6) * np.pi / 12), 0)[..., None]
    power = (course * chance.uniform(0.5, 1, cases.observed.shape)).astype(np.float32)
    sun = (800 * course * chance.uniform(0.5, 1, cases.observed.shape)).astype(np.float32)
    solar = replace(cases, members={}, predictors={"sun": sun}, observed=power)
    assert check_pairs(solar, said="1") == []
    (finding,) = check_pairs(shifted(solar, 3), said="1")
    assert (finding.kind, finding.strength) == ("shifted", "weak")
    assert finding.message.startswith("the course of feature sun fits the observations of 3 h earlier better")


def test_departures_lose_season_and_hour_and_keep_the_weather():
    seconds = np.arange(0, 2 * 365 * 86_400, 3 * 3600)
    season = 10 * np.cos(2 * np.pi * seconds / (365.2425 * 86_400)) + 5 * np.cos(2 * np.pi * seconds / 86_400)
    weather = np.random.default_rng(5).normal(size=len(seconds))
    left = departures((season + weather)[:, None], seconds)[:, 0]
    np.testing.assert_allclose(left, weather, atol=0.15)
    some = departures(np.full((5, 1), 3.0), np.arange(5) * 86_400)
    assert np.isnan(some).all()


def test_too_little_to_judge_raises_nothing():
    cases = make_world(days=4, sites=1)
    assert check_pairs(shifted(cases, 3), said="Cel") == []
    empty = replace(cases, observed=np.full_like(cases.observed, np.nan), members={})
    assert check_pairs(empty, said="Cel") == []
    assert find_constant("x", np.full(5, 1.0)) is None
    assert np.isnan(mean_of_members(np.full((2, 3), np.nan))).all()


@pytest.mark.data
@pytest.mark.parametrize("name", REAL)
def test_no_real_set_raises_an_alarm(name):
    table = load_real(name)
    assert check_pairs(table.cases, said=table.unit) == []


@pytest.mark.data
@pytest.mark.parametrize("days", [1, -1])
@pytest.mark.parametrize(
    "name",
    [
        "ecmwf-ens-precip-frankfurt",
        "ecmwf-ens-t2m-germany",
        "gefs-reforecast-innsbruck-tmin",
        "pnw-t2m-2000",
        "seoul-ldaps-tmin",
        "us-airports-tmax",
        "uw-multimodel-t2m-2004",
        "gefcom2014-wind",
    ],
)
def test_a_day_planted_into_a_real_set_is_refused(name, days):
    table = load_real(name)
    found = check_pairs(shifted(table.cases, 24 * days), said=table.unit)
    assert {(f.kind, f.strength) for f in found} == {("shifted", "strong")}
    # Power follows the wind of half an hour before; there the nearest shift is one hour beside the day.
    assert all("1 day" in f.message or "23 h" in f.message or "25 h" in f.message for f in found)


@pytest.mark.data
def test_hours_planted_into_wind_and_power_are_doubted():
    table = load_real("gefcom2012-wind")
    (finding,) = check_pairs(shifted(table.cases, 3), said=table.unit)
    assert "forecasts look shifted by 3 h" in finding.message


@pytest.mark.data
@pytest.mark.parametrize("hours", [3, -6])
def test_hours_planted_into_sunshine_and_power_are_refused(hours):
    table = load_real("gefcom2014-solar")
    (finding,) = check_pairs(shifted(table.cases, hours), said=table.unit)
    assert finding.strength == "strong"
    assert finding.message.startswith("feature ssrd_acc fits")
    assert f"shifted by {abs(hours)} h" in finding.message


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "first", "second"),
    [("ecmwf-ens-t2m-germany", 0, 1), ("us-airports-tmax", 2, 7), ("gefcom2014-wind", 3, 2), ("pnw-t2m-2000", 36, 77)],
)
def test_stations_swapped_in_a_real_set_are_named(name, first, second):
    table = load_real(name)
    found = check_pairs(swapped(table.cases, first, second), said=table.unit)
    names = {table.cases.sites[k].place_id for k in (first, second)}
    assert [f.kind for f in found] == ["swapped"]
    assert all(f" {name} " in found[0].message for name in names)


@pytest.mark.data
def test_a_source_of_a_real_set_in_fahrenheit_is_named():
    table = load_real("uw-multimodel-t2m-2004")
    members = {**table.cases.members, "GFS": convert(table.cases.members["GFS"], "Cel", "[degF]")}
    (finding,) = check_pairs(replace(table.cases, members=members), said="Cel")
    assert (finding.kind, finding.strength) == ("unit", "strong")
    assert finding.message.startswith("source GFS looks like [degF], said was Cel")
