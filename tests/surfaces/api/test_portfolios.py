"""Portfolios over HTTP: kept per customer, answered from scenarios, with a receipt like every forecast."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from skyproof.archive.archive import Archive
from skyproof.domain.accounts import Plan
from skyproof.domain.errors import UnknownNameError
from tests.surfaces.api.served import ACME_SITE, GAP, VARIABLES, Caller, calling, fill
from tests.surfaces.api.test_problems import check_problem

PARK = {"name": "Park", "members": [{"site": "acme-roof", "weight": 2.0}, {"site": "zurich", "weight": 0.5}]}


@pytest.fixture(autouse=True)
def without_release(monkeypatch):
    """The served runs name releases and cycles that nobody kept: members are drawn independently."""
    for source in ("_copula", "_ensemble"):
        monkeypatch.setattr(f"skyproof.stages.forecast.scenarios.{source}", lambda *_, **__: None)


@pytest.fixture
def ask(archive: Archive) -> Iterator[Caller]:
    with calling(archive, fill(archive).tokens) as caller:
        yield caller


def made(ask: Caller, body: dict | None = None, **more: str) -> str:
    answer = ask.post("/v1/portfolios", body or PARK, **more)
    assert answer.status_code == 201, answer.text
    return answer.json()["portfolio"]


def test_a_portfolio_is_made_replaced_and_dropped(ask):
    name = made(ask)
    told = ask(f"/v1/portfolios/{name}").json()
    assert (told["name"], told["aggregate"], told["members"]) == ("Park", "sum", PARK["members"])
    assert ask("/v1/portfolios").json()["portfolios"] == [told]
    changed = ask(f"/v1/portfolios/{name}", method="PUT", body=PARK | {"aggregate": "mean"})
    assert (changed.status_code, changed.json()) == (200, told | {"aggregate": "mean"})
    check_problem(ask(f"/v1/sites/{ACME_SITE.site_id}", method="DELETE"), 409, "conflict")
    assert ask(f"/v1/portfolios/{name}", method="DELETE").status_code == 200
    check_problem(ask(f"/v1/portfolios/{name}"), 404, "not_found")
    check_problem(ask(f"/v1/portfolios/{name}", method="PUT", body=PARK), 404, "not_found")
    assert ask(f"/v1/sites/{ACME_SITE.site_id}", method="DELETE").status_code == 200


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"members": []}, "invalid_value"),
        ({"members": [{"site": "acme-roof"}] * 2}, "invalid_value"),
        ({"members": [{"site": "acme-roof", "weight": 0}]}, "invalid_value"),
        ({"members": [{"site": "acme-roof", "weight": 1e10}]}, "invalid_value"),
        ({"members": [{"site": "bolt-farm"}]}, "unknown_name"),
        ({"members": [{"site": "nowhere"}]}, "unknown_name"),
        ({"members": [{"site": f"s{k}"} for k in range(1001)]}, "invalid_value"),
        ({"aggregate": "median"}, "invalid_value"),
        ({"aggregate": "mean", "members": [{"site": "acme-roof", "weight": -1}]}, "invalid_value"),
    ],
)
def test_an_impossible_portfolio_is_refused(ask, change, code):
    check_problem(ask.post("/v1/portfolios", PARK | change), 422, code)


def test_a_foreign_site_in_a_portfolio_looks_like_one_that_is_not_there(ask):
    answers = [ask.post("/v1/portfolios", PARK | {"members": [{"site": site}]}) for site in ("bolt-farm", "nowhere")]
    assert answers[0].json()["detail"].replace("bolt-farm", "nowhere") == answers[1].json()["detail"]


def test_portfolios_are_limited_by_the_plan(archive: Archive):
    with calling(archive, fill(archive).tokens, plans={"standard": Plan(10**6, 10**6, 9, 1, 1)}) as ask:
        made(ask)
        check_problem(ask.post("/v1/portfolios", PARK), 429, "quota")


def test_the_forecast_is_the_sum_of_what_its_sites_say(ask, archive):
    name = made(ask)
    answer = ask(f"/v1/portfolios/{name}/forecast?hourly=temperature_2m,precipitation&quantiles=0.1,0.9&members=400")
    assert answer.status_code == 200, answer.text
    told = answer.json()
    sites = ask.forecast({"site": "acme-roof,zurich", "hourly": "temperature_2m"}).json()
    wanted = 2.0 * np.array(sites[0]["hourly"]["temperature_2m"]) + 0.5 * np.array(sites[1]["hourly"]["temperature_2m"])
    # The mean of a sum is the sum of means, whatever hangs together; the run's mean is that of its quantiles here.
    np.testing.assert_allclose(told["hourly"]["temperature_2m"], wanted, atol=0.15)
    # Every site is uniform over 4 degrees: the exact quantiles of 2 X + Y / 2 by a million draws.
    low, high = (np.array(told["hourly"][f"temperature_2m_{tail}"]) for tail in ("p10", "p90"))
    draws = np.random.default_rng(1).uniform(-2, 2, (2, 1_000_000))
    exact = np.quantile(2 * draws[0] + 0.5 * draws[1], [0.1, 0.9])
    np.testing.assert_allclose(low - wanted, exact[0], atol=0.3)
    np.testing.assert_allclose(high - wanted, exact[1], atol=0.3)
    # Adding quantiles would say 4.0 = (2 + 0.5) * 1.6.
    assert (high - low < 2 * 0.97 * 2.5 * 1.6).all()
    gap = GAP[1]
    assert VARIABLES[GAP[0]] == "precipitation"
    assert told["hourly"]["precipitation"][gap] is None
    assert told["hourly_null_reasons"] == {"precipitation": {str(gap): "no_forecast_of_a_site"}}
    assert told["meta"]["scenarios"] == {"members": 400, "template": {"kind": "independent"}}


def test_a_mean_weighs_and_a_difference_subtracts(ask):
    sites = ask.forecast({"site": "acme-roof,zurich", "hourly": "temperature_2m"}).json()
    roof, zurich = (np.array(site["hourly"]["temperature_2m"]) for site in sites)
    mean = made(ask, PARK | {"aggregate": "mean"})
    told = ask(f"/v1/portfolios/{mean}/forecast?hourly=temperature_2m").json()["hourly"]["temperature_2m"]
    np.testing.assert_allclose(told, (2 * roof + 0.5 * zurich) / 2.5, atol=0.15)
    members = [{"site": "acme-roof", "weight": 1}, {"site": "zurich", "weight": -1}]
    difference = made(ask, {"name": "Difference", "members": members})
    told = ask(f"/v1/portfolios/{difference}/forecast?hourly=temperature_2m").json()["hourly"]["temperature_2m"]
    np.testing.assert_allclose(told, roof - zurich, atol=0.15)


def test_the_same_question_has_the_same_name_and_bytes_and_a_receipt_each_time(ask, archive):
    name = made(ask)
    path = f"/v1/portfolios/{name}/forecast?hourly=temperature_2m"
    first, again = ask(path), ask(path)
    assert first.content == again.content
    forecast_id = first.json()["meta"]["forecast_id"]
    assert first.headers["etag"] == f'"{forecast_id}"'
    receipts = [each for each in archive.deliveries.receipts(customer_id="acme") if each.forecast_id == forecast_id]
    assert len(receipts) == 2
    assert ask(f"/v1/forecasts/{forecast_id}").content == first.content
    check_problem(ask(f"/v1/forecasts/{forecast_id}", key="bolt"), 404, "not_found")
    assert ask(path, method="HEAD").content == b""
    assert archive.deliveries.count() == 3
    heavier = PARK | {"members": [{"site": "acme-roof", "weight": 3.0}]}
    ask(f"/v1/portfolios/{name}", method="PUT", body=heavier)
    assert ask(path).json()["meta"]["forecast_id"] != forecast_id


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("", 422, "invalid_value"),
        ("?hourly=,", 422, "invalid_value"),
        ("?hourly=ozone", 422, "unknown_name"),
        ("?hourly=cloud_cover", 422, "unknown_name"),
        ("?hourly=wind_direction_10m", 422, "invalid_value"),
        ("?hourly=temperature_2m&members=1001", 422, "invalid_value"),
        ("?hourly=temperature_2m&members=2", 422, "invalid_value"),
        ("?hourly=temperature_2m&quantiles=1.5", 422, "invalid_value"),
        ("?hourly=temperature_2m&quantiles=0.0001", 422, "invalid_value"),
        ("?hourly=temperature_2m&run=yesterday", 422, "invalid_value"),
        ("?hourly=temperature_2m&run=run_0123", 422, "unknown_name"),
        ("?hourly=temperature_2m&colour=red", 422, "unknown_name"),
    ],
)
def test_a_wrong_question_is_refused(ask, query, status, code):
    check_problem(ask(f"/v1/portfolios/{made(ask)}/forecast{query}"), status, code)


def test_a_site_that_no_run_holds_yet_is_said(ask):
    yard = ask.post("/v1/sites", {"name": "Yard", "latitude": 47.1, "longitude": 8.1, "elevation": 450.0}).json()[
        "site"
    ]
    name = made(ask, PARK | {"members": [{"site": yard}]})
    problem = check_problem(ask(f"/v1/portfolios/{name}/forecast?hourly=temperature_2m"), 404, "not_available")
    assert "next release" in problem["hint"]


def test_a_run_whose_inputs_are_gone_is_said(ask, monkeypatch):
    def gone(*_, **__):
        raise UnknownNameError("cycle of alba is not kept")

    monkeypatch.setattr("skyproof.stages.forecast.scenarios._ensemble", gone)
    check_problem(ask(f"/v1/portfolios/{made(ask)}/forecast?hourly=temperature_2m"), 404, "not_available")


def test_the_mean_alone_may_be_asked_for(ask):
    told = ask(f"/v1/portfolios/{made(ask)}/forecast?hourly=temperature_2m&quantiles=").json()
    assert set(told["hourly"]) == {"time", "temperature_2m"}


def test_what_would_draw_too_much_is_refused_before_it_is_drawn(ask, monkeypatch):
    monkeypatch.setattr("skyproof.cycle.portfolio_cycle.MOST_NUMBERS", 1999)
    answer = ask(f"/v1/portfolios/{made(ask)}/forecast?hourly=temperature_2m")
    assert "needs 2,000 numbers" in check_problem(answer, 422, "invalid_value")["detail"]


def test_nobody_sees_or_changes_anothers_portfolio(ask):
    name = made(ask)
    assert ask("/v1/portfolios", key="bolt").json() == {"portfolios": []}
    for method, path in (("GET", ""), ("PUT", ""), ("DELETE", ""), ("GET", "/forecast?hourly=temperature_2m")):
        body = {"name": "x", "members": [{"site": "zurich"}]} if method == "PUT" else None
        foreign = ask(f"/v1/portfolios/{name}{path}", method=method, body=body, key="bolt")
        nothing = ask(f"/v1/portfolios/pf_0{path}", method=method, body=body, key="bolt")
        check_problem(foreign, 404, "not_found")
        assert foreign.json()["detail"].replace(name, "pf_0") == nothing.json()["detail"]
