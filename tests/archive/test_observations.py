"""Observations: bitemporal, revisions kept, duplicates skipped, as of an instant."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from archive_samples import VARIABLES, at, make_observations, no_flags
from hypothesis import given, settings
from hypothesis import strategies as st

from skyproof.archive.archive import Archive
from skyproof.domain.errors import InvalidValueError

T, W = VARIABLES
Row = tuple[str, str, float, float, float]


def append(archive: Archive, rows: list[Row], flags: list[str] | None = None) -> int:
    batch = make_observations(rows)
    return archive.observations.append(batch, no_flags(batch) if flags is None else np.array(flags))


def read(archive: Archive, hour: float, *, flagged: bool = False, sites: tuple[str, ...] = ("a", "b")) -> np.ndarray:
    _, values = archive.observations.grid(
        variables=VARIABLES,
        site_ids=sites,
        valid_from=at(0),
        valid_until=at(12),
        step_hours=6,
        as_of=at(hour),
        include_flagged=flagged,
    )
    return values


def test_a_grid_by_hand(archive: Archive) -> None:
    rows = [
        ("a", T, 0, 1, 5.0),
        ("b", T, 6, 7, 6.5),
        ("a", W, 12, 13, 3.0),
        ("a", T, 3, 4, 99.0),
        ("a", T, 18, 19, 99.0),
    ]
    assert append(archive, rows) == 5
    times, values = archive.observations.grid(
        variables=(W, "precipitation", T),
        site_ids=("b", "x", "a"),
        valid_from=at(0),
        valid_until=at(12),
        step_hours=6,
        as_of=at(99),
    )
    nan = np.nan
    assert times.tolist() == [at(h).replace(tzinfo=None) for h in (0, 6, 12)]
    wanted = np.full((3, 3, 3), nan)
    wanted[0, 2, 2], wanted[2, 0, 2], wanted[2, 1, 0] = 3.0, 5.0, 6.5
    np.testing.assert_array_equal(values, wanted)
    assert values.dtype == np.float32


def test_an_empty_archive_answers_with_missing(archive: Archive) -> None:
    assert np.isnan(read(archive, 99)).all()
    assert archive.observations.touched_days(recorded_after=None, as_of=at(99)) == ()
    assert archive.observations.newest_recorded_at(as_of=at(99)) is None
    assert append(archive, []) == 0


def test_a_revision_counts_from_when_it_was_recorded_and_the_first_is_kept(archive: Archive) -> None:
    assert append(archive, [("a", T, 0, 1, 5.0)]) == 1
    assert append(archive, [("a", T, 0, 3, 6.0)]) == 1
    assert append(archive, [("a", T, 0, 2, 5.5)]) == 1
    assert [float(read(archive, hour)[0, 0, 0]) for hour in (1, 2, 2.9, 3)] == [5.0, 5.5, 5.5, 6.0]
    assert np.isnan(read(archive, 0.9)).all()


def test_rows_already_held_are_skipped(archive: Archive) -> None:
    rows = [("a", T, 0, 1, 5.0), ("b", T, 0, 1, 6.0), ("a", W, 0, 1, np.nan)]
    assert append(archive, [*rows, rows[0]]) == 3
    assert append(archive, rows) == 0
    assert append(archive, [*rows, ("b", T, 0, 2, 6.0)]) == 1


def test_a_flagged_row_hides_unless_asked_for(archive: Archive) -> None:
    append(
        archive,
        [("a", T, 0, 1, 5.0), ("a", T, 0, 2, 50.0), ("b", T, 0, 1, 7.0)],
        ["", "spike: far from neighbours", ""],
    )
    assert read(archive, 1)[0, 0].tolist() == [5.0, 7.0]
    np.testing.assert_array_equal(read(archive, 2)[0, 0], [np.nan, 7.0])
    assert read(archive, 2, flagged=True)[0, 0].tolist() == [50.0, 7.0]


def test_a_missing_value_is_kept_as_a_statement_and_withdraws_an_earlier_one(archive: Archive) -> None:
    assert append(archive, [("a", T, 0, 1, 5.0), ("a", T, 0, 2, np.nan)], ["", "missing"]) == 2
    assert append(archive, [("b", T, 0, 2, np.nan)]) == 1
    assert read(archive, 1)[0, 0, 0] == 5.0
    assert np.isnan(read(archive, 2)).all()
    assert np.isnan(read(archive, 2, flagged=True)).all()
    append(archive, [("a", T, 0, 2, 4.0)])
    assert read(archive, 2)[0, 0, 0] == 4.0


def test_touched_days_name_what_must_be_scored_again(archive: Archive) -> None:
    append(
        archive,
        [
            ("a", T, 0, 1, 5.0),
            ("a", T, 23, 25, 5.0),
            ("a", T, 24, 25, 5.0),
            ("a", T, 0, 50, 6.0),
            ("a", T, -1, 60, 6.0),
        ],
    )
    days = archive.observations.touched_days
    first, second = date(2025, 1, 1), date(2025, 1, 2)
    assert days(recorded_after=None, as_of=at(1)) == (first,)
    assert days(recorded_after=at(1), as_of=at(25)) == (first, second)
    assert days(recorded_after=at(25), as_of=at(49)) == ()
    assert days(recorded_after=at(25), as_of=at(50)) == (first,)
    assert days(recorded_after=at(50), as_of=at(99)) == (date(2024, 12, 31),)
    assert archive.observations.newest_recorded_at(as_of=at(49)) == at(25)
    assert archive.observations.newest_recorded_at(as_of=at(0)) is None


def test_many_sites_and_few_sites_read_the_same(archive: Archive) -> None:
    sites = tuple(f"site{i}" for i in range(40))
    append(archive, [(site, T, hour, hour + 1, float(i)) for i, site in enumerate(sites) for hour in (0, 6, 12)])
    everything = read(archive, 99, sites=sites)
    for few in (sites[:1], sites[7:11], tuple(reversed(sites))):
        np.testing.assert_array_equal(
            read(archive, 99, sites=few), everything[:, :, [sites.index(site) for site in few]]
        )
    assert everything[0, 1].tolist() == [float(i) for i in range(40)]


def test_uneven_columns_and_infinite_values_are_refused(archive: Archive) -> None:
    batch = make_observations([("a", T, 0, 1, 5.0)])
    with pytest.raises(InvalidValueError, match="lengths"):
        archive.observations.append(batch, np.array(["", ""]))
    with pytest.raises(InvalidValueError, match="infinite"):
        archive.observations.append(replace(batch, values=np.array([np.inf])), np.array([""]))


def test_flags_of_any_text_are_kept(archive: Archive) -> None:
    flags = ["", "tab\there", "quote ' and \\ backslash", "großer Sprung"]
    append(archive, [("a", T, float(hour), 99, 1.0) for hour in range(4)], flags)
    with archive.engine.connect() as connection:
        kept = connection.exec_driver_sql("SELECT flag FROM observations ORDER BY valid_time").scalars().all()
    assert kept == flags


STATEMENT = st.tuples(
    st.sampled_from(["a", "b"]),
    st.sampled_from(VARIABLES),
    st.sampled_from([0.0, 6.0, 12.0]),
    st.integers(0, 8).map(float),
    st.sampled_from([1.0, 2.0, 3.0, np.nan]),
    st.sampled_from(["", "", "spike"]),
)


def reference(statements: list[tuple[str, str, float, float, float, str]], hour: float) -> np.ndarray:
    """The rule in plain words: of what was recorded by then the newest counts, then the greater; the first flag stays."""
    held: dict[tuple[object, ...], tuple[float, float, str]] = {}
    for site, variable, valid, recorded, value, flag in statements:
        kept = -np.inf if np.isnan(value) else value
        held.setdefault(
            (site, variable, valid, recorded, kept), (recorded, kept, flag if flag or kept > 0 else "missing")
        )
    values = np.full((2, 3, 2), np.nan)
    for place in np.ndindex(2, 3, 2):
        name = ("ab"[place[2]], VARIABLES[place[0]], (0.0, 6.0, 12.0)[place[1]])
        known = [row for key, row in held.items() if key[:3] == name and row[0] <= hour]
        if known:
            _, value, flag = max(known, key=lambda row: row[:2])
            values[place] = np.nan if flag else value
    return values


@settings(max_examples=40, deadline=None)
@given(
    batches=st.lists(st.lists(STATEMENT, min_size=1, max_size=6), min_size=1, max_size=4),
    later=st.lists(STATEMENT, max_size=6),
    hour=st.integers(0, 8),
)
def test_reads_as_of_an_instant_equal_the_rule_and_later_rows_never_change_them(
    tmp_path_factory: pytest.TempPathFactory,
    sqlite_template: Path,
    batches: list[list[tuple]],
    later: list[tuple],
    hour: int,
) -> None:
    home = tmp_path_factory.mktemp("home")
    shutil.copy(sqlite_template, home)
    with Archive.open(home) as archive:
        for batch in batches:
            append(archive, [row[:5] for row in batch], [row[5] for row in batch])
        before = read(archive, hour)
        np.testing.assert_array_equal(before, reference([row for batch in batches for row in batch], hour))
        days = archive.observations.touched_days(recorded_after=None, as_of=at(hour))
        shifted = [(*row[:3], hour + 0.25 + row[3], *row[4:]) for row in later]
        if shifted:
            append(archive, [row[:5] for row in shifted], [row[5] for row in shifted])
        for batch in batches:
            assert append(archive, [row[:5] for row in batch], [row[5] for row in batch]) == 0
        np.testing.assert_array_equal(read(archive, hour), before)
        assert archive.observations.touched_days(recorded_after=None, as_of=at(hour)) == days
