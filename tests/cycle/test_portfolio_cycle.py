"""A portfolio's quantiles come from scenarios that agree over its sites: counted here member by member, and by another way."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import orjson
import pytest

from skyproof.archive.archive import Archive
from skyproof.cycle.portfolio_cycle import forecast_portfolio
from skyproof.domain.portfolios import Portfolio
from skyproof.domain.quantiles import LEVELS as KNOWN
from skyproof.stages.forecast.scenarios import draw_scenarios
from tests.stages import toy_world

LEARNED = toy_world.START + timedelta(days=24, hours=12)
ISSUE = LEARNED + timedelta(days=2)
LEVELS = (0.1, 0.5, 0.9)
WEIGHTS = {"s2": 3.0, "s0": 1.0, "s1": 0.5}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with Archive.open(tmp_path_factory.mktemp("portfolio")) as archive:
        toy_world.build_world(archive, days=30)
        toy_world.learn(archive, as_of=LEARNED)
        yield archive, toy_world.forecast(archive, ISSUE)


def answered(archive, members=WEIGHTS, aggregate="sum", variables=("temperature_2m",), count=100):
    portfolio = Portfolio("pf_1", "acme", "Park", aggregate, members, ISSUE)
    answer, newest = forecast_portfolio(
        archive,
        portfolio,
        variables=variables,
        levels=LEVELS,
        members=count,
        run_id=None,
        now=ISSUE + timedelta(days=1),
    )
    return orjson.loads(answer.body), newest


@pytest.mark.parametrize("aggregate", ["sum", "mean"])
def test_quantiles_are_those_of_totals_counted_member_by_member(world, aggregate):
    archive, run = world
    told, newest = answered(archive, aggregate=aggregate)
    assert newest == run.run_id
    drawn = draw_scenarios(archive, run, members=100, variables=["temperature_2m"], site_ids=list(WEIGHTS))
    share = sum(WEIGHTS.values()) if aggregate == "mean" else 1.0
    for lead in range(len(drawn.lead_hours)):
        totals = sorted(
            sum(weight * float(drawn.values[0, s, lead, m]) for s, weight in enumerate(WEIGHTS.values())) / share
            for m in range(100)
        )
        # Hazen's positions of 100 members: level 0.1 lies in the middle of the tenth and the eleventh.
        wanted = [(totals[k - 1] + totals[k]) / 2 for k in (10, 50, 90)]
        got = [told["hourly"][f"temperature_2m_p{level}"][lead] for level in (10, 50, 90)]
        np.testing.assert_allclose(got, wanted, atol=0.0501)
        np.testing.assert_allclose(told["hourly"]["temperature_2m"][lead], np.mean(totals), atol=0.0501)


def test_added_quantiles_are_wider_than_the_portfolio(world):
    archive, run = world
    told, _ = answered(archive, count=400)
    low, high = (np.array(told["hourly"][f"temperature_2m_p{level}"]) for level in (10, 90))
    reader = archive.runs.open(run)
    places = {site_id: reader.site(site_id).quantiles[0] for site_id in WEIGHTS}
    first, last = KNOWN.index(0.1), KNOWN.index(0.9)
    added = sum(weight * (places[site_id][:, last] - places[site_id][:, first]) for site_id, weight in WEIGHTS.items())
    assert (high - low <= added + 0.11).all()
    assert (high - low).sum() < 0.99 * added.sum()


def test_one_site_alone_is_its_own_forecast(world):
    archive, run = world
    told, _ = answered(archive, {"s1": 1.0}, count=1000)
    published = archive.runs.open(run).site("s1").quantiles[0]
    for level in LEVELS:
        got = told["hourly"][f"temperature_2m_p{100 * level:g}"]
        np.testing.assert_allclose(got, published[:, KNOWN.index(level)], atol=0.11)


def test_order_of_members_and_of_variables_changes_no_number(world):
    archive, _ = world
    one, _ = answered(archive, variables=("temperature_2m", "precipitation"))
    other, _ = answered(archive, dict(reversed(WEIGHTS.items())), variables=("precipitation", "temperature_2m"))
    assert one["hourly"] == other["hourly"]
    assert one["meta"]["forecast_id"] != other["meta"]["forecast_id"]
