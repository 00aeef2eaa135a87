"""Who may ask: the key against every address, and that no customer ever sees what is another's."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from skyproof.archive.archive import Archive
from skyproof.domain.deliveries import ApiKey
from skyproof.domain.errors import SkyproofError
from tests.surfaces.api.served import ACME_SITE, BOLT_SITE, LIFETIME, NOW, Caller, MovableClock, calling, fill

OPEN = (
    "/healthz",
    "/readyz",
    "/openapi.json",
    "/docs",
    "/console.css",
    "/llms.txt",
    "/.well-known/api-catalog",
    "/edr",
    "/edr/conformance",
)
#: What stands in an address for a name.
NAMES = {
    "{delivered}": "{forecast_id}",
    "models/skyproof": "models/{model}",
    "/alba": "/{source}",
    "collections/skyproof": "collections/{collection}",
    "/2025-03-30T00:00Z": "/{instance}",
    "/zurich": "/{location}",
}
GUARDED = (
    "/v1/forecast?site=zurich&hourly=temperature_2m", "/v1/forecasts/{delivered}", "/v1/sites", "/v1/variables", "/v1/runs",
    "/v1/runs/latest", "/v1/status", "/v1/keys", "/v1/usage", "/v1/audit", "/v1/portfolios", "/v1/webhooks", "/v1/events",
    "/v1/models", "/v1/models/skyproof", "/v1/models/skyproof/versions", "/v1/sources", "/v1/sources/alba",
    "/edr/collections",
    *(
        f"/edr/collections/skyproof{instance}{rest}"
        for instance in ("", "/instances/2025-03-30T00:00Z")
        for rest in (
            "", "/locations", "/locations/zurich", "/position?coords=POINT(8 47)", "/area?coords=POLYGON((8 47,9 47,9 48,8 48))",
            "/trajectory?coords=LINESTRINGM(8 47 1743336000,8.5 47.3 1743357600)",
        )
    ),
    "/edr/collections/skyproof/instances",
    "/v1/corrigenda", "/v1/changelog",
)  # fmt: skip
STRANGER = "sp_live_0123456789abcdef_" + "0" * 64


@pytest.fixture(scope="module")
def guarded(ask: Caller) -> tuple[str, ...]:
    """The guarded addresses, with the id of a forecast acme got."""
    delivered = ask.forecast().json()["meta"]["forecast_id"]
    return tuple(path.format(delivered=delivered) for path in GUARDED)


def described_paths(ask: Caller) -> set[str]:
    """The addresses that can be read and name no thing of one customer; test_tenants walks all of them."""
    paths = ask("/openapi.json", key=None).json()["paths"]
    return {path for path, operations in paths.items() if "get" in operations and "{" not in path}


def test_these_are_all_addresses(ask):
    known = set()
    for path in (*GUARDED, *OPEN):
        path = path.partition("?")[0]
        for name, place in NAMES.items():
            path = path.replace(name, place)
        known.add(path)
    assert described_paths(ask) <= known


@pytest.mark.parametrize("path", OPEN)
def test_open_addresses_need_no_key(ask, path):
    assert ask(path, key=None).status_code == 200


@pytest.mark.parametrize("position", range(len(GUARDED)), ids=[path.partition("?")[0] for path in GUARDED])
def test_guarded_addresses_open_to_a_good_key_and_to_nothing_else(ask, guarded, position):
    path, good = guarded[position], ask.tokens["acme"]
    assert ask(path).status_code == 200
    assert ask(path, key=None, X_API_Key=good).status_code == 200
    assert ask(path, key=None, Authorization=f"bearer  {good} ").status_code == 200
    assert ask(path, X_API_Key=good).status_code == 200
    refused = {
        "none": ask(path, key=None),
        "unknown": ask(path, key=None, X_API_Key=STRANGER),
        "wrong secret": ask(path, key=None, X_API_Key=good[:-1] + ("0" if good[-1] != "0" else "1")),
        "malformed": ask(path, key=None, X_API_Key="sp_live_x"),
        "empty bearer": ask(path, key=None, Authorization="Bearer "),
        "basic": ask(path, key=None, Authorization="Basic YWNtZTpzZWNyZXQ="),
        "bare": ask(path, key=None, Authorization=good),
        "two": ask(path, X_API_Key=ask.tokens["bolt"]),
        "expired": ask(path, key="expired"),
        "revoked": ask(path, key="revoked"),
        "in the address": ask(path + ("&" if "?" in path else "?") + f"apikey={good}", key=None),
        "in the address too": ask(path + ("&" if "?" in path else "?") + f"hint={good}"),
    }
    assert {name: answer.status_code for name, answer in refused.items()} == dict.fromkeys(refused, 401)
    for answer in refused.values():
        assert answer.json()["code"] == "authentication"
        assert answer.headers["www-authenticate"] == 'Bearer realm="skyproof"'
        assert good not in answer.text
    scopeless = ask(path, key="scopeless")
    assert (scopeless.status_code, scopeless.json()["code"]) == (403, "permission_denied")
    assert "www-authenticate" not in scopeless.headers


def test_an_unknown_key_and_a_wrong_secret_look_the_same(ask):
    good = ask.tokens["acme"]
    wrong = good.rpartition("_")[0] + "_" + "0" * 64
    answers = [ask("/v1/sites", key=None, X_API_Key=token, X_Request_Id="same-request") for token in (STRANGER, wrong)]
    assert answers[0].content == answers[1].content


def test_a_key_that_expires_or_is_revoked_stops_opening(sqlite_archive: Archive):
    served, clock = fill(sqlite_archive), MovableClock()
    with calling(sqlite_archive, served.tokens, clock=clock, remember_keys_s=1e9) as ask:
        assert ask("/v1/sites").status_code == 200
        clock.instant = NOW + LIFETIME
        assert "expired" in ask("/v1/sites").json()["detail"]  # at once, though the key is remembered
    with calling(sqlite_archive, served.tokens) as ask:
        assert ask("/v1/sites").status_code == 200
        sqlite_archive.customers.revoke_key(served.tokens["acme"].split("_")[2], NOW)
        assert "revoked" in ask("/v1/sites").json()["detail"]


def test_revoking_one_of_two_keys_leaves_the_other(served, ask):
    assert ask("/v1/sites", key="revoked").status_code == 401
    assert ask("/v1/sites", key="acme").status_code == 200


@pytest.mark.parametrize(("name", "foreign"), [("acme", BOLT_SITE), ("bolt", ACME_SITE)], ids=["acme", "bolt"])
def test_nobody_finds_anothers_site(ask, name, foreign):
    own = BOLT_SITE if name == "bolt" else ACME_SITE
    assert [site["site"] for site in ask("/v1/sites", key=name).json()["sites"]] == sorted([own.site_id, "zurich"])
    assert [site["shared"] for site in ask("/v1/sites", key=name).json()["sites"]] == [False, True]
    # By id: the same words as for a site that does not exist.
    by_id = ask.forecast({"site": foreign.site_id}, key=name)
    unknown = ask.forecast({"site": "nowhere"}, key=name)
    assert by_id.status_code == unknown.status_code == 422
    same = ("type", "title", "status", "code", "instance", "hint", "errors")
    assert [by_id.json()[part] for part in same] == [unknown.json()[part] for part in same]
    assert by_id.json()["detail"].replace(foreign.site_id, "nowhere") == unknown.json()["detail"]
    # Among others: all or nothing.
    assert ask.forecast({"site": f"zurich,{foreign.site_id}"}, key=name).status_code == 422
    # By coordinate: one's own site answers, even exactly above the other.
    at = {"latitude": str(foreign.latitude), "longitude": str(foreign.longitude)}
    made = ask.forecast(at, key=name).json()
    assert made["grid"]["site"] == own.site_id
    # By guessing around: no answer names it, nor shows its name, or values.
    for more in (
        {},
        {"run": "2025-03-29T12:00Z"},
        {"as_of": "2025-03-29T18:00Z"},
        {"format": "csv"},
        {"provenance": "steps"},
    ):
        text = ask.forecast(at | more, key=name).text
        assert foreign.site_id not in text
        assert foreign.name not in text
    far = ask.forecast({"latitude": "46.5", "longitude": "8.01"}, key=name)
    assert far.status_code == 422
    assert foreign.site_id not in far.text


@pytest.mark.parametrize(
    "path", ["/v1/runs", "/v1/runs/latest", "/v1/status", "/v1/variables", "/openapi.json", "/docs"]
)
def test_what_everyone_sees_names_no_customers_place(ask, path):
    text = ask(path).text
    for word in (ACME_SITE.site_id, ACME_SITE.name, BOLT_SITE.site_id, BOLT_SITE.name, "acme", "bolt"):
        assert word not in text


def test_nobody_gets_anothers_delivery(ask):
    mine = ask.forecast({"site": "acme-roof"})
    name = mine.json()["meta"]["forecast_id"]
    assert ask(f"/v1/forecasts/{name}").content == mine.content
    theirs, unknown = ask(f"/v1/forecasts/{name}", key="bolt"), ask("/v1/forecasts/fc_" + "a" * 26, key="bolt")
    assert theirs.status_code == unknown.status_code == 404
    assert theirs.json()["detail"].replace(name, "fc_" + "a" * 26) == unknown.json()["detail"]
    # Not even that it exists: an ETag that fits is no key.
    assert ask(f"/v1/forecasts/{name}", key="bolt", If_None_Match=f'"{name}"').status_code == 404
    assert ask(f"/v1/forecasts/{name}", key="bolt", If_None_Match="*").status_code == 404


def test_the_same_question_of_two_customers_has_two_names_and_neither_opens_the_others(ask):
    names = {name: ask.forecast(key=name).json()["meta"]["forecast_id"] for name in ("acme", "bolt")}
    assert names["acme"] != names["bolt"]
    assert ask(f"/v1/forecasts/{names['acme']}", key="bolt").status_code == 404
    assert ask(f"/v1/forecasts/{names['bolt']}", key="acme").status_code == 404
    assert ask.forecast(key="bolt", If_None_Match=f'"{names["acme"]}"').status_code == 200


def test_receipts_carry_the_customer_of_the_key(served, ask):
    before = {receipt.receipt_id for receipt in served.archive.deliveries.receipts()}
    for name in ("acme", "bolt", "acme"):
        ask.forecast({"quantiles": "0.77"}, key=name)
    new = [receipt for receipt in served.archive.deliveries.receipts() if receipt.receipt_id not in before]
    assert sorted(receipt.customer_id for receipt in new) == ["acme", "acme", "bolt"]
    for receipt in new:
        assert receipt.key_id == served.tokens[receipt.customer_id].split("_")[2]
    assert {receipt.customer_id for receipt in served.archive.deliveries.receipts(customer_id="bolt")} == {"bolt"}


def test_a_key_that_cannot_be_looked_up_opens_nothing_and_blames_nobody(served, monkeypatch):
    def away(key_id: str) -> ApiKey | None:
        raise SkyproofError(f"secret inside: {key_id}")

    monkeypatch.setattr(served.archive.customers, "find_holder", away)
    with calling(served.archive, served.tokens) as ask:
        for path in ("/v1/sites", "/v1/forecast?site=zurich&hourly=temperature_2m"):
            answer = ask(path)
            assert answer.status_code == 500
            assert answer.json()["code"] == "internal"
            assert "secret inside" not in answer.text


def test_a_key_is_looked_up_once_while_it_is_remembered(served, monkeypatch):
    asked: list[str] = []
    find = served.archive.customers.find_holder
    monkeypatch.setattr(served.archive.customers, "find_holder", lambda key_id: asked.append(key_id) or find(key_id))
    with calling(served.archive, served.tokens, remember_keys_s=1e9) as ask:
        assert {ask("/v1/variables").status_code for _ in range(3)} == {200}
        assert len(asked) == 1
        assert ask("/v1/variables", key=None, X_API_Key=STRANGER).status_code == 401
        assert ask("/v1/variables", key=None, X_API_Key=STRANGER).status_code == 401
        assert len(asked) == 3  # what opens nothing is not remembered


def test_a_key_not_yet_in_force_of_a_renamed_customer_still_works(sqlite_archive: Archive):
    served = fill(sqlite_archive)
    sqlite_archive.customers.add(replace(sqlite_archive.customers.find("acme"), name="Acme and Daughters"))
    with calling(sqlite_archive, served.tokens, clock=MovableClock(NOW + timedelta(hours=1))) as ask:
        assert ask.forecast({"site": "acme-roof"}).status_code == 200
