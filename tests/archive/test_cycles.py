"""Source cycles: what was available when, revisions, and reading them back."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from archive_samples import OK, VARIABLES, at, make_cycles
from hypothesis import given, settings
from hypothesis import strategies as st

from skyproof.archive.archive import Archive
from skyproof.domain.cycles import SourceCycle
from skyproof.domain.errors import IntegrityError, InvalidValueError, UnknownNameError

DAY = timedelta(hours=24)


def inits(entries: tuple[SourceCycle, ...]) -> list[float]:
    return [(entry.init_time - at(0)).total_seconds() / 3600 for entry in entries]


def test_a_batch_becomes_one_object_and_a_row_per_cycle(archive: Archive) -> None:
    batch = make_cycles(init_hours=(0, 12))
    batch.values[0, 0, 0, 0, 0] = np.nan
    entries = archive.cycles.append(batch, [OK, ("partial", ("one value missing",))], recorded_at=at(20))
    assert [entry.got for entry in entries] == [35, 36]
    assert entries[0].completeness == 35 / 36
    assert entries[1].reasons == ("one value missing",)
    assert {entry.object_key for entry in entries} == set(archive.objects.keys("cycles/alba/"))
    assert archive.cycles.catalogue("alba", as_of=at(30)) == entries
    for position, entry in enumerate(entries):
        data = archive.cycles.read(entry, site_ids=batch.site_ids, variables=VARIABLES)
        np.testing.assert_array_equal(data.values, batch.values[position])
        assert data.lead_hours == batch.lead_hours


def test_a_cycle_is_invisible_before_it_was_available(archive: Archive) -> None:
    archive.cycles.append(make_cycles(init_hours=(0, 24)), [OK, OK], recorded_at=at(99))
    assert inits(archive.cycles.catalogue("alba", as_of=at(5.9))) == []
    assert inits(archive.cycles.catalogue("alba", as_of=at(6))) == [0]
    assert inits(archive.cycles.catalogue("alba", as_of=at(30))) == [0, 24]
    assert inits(archive.cycles.catalogue("alba", as_of=at(30), init_from=at(1))) == [24]
    assert inits(archive.cycles.catalogue("alba", as_of=at(30), init_until=at(1))) == [0]
    assert inits(archive.cycles.catalogue("boreas", as_of=at(30))) == []


def test_the_same_cycle_again_is_skipped_and_writes_no_object(archive: Archive) -> None:
    batch = make_cycles(init_hours=(0, 24))
    first = archive.cycles.append(batch, [OK, OK], recorded_at=at(30))
    objects = list(archive.objects.keys())
    assert archive.cycles.append(batch, [OK, OK], recorded_at=at(31)) == ()
    assert list(archive.objects.keys()) == objects
    longer = make_cycles(2, init_hours=(0, 24, 48))
    longer.values[:2] = batch.values
    assert inits(archive.cycles.append(longer, [OK] * 3, recorded_at=at(60))) == [48]
    assert archive.cycles.catalogue("alba", as_of=at(31)) == first


def test_a_cycle_twice_in_one_batch_is_kept_once(archive: Archive) -> None:
    batch = make_cycles(init_hours=(0, 0))
    batch.values[1] = batch.values[0]
    assert len(archive.cycles.append(batch, [OK, OK], recorded_at=at(7))) == 1


def test_other_values_of_the_same_init_time_are_a_revision(archive: Archive) -> None:
    first, second = make_cycles(1, latency=6), make_cycles(2, latency=9)
    archive.cycles.append(second, [OK], recorded_at=at(9))
    archive.cycles.append(first, [OK], recorded_at=at(10))
    for hour, batch in ((8, first), (9, second)):
        (entry,) = archive.cycles.catalogue("alba", as_of=at(hour))
        data = archive.cycles.read(entry, site_ids=batch.site_ids, variables=VARIABLES)
        np.testing.assert_array_equal(data.values, batch.values[0])


def test_values_said_again_after_others_are_a_revision_too(archive: Archive) -> None:
    first, second = make_cycles(1), make_cycles(2)
    for hour, batch, new in (
        (6, first, 1),
        (7, first, 0),
        (8, second, 1),
        (8, second, 0),
        (9, first, 1),
        (5, first, 1),
    ):
        delivered = replace(batch, available_ats=(at(hour),))
        assert len(archive.cycles.append(delivered, [OK], recorded_at=at(9))) == new
    digests = [archive.cycles.catalogue("alba", as_of=at(hour))[0].digest for hour in (5, 6, 8, 9)]
    assert digests[0] == digests[1] == digests[3] != digests[2]


def test_cycles_not_to_be_used_are_kept_and_passed_over(archive: Archive) -> None:
    archive.cycles.append(make_cycles(1), [OK], recorded_at=at(6))
    archive.cycles.append(make_cycles(2, latency=7), [("frozen", ("equal to the day before",))], recorded_at=at(7))
    archive.cycles.append(make_cycles(3, init_hours=(24,)), [("suspect", ("unit",))], recorded_at=at(30))
    assert [entry.quality for entry in archive.cycles.catalogue("alba", as_of=at(40))] == ["ok"]
    kept = archive.cycles.catalogue("alba", as_of=at(40), usable_only=False)
    assert [entry.quality for entry in kept] == ["frozen", "suspect"]
    newest = archive.cycles.newest("alba", as_of=at(40), max_age=timedelta(hours=60))
    assert newest is not None
    assert newest.quality == "ok"


def test_the_newest_cycle_must_be_young_enough(archive: Archive) -> None:
    archive.cycles.append(make_cycles(init_hours=(0, 24)), [OK, OK], recorded_at=at(30))

    def newest(hour: float, max_age: float) -> float | None:
        found = archive.cycles.newest("alba", as_of=at(hour), max_age=timedelta(hours=max_age))
        return None if found is None else inits((found,))[0]

    assert newest(29, 60) == 0
    assert newest(30, 60) == 24
    assert newest(60, 36) == 24
    assert newest(60, 35) is None
    assert archive.cycles.newest("corvus", as_of=at(60), max_age=DAY) is None


def test_sites_and_variables_a_cycle_lacks_come_as_missing(archive: Archive) -> None:
    batch = make_cycles()
    (entry,) = archive.cycles.append(batch, [OK], recorded_at=at(7))
    data = archive.cycles.read(
        entry, site_ids=("s0002", "elsewhere", "s0000"), variables=("precipitation", VARIABLES[1])
    )
    assert np.isnan(data.values[0]).all()
    assert np.isnan(data.values[1][:, 1]).all()
    np.testing.assert_array_equal(data.values[1][:, [0, 2]], batch.values[0, 1][:, [2, 0]])


def test_reading_all_joins_cycles_of_other_leads_sites_and_members(archive: Archive) -> None:
    a = make_cycles(1, init_hours=(0, 24), leads=(0, 6, 12), members=2)
    b = make_cycles(2, init_hours=(48,), leads=(6, 12, 18), members=3, sites=2)
    archive.cycles.append(a, [OK, OK], recorded_at=at(60))
    archive.cycles.append(b, [OK], recorded_at=at(60))
    entries = archive.cycles.catalogue("alba", as_of=at(60), init_from=at(0), init_until=at(60))
    leads, values = archive.cycles.read_all(entries, site_ids=a.site_ids, variables=VARIABLES)
    assert [entry.init_time for entry in entries] == [at(0), at(24), at(48)]
    assert leads == (0, 6, 12, 18)
    wanted = np.full((3, 2, 4, 3, 3), np.nan, dtype=np.float32)
    wanted[:2, :, :3, :, :2] = a.values
    wanted[2, :, 1:, :2, :] = b.values[0]
    np.testing.assert_array_equal(values, wanted)


def test_reading_all_of_nothing_is_empty(archive: Archive) -> None:
    leads, values = archive.cycles.read_all((), site_ids=("a",), variables=VARIABLES)
    assert (leads, values.shape) == ((), (0, 2, 0, 1, 0))


def test_reading_all_equals_reading_every_cycle(archive: Archive) -> None:
    for seed, hour in enumerate((0, 12, 24, 36)):
        archive.cycles.append(make_cycles(seed, init_hours=(hour, hour + 6)), [OK, OK], recorded_at=at(50))
    sites = ("s0001", "s0000", "none")
    period = {"as_of": at(40), "init_from": at(6), "init_until": at(36)}
    entries = archive.cycles.catalogue("alba", **period)
    _, values = archive.cycles.read_all(entries, site_ids=sites, variables=VARIABLES)
    one_by_one = [archive.cycles.read(entry, site_ids=sites, variables=VARIABLES).values for entry in entries]
    np.testing.assert_array_equal(values, np.stack(one_by_one))


def test_values_beyond_the_packing_are_held_and_said(archive: Archive) -> None:
    batch = make_cycles(variables=("pressure_msl",))
    batch.values[0, 0, 0, 0, 0] = 101325.0
    (entry,) = archive.cycles.append(batch, [("suspect", ("unit",))], recorded_at=at(7))
    assert entry.reasons == ("unit", "1 values of pressure_msl are beyond what can be kept and were held at the limit")
    data = archive.cycles.read(entry, site_ids=batch.site_ids, variables=("pressure_msl",))
    assert data.values[0, 0, 0, 0] == pytest.approx(32767 * 0.05)


def test_wrong_units_and_verdicts_are_refused(archive: Archive) -> None:
    batch = make_cycles()
    with pytest.raises(InvalidValueError, match="'K', wanted 'Cel'"):
        archive.cycles.append(replace(batch, units={**batch.units, "temperature_2m": "K"}), [OK], recorded_at=at(7))
    with pytest.raises(InvalidValueError, match="one verdict per cycle"):
        archive.cycles.append(batch, [OK, OK], recorded_at=at(7))
    with pytest.raises(UnknownNameError, match="snowfall"):
        archive.cycles.append(replace(batch, variables=("snowfall", "x")), [OK], recorded_at=at(7))
    assert list(archive.objects.keys()) == []


def test_an_empty_batch_is_nothing(archive: Archive) -> None:
    batch = make_cycles(init_hours=())
    assert archive.cycles.append(batch, [], recorded_at=at(0)) == ()


def test_a_missing_object_is_an_integrity_error(archive: Archive, reopen: Callable[[], Archive]) -> None:
    (entry,) = archive.cycles.append(make_cycles(), [OK], recorded_at=at(7))
    archive.objects.delete(entry.object_key)
    with reopen() as fresh, pytest.raises(IntegrityError, match="missing"):
        fresh.cycles.read(entry, site_ids=("s0000",), variables=VARIABLES)


@settings(max_examples=20, deadline=None)
@given(
    deliveries=st.lists(
        st.tuples(st.sampled_from([0, 6, 12]), st.integers(0, 20), st.integers(0, 2)), min_size=1, max_size=8
    ),
    instant=st.integers(0, 35),
)
def test_what_became_available_later_never_changes_what_is_read_as_of_earlier(
    tmp_path_factory: pytest.TempPathFactory,
    sqlite_template: Path,
    deliveries: list[tuple[int, int, int]],
    instant: int,
) -> None:
    def read(archive: Archive) -> tuple[list[tuple[object, ...]], np.ndarray]:
        entries = archive.cycles.catalogue("alba", as_of=at(instant))
        facts = [(entry.init_time, entry.available_at, entry.digest) for entry in entries]
        return facts, archive.cycles.read_all(entries, site_ids=("s0000",), variables=VARIABLES)[1]

    home = tmp_path_factory.mktemp("homes")
    for name in ("all", "truncated"):
        (home / name).mkdir()
        shutil.copy(sqlite_template, home / name)
    with Archive.open(home / "all") as everything, Archive.open(home / "truncated") as truncated:
        for init, latency, seed in deliveries:
            batch = make_cycles(seed, init_hours=(init,), latency=latency, sites=1)
            everything.cycles.append(batch, [OK], recorded_at=at(40))
            if init + latency <= instant:
                truncated.cycles.append(batch, [OK], recorded_at=at(41))
        facts, values = read(everything)
        wanted_facts, wanted_values = read(truncated)
    assert facts == wanted_facts
    np.testing.assert_array_equal(values, wanted_values)
