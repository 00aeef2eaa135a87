"""A release of every kind of expert: those that need the first guess and running errors answer for one issue time, too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from skyproof.archive.archive import Archive
from skyproof.archive.release_content import ReleaseContent
from skyproof.cycle.experts import source_experts
from skyproof.science.first_guess import with_applied_guess, with_first_guess
from skyproof.science.online_blend import BernsteinBlend
from skyproof.science.panel import only_usual
from skyproof.stages.forecast.experts import ask_experts, earlier_issues, wake_experts
from skyproof.stages.learn.learn_release import learn_release
from tests.stages import toy_world

LEARNED = toy_world.START + timedelta(days=40, hours=12)
KINDS = ("emos", "isotonic", "trees")
LOOKING_BACK = {"idr", "forest", "error_forest", "boosting", "error_boosting"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Archive, ReleaseContent]]:
    with Archive.open(tmp_path_factory.mktemp("back")) as archive:
        toy_world.build_world(archive, days=44)
        release = learn_release(
            archive, grid=toy_world.grid(), usual_models=toy_world.usual_models, make_experts=source_experts(KINDS),
            blend=BernsteinBlend(), source_ids=toy_world.SOURCES, as_of=LEARNED, since=toy_world.START, tail_days=12,
        )  # fmt: skip
        yield archive, ReleaseContent.from_bytes(archive.releases.content(release))


def test_every_kind_of_expert_answers_for_the_present_issue_time(world: tuple[Archive, ReleaseContent]) -> None:
    archive, content = world
    assert set(content.expert_names) >= LOOKING_BACK
    issue_time = LEARNED + timedelta(days=2)
    earlier = earlier_issues(content, issue_time)
    assert earlier[-1] == issue_time - timedelta(days=1)
    inputs = archive.inputs.gather(content.grid, content.source_ids, issue_time=issue_time, earlier=earlier)
    panel = wake_experts(content, toy_world.usual_models(), source_experts(KINDS))
    names, quantiles = ask_experts(panel, inputs)
    for name, answer in zip(names, quantiles, strict=True):
        if name in LOOKING_BACK - {"boosting", "error_boosting"}:
            assert np.isfinite(answer).all(), name
    # What is said is what the inputs of the present say, not those of the days before.
    plain = archive.inputs.gather(content.grid, content.source_ids, issue_time=issue_time)
    place = names.index("emos:ens")
    alone = ask_experts(toy_world.wake(_without_looking_back(content)), plain)
    np.testing.assert_array_equal(quantiles[place], alone[1][alone[0].index("emos:ens")])


def _without_looking_back(content: ReleaseContent) -> ReleaseContent:
    kept = tuple(name for name in content.expert_names if name not in LOOKING_BACK)
    models = {
        name: state for name, state in content.models.items() if name.partition("/")[0] not in LOOKING_BACK | {"guess"}
    }
    return replace(content, expert_names=kept, models=models)


def test_a_home_without_such_experts_reads_no_earlier_issue_times(world: tuple[Archive, ReleaseContent]) -> None:
    assert earlier_issues(_without_looking_back(world[1]), LEARNED) == []


def test_without_one_source_they_sleep(world: tuple[Archive, ReleaseContent]) -> None:
    archive, content = world
    earlier = earlier_issues(content, LEARNED)
    inputs = archive.inputs.gather(content.grid, ("ens",), issue_time=LEARNED, earlier=earlier)
    panel = wake_experts(content, toy_world.usual_models(), source_experts(KINDS))
    names, quantiles = ask_experts(panel, inputs)
    for name, answer in zip(names, quantiles, strict=True):
        if name in LOOKING_BACK | {"emos:all", "emos:det"}:
            assert np.isnan(answer).all(), name
        if name == "emos:ens":
            assert np.isfinite(answer).all()


def test_the_guess_of_the_present_is_that_of_the_walk(world: tuple[Archive, ReleaseContent]) -> None:
    archive, content = world
    issue_times = [toy_world.START + timedelta(days=day, hours=12) for day in range(41)]
    walked = archive.inputs.cases(content.grid, content.source_ids, issue_times, as_of=LEARNED)[0]
    usual = only_usual(walked, content.habits, variables=content.grid.variables)
    prepared, guess = with_first_guess(usual, settled=28)
    applied = with_applied_guess(usual, guess.state)
    np.testing.assert_allclose(applied.recent["guess"][-1], prepared.recent["guess"][-1], rtol=1e-4, atol=1e-4)
    for name in ("error_fast:ens", "error_slow:det"):
        np.testing.assert_array_equal(applied.recent[name], prepared.recent[name])
