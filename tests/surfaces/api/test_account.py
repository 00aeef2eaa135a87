"""A customer's account over HTTP: keys that rotate, writes that happen once, bodies that are bounded, the audit log."""

from __future__ import annotations

import gzip
import logging
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

import orjson
import pytest

from skyproof.archive.archive import Archive
from skyproof.domain.accounts import SCOPES
from skyproof.surfaces.api.bodies import SMALL_BODY
from tests.surfaces.api.served import NOW, Caller, MovableClock, calling, fill
from tests.surfaces.api.test_problems import check_problem

READ = {"scopes": ["forecast:read"]}


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
def ask(archive: Archive, clock: MovableClock) -> Iterator[Caller]:
    """Asks an archive of its own, on either database: these tests write."""
    with calling(archive, fill(archive).tokens, clock=clock) as caller:
        yield caller


def made(ask: Caller, name: str = "new", body: dict | None = None, **more: str) -> dict:
    """A key made over HTTP, usable under ``name`` from then on."""
    answer = ask.post("/v1/keys", body or READ, **more)
    assert answer.status_code == 201, answer.text
    ask.tokens[name] = answer.json()["key"]
    return answer.json()


def test_a_key_made_over_http_opens_what_it_says_and_nothing_else(ask):
    new = made(ask)
    assert ask("/v1/sites", key="new").status_code == 200
    check_problem(ask("/v1/keys", key="new"), 403, "permission_denied")
    check_problem(ask.post("/v1/keys", READ, key="new"), 403, "permission_denied")
    assert new["scopes"] == ["forecast:read"]
    assert new["live"] is True
    assert new["expires_at"] is None


def test_no_list_and_no_log_shows_a_secret(ask, caplog):
    caplog.set_level(logging.DEBUG)
    token = made(ask)["key"]
    secret = token.rpartition("_")[2]
    ask.post("/v1/keys", READ | {"colour": token})
    for path in ("/v1/keys", "/v1/audit", "/v1/usage"):
        assert secret not in ask(path).text
        assert "hash" not in ask(path).text
    assert secret not in caplog.text


def test_a_key_gives_no_scope_it_lacks(ask):
    made(ask, "manager", {"scopes": ["keys:write", "forecast:read"]})
    answer = ask.post("/v1/keys", {"scopes": ["webhooks:write"]}, key="manager")
    check_problem(answer, 403, "permission_denied")
    assert made(ask, "child", READ)["scopes"] == ["forecast:read"]
    # Nor does rotating another key lend its scopes.
    everything = next(
        key for key in ask("/v1/keys").json()["keys"] if len(key["scopes"]) == len(SCOPES) and key["live"]
    )
    check_problem(ask.post(f"/v1/keys/{everything['key_id']}/rotate", key="manager"), 403, "permission_denied")


def test_two_keys_of_a_line_open_until_the_overlap_ends(ask, clock):
    old = made(ask, "old", READ | {"lifetime_days": 10})
    answer = ask.post(f"/v1/keys/{old['key_id']}/rotate", {"overlap_hours": 3})
    assert answer.status_code == 201
    ask.tokens["next"] = answer.json()["key"]
    assert answer.json()["replaces"] == old["key_id"]
    assert answer.json()["scopes"] == old["scopes"]
    assert [ask("/v1/sites", key=name).status_code for name in ("old", "next")] == [200, 200]
    # A third live one is refused, from either end of the line.
    check_problem(ask.post(f"/v1/keys/{old['key_id']}/rotate"), 409, "conflict")
    check_problem(ask.post(f"/v1/keys/{answer.json()['key_id']}/rotate"), 409, "conflict")
    clock.instant = NOW + timedelta(hours=3)
    assert [ask("/v1/sites", key=name).status_code for name in ("old", "next")] == [401, 200]
    assert ask.post(f"/v1/keys/{answer.json()['key_id']}/rotate").status_code == 201
    check_problem(ask.post(f"/v1/keys/{old['key_id']}/rotate"), 409, "conflict")  # it opens nothing any more


def test_rotation_never_lengthens_the_life_of_the_old_key(ask):
    old = made(ask, "old", READ | {"lifetime_days": 1})
    rotated = ask.post(f"/v1/keys/{old['key_id']}/rotate", {"overlap_hours": 720}).json()
    assert rotated["old_expires_at"] == old["expires_at"]


def test_a_revoked_key_opens_nothing_and_revoking_again_changes_nothing(ask):
    new = made(ask)
    first = ask(f"/v1/keys/{new['key_id']}", method="DELETE")
    assert (first.status_code, first.json()["live"]) == (200, False)
    assert ask("/v1/sites", key="new").status_code == 401
    assert ask(f"/v1/keys/{new['key_id']}", method="DELETE").json() == first.json()


def test_live_keys_are_limited(ask):
    live = sum(key["live"] for key in ask("/v1/keys").json()["keys"])
    for _ in range(20 - live):
        new = made(ask)
    check_problem(ask.post("/v1/keys", READ), 409, "conflict")
    check_problem(ask.post(f"/v1/keys/{new['key_id']}/rotate"), 409, "conflict")
    ask(f"/v1/keys/{new['key_id']}", method="DELETE")
    made(ask)


def test_a_write_sent_again_is_done_once_and_answered_the_same_without_the_secret(ask):
    first = ask.post("/v1/keys", READ, Idempotency_Key="order-1")
    before = len(ask("/v1/keys").json()["keys"])
    again = ask.post("/v1/keys", READ, Idempotency_Key="order-1")
    assert again.status_code == 201
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert again.json() == first.json() | {"key": None}
    assert len(ask("/v1/keys").json()["keys"]) == before
    # Another's key of the same name is another key.
    assert ask.post("/v1/keys", READ, Idempotency_Key="order-1", key="bolt").json()["key"] is not None


def test_an_idempotency_key_for_another_request_is_refused(ask):
    ask.post("/v1/keys", READ, Idempotency_Key="order-1")
    check_problem(ask.post("/v1/keys", READ | {"lifetime_days": 3}, Idempotency_Key="order-1"), 409, "conflict")


def test_an_idempotency_key_is_free_again_after_a_failure_and_after_a_day(ask, clock):
    wrong = {"scopes": ["no:such"]}
    check_problem(ask.post("/v1/keys", wrong, Idempotency_Key="order-1"), 422, "unknown_name")
    first = ask.post("/v1/keys", READ, Idempotency_Key="order-1")
    assert first.status_code == 201
    clock.instant = NOW + timedelta(days=1, seconds=1)
    assert ask.post("/v1/keys", READ, Idempotency_Key="order-1").json()["key_id"] != first.json()["key_id"]


@pytest.mark.parametrize("name", ["x" * 129, "two words", "tab\there", ""])
def test_an_impossible_idempotency_key_is_refused(ask, name):
    check_problem(ask.post("/v1/keys", READ, Idempotency_Key=name), 422, "invalid_value")


@pytest.mark.parametrize(
    ("body", "code", "where"),
    [
        ({}, "invalid_value", ["scopes"]),
        ({"scopes": []}, "invalid_value", ["scopes"]),
        ({"scopes": ["a"] * 21}, "invalid_value", ["scopes"]),
        ({"scopes": "forecast:read"}, "invalid_value", ["scopes"]),
        ({"scopes": ["forecast:read"], "lifetime_days": 0}, "invalid_value", ["lifetime_days"]),
        ({"scopes": ["forecast:read"], "lifetime_days": 1e99}, "invalid_value", ["lifetime_days"]),
        ({"scopes": ["forecast:read"], "admin": True}, "unknown_name", ["admin"]),
        ([], "invalid_value", [""]),
        ("text", "invalid_value", [""]),
        (None, "invalid_value", ["scopes"]),
    ],
)
def test_every_wrong_member_of_a_body_is_named(ask, body, code, where):
    problem = check_problem(ask.post("/v1/keys", body), 422, code)
    assert [error["parameter"] for error in problem["errors"]] == where


def send(ask: Caller, content: object, *, key: str | None = "acme", **headers: str):
    return ask("/v1/keys", method="POST", content=content, key=key, **{"Content_Type": "application/json"} | headers)


def test_bodies_are_bounded_as_they_arrive_and_as_they_unfold(ask):
    good = orjson.dumps(READ)
    assert send(ask, good).status_code == 201
    assert send(ask, gzip.compress(good), Content_Encoding="gzip").status_code == 201
    check_problem(send(ask, b" " * (SMALL_BODY + 1)), 413, "too_large")
    bomb = gzip.compress(b" " * (1000 * SMALL_BODY))
    assert len(bomb) < SMALL_BODY
    check_problem(send(ask, bomb, Content_Encoding="gzip"), 413, "too_large")
    check_problem(send(ask, good, Content_Length=str(SMALL_BODY + 1)), 413, "too_large")
    check_problem(send(ask, gzip.compress(good)[:-4], Content_Encoding="gzip"), 422, "input")
    check_problem(send(ask, gzip.compress(good) + b"more", Content_Encoding="gzip"), 422, "input")
    check_problem(send(ask, good, Content_Encoding="gzip"), 422, "input")
    check_problem(send(ask, good, Content_Encoding="br"), 415, "unsupported_media_type")
    check_problem(send(ask, good, Content_Type="text/plain"), 415, "unsupported_media_type")
    check_problem(send(ask, b"{"), 422, "input")
    check_problem(send(ask, b"[" * 5000), 422, "input")
    check_problem(send(ask, b'{"scopes": ["\xff"]}'), 422, "input")


def test_a_body_that_does_not_say_its_length_is_bounded_too(ask):
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        while taken < 100:
            taken += 1
            yield b" " * 4096

    check_problem(send(ask, endless()), 413, "too_large")
    assert taken == SMALL_BODY // 4096 + 1


def test_a_body_without_a_key_is_not_even_looked_at(ask):
    check_problem(ask.post("/v1/keys", READ, key=None), 401, "authentication")
    check_problem(send(ask, b" " * (SMALL_BODY + 1), key=None), 401, "authentication")


def test_the_audit_log_tells_every_change_and_who_made_it(ask):
    new = made(ask)
    ask.post(f"/v1/keys/{new['key_id']}/rotate")
    ask(f"/v1/keys/{new['key_id']}", method="DELETE")
    check_problem(ask.post("/v1/keys", {"scopes": ["no:such"]}), 422, "unknown_name")
    entries = ask("/v1/audit").json()["entries"]
    assert [entry["action"] for entry in entries] == ["key.revoked", "key.rotated", "key.created"]
    assert {entry["key_id"] for entry in entries} == {ask.tokens["acme"].split("_")[2]}
    assert {entry["subject"] for entry in entries} == {new["key_id"]}
    assert entries[2]["detail"] == {"scopes": ["forecast:read"]}
    pages, cursor = [], ""
    for _ in range(3):
        page = ask(f"/v1/audit?limit=1&cursor={cursor}").json()
        pages += page["entries"]
        cursor = page["next_cursor"]
    assert (pages, cursor) == (entries, None)
    check_problem(ask("/v1/audit?cursor=x"), 422, "invalid_value")


def test_nobody_sees_or_touches_anothers_account(ask):
    new = made(ask)
    made(ask, "theirs", key="bolt")
    for path in ("/v1/keys", "/v1/audit", "/v1/usage"):
        assert new["key_id"] not in ask(path, key="bolt").text
    unknown = "0123456789abcdef"
    for method, path in (("DELETE", "/v1/keys/{}"), ("POST", "/v1/keys/{}/rotate")):
        foreign = check_problem(ask(path.format(new["key_id"]), key="bolt", method=method), 404, "not_found")
        nothing = check_problem(ask(path.format(unknown), key="bolt", method=method), 404, "not_found")
        assert foreign["detail"].replace(new["key_id"], unknown) == nothing["detail"]
    assert ask("/v1/sites", key="new").status_code == 200
