"""Derived quantities of a run: from members, in the site's own days, with what was measured there by the issue time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from skyproof.archive.archive import Archive
from skyproof.archive.runs import RunDraft
from skyproof.domain.cycles import ObservationBatch
from skyproof.domain.derived import DerivedQuestion
from skyproof.domain.errors import InvalidValueError, UnknownNameError
from skyproof.domain.forecasts import ForecastGrid, ForecastValues, Regime
from skyproof.domain.quantiles import LEVEL_ARRAY
from skyproof.domain.sites import Site
from skyproof.domain.times import hours, to_datetime64
from skyproof.science.power_curve import solar_power, wind_power
from skyproof.stages.forecast.derive import QUANTITIES, derive
from skyproof.stages.forecast.scenarios import draw_scenarios

#: The night before clocks go back in Zurich.
ISSUE = datetime(2025, 10, 24, 12, tzinfo=UTC)
SITES = (
    Site("zurich", "Zurich", 47.4, 8.5, 410.0, "Europe/Zurich"),
    Site("denver", "Denver", 39.7, -105.0, 1600.0, "America/Denver"),
)
VARIABLES = ("temperature_2m", "wind_speed_10m", "precipitation", "shortwave_radiation")
LEADS = tuple(range(1, 73))
CHANCE = np.random.default_rng(1)


def publish(archive, variables=VARIABLES):
    """A run whose temperature rises and falls with the sun, with wind, rain and sunshine."""
    grid = ForecastGrid(SITES, variables, LEADS, 1)
    hour = np.array(LEADS) + 12
    middle = {
        "temperature_2m": 10 - 6 * np.cos(2 * np.pi * (hour - 3) / 24),
        "wind_speed_10m": 7 + 2 * np.sin(hour / 9),
        "wind_speed_100m": 10 + 3 * np.sin(hour / 9),
        "wind_gusts_10m": 12 + 3 * np.sin(hour / 9),
        "precipitation": np.full(len(LEADS), 0.4),
        "shortwave_radiation": np.maximum(-600 * np.cos(2 * np.pi * hour / 24), 0),
    }
    spread = np.linspace(-1.5, 1.5, len(LEVEL_ARRAY))
    quantiles = np.stack([np.stack([middle[name][:, None] + spread] * 2) for name in variables])
    quantiles[1:] = np.maximum(quantiles[1:], 0)
    values = ForecastValues(quantiles.astype(np.float32), quantiles.mean(axis=-1).astype(np.float32))
    return archive.runs.publish(
        RunDraft(
            "rel_none", ISSUE, ISSUE, ISSUE, Regime("full", (), (), 1.0, 0.8, 100), (), grid, values,
            np.zeros(quantiles.shape[:3], np.uint8), "", 1.0,
        )
    )  # fmt: skip


def measure(archive, lower, upper, names, recorded=None):
    """A year of hourly pairs at Zurich."""
    count = len(lower)
    times = to_datetime64(ISSUE) - np.arange(count, 0, -1) * np.timedelta64(3600, "s")
    for name, values in zip(names, (lower, upper), strict=True):
        batch = ObservationBatch(
            "stations", np.full(count, "zurich"), np.full(count, name), times,
            times + np.timedelta64(600, "s") if recorded is None else np.full(count, recorded), values,
        )  # fmt: skip
        archive.observations.append(batch, np.full(count, ""))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with Archive.open(tmp_path_factory.mktemp("derive")) as archive:
        archive.sites.add(SITES)
        yield archive, publish(archive)


def ask(world, quantity, *, members=150, archive=None, **settings):
    archive, run = world
    question = {key: settings.pop(key) for key in list(settings) if key in DerivedQuestion.__dataclass_fields__}
    return derive(
        archive, run, DerivedQuestion(quantity, **question), members=members,
        sites={site.site_id: site for site in SITES}, template="independent", **settings,
    )  # fmt: skip


def members_of(world, variable, members=150):
    return draw_scenarios(*world, members=members, variables=[variable], template="independent").values[0]


def test_days_are_those_of_the_site_and_the_day_clocks_change_has_25_hours(world):
    derived = ask(world, "daily-maximum")
    days = list(zip(derived.site_ids, derived.labels, strict=True))
    assert days == [
        ("zurich", "2025-10-25"),
        ("zurich", "2025-10-26"),
        ("denver", "2025-10-25"),
        ("denver", "2025-10-26"),
    ]
    assert ((derived.ends - derived.starts) / np.timedelta64(3600, "s")).tolist() == [24, 25, 24, 24]
    assert derived.name == "daily_maximum_temperature_2m"
    assert derived.columns == ("p10", "p50", "p90")


def test_a_daily_extreme_is_taken_of_members_and_lies_beyond_the_extreme_of_medians(world):
    derived = ask(world, "daily-maximum")
    first = members_of(world, "temperature_2m")[0, 9:33]  # 22 UTC of the 24th to 21 UTC of the 25th
    np.testing.assert_allclose(derived.values[0], np.quantile(first.max(axis=0), [0.1, 0.5, 0.9], method="hazen"))
    assert derived.values[0, 1] > np.median(first, axis=1).max() + 0.3
    coldest = ask(world, "daily-minimum").values[0]
    assert coldest[1] < np.median(first, axis=1).min() - 0.3


def test_rain_adds_up_over_windows_and_days(world):
    rain = members_of(world, "precipitation")
    windows = ask(world, "accumulation", hours=6)
    assert windows.site_ids.count("zurich") == 67
    np.testing.assert_allclose(windows.values[3, 1], np.median(rain[0, 3:9].sum(axis=0)), rtol=1e-6)
    assert windows.starts[3] == to_datetime64(ISSUE + hours(3))
    assert windows.ends[3] == to_datetime64(ISSUE + hours(9))
    day = ask(world, "daily-sum")
    np.testing.assert_allclose(day.values[0, 1], np.median(rain[0, 10:34].sum(axis=0)), rtol=1e-6)
    for quantity in ("accumulation", "daily-sum"):
        with pytest.raises(InvalidValueError, match="no amount"):
            ask(world, quantity, variable="temperature_2m")


def test_degree_days_add_up_to_a_total_with_quantiles_of_its_own(world):
    derived = ask(world, "heating-degree-days", base=18.0, limit=15.0)
    assert derived.unit == "K.d"
    assert derived.labels[:3] == ("2025-10-25", "2025-10-26", "total")
    days, total = derived.values[:2], derived.values[2]
    assert total[1] == pytest.approx(days[:, 1].sum(), abs=0.1)
    assert total[2] - total[0] < (days[:, 2] - days[:, 0]).sum(), "independent days do not err together"
    assert (ask(world, "cooling-degree-days").values == 0).all()


def test_a_spell_is_a_question_about_courses(world):
    wind = members_of(world, "wind_speed_10m")
    derived = ask(world, "spell", above=8.0, hours=3)
    assert derived.columns == ("probability",)
    assert derived.labels[len(LEADS)] == "total"
    above = wind[0] > 8
    three = above[:-2] & above[1:-1] & above[2:]
    assert derived.values[len(LEADS), 0] == pytest.approx(three.any(axis=0).mean())
    assert (derived.values[: len(LEADS), 0] <= above.mean(axis=1) + 1e-12).all()
    frost = ask(world, "spell", variable="temperature_2m", below=0.0)
    assert (frost.values >= 0).all()
    for thresholds in ({}, {"above": 1.0, "below": 2.0}):
        with pytest.raises(InvalidValueError, match="one threshold"):
            ask(world, "spell", **thresholds)


def test_hub_wind_without_measurements_follows_the_norm(world):
    derived = ask(world, "wind-at-height", height_m=120.0)
    wind = members_of(world, "wind_speed_10m")
    assert derived.name == "wind_speed_120m"
    np.testing.assert_allclose(derived.values[0, 1], np.median(wind[0, 0]) * 12**0.2, rtol=1e-5)
    assert derived.facts["template"]["made_by"]["sites_with_learned_shear"] == 0
    given = ask(world, "wind-at-height", height_m=120.0, exponent=0.0)
    np.testing.assert_allclose(given.values[0, 1], np.median(wind[0, 0]), rtol=1e-5)
    with pytest.raises(InvalidValueError, match="outside 5 to 300 m"):
        ask(world, "wind-at-height", height_m=0.0)


def test_hub_wind_and_gusts_learn_from_the_sites_own_measurements_known_by_then(tmp_path):
    with Archive.open(tmp_path) as archive:
        archive.sites.add(SITES)
        run = publish(archive)
        lower = CHANCE.weibull(2.0, 3000) * 6 + 1
        late = to_datetime64(ISSUE + timedelta(hours=1))
        measure(archive, lower, lower * 10**0.35, ("wind_speed_10m", "wind_speed_100m"), recorded=late)
        before = ask((archive, run), "wind-at-height", height_m=100.0)
        assert before.facts["template"]["made_by"]["sites_with_learned_shear"] == 0, "nothing of it was known then"
        measure(archive, lower, lower * 10**0.35, ("wind_speed_10m", "wind_speed_100m"))
        after = ask((archive, run), "wind-at-height", height_m=100.0)
        assert after.facts["template"]["made_by"]["sites_with_learned_shear"] == 1
        wind = np.median(members_of((archive, run), "wind_speed_10m")[:, 0], axis=-1)
        assert after.values[0, 1] == pytest.approx(wind[0] * 10**0.35, rel=0.02)
        assert after.values[len(LEADS), 1] == pytest.approx(wind[1] * 10**0.2, rel=1e-5), "Denver has none"
        measure(archive, lower, lower * 2.2, ("wind_speed_10m", "wind_gusts_10m"))
        gusts = ask((archive, run), "gusts")
        assert gusts.facts["template"]["made_by"]["sites_with_learned_factor"] == 1
        assert gusts.values[0, 1] == pytest.approx(wind[0] * 2.2, rel=0.02)
        assert gusts.values[len(LEADS), 1] == pytest.approx(wind[1] * 1.66, rel=0.05)


def test_a_run_that_has_the_wind_at_two_heights_or_gusts_uses_them(tmp_path):
    with Archive.open(tmp_path) as archive:
        archive.sites.add(SITES)
        world = archive, publish(archive, (*VARIABLES, "wind_speed_100m", "wind_gusts_10m"))
        hub = ask(world, "wind-at-height", height_m=100.0)
        np.testing.assert_allclose(hub.values[0, 1], np.median(members_of(world, "wind_speed_100m")[0, 0]), rtol=1e-4)
        gusts = ask(world, "gusts")
        np.testing.assert_allclose(gusts.values[0, 1], np.median(members_of(world, "wind_gusts_10m")[0, 0]), rtol=1e-5)


def test_power_is_made_of_members_and_summed_by_capacity(world):
    wind, sun = members_of(world, "wind_speed_10m"), members_of(world, "shortwave_radiation")
    power = wind_power(wind * 10**0.2)
    derived = ask(world, "wind-power", total=True, site_ids=["zurich", "denver"], weights=[10.0, 5.0])
    assert set(derived.site_ids) == {"sum"}
    np.testing.assert_allclose(
        derived.values[:, 1], np.median(10 * power[0] + 5 * power[1], axis=-1), rtol=1e-5, atol=1e-6
    )
    warmth = members_of(world, "temperature_2m")
    solar = ask(world, "solar-power")
    np.testing.assert_allclose(
        solar.values[: len(LEADS), 1], np.median(solar_power(sun, warmth)[0], axis=-1), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_every_quantity_has_the_same_answer_each_time_and_rising_quantiles(world, quantity):
    settings = {"above": 8.0} if quantity == "spell" else {}
    one, other = (ask(world, quantity, members=40, levels=(0.9, 0.1), **settings) for _ in range(2))
    np.testing.assert_array_equal(one.values, other.values)
    assert len(one.values) == len(one.site_ids) == len(one.labels) == len(one.starts) == len(one.ends)
    assert (np.diff(one.values, axis=1) >= 0).all()


def test_wrong_questions_are_refused_with_a_way_out(world):
    with pytest.raises(UnknownNameError, match="daily-maximum, daily-minimum"):
        ask(world, "weekly-maximum")
    with pytest.raises(InvalidValueError, match="between 0 and 1"):
        ask(world, "daily-maximum", levels=(0.1, 1.0))
    with pytest.raises(InvalidValueError, match="between 0 and 1"):
        ask(world, "daily-maximum", levels=())
    with pytest.raises(UnknownNameError, match="cloud_cover"):
        ask(world, "daily-maximum", variable="cloud_cover")
    with pytest.raises(InvalidValueError, match="steps of 1 h"):
        ask(world, "accumulation", hours=-5)
