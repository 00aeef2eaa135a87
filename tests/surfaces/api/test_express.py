"""The hot path, over a real connection: nobody can tell it from the ordinary way, and nothing passes that this would refuse."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from pyarrow import ipc
from starlette.requests import Request

from skyproof.archive.archive import Archive
from skyproof.archive.deliveries import ReceiptWriter
from skyproof.domain.errors import StoreUnavailableError
from skyproof.domain.sites import Site
from skyproof.stages.deliver.quotas import Meter
from skyproof.stages.deliver.requests import parse_request
from skyproof.surfaces.api.authentication import Authenticator
from skyproof.surfaces.api.forecast_routes import ForecastRoutes, Parsed
from skyproof.surfaces.api.lifecycle import Deprecation
from tests.surfaces.api.served import (
    GENEROUS,
    LEADS,
    LIFETIME,
    NOW,
    SECOND_INIT,
    SHARED,
    Caller,
    MovableClock,
    draft,
    fill,
)
from tests.surfaces.api.serving import serving

ORDINARY = {"refresh_s": 0.0, "remember_keys_s": 0.0}
LONG = {"refresh_s": 1e9, "remember_keys_s": 1e9}
ASKED: dict[str, str] = {"hourly": "temperature_2m,precipitation", "quantiles": "0.1,0.5,0.9", "timezone": "auto"}


class Connected(Caller):
    """Asks a server at an address, over connections."""

    def __init__(self, address: str, runner: asyncio.Runner, tokens: dict[str, str]) -> None:
        self.address = address
        self._client = httpx.AsyncClient(base_url=address)
        self._runner = runner
        self.tokens = tokens

    def send(self, *requests: str) -> bytes:
        """All that comes back for lines of requests sent at once, up to the end of the connection."""
        parts = urlsplit(self.address)
        with socket.create_connection((parts.hostname, parts.port), timeout=10) as connection:
            key = f"Authorization: Bearer {self.tokens['acme']}"
            asked = "".join(f"{lines}\r\nHost: sky.test\r\n{key}\r\n\r\n" for lines in requests)
            connection.sendall(asked.encode())
            return b"".join(iter(lambda: connection.recv(65_536), b""))


@contextmanager
def calling(archive: Archive, tokens: dict[str, str], **options: Any) -> Iterator[Connected]:
    """Serve an archive to a caller; nothing is remembered from one request to the next, unless ``options`` say so."""
    with serving(archive, **(ORDINARY | options)) as address, asyncio.Runner() as runner:
        caller = Connected(address, runner, tokens)
        try:
            yield caller
        finally:
            caller.close()


@pytest.fixture
def warm(served) -> Iterator[Connected]:
    """Asks a server that has answered everything here before."""
    with calling(served.archive, served.tokens, **LONG) as ask:
        for form in ("json", "csv"):
            ask.forecast(ASKED | {"format": form})
        yield ask


def only_express(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> None:
        raise AssertionError("the ordinary way was taken")

    monkeypatch.setattr(ForecastRoutes, "_parse", forbidden)


def plain(answer: httpx.Response) -> list[tuple[bytes, bytes]]:
    """The headers in their order, but for what is left of the plan and the second, which no two answers share."""
    assert "ratelimit" in answer.headers
    return [pair for pair in answer.headers.raw if pair[0] not in (b"ratelimit", b"date")]


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


def test_who_holds_the_express_answer_gets_304_and_head_gets_no_body(served, warm, monkeypatch):
    with calling(served.archive, served.tokens) as ordinary:
        tag = ordinary.forecast(ASKED).headers["etag"]
        held = ordinary.forecast(ASKED, if_none_match=tag, X_Request_Id="req_0123456789")
    before = served.archive.deliveries.count()
    assert warm.forecast(ASKED, method="HEAD").content == b""
    only_express(monkeypatch)
    again = warm.forecast(ASKED, if_none_match=f'"other", W/{tag}', X_Request_Id="req_0123456789")
    assert (again.status_code, again.content) == (held.status_code, held.content) == (304, b"")
    assert plain(again) == plain(held)
    assert served.archive.deliveries.count() == before
    assert warm.forecast(ASKED, if_none_match='"other"').status_code == 200


def test_what_goes_away_is_said_on_the_hot_path_too(served, monkeypatch):
    gone = Deprecation("GET", "/v1/forecast", date(2025, 1, 1), date(2026, 6, 1), "ask otherwise", parameter="timezone")
    with calling(served.archive, served.tokens, deprecations=(gone,), **LONG) as ask:
        first, other = ask.forecast(ASKED), ask.forecast()
        only_express(monkeypatch)
        again = ask.forecast(ASKED)
        assert again.headers["sunset"] == first.headers["sunset"]
        assert "sunset" not in other.headers
        assert "sunset" not in ask.forecast().headers


def test_requests_sent_at_once_on_one_connection_are_answered_in_their_order(served, warm):
    known = "GET /v1/forecast?site=zurich&hourly=temperature_2m HTTP/1.1"
    # The second is not known, the third is known, the last ends the connection.
    lines = (known, known.replace("zurich", "acme-roof"), known, "GET /healthz HTTP/1.1\r\nConnection: close")
    warm.forecast()
    said = warm.send(*lines)
    assert said.count(b"HTTP/1.1 200 OK") == 4
    names = [part.split(b'"')[0] for part in said.split(b'"site":"')[1:]]
    assert names == [b"zurich", b"acme-roof", b"zurich"]
    assert said.endswith(b'{"status":"ok"}')


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1\r\nConnection: close"])
def test_a_connection_that_is_to_end_ends(served, warm, version):
    warm.forecast()
    said = warm.send(f"GET /v1/forecast?site=zurich&hourly=temperature_2m {version}")
    assert said.count(b"HTTP/1.1 200 OK") == 1
    assert b"connection: close\r\n" in said


def test_a_request_whose_receipt_fails_once_goes_the_ordinary_way_and_is_counted_once(served, warm, monkeypatch):
    before = warm.forecast(ASKED)
    failures = iter([StoreUnavailableError("a moment")])
    write = ReceiptWriter._write

    def fail_once(self: ReceiptWriter, batch: Any) -> Any:
        if error := next(failures, None):
            raise error
        return write(self, batch)

    monkeypatch.setattr(ReceiptWriter, "_write", fail_once)
    answer = warm.forecast(ASKED)
    assert answer.content == before.content
    left = [int(each.headers["ratelimit"].split("r=")[2].split(";")[0]) for each in (before, answer)]
    assert left[0] - left[1] == 1


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
    with calling(sqlite_archive, served.tokens) as ask:
        body = ask.forecast().content
    (first,) = sqlite_archive.deliveries.receipts()
    write = ReceiptWriter._write
    monkeypatch.setattr(ReceiptWriter, "_write", lambda self, batch: batches.append(len(batch)) or write(self, batch))

    async def many(writer: ReceiptWriter) -> None:
        await asyncio.gather(
            *(writer.record_on_loop(replace(first, receipt_id=f"rc_{k:030x}"), body) for k in range(20))
        )

    with sqlite_archive.deliveries.start_writer() as writer:
        asyncio.run(many(writer))
    assert batches == [20]
    assert sqlite_archive.deliveries.count() == 21


def test_the_ordinary_way_is_taken_for_what_was_never_asked(served, warm, monkeypatch):
    parse, asked = ForecastRoutes._parse, []
    monkeypatch.setattr(ForecastRoutes, "_parse", lambda self, request: asked.append(1) or parse(self, request))
    assert warm.forecast(ASKED | {"quantiles": "0.37"}).status_code == 200
    assert len(asked) == 1


def test_what_is_remembered_of_requests_is_bounded_in_bytes():
    asked, parsed = parse_request([("site", "zurich"), ("hourly", "temperature_2m")]), Parsed(most_bytes=100)
    for name in (b"a", b"b", b"c"):
        parsed.keep(name * 40, asked)
    assert [parsed.get(name * 40) for name in (b"a", b"b", b"c")] == [None, asked, asked]
    parsed.keep(b"d" * 101, asked)
    assert [parsed.get(name) for name in (b"b" * 40, b"c" * 40, b"d" * 101)] == [None] * 3


def test_many_places_are_answered_from_memory_too(served, warm, monkeypatch):
    places = {"latitude": ",".join(f"47.{k:03d}" for k in range(40)), "longitude": ",".join(["8.0"] * 40)}
    many = {**places, "hourly": "temperature_2m", "format": "arrow"}
    first = warm("/v1/forecast", many)
    only_express(monkeypatch)
    again = warm("/v1/forecast", many)
    assert again.content == first.content
    table = ipc.open_stream(again.content).read_all()
    assert table["location_id"].num_chunks == 1
    assert table["location_id"].to_pylist()[:: len(LEADS)] == list(range(40))
    assert set(table["site"].to_pylist()) == {"acme-roof"}


def test_one_caller_looks_a_key_up_again_and_the_others_go_on_with_what_was_known(served, monkeypatch):
    ticks, started, going_on, asked = [0.0], threading.Event(), threading.Event(), []
    find = served.archive.customers.find_holder

    def slow(key_id: str) -> Any:
        asked.append(key_id)
        if len(asked) == 2:
            started.set()
            assert going_on.wait(10)
        return find(key_id)

    monkeypatch.setattr(served.archive.customers, "find_holder", slow)
    authenticator = Authenticator(
        served.archive,
        MovableClock(),
        Meter(served.archive.usage, plans=GENEROUS),
        remember_s=3.0,
        ticks=lambda: ticks[0],
    )
    shown = f"Bearer {served.tokens['acme']}".encode()

    def request() -> Request:
        scope = {"type": "http", "headers": [(b"authorization", shown)], "query_string": b"", "added_headers": []}
        return Request(scope)

    async def ask() -> None:
        await authenticator.check(request(), NOW)
        ticks[0] = 3.0
        assert authenticator.recall(shown, NOW) is None
        first = asyncio.create_task(authenticator.check(request(), NOW))
        await asyncio.to_thread(started.wait, 10)
        assert authenticator.recall(shown, NOW) is not None
        await authenticator.check(request(), NOW)
        ticks[0] = 6.0  # as long again, and no longer
        assert authenticator.recall(shown, NOW) is None
        going_on.set()
        await first

    asyncio.run(ask())
    assert len(asked) == 2
