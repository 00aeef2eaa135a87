"""Scoring what is new equals scoring everything, to the bit, whatever arrives in whatever order."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skyproof.archive.archive import DATABASE_FILE, Archive
from skyproof.archive.health import check_archive
from skyproof.domain.scores import STATISTICS
from skyproof.stages.verify.score_day import score_day
from skyproof.stages.verify.verify_new import touched_days, verify_new
from tests.stages.verify import issued_world as world
from tests.stages.verify.issued_world import RELEASE, at, day

Fact = Callable[[Archive], object]
END = at(120)
N = STATISTICS.index("n")


def facts() -> list[Fact]:
    """Runs, reports on time and late, revisions, retractions, a flag, and two statements of the same second."""
    # Recorded with the report of that hour: the greater value counts.
    tied = [("a", "temperature_2m", 30.0, 30.5, 55.0), ("a", "temperature_2m", 30.0, 30.5, -55.0)]
    return [
        *(lambda archive, number=number: world.publish(archive, number) for number in range(3)),
        *(lambda archive, number=number: world.observe(archive, world.truth(number)) for number in range(4)),
        lambda archive: world.observe(archive, world.truth(1, delay_hours=30, seed=10)[3:9]),
        lambda archive: world.observe(archive, [("b", "wind_speed_10m", 36.0, 90.0, np.nan)]),
        lambda archive: world.observe(archive, [("a", "temperature_2m", 42.0, 43.0, 48.0)], flag="implausible"),
        lambda archive: world.observe(archive, tied),
    ]


def full_recomputation(archive: Archive) -> dict:
    days = [day(number) for number in range(5)]
    found = {valid_day: score_day(archive, RELEASE, valid_day, as_of=END) for valid_day in days}
    return {valid_day: scores for valid_day, scores in found.items() if scores is not None}


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict:
    with Archive.open(tmp_path_factory.mktemp("expected")) as archive:
        for fact in facts():
            fact(archive)
        scored = full_recomputation(archive)
        verify_new(archive, RELEASE, as_of=END)
        # The sums come back from the archive as they were made.
        world.assert_same(world.kept(archive, END), scored)
        return scored


def live(archive: Archive, order: Sequence[int], verified_at: Sequence[float | None]) -> None:
    """Facts arrive in an order; after each, a verification may run that knows what was recorded by some hour."""
    arriving = facts()
    for place, number in enumerate(order):
        arriving[number](archive)
        hour = verified_at[place]
        if hour is not None:
            verify_new(archive, RELEASE, as_of=at(hour))
    verify_new(archive, RELEASE, as_of=END)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.permutations(range(len(facts()))),
    st.lists(
        st.one_of(st.none(), st.sampled_from([30.0, 30.5, 60.0, 90.0, 120.0])),
        min_size=len(facts()),
        max_size=len(facts()),
    ),
)
def test_any_order_of_arrival_gives_the_sums_of_a_full_recomputation(
    sqlite_template: Path, expected: dict, order: list[int], verified_at: list[float | None]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(sqlite_template, Path(folder) / DATABASE_FILE)
        with Archive.open(Path(folder)) as archive:
            live(archive, order, verified_at)
            world.assert_same(world.kept(archive, END), expected)
            assert touched_days(archive, RELEASE, as_of=END) == ()


@pytest.mark.parametrize("seed", [1, 2])
def test_any_order_of_arrival_gives_the_same_on_every_database(archive: Archive, expected: dict, seed: int) -> None:
    chance = np.random.default_rng(seed)
    verified_at = chance.choice([30.5, 60.0, 90.0, 120.0], len(facts())).tolist()
    live(archive, chance.permutation(len(facts())).tolist(), verified_at)
    world.assert_same(world.kept(archive, END), expected)
    assert not [finding for finding in check_archive(archive) if finding.severity == "error"]


def test_only_days_that_something_touched_are_scored_again(archive: Archive) -> None:
    for number in range(3):
        world.publish(archive, number)
        world.observe(archive, world.truth(number))
    report = verify_new(archive, RELEASE, as_of=at(80))
    # The first run's leads reach from hour 6 to 36; the last observation is of hour 66.
    assert (report.days_scored, report.first_day, report.last_day) == (3, day(0), day(2))
    assert verify_new(archive, RELEASE, as_of=at(81)).days_scored == 0

    world.observe(archive, [("a", "temperature_2m", 36.0, 82.0, 11.0)])
    assert touched_days(archive, RELEASE, as_of=at(81)) == ()
    assert touched_days(archive, RELEASE, as_of=at(82)) == (day(1),)
    assert verify_new(archive, RELEASE, as_of=at(83)).first_day == day(1)

    world.observe(archive, world.truth(3))
    assert verify_new(archive, RELEASE, as_of=at(96)).first_day == day(3)
    world.publish(archive, 3)
    # The new run's first lead is 6 h: it reaches the rest of the fourth day, already observed.
    assert touched_days(archive, RELEASE, as_of=at(96)) == (day(3),)


def test_an_observation_that_arrives_long_after_it_was_recorded_is_scored(archive: Archive) -> None:
    world.publish(archive, 0)
    world.observe(archive, world.truth(0)[:12])
    verify_new(archive, RELEASE, as_of=at(100))
    before = world.kept(archive, at(100))[day(0)].sums[0, ..., N].sum()
    # A station's file of the past: recorded at hour 18.5, held by us only after the verification of hour 100.
    world.observe(archive, world.truth(0)[12:])
    assert touched_days(archive, RELEASE, as_of=at(100)) == (day(0),)
    verify_new(archive, RELEASE, as_of=at(100))
    after = world.kept(archive, at(100))[day(0)].sums[0, ..., N].sum()
    assert after > before


def test_runs_of_the_past_made_after_a_verification_are_scored(archive: Archive) -> None:
    for number in range(3):
        world.observe(archive, world.truth(number))
    world.publish(archive, 1)
    verify_new(archive, RELEASE, as_of=at(100))
    world.publish(archive, 0)
    # The earlier run also reaches into the day that was scored without it.
    assert touched_days(archive, RELEASE, as_of=at(100)) == (day(0), day(1))
    verify_new(archive, RELEASE, as_of=at(100))
    pairs = world.kept(archive, at(100))[day(1)].sums[0, 0, 0, :, N]
    # Leads 6 to 18 h of the run of that day; 24 to 36 h of the run before.
    assert pairs.tolist() == [1, 1, 1, 1, 1, 1]


def test_scores_of_another_release_and_of_other_days_stay(archive: Archive) -> None:
    world.publish(archive, 0)
    world.publish(archive, 0, release_id="rel_other")
    world.observe(archive, world.truth(0))
    world.observe(archive, world.truth(1))
    for release_id in (RELEASE, "rel_other"):
        verify_new(archive, release_id, as_of=at(100))
    world.publish(archive, 1)
    assert list(world.kept(archive, at(100))) == [day(0)]
    assert list(world.kept(archive, at(100), "rel_other")) == [day(0), day(1)]
    # Taken in twice, nothing is new and nothing is dropped.
    world.observe(archive, world.truth(0))
    world.publish(archive, 0)
    assert list(world.kept(archive, at(100))) == [day(0)]


def test_a_release_without_runs_has_nothing_to_score(sqlite_archive: Archive) -> None:
    world.observe(sqlite_archive, world.truth(0))
    report = verify_new(sqlite_archive, RELEASE, as_of=END)
    assert (report.days_scored, report.pairs, report.first_day, report.last_day) == (0, 0, None, None)
    assert score_day(sqlite_archive, RELEASE, day(0), as_of=END) is None


def test_progress_is_told_from_none_to_all(sqlite_archive: Archive) -> None:
    world.publish(sqlite_archive, 0)
    world.observe(sqlite_archive, [*world.truth(0), *world.truth(1)])
    told: list[tuple[str, int, int]] = []
    verify_new(sqlite_archive, RELEASE, as_of=END, progress=lambda *what: told.append(what))
    assert told == [("verify", 0, 2), ("verify", 1, 2), ("verify", 2, 2)]
