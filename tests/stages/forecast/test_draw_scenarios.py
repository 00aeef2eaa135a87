"""Scenarios of a run: the same for ever, from nothing later than its issue time, with the margins that were published."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from skyproof.archive.archive import Archive
from skyproof.archive.array_file import write_arrays
from skyproof.archive.release_content import ReleaseContent
from skyproof.domain.cycles import CycleBatch, ObservationBatch
from skyproof.domain.errors import IntegrityError, InvalidValueError, NotAvailableError, UnknownNameError
from skyproof.domain.times import hours, to_datetime64
from skyproof.science.scenarios import scenario_quantiles
from skyproof.stages.forecast.scenarios import draw_scenarios, sum_over_sites
from tests.stages import toy_world

LEARNED = toy_world.START + timedelta(days=24, hours=12)
ISSUE = LEARNED + timedelta(days=2)
TEMPLATES = ("copula", "ensemble", "history", "independent")


def build(home, latest=None):
    archive = Archive.open(home)
    toy_world.build_world(archive, days=30, latest=latest)
    toy_world.learn(archive, as_of=LEARNED)
    return archive, toy_world.forecast(archive, ISSUE)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    archive, run = build(tmp_path_factory.mktemp("whole"))
    with archive:
        yield archive, run


@pytest.fixture(scope="module")
def cut(tmp_path_factory):
    """The same world without anything known after the issue time."""
    archive, run = build(tmp_path_factory.mktemp("cut"), latest=ISSUE)
    with archive:
        yield archive, run


@pytest.mark.parametrize("template", TEMPLATES)
def test_nothing_later_than_the_issue_time_changes_the_members(world, cut, template):
    (whole, run), (short, same) = world, cut
    assert run.run_id == same.run_id
    drawn = draw_scenarios(whole, run, members=23, template=template)
    np.testing.assert_array_equal(drawn.values, draw_scenarios(short, same, members=23, template=template).values)


def test_a_revised_cycle_and_revised_observations_change_nothing(cut, tmp_path):
    run = cut[1]
    with Archive.open(shutil.copytree(cut[0].home, tmp_path / "home")) as archive:
        before = {name: draw_scenarios(archive, run, members=9, template=name) for name in TEMPLATES}
        entry = next(entry for entry in run.inputs if entry.source_id == "ens")
        shape = (1, 3, len(toy_world.LEADS), 3, 5)
        values = np.random.default_rng(9).random(shape).astype(np.float32)
        late, ids = ISSUE + hours(1), toy_world.grid().site_ids
        revised = CycleBatch(
            "ens", (entry.init_time,), (late,), toy_world.VARIABLES, toy_world.UNITS, toy_world.LEADS, ids, values
        )
        archive.cycles.append(revised, [("ok", ())], recorded_at=late)
        times = to_datetime64(ISSUE - timedelta(days=9)) + np.arange(30) * np.timedelta64(6 * 3600, "s")
        batch = ObservationBatch(
            "stations", np.full(30, "s1"), np.full(30, "temperature_2m"), times,
            np.full(30, to_datetime64(late)), np.arange(30.0), toy_world.UNITS,
        )  # fmt: skip
        archive.observations.append(batch, np.full(30, ""))
        for name, drawn in before.items():
            again = draw_scenarios(archive, run, members=9, template=name)
            np.testing.assert_array_equal(again.values, drawn.values)
            assert again.template == drawn.template


@pytest.mark.parametrize("template", TEMPLATES)
def test_margins_are_the_published_quantiles(world, template):
    archive, run = world
    drawn = draw_scenarios(archive, run, members=400, template=template)
    published = archive.runs.open(run).values().quantiles
    np.testing.assert_allclose(scenario_quantiles(drawn.values)[0], published[0], atol=0.05)
    assert (drawn.values[1:] >= 0).all(), "wind and rain keep their limits"
    rain = drawn.values[2]
    assert ((rain == 0) | (rain >= 0.05)).all(), "what no gauge reports is none"


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_part_of_the_question_gets_the_same_members_as_the_whole(world, template):
    archive, run = world
    whole = draw_scenarios(archive, run, members=12, template=template)
    part = draw_scenarios(
        archive, run, members=12, template=template, variables=["precipitation"], site_ids=["s2", "s0"]
    )
    assert part.site_ids == ("s2", "s0")
    np.testing.assert_array_equal(part.values[0], whole.values[2][[2, 0]])


def test_another_seed_draws_other_members_with_the_same_margins(world):
    archive, run = world
    one, other = (draw_scenarios(archive, run, members=30, seed=seed) for seed in ("", "again"))
    assert (one.values != other.values).any()
    np.testing.assert_array_equal(np.sort(one.values, axis=-1), np.sort(other.values, axis=-1))


def test_what_is_present_is_taken_and_said(world):
    archive, run = world
    chosen = draw_scenarios(archive, run, members=5)
    # The toy release saw few issue times, so the ensemble of the day comes first.
    assert chosen.template["kind"] == "ensemble"
    assert chosen.template["sources"] == {"ens": 5}
    alone = replace(run, inputs=tuple(entry for entry in run.inputs if entry.source_id != "ens"))
    history = draw_scenarios(archive, alone, members=5)
    assert (history.template["kind"], history.template["days"]) == ("history", 26)
    copula = draw_scenarios(archive, run, members=5, template="copula")
    assert copula.template["release"] == run.release_id
    first = replace(alone, issue_time=toy_world.START, init_time=toy_world.START)
    assert draw_scenarios(archive, first, members=5).template == {"kind": "independent"}


def test_a_release_from_before_scenarios_is_readable_and_has_no_copula(world):
    archive, run = world
    content = ReleaseContent.from_bytes(archive.releases.content(archive.releases.find(run.release_id)))
    assert set(content.dependence) == {"between_variables", "over_leads", "loadings", "dates"}
    again = ReleaseContent.from_bytes(content.to_bytes())
    np.testing.assert_array_equal(again.dependence["loadings"], content.dependence["loadings"])
    old = replace(content, dependence={})
    assert b"dependence" not in old.to_bytes()
    assert ReleaseContent.from_bytes(old.to_bytes()).dependence == {}
    release = archive.releases.add(
        old.to_bytes(), created_at=LEARNED, trained_from=toy_world.START, trained_until=LEARNED, sources=("ens",),
        card={}, state="retired",
    )  # fmt: skip
    with pytest.raises(NotAvailableError, match="has no copula"):
        draw_scenarios(archive, replace(run, release_id=release.release_id), members=5, template="copula")


def test_a_release_that_cannot_be_read_any_more_does_not_stop_scenarios(world):
    archive, run = world
    release = archive.releases.add(
        write_arrays({"manifest": np.array(['{"code_version": "0.0.1"}'])}, attributes={}), created_at=LEARNED,
        trained_from=toy_world.START, trained_until=LEARNED, sources=("ens",), card={}, state="retired",
    )  # fmt: skip
    old = replace(run, release_id=release.release_id)
    with pytest.raises(IntegrityError, match="made by an older version"):
        draw_scenarios(archive, old, members=5, template="copula")
    assert draw_scenarios(archive, old, members=5).template["kind"] == "ensemble"


def test_members_sum_over_sites_one_by_one(world):
    archive, run = world
    drawn = draw_scenarios(archive, run, members=7)
    total = sum_over_sites(drawn, weights=[1, 0, 0.5], name="portfolio")
    assert total.site_ids == ("portfolio",)
    np.testing.assert_allclose(total.values[:, 0], drawn.values[:, 0] + 0.5 * drawn.values[:, 2], rtol=1e-6)
    np.testing.assert_allclose(sum_over_sites(drawn).values[:, 0], drawn.values.sum(axis=1), rtol=1e-5)
    for weights in ([1, 2], [1, 2, np.nan]):
        with pytest.raises(InvalidValueError, match="3 sites"):
            sum_over_sites(drawn, weights=weights)


def test_wrong_questions_are_refused_with_a_way_out(world):
    archive, run = world
    for members in (0, 10**9):
        with pytest.raises(InvalidValueError, match="wanted 1 to"):
            draw_scenarios(archive, run, members=members)
    with pytest.raises(UnknownNameError, match="it has temperature_2m"):
        draw_scenarios(archive, run, members=5, variables=["cloud_cover"])
    with pytest.raises(UnknownNameError, match="nowhere"):
        draw_scenarios(archive, run, members=5, site_ids=["nowhere"])
    with pytest.raises(UnknownNameError, match="auto, copula"):
        draw_scenarios(archive, run, members=5, template="vine")


def test_a_lineage_whose_cycle_is_gone_is_an_error_and_not_another_answer(world):
    archive, run = world
    gone = replace(run, inputs=tuple(replace(entry, digest="0" * 64) for entry in run.inputs))
    with pytest.raises(UnknownNameError, match="is not kept"):
        draw_scenarios(archive, gone, members=5, template="ensemble")
