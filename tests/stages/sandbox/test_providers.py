"""Three providers, three ways of being wrong: measured against the truth they do not know."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import numpy as np
import pytest

from skyproof.archive.archive import Archive
from skyproof.stages.sandbox.simulate import init_days
from skyproof.stages.sandbox.source import SandboxStations, sandbox_sites, sandbox_sources
from skyproof.stages.sandbox.surface import VARIABLES
from skyproof.stages.sources.intake import take_in_cycles
from skyproof.testing.source_contract import check_observation_feed, check_source

TEMPERATURE, WIND, RAIN, PRESSURE = range(4)


@pytest.fixture(scope="session")
def errors(planet):
    """Ensemble mean minus truth by provider, (cycle, variable, lead, site), with hours of the day and numbers of the step."""
    weather, found = planet.weather(), {}
    for provider in planet.providers:
        parts = planet.parts(provider)
        values = np.concatenate([planet.cycles(provider, part) for part in range(len(parts))])
        first_step = np.rint(4 * init_days(provider, 0, len(values))).astype(int)
        step = first_step[:, None] + np.arange(len(planet.profile.lead_hours))
        truth = weather[step].transpose(0, 2, 1, 3)
        found[provider.name] = (values.mean(axis=-1) - truth, step, values)
    return found


def sources(planet):
    return {source.spec.source_id: source for source in sandbox_sources(planet)}


def everything(source, planet):
    end = planet.profile.end + timedelta(days=5)
    return list(source.cycles(sandbox_sites(planet), planet.profile.start - timedelta(days=1), end))


def test_each_source_and_the_stations_keep_the_contract_of_any_live_provider(planet):
    begin, end = planet.profile.start - timedelta(days=1), planet.profile.start + timedelta(days=30)
    for source in sandbox_sources(planet):
        check_source(source, sandbox_sites(planet), begin, end)
    check_observation_feed(SandboxStations(planet), sandbox_sites(planet), begin, end)


def test_providers_differ_in_cadence_latency_and_members(planet):
    specs = [source.spec for source in sandbox_sources(planet)]
    assert sorted(spec.cadence for spec in specs) == [timedelta(hours=12), timedelta(hours=24), timedelta(hours=24)]
    assert len({spec.latency_p50 for spec in specs}) == 3
    assert sorted(spec.members for spec in specs) == [1, 3, 4]
    assert all("sandbox planet" in spec.title for spec in specs)
    for source in sandbox_sources(planet):
        batches = everything(source, planet)
        inits = [init for batch in batches for init in batch.init_times]
        assert {later - earlier for earlier, later in pairwise(inits)} == {source.spec.cadence}
        lags = [
            available - init
            for batch in batches
            for init, available in zip(batch.init_times, batch.available_ats, strict=True)
        ]
        assert source.spec.latency_p50 <= min(lags) < max(lags) <= source.spec.latency_p95
        assert len(set(lags)) > len(lags) // 2, "the lag varies from cycle to cycle"
        assert {batch.values.shape[-1] for batch in batches} == {source.spec.members}


def test_only_asked_places_come_and_in_the_order_asked(planet):
    some = sandbox_sites(planet)[5:2:-1]
    source = sources(planet)["alba"]
    whole = everything(source, planet)[0]
    (batch, *_) = source.cycles(some, planet.profile.start, planet.profile.start + timedelta(days=3))
    assert batch.site_ids == tuple(site.site_id for site in some)
    np.testing.assert_array_equal(batch.values[0], whole.values[0][:, :, 5:2:-1])
    stranger = replace(some[0], site_id="nowhere")
    (batch, *_) = source.cycles((stranger, some[0]), planet.profile.start, planet.profile.start + timedelta(days=3))
    assert batch.site_ids == (some[0].site_id,)


def test_forecasts_beat_climatology_and_get_worse_with_lead(errors, planet):
    spread = planet.weather()[1:].std(axis=0).mean(axis=1)
    for name, (error, _, _) in errors.items():
        for variable in (TEMPERATURE, PRESSURE):
            centred = error[:, variable] - error[:, variable].mean(axis=0)
            rmse = np.sqrt(np.square(centred).mean(axis=(0, 2)))
            assert rmse[-1] > 1.2 * rmse[1], name
            assert rmse[4] < spread[variable], name


def test_members_differ_spread_grows_and_is_too_small(errors, planet):
    for provider in planet.providers:
        error, _, values = errors[provider.name]
        if provider.members == 1:
            continue
        spread = values[:, PRESSURE].std(axis=-1, ddof=1).mean(axis=(0, 2))
        assert 0 < spread[1] < spread[-1]
        assert spread[-1] < np.sqrt(np.square(error[:, PRESSURE, -1]).mean())


def test_bias_follows_the_terrain_each_provider_believes_in(errors, planet):
    """Smoothed terrain: too warm on heights, too cold in lowlands (6.5 K/km), the more the smoother."""
    slope = {}
    for name, (error, _, _) in errors.items():
        bias = error[:, TEMPERATURE].mean(axis=(0, 1))
        assert np.ptp(bias) > 1, name
        slope[name] = 1000 * np.polyfit(planet.places.elevation_m, bias, 1)[0]
    assert slope["boreas"] > slope["corvus"] > 0.5
    assert slope["boreas"] > slope["alba"] > 0.5
    assert 6.5 / 2 - 1 < slope["boreas"] < 6.5


def test_bias_follows_the_hour_of_the_day(errors):
    daily = {}
    for name, (error, step, _) in errors.items():
        bias = [error[:, TEMPERATURE][step % 4 == quarter].mean() for quarter in range(4)]
        daily[name] = np.array(bias) - np.mean(bias)
    assert np.ptp(daily["boreas"]) > 0.5
    assert np.ptp(daily["boreas"] - daily["alba"]) > 0.3, "each has a course of its own"


def test_bias_follows_the_regime_of_the_weather(errors, planet):
    """Calm nights in valleys are colder than those who know no inversion believe; storms lose more wind than breezes."""
    weather, valley = planet.weather(), planet.places.valley == 1
    error, step, _ = errors["boreas"]
    wind = weather[step][:, :, WIND][:, :, valley]
    valley_error = error[:, TEMPERATURE][:, :, valley]
    assert valley_error[wind < 2.5].mean() > valley_error[wind > 5].mean() + 0.5
    all_wind = weather[step][:, :, WIND]
    for name in ("alba", "boreas"):
        by_wind = errors[name][0][:, WIND][: len(all_wind)]
        assert by_wind[all_wind > 6].mean() < by_wind[all_wind < 3].mean() - 0.5


def test_one_provider_is_upgraded_and_its_bias_changes(errors, planet):
    day = init_days(planet.providers[0], 0, planet.profile.days)
    after = day >= 0.55 * planet.profile.learn_days
    size = {}
    for name in ("alba", "boreas"):
        bias = errors[name][0][:, TEMPERATURE].mean(axis=1)
        size[name] = [np.abs(bias[chosen].mean(axis=0)).mean() for chosen in (~after, after)]
    assert size["alba"][1] < 0.6 * size["alba"][0]
    assert 0.8 < size["boreas"][1] / size["boreas"][0] < 1.25


def test_rain_of_every_provider_is_zero_inflated_and_never_negative(errors):
    for name, (_, _, values) in errors.items():
        rain = values[:, RAIN, 1:]
        assert rain.min() == 0, name
        assert 0.6 < np.mean(rain == 0) < 0.98, name
        assert np.isnan(values[:, RAIN, 0]).all(), name


def test_nothing_is_listed_before_it_was_available(planet, sqlite_archive: Archive):
    sites, start = sandbox_sites(planet), planet.profile.start
    sqlite_archive.sites.add(sites)
    source = sources(planet)["corvus"]
    sqlite_archive.sources.register(source.spec)
    take_in_cycles(sqlite_archive, source, sites, after=None, until=start + timedelta(days=20))
    chance = np.random.default_rng(6)
    for seconds in chance.integers(0, 20 * 86_400, 60).tolist():
        instant = start + timedelta(seconds=seconds)
        offered = [
            (init, available)
            for batch in source.cycles(sites, start - timedelta(days=1), instant)
            for init, available in zip(batch.init_times, batch.available_ats, strict=True)
        ]
        listed = sqlite_archive.cycles.catalogue("corvus", as_of=instant)
        assert all(init + timedelta(hours=3) <= available <= instant for init, available in offered)
        assert [(cycle.init_time, cycle.available_at) for cycle in listed] == offered
        newest = sqlite_archive.cycles.newest("corvus", as_of=instant, max_age=timedelta(days=30))
        assert (newest is None) == (not offered)


def test_variables_are_the_four_of_the_product(planet):
    assert VARIABLES == ("temperature_2m", "wind_speed_10m", "precipitation", "pressure_msl")
    assert planet.weather().shape == (4 * (planet.profile.days + 3 + 2), 4, planet.profile.places)
