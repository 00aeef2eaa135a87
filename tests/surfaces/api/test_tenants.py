"""The wrong customer at every door: each address is walked as one who must not see, and a new address has to join the walk."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from skyproof.archive.archive import Archive
from skyproof.domain.notices import Notice
from skyproof.surfaces.api.description import OPEN
from tests.surfaces.api.served import ACME_SITE, NOW, Caller, MovableClock, calling, fill

SITE = {"name": "Acme's yard", "latitude": 47.1, "longitude": 8.1, "elevation": 450.0}
PARK = {"name": "Acme's park", "members": [{"site": "acme-roof"}]}
ROWS = [{"time": "2025-03-29T01:00Z", "variable": "temperature_2m", "value": 5.0625}]
#: Good bodies of writes; what is not here goes without one.
BODIES: dict[tuple[str, str], Any] = {
    ("POST", "/v1/keys"): {"scopes": ["forecast:read"]},
    ("POST", "/v1/sites"): SITE | {"name": "New"},
    ("PATCH", "/v1/sites/{site_id}"): {"name": "changed"},
    ("POST", "/v1/sites/{site_id}/observations"): ROWS,
    ("POST", "/v1/webhooks"): {"url": "https://93.184.216.34/new", "events": ["run.late"]},
    ("PATCH", "/v1/webhooks/{webhook_id}"): {"active": False},
    ("POST", "/v1/portfolios"): {"name": "Bolt's park", "members": [{"site": "bolt-farm"}]},
    ("PUT", "/v1/portfolios/{portfolio_id}"): {"name": "changed", "members": [{"site": "zurich"}]},
}
#: Questions too long for an address: they read, whatever their method.
QUESTIONS = ("/v1/query", "/v1/query/cost")
BODIES |= {
    ("POST", path): {
        "geo": {"type": "all"}, "init_time": {"start": "2025-03-29T00:00:00Z", "end": "2025-03-31T00:00:00Z"},
        "variables": ["temperature_2m"],
    }
    for path in QUESTIONS
}  # fmt: skip
#: Parameters without which an address answers nothing.
QUERIES = {
    **{
        f"/edr/collections/{{collection}}{instance}/{query}": f"?coords={coords}"
        for instance in ("", "/instances/{instance}")
        for query, coords in (
            ("position", "POINT(8 47)"),
            ("area", "POLYGON((7 46,9 46,9 48,7 48))"),
            ("trajectory", "LINESTRING(8 47,8.5 47.3)&datetime=2025-03-30T12:00Z"),
        )
    },
    "/v1/forecast": "?site=acme-roof&hourly=temperature_2m",
    "/v1/sites/{site_id}/observations": "?variable=temperature_2m&start=2025-03-29T00:00Z&end=2025-03-30T00:00Z",
    "/v1/portfolios/{portfolio_id}/forecast": "?hourly=temperature_2m",
}


THE_DAY_BEFORE = NOW - timedelta(hours=8)
#: Names in addresses of what everyone may see.
PUBLIC = {
    "model": "skyproof",
    "source": "alba",
    "collection": "skyproof",
    "instance": "2025-03-30T00:00Z",
    "date": THE_DAY_BEFORE.date().isoformat(),
}


@pytest.fixture(autouse=True)
def without_release(monkeypatch):
    for source in ("_copula", "_ensemble"):
        monkeypatch.setattr(f"skyproof.stages.forecast.scenarios.{source}", lambda *_, **__: None)


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
def ask(archive: Archive, clock: MovableClock) -> Iterator[Caller]:
    with calling(archive, fill(archive).tokens, clock=clock) as caller:
        yield caller


@pytest.fixture
def acmes(ask: Caller, archive: Archive, clock: MovableClock) -> dict[str, str]:
    """One of everything acme has, by the name of the parameter that stands for it in an address."""
    clock.instant = THE_DAY_BEFORE  # its receipt is in the ledger by now
    forecast_id = ask.forecast({"site": "acme-roof"}).json()["meta"]["forecast_id"]
    clock.instant = NOW
    ask.post(f"/v1/sites/{ACME_SITE.site_id}/observations", ROWS)
    hook = ask.post("/v1/webhooks", {"url": "https://93.184.216.34/acme", "events": ["run.late"]}).json()["webhook"]
    archive.notices.add([Notice("evt_1", "acme", "run.late", NOW, {"cause": "acme alone"})], now=NOW)
    return {
        "location": "acme-roof",
        "forecast_id": forecast_id,
        "key_id": ask.post("/v1/keys", {"scopes": ["forecast:read"]}).json()["key_id"],
        "site_id": ask.post("/v1/sites", SITE).json()["site"],
        "portfolio_id": ask.post("/v1/portfolios", PARK).json()["portfolio"],
        "webhook_id": hook,
        "delivery_id": ask(f"/v1/webhooks/{hook}/deliveries").json()["deliveries"][0]["delivery"],
    }


def addresses(ask: Caller) -> list[tuple[str, str]]:
    """Every guarded method and address of the description."""
    paths = ask("/openapi.json", key=None).json()["paths"]
    return [(m.upper(), path) for path, operations in paths.items() for m in operations if path not in OPEN]


def is_owned(path: str, acmes: dict[str, str]) -> bool:
    """Whether an address names something that belongs to a customer."""
    return any(f"{{{name}}}" in path for name in acmes)


def walk(ask: Caller, names: dict[str, str], key: str):
    """Every answer to ``key`` at the addresses of things so named; reading first, for writes change what is read."""
    for method, path in sorted(addresses(ask), key=lambda pair: pair[0] != "GET"):
        address = path.format_map(PUBLIC | names) + QUERIES.get(path, "")
        yield method, path, ask(address, key=key, method=method, body=BODIES.get((method, path)))


def test_the_wrong_customer_finds_nothing_at_any_address(ask, acmes):
    words = {
        *acmes.values(),
        ACME_SITE.site_id,
        ACME_SITE.name,
        "Acme's",
        "5.0625",
        "acme alone",
        ask.tokens["acme"].split("_")[2],
    }
    for method, path, answer in walk(ask, acmes, "bolt"):
        if is_owned(path, acmes):
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), (method, path, answer.text)
            continue
        assert answer.status_code < 500, (method, path)
        told = answer.text
        if path == "/v1/forecast":  # it repeats the name that was asked for
            assert answer.json()["code"] == "unknown_name"
            told = told.replace("acme-roof", "")
        assert not [word for word in words if word in told], (method, path)


def test_what_the_wrong_customer_tried_changed_nothing(ask, acmes):
    def state() -> list[str]:
        return [ask(path.format_map(acmes)).text for path in (
            "/v1/sites", "/v1/portfolios", "/v1/keys", "/v1/sites/{site_id}", "/v1/audit",
        )]  # fmt: skip

    before = state()
    for _ in walk(ask, acmes, "bolt"):
        pass
    assert state() == before


def test_a_thing_of_another_and_a_thing_that_is_not_look_the_same(ask, acmes):
    nothing = dict.fromkeys(acmes, "0" * 16)
    foreign = [(pair, answer) for *pair, answer in walk(ask, acmes, "bolt") if is_owned(pair[1], acmes)]
    unknown = [(pair, answer) for *pair, answer in walk(ask, nothing, "bolt") if is_owned(pair[1], acmes)]
    for (pair, theirs), (_, none) in zip(foreign, unknown, strict=True):
        one, other = theirs.json(), none.json()
        for member in ("title", "status", "code", "hint", "errors", "detail"):
            told = str(one[member])
            for name in acmes.values():
                told = told.replace(name, "0" * 16)
            assert told == str(other[member]), pair


def test_the_owner_finds_all_of_it(ask, acmes):
    reads = [answer for method, _, answer in walk(ask, acmes, "acme") if method == "GET"]
    # The site just created waits for a run.
    assert {answer.status_code for answer in reads} == {200}


def test_no_write_opens_to_a_key_that_only_reads(ask, acmes):
    for method, path, answer in walk(ask, acmes, "reader"):
        if method != "GET" and path not in QUESTIONS:
            assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied"), (method, path)


def test_no_address_opens_without_a_key(ask, acmes):
    for method, path in addresses(ask):
        answer = ask(path.format_map(PUBLIC | acmes) + QUERIES.get(path, ""), key=None, method=method)
        assert answer.status_code == 401, (method, path)
