"""The desk of a product: scenarios come from the archive itself."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import orjson
import pytest

from skyproof.archive.archive import Archive
from skyproof.cycle.deliver_cycle import open_desk
from skyproof.stages.deliver.days import MEMBERS
from skyproof.stages.deliver.requests import parse_request
from skyproof.stages.forecast.scenarios import draw_scenarios
from tests.stages import toy_world

LEARNED = toy_world.START + timedelta(days=24, hours=12)
ISSUE = LEARNED + timedelta(days=2)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with Archive.open(tmp_path_factory.mktemp("world")) as archive:
        toy_world.build_world(archive, days=30)
        toy_world.learn(archive, as_of=LEARNED)
        yield archive, toy_world.forecast(archive, ISSUE)


def ask(archive, **asked: str):
    desk, request = open_desk(archive), parse_request(({"site": "s0"} | asked).items())
    return orjson.loads(desk.answer(desk.ask("acme", request, now=ISSUE + timedelta(days=1))).body)


def test_members_are_those_of_the_run_and_agree_over_places(world):
    archive, run = world
    made = ask(archive, site="s0,s1", hourly="temperature_2m,precipitation", members="12")
    drawn = draw_scenarios(archive, run, members=12)
    for place, answer in enumerate(made):
        for row, name in ((0, "temperature_2m"), (2, "precipitation")):
            columns = [answer["hourly"][f"{name}_member{k:02d}"] for k in range(1, 13)]
            wanted = np.round(drawn.values[row, place].T.astype(np.float64), 1 + row // 2)
            np.testing.assert_allclose(np.array(columns), wanted, atol=1e-6)


def test_quantiles_of_the_members_are_near_those_delivered(world):
    archive, _ = world
    made = ask(archive, hourly="temperature_2m", members="200", quantiles="0.1,0.5,0.9")["hourly"]
    members = np.array([column for name, column in made.items() if "member" in name])
    for level in (10, 50, 90):
        np.testing.assert_allclose(
            np.quantile(members, level / 100, axis=0), made[f"temperature_2m_p{level}"], atol=0.3
        )


def test_a_days_statistics_are_worked_out_member_by_member(world):
    archive, run = world
    # The run has 6, 12, 24 and 48 hours: no day is whole, and it is said so.
    made = ask(archive, daily="precipitation_sum", quantiles="0.9")
    assert set(made["daily"]["precipitation_sum"]) == {None}
    assert set(made["daily_null_reasons"]["precipitation_sum"].values()) == {"day_incomplete"}
    assert draw_scenarios(archive, run, members=MEMBERS, site_ids=["s0"]).members == MEMBERS
