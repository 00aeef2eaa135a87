"""The hot path: nobody can tell it from the ordinary way, and nothing gets past what the ordinary way would refuse."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest

from skyproof.archive.archive import Archive
from skyproof.archive.deliveries import ReceiptWriter
from skyproof.domain.errors import StoreUnavailableError
from skyproof.domain.sites import Site
from skyproof.surfaces.api.forecast_routes import ForecastRoutes
from tests.surfaces.api.served import (
    LIFETIME,
    NOW,
    SECOND_INIT,
    SHARED,
    Caller,
    MovableClock,
    calling,
    draft,
    fill,
)

LONG = {"refresh_s": 1e9, "remember_keys_s": 1e9}
ASKED: dict[str, str] = {"hourly": "temperature_2m,precipitation", "quantiles": "0.1,0.5,0.9", "timezone": "auto"}


@pytest.fixture
def warm(served) -> Iterator[Caller]:
    """Asks a server that has answered everything here before."""
    with calling(served.archive, served.tokens, **LONG) as ask:
        for form in ("json", "csv"):
            ask.forecast(ASKED | {"format": form})
        yield ask


def only_express(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> None:
        raise AssertionError("the ordinary way was taken")

    monkeypatch.setattr("skyproof.surfaces.api.forecast_routes.ForecastRoutes._parse", forbidden)


def plain(answer: httpx.Response) -> list[tuple[bytes, bytes]]:
    """The headers but for what is left of the plan, which no two answers share."""
    assert "ratelimit" in answer.headers
    return sorted(pair for pair in answer.headers.raw if pair[0] != b"ratelimit")


@pytest.mark.parametrize("form", ["json", "csv"])
def test_the_second_answer_is_the_first_to_the_byte_and_header(served, warm, monkeypatch, form):
    with calling(served.archive, served.tokens) as ordinary:
        first = ordinary.forecast(ASKED | {"format": form}, X_Request_Id="req_0123456789")
    before = served.archive.deliveries.count()
    only_express(monkeypatch)
    again = warm.forecast(ASKED | {"format": form}, X_Request_Id="req_0123456789")
    assert again.content == first.content
    assert plain(again) == plain(first)
    assert served.archive.deliveries.count() == before + 1


def test_each_express_answer_leaves_a_receipt_of_its_own(sqlite_archive: Archive, monkeypatch):
    served = fill(sqlite_archive)
    with calling(sqlite_archive, served.tokens, **LONG) as ask:
        first = ask.forecast()
        only_express(monkeypatch)
        for _ in range(4):
            assert ask.forecast().status_code == 200
    receipts = sqlite_archive.deliveries.receipts()
    assert len({receipt.receipt_id for receipt in receipts}) == 5
    assert {receipt.forecast_id for receipt in receipts} == {first.json()["meta"]["forecast_id"]}
    assert {receipt.bytes_digest for receipt in receipts} == {hashlib.sha256(first.content).hexdigest()}
    assert {receipt.key_id for receipt in receipts} == {served.tokens["acme"].split("_")[2]}


@pytest.mark.parametrize("error", [StoreUnavailableError("disk full"), RuntimeError("the writer broke")])
def test_an_express_answer_without_a_receipt_is_kept_back(served, warm, monkeypatch, error):
    def refuse(*_: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr("skyproof.archive.deliveries.ReceiptWriter._write", refuse)
        answer = warm.forecast(ASKED)
    assert answer.status_code == 503
    assert b"hourly" not in answer.content
    assert warm.forecast(ASKED).status_code == 200


@pytest.mark.parametrize(
    ("path", "key", "headers", "status"),
    [
        ("/v1/forecast", None, {}, 401),
        ("/v1/forecast", "revoked", {}, 401),
        ("/v1/forecast", "expired", {}, 401),
        ("/v1/forecast", "scopeless", {}, 403),
        ("/v1/forecast", "acme", {"X_API_Key": "sp_live_0123456789abcdef_" + 64 * "0"}, 401),
        ("/v1/forecast", "bolt", {}, 200),
    ],
    ids=["no key", "revoked", "expired", "scopeless", "two keys", "another's key"],
)
def test_a_question_answered_to_one_key_opens_to_no_other(warm, path, key, headers, status):
    params = {"site": "zurich", **ASKED}
    mine = warm(path, params)
    answer = warm(path, params, key=key, **headers)
    assert answer.status_code == status
    assert answer.headers.get("etag") != mine.headers["etag"]


def test_a_remembered_key_stops_opening_when_it_expires(served):
    clock = MovableClock()
    with calling(served.archive, served.tokens, clock=clock, **LONG) as ask:
        assert [ask.forecast().status_code for _ in range(3)] == [200] * 3
        clock.instant = NOW - timedelta(days=1) + LIFETIME
        assert ask.forecast().status_code == 401


def test_a_clock_set_back_hides_the_run_that_is_not_published_yet(served):
    clock = MovableClock()
    with calling(served.archive, served.tokens, clock=clock, **LONG) as ask:
        newest = [ask.forecast().json()["meta"]["run_id"] for _ in range(2)]
        clock.instant = SECOND_INIT
        assert newest == [served.second.run_id] * 2
        assert [ask.forecast().json()["meta"]["run_id"] for _ in range(2)] == [served.first.run_id] * 2


def test_who_holds_the_express_answer_gets_304_and_head_gets_no_body(served, warm):
    tag, before = warm.forecast(ASKED).headers["etag"], served.archive.deliveries.count()
    assert warm.forecast(ASKED, if_none_match=tag).status_code == 304
    assert warm.forecast(ASKED, method="HEAD").content == b""
    assert served.archive.deliveries.count() == before


def test_a_new_run_and_a_new_site_are_seen_after_the_refresh(sqlite_archive: Archive):
    served, clock = fill(sqlite_archive), MovableClock()
    with calling(sqlite_archive, served.tokens, clock=clock) as ask:
        old = ask.forecast(ASKED)
        sqlite_archive.sites.add([Site("zurich", "Zürich West", 47.38, 8.54, 410.0, "Europe/Zurich")])
        renamed = ask.forecast(ASKED)
        clock.instant = NOW + timedelta(hours=12)
        run = sqlite_archive.runs.publish(draft(3, SECOND_INIT + timedelta(hours=12), "rel_aaaaaaaaaaaaaaaa"))
        new = ask.forecast(ASKED)
    assert old.json()["grid"]["name"] == SHARED.name
    assert renamed.json()["grid"]["name"] == "Zürich West"
    assert new.json()["meta"]["run_id"] == run.run_id
    assert len({answer.headers["etag"] for answer in (old, renamed, new)}) == 3


def test_a_release_asked_for_by_name_is_never_answered_from_memory(sqlite_archive: Archive):
    served = fill(sqlite_archive)
    with calling(sqlite_archive, served.tokens, **LONG) as ask:
        version = {"version": "rel_aaaaaaaaaaaaaaaa"}
        assert ask.forecast(version).json()["meta"]["run_id"] == served.first.run_id
        # Made late: newer than the one before of its release, and not the newest of all.
        late = sqlite_archive.runs.publish(draft(3, SECOND_INIT - timedelta(hours=6), "rel_aaaaaaaaaaaaaaaa"))
        assert ask.forecast(version).json()["meta"]["run_id"] == late.run_id


def test_receipts_of_one_turn_of_the_loop_are_one_batch(sqlite_archive: Archive, monkeypatch):
    served, batches = fill(sqlite_archive), []
    write = ReceiptWriter._write
    monkeypatch.setattr(ReceiptWriter, "_write", lambda self, batch: batches.append(len(batch)) or write(self, batch))
    with calling(sqlite_archive, served.tokens, **LONG) as ask:
        ask.forecast()
        only_express(monkeypatch)

        async def many() -> list[int]:
            params = {"hourly": "temperature_2m", "site": "zurich"}
            headers = {"Authorization": f"Bearer {served.tokens['acme']}"}
            answers = await asyncio.gather(
                *(ask._client.get("/v1/forecast", params=params, headers=headers) for _ in range(20))
            )
            return [answer.status_code for answer in answers]

        assert ask._runner.run(many()) == [200] * 20
    assert sum(batches) == 21
    assert max(batches) > 1
    assert sqlite_archive.deliveries.count() == 21


def test_the_ordinary_way_is_taken_for_what_was_never_asked(served, warm, monkeypatch):
    parse, asked = ForecastRoutes._parse, []
    monkeypatch.setattr(ForecastRoutes, "_parse", lambda self, request: asked.append(1) or parse(self, request))
    assert warm.forecast(ASKED | {"quantiles": "0.37"}).status_code == 200
    assert len(asked) == 1
