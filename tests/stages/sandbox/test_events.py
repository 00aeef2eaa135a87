"""What goes wrong arrives through the same door as the good data, exactly as it was planted."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from skyproof.archive.archive import Archive
from skyproof.domain.errors import InvalidValueError
from skyproof.stages.sandbox.events import Event, read_events
from skyproof.stages.sandbox.source import SandboxStations, sandbox_sites, sandbox_sources
from skyproof.stages.sandbox.surface import VARIABLES
from skyproof.stages.sources.intake import take_in_cycles
from skyproof.testing.source_contract import check_source

DAY = timedelta(days=1)


def published(planet, name, *events):
    """Everything a provider publishes with these events on: (init, available, values) in order."""
    spoiled = replace(planet, events=events)
    (source,) = (source for source in sandbox_sources(spoiled) if source.spec.source_id == name)
    check_source(source, sandbox_sites(planet), planet.profile.start - DAY, planet.profile.end)
    batches = source.cycles(sandbox_sites(planet), planet.profile.start - DAY, planet.profile.end + 5 * DAY)
    return [
        row
        for batch in batches
        for row in zip(batch.init_times, batch.available_ats, batch.values, strict=True)
    ]  # fmt: skip


def at(planet, days):
    return planet.profile.start + days * DAY


def event(planet, kind, target="alba", *, day=20, days=1.0, **args):
    return Event(at(planet, day), kind, target, days, args)


@pytest.fixture(scope="session")
def good(planet):
    return {name: published(planet, name) for name in ("alba", "boreas", "corvus")}


def on_and_off(rows, what):
    return [row for row in rows if what.covers(row[0])], [row for row in rows if not what.covers(row[0])]


def assert_same(rows, others):
    assert [row[:2] for row in rows] == [row[:2] for row in others]
    for row, other in zip(rows, others, strict=True):
        np.testing.assert_array_equal(row[2], other[2])


def test_a_dark_provider_publishes_nothing_and_others_go_on(planet, good):
    dark = event(planet, "dark", days=3)
    assert_same(published(planet, "alba", dark), on_and_off(good["alba"], dark)[1])
    assert_same(published(planet, "boreas", dark), good["boreas"])


def test_a_late_cycle_comes_hours_later_with_the_same_values(planet, good):
    late = event(planet, "late", hours=9)
    for row, usual in zip(published(planet, "alba", late), good["alba"], strict=True):
        assert row[1] - usual[1] == timedelta(hours=9 if late.covers(row[0]) else 0)
        np.testing.assert_array_equal(row[2], usual[2])


def test_a_cycle_later_than_the_next_comes_after_it(planet, good):
    """Even where the two lie in different parts of the planet's files (parts have 24 days)."""
    late = event(planet, "late", day=23, hours=30)
    rows = published(planet, "alba", late)
    assert [row[1] for row in rows] == sorted(row[1] for row in rows)
    assert [row[0] for row in rows if at(planet, 22) <= row[0] <= at(planet, 25)] == [
        at(planet, day) for day in (22, 24, 23, 25)
    ]
    assert_same(sorted(rows, key=lambda row: row[0])[24:], good["alba"][24:])


def test_a_partial_cycle_lacks_its_last_leads(planet, good):
    partial = event(planet, "partial", share=0.37)
    rows, usual = published(planet, "alba", partial), good["alba"]
    ((_, _, cut),) = on_and_off(rows, partial)[0]
    ((_, _, whole),) = on_and_off(usual, partial)[0]
    np.testing.assert_array_equal(cut[:, :8], whole[:, :8])
    assert np.isnan(cut[:, 8:]).all()
    assert_same(on_and_off(rows, partial)[1], on_and_off(usual, partial)[1])


def test_a_duplicated_cycle_comes_twice(planet, good):
    twice = event(planet, "duplicated")
    (first, second), others = on_and_off(published(planet, "alba", twice), twice)
    assert second[1] - first[1] == timedelta(minutes=30)
    np.testing.assert_array_equal(first[2], second[2])
    assert_same(others, on_and_off(good["alba"], twice)[1])


@pytest.mark.parametrize("day", [20, 24], ids=["inside a part", "where a new part begins"])
def test_a_frozen_provider_sends_its_last_cycle_under_new_labels(planet, good, day):
    frozen = event(planet, "frozen", "corvus", day=day, days=2)
    rows, usual = published(planet, "corvus", frozen), good["corvus"]
    stale, fresh = on_and_off(rows, frozen)
    last = [row for row in usual if row[0] < frozen.start][-1]
    assert [row[0] for row in stale] == [frozen.start + k * timedelta(hours=12) for k in range(4)]
    for row in stale:
        np.testing.assert_array_equal(row[2], last[2])
    assert_same(fresh, on_and_off(usual, frozen)[1])


def test_missing_members_are_missing_everywhere(planet, good):
    half = event(planet, "members_missing", share=0.5)
    ((_, _, thin),) = on_and_off(published(planet, "alba", half), half)[0]
    ((_, _, whole),) = on_and_off(good["alba"], half)[0]
    np.testing.assert_array_equal(thin[..., :2], whole[..., :2])
    assert np.isnan(thin[..., 2:]).all()


@pytest.mark.parametrize(
    ("variable", "factor", "shift"),
    [("temperature_2m", 1, 273.15), ("wind_speed_10m", 3600 / 1852, 0), ("pressure_msl", 100, 0)],
    ids=["kelvin", "knots", "pascal"],
)
def test_a_wrong_unit_changes_one_variable_and_not_its_label(planet, good, variable, factor, shift):
    slip = event(planet, "unit_slip", "boreas", variable=variable)
    ((_, _, wrong),) = on_and_off(published(planet, "boreas", slip), slip)[0]
    ((_, _, right),) = on_and_off(good["boreas"], slip)[0]
    index = VARIABLES.index(variable)
    np.testing.assert_allclose(wrong[index], right[index] * factor + shift, rtol=1e-6)
    np.testing.assert_array_equal(np.delete(wrong, index, axis=0), np.delete(right, index, axis=0))


def test_a_time_shift_moves_all_leads(planet, good):
    shifted = event(planet, "time_shift", hours=6)
    ((_, _, moved),) = on_and_off(published(planet, "alba", shifted), shifted)[0]
    ((_, _, right),) = on_and_off(good["alba"], shifted)[0]
    np.testing.assert_array_equal(moved[:, 1:], right[:, :-1])


def test_a_block_of_missing_values_hits_whole_places(planet, good):
    block = event(planet, "nan_block", days=10, share=0.3)
    lost = [np.isnan(row[2][0, 0, :, 0]) for row in on_and_off(published(planet, "alba", block), block)[0]]
    assert 0.1 < np.mean(lost) < 0.5
    assert not np.isnan(good["alba"][20][2][0]).any()


def test_events_at_stations_arrive_with_the_reports(planet):
    site = sandbox_sites(planet)[2].site_id
    drift = event(planet, "sensor_drift", site, day=10, days=20, variable="pressure_msl", per_day=0.5)
    stuck = event(planet, "stuck_sensor", site, day=40, days=5, variable="temperature_2m")

    def first_reports(*events):
        feed = SandboxStations(replace(planet, events=events))
        batches = list(feed.observations(sandbox_sites(planet), planet.profile.start - DAY, planet.profile.end))
        return {
            (str(s), str(v), int(t.astype(int))): float(x)
            for b in reversed(batches)
            for s, v, t, r, x in list(
                zip(b.site_ids, b.variables, b.valid_times, b.recorded_ats, b.values, strict=True)
            )
            if r - t < np.timedelta64(20 * 3600, "s")
        }

    usual, spoiled = first_reports(), first_reports(drift, stuck)
    changed = {key for key in spoiled if spoiled[key] != usual.get(key)}
    assert {key[0] for key in changed} == {site}
    assert {key[1] for key in changed} == {"pressure_msl", "temperature_2m"}
    for _, variable, valid in changed:
        instant = datetime.fromtimestamp(valid, UTC)
        what = drift if variable == "pressure_msl" else stuck
        assert what.covers(instant)
        if what is drift and (site, variable, valid) in usual:
            grown = spoiled[site, variable, valid] - usual[site, variable, valid]
            assert grown == pytest.approx(0.5 * (instant - drift.start) / DAY, abs=1e-3)
    span = [
        spoiled[k]
        for k in spoiled
        if k[:2] == (site, "temperature_2m") and stuck.covers(datetime.fromtimestamp(k[2], UTC))
    ]
    assert len(span) == 20
    assert len(set(span)) == 1


def test_the_door_flags_what_is_wrong_and_keeps_all_of_it(planet, sqlite_archive: Archive):
    events = (
        event(planet, "partial", day=30, share=0.37),
        event(planet, "frozen", day=40),
        event(planet, "unit_slip", day=50, variable="temperature_2m"),
        event(planet, "duplicated", day=55),
        event(planet, "dark", day=60),
    )
    source = sandbox_sources(replace(planet, events=events))[0]
    sqlite_archive.sites.add(sandbox_sites(planet))
    sqlite_archive.sources.register(source.spec)
    report = take_in_cycles(sqlite_archive, source, sandbox_sites(planet), after=None, until=planet.profile.end)
    assert (report.received, report.stored, report.duplicates, report.rejected) == (84, 83, 1, 0)
    held = sqlite_archive.cycles.catalogue("alba", as_of=planet.profile.end, usable_only=False)
    quality = {(cycle.init_time - planet.profile.start).days: cycle.quality for cycle in held}
    assert {day: word for day, word in quality.items() if word != "ok"} == {
        30: "partial", 40: "frozen", 50: "suspect",
    }  # fmt: skip
    assert 60 not in quality
    assert all(cycle.reasons for cycle in held if cycle.quality != "ok")


def test_a_list_of_events_is_read_and_every_wrong_row_named():
    (one,) = read_events("- {date: 2025-03-10, kind: dark, target: boreas, days: 4}")
    assert one == Event(datetime(2025, 3, 10, tzinfo=UTC), "dark", "boreas", 4.0, {})
    assert read_events("") == ()
    for text, named in (
        ("- {date: 2025-03-10, kind: explode, target: boreas}", "kind"),
        ("- {date: someday, kind: dark, target: boreas}", "date"),
        ("- {date: 2025-03-10, kind: dark, target: boreas, days: -1}", "days"),
        ("- {date: 2025-03-10, kind: dark, target: boreas, colour: red}", "colour"),
        ("- {date: 2025", "events is wrong"),
    ):
        with pytest.raises(InvalidValueError, match=named):
            read_events(text)
