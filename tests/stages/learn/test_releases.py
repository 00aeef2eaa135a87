"""A release is what it was learned from: the same data give the same, other data another, too few none."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from skyproof.archive.archive import Archive
from skyproof.archive.release_content import ReleaseContent
from skyproof.domain.errors import IntegrityError, InvalidValueError, NotAvailableError
from skyproof.domain.forecasts import Release
from skyproof.domain.regimes import known_losses, regime_id
from skyproof.science.online_blend import BernsteinBlend
from skyproof.stages.forecast.experts import ask_experts, wake_experts
from skyproof.stages.forecast.joint_emos_expert import emos_experts
from skyproof.stages.learn.learn_release import learn_release
from tests.stages import toy_world

LEARNED = toy_world.START + timedelta(days=30, hours=12)


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Release, bytes]:
    with Archive.open(tmp_path_factory.mktemp("learned")) as archive:
        toy_world.build_world(archive, days=34)
        release = toy_world.learn(archive, as_of=LEARNED)
        return release, archive.releases.content(release)


def test_the_same_data_give_the_same_release_on_every_database(
    archive: Archive, learned: tuple[Release, bytes]
) -> None:
    toy_world.build_world(archive, days=34)
    release = toy_world.learn(archive, as_of=LEARNED)
    assert (release.release_id, release.card) == (learned[0].release_id, learned[0].card)
    assert archive.releases.content(release) == learned[1]
    # Learned once more in the same home it is still one release.
    assert toy_world.learn(archive, as_of=LEARNED) == release
    assert archive.releases.all(as_of=LEARNED) == (release,)


def test_what_became_known_later_changes_nothing(sqlite_archive: Archive, learned: tuple[Release, bytes]) -> None:
    toy_world.build_world(sqlite_archive, days=34, latest=LEARNED)
    assert toy_world.learn(sqlite_archive, as_of=LEARNED).release_id == learned[0].release_id


@pytest.mark.parametrize("what", ["weather", "instant", "sites"])
def test_other_data_give_another_release(sqlite_archive: Archive, learned: tuple[Release, bytes], what: str) -> None:
    toy_world.build_world(sqlite_archive, days=34, seed=2 if what == "weather" else 1)
    as_of = LEARNED + timedelta(days=1 if what == "instant" else 0)
    release = toy_world.learn(sqlite_archive, as_of=as_of, site_count=2 if what == "sites" else 3)
    assert release.release_id != learned[0].release_id


def test_the_content_of_a_release_survives_its_file(learned: tuple[Release, bytes]) -> None:
    _, data = learned
    content = ReleaseContent.from_bytes(data)
    assert content.to_bytes() == data
    assert content.learned_at == LEARNED
    assert content.grid == toy_world.grid()
    assert content.source_ids == toy_world.SOURCES
    experts = ("emos:ens", "emos:det", "emos:all")
    assert (content.expert_names, content.usual) == (("climatology", "persistence", *experts), 2)
    own = {f"{name}/{variable}" for name in experts for variable in toy_world.VARIABLES}
    assert set(content.models) == {"climatology", "persistence", *own}
    assert {name: (habit.age_hours, habit.members) for name, habit in content.habits.items()} == {
        "ens": (12, 5),
        "det": (12, 1),
    }
    assert all(habit.leads.all() for habit in content.habits.values())
    names = {regime_id(toy_world.SOURCES, gone, observations=seen) for gone, seen in known_losses(toy_world.SOURCES)}
    assert set(content.regimes) == names
    shape = (len(toy_world.VARIABLES), len(toy_world.GRID_LEADS))
    assert all(known.factors.shape == shape for known in content.regimes.values())
    assert all(np.isfinite(values).all() for values in content.blend_state.values())


def test_experts_woken_from_the_release_say_what_they_said_before(
    sqlite_archive: Archive, learned: tuple[Release, bytes]
) -> None:
    toy_world.build_world(sqlite_archive, days=34)
    inputs = sqlite_archive.inputs.gather(toy_world.grid(), toy_world.SOURCES, issue_time=LEARNED)
    content = ReleaseContent.from_bytes(learned[1])
    record = sqlite_archive.inputs.record(toy_world.grid(), since=toy_world.START, as_of=LEARNED)
    panel = toy_world.wake(content)
    for fitted, woken in zip(toy_world.usual_models(), panel.usual, strict=True):
        fitted.fit(record)
        np.testing.assert_array_equal(woken.predict(inputs).quantiles, fitted.predict(inputs).quantiles)
    again = toy_world.wake(ReleaseContent.from_bytes(content.to_bytes()))
    np.testing.assert_array_equal(ask_experts(panel, inputs)[1], ask_experts(again, inputs)[1])


def test_an_expert_that_is_not_installed_is_an_integrity_error(learned: tuple[Release, bytes]) -> None:
    content = ReleaseContent.from_bytes(learned[1])
    with pytest.raises(IntegrityError, match="experts not installed here: emos:ens, emos:det, emos:all"):
        wake_experts(content, toy_world.usual_models(), lambda _: ())
    with pytest.raises(IntegrityError, match="experts not installed here: climatology, persistence"):
        wake_experts(content, (), emos_experts)


def test_an_angle_is_a_clear_error(sqlite_archive: Archive) -> None:
    toy_world.build_world(sqlite_archive, days=22)
    grid = replace(toy_world.grid(), variables=("temperature_2m", "wind_direction_10m"))
    with pytest.raises(InvalidValueError, match="wind_direction_10m is an angle"):
        learn_release(
            sqlite_archive, grid=grid, usual_models=toy_world.usual_models, make_experts=emos_experts,
            blend=BernsteinBlend(), source_ids=toy_world.SOURCES, as_of=LEARNED, since=toy_world.START,
        )  # fmt: skip


def test_without_any_source_what_is_usual_is_a_release(sqlite_archive: Archive) -> None:
    toy_world.build_world(sqlite_archive, days=34)
    release = learn_release(
        sqlite_archive, grid=toy_world.grid(), usual_models=toy_world.usual_models, make_experts=emos_experts,
        blend=BernsteinBlend(), source_ids=("nobody",), as_of=LEARNED, since=toy_world.START,
    )  # fmt: skip
    assert release.sources == ()
    assert sqlite_archive.releases.read(release).expert_names == ("climatology", "persistence")
    assert np.isfinite(sqlite_archive.runs.open(toy_world.forecast(sqlite_archive, LEARNED)).values().quantiles).all()


def test_the_card_says_what_the_release_is_made_of(learned: tuple[Release, bytes]) -> None:
    release, data = learned
    card, content = dict(release.card), ReleaseContent.from_bytes(data)
    assert release.sources == toy_world.SOURCES
    assert (release.trained_from, release.trained_until) == (content.trained_from, LEARNED)
    assert card["sites"] == 3
    assert card["leads"] == "6 to 48 h"
    assert card["coverage_80_by_regime"] == {name: known.coverage for name, known in content.regimes.items()}
    # A third of 30 days at most is held out: 10 noons.
    assert card["held_out_issue_times"] == 10


def test_too_few_days_are_a_clear_error(sqlite_archive: Archive) -> None:
    toy_world.build_world(sqlite_archive, days=22)
    with pytest.raises(NotAvailableError, match="19 days of observations are too few to learn from"):
        toy_world.learn(sqlite_archive, as_of=toy_world.START + timedelta(days=19, hours=12))
    assert toy_world.learn(sqlite_archive, as_of=toy_world.START + timedelta(days=20, hours=12))


def test_no_observation_at_all_is_a_clear_error(sqlite_archive: Archive) -> None:
    sqlite_archive.sites.add(toy_world.sites(3))
    with pytest.raises(NotAvailableError, match="no usable observation was known by then"):
        toy_world.learn(sqlite_archive, as_of=LEARNED)


@pytest.mark.parametrize("damage", [b"", b"no release", "half"])
def test_bytes_that_are_no_release_are_an_integrity_error(learned: tuple[Release, bytes], damage: bytes | str) -> None:
    data = learned[1][: len(learned[1]) // 2] if isinstance(damage, str) else damage
    with pytest.raises(IntegrityError):
        ReleaseContent.from_bytes(data)


def test_the_card_tells_how_good_it_was_with_intervals(learned: tuple[Release, bytes]) -> None:
    scores = learned[0].card["held_out_scores"]
    assert isinstance(scores, dict)
    assert set(scores) == set(toy_world.VARIABLES)
    for told in scores.values():
        value, low, high = told["crps"]
        assert low < value < high
        assert told["best_expert"] in {"emos:ens", "emos:det", "emos:all"}
        assert set(told["skill_percent"]) == {"climatology", told["best_expert"]}
    assert scores["temperature_2m"]["skill_percent"]["climatology"][1] > 0, "better than climatology beyond chance"
