"""Negative control: climatology knows nothing of leads, so its score must not depend on them; forecasts' scores do."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import numpy as np
import pytest

from skyproof.archive.archive import Archive
from skyproof.domain.scores import STATISTICS
from skyproof.science.significance import decide, skill_with_interval
from skyproof.stages.verify.collect import CollectedScores, collect_scores
from skyproof.stages.verify.scorecard import build_scorecard
from skyproof.stages.verify.verify_new import verify_new
from tests.stages import toy_world

LEARNED = toy_world.START + timedelta(days=40, hours=12)
RUNS = 36
END = LEARNED + timedelta(days=RUNS + 3)
N, CRPS = STATISTICS.index("n"), STATISTICS.index("crps")
SHORTEST, LONGEST = 0, len(toy_world.GRID_LEADS) - 1


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Archive, str]]:
    with Archive.open(tmp_path_factory.mktemp("control")) as archive:
        toy_world.build_world(archive, days=40 + RUNS + 3)
        release = toy_world.learn(archive, as_of=LEARNED)
        for day in range(RUNS):
            toy_world.forecast(archive, LEARNED + timedelta(days=day))
        verify_new(archive, release.release_id, as_of=END)
        yield archive, release.release_id


@pytest.fixture(scope="module")
def found(scored: tuple[Archive, str]) -> CollectedScores:
    archive, release_id = scored
    return collect_scores(archive, release_id, as_of=END)


def daily(found: CollectedScores, model: str, variable: int, lead: int) -> np.ndarray:
    """Mean CRPS of each valid day on which every lead was due, so that all leads are judged by the same weather."""
    index = found.models.index(model)
    pairs = found.pairs[:, index, variable]
    whole = (pairs > 0).all(axis=1)
    return found.own[whole, index, variable, lead] / pairs[whole, lead]


@pytest.mark.parametrize("variable", range(len(toy_world.VARIABLES)))
def test_climatology_is_as_good_at_the_longest_lead_as_at_the_shortest(found: CollectedScores, variable: int) -> None:
    # Leads of 24 and 48 h verify at the same noons: on the same days it is the same forecast of the same observations.
    same_hour = [daily(found, "climatology", variable, toy_world.GRID_LEADS.index(lead)) for lead in (24, 48)]
    assert len(same_hour[0]) > 20
    np.testing.assert_allclose(*same_hour, rtol=1e-6)
    # Others verify at other hours of the same days: no difference can be told.
    short, long = (daily(found, "climatology", variable, lead) for lead in (SHORTEST, LONGEST))
    assert decide(skill_with_interval(short, long)) == "cannot decide"


@pytest.mark.parametrize("model", ["persistence", "emos:ens", "emos:det", "skyproof"])
def test_a_forecast_is_better_at_the_shortest_lead(found: CollectedScores, model: str) -> None:
    short, long = (daily(found, model, 0, lead) for lead in (SHORTEST, LONGEST))
    skill = skill_with_interval(short, long)
    assert skill.value > 0.15
    assert decide(skill) == "better"


def test_the_scorecard_finds_the_product_better_than_climatology_and_no_model_better_than_itself(
    scored: tuple[Archive, str],
) -> None:
    archive, release_id = scored
    for row in build_scorecard(archive, release_id, as_of=END).overall():
        verdicts = {c.baseline: c.verdict for c in row.comparisons}
        assert verdicts["climatology"] == "better"
        assert "skyproof" not in verdicts
        # Skill over climatology shrinks with the lead.
    rows = [r for r in build_scorecard(archive, release_id, as_of=END).rows if r.variable == "temperature_2m"]
    by_day = [next(c.skill.value for c in r.comparisons if c.baseline == "climatology") for r in rows[1:]]
    assert by_day[0] > by_day[-1] > 0
