"""Pushing from a run to a verified body on a real socket, through failures, deaths and replays, on either database."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson
import pytest
from standardwebhooks.webhooks import Webhook as Verifier

from skyproof.archive.archive import Archive
from skyproof.archive.writes import WriteRequest
from skyproof.cycle.push_cycle import SCHEDULE, Pusher
from skyproof.domain.accounts import Plan
from skyproof.domain.deliveries import ApiKey
from skyproof.domain.notices import NOTICE_KINDS
from skyproof.stages.deliver import webhook_changes
from skyproof.stages.deliver.run_notices import Timetable, render_notice
from skyproof.stages.deliver.signatures import Signer
from skyproof.stages.deliver.targets import Courier
from tests.surfaces.api.served import NOW, MovableClock, fill

KEY = ApiKey("key1", "acme", "", (), NOW, None)
PLAN = Plan(10, 10, 1, 1, 3)


class Endpoint:
    """A customer's server on loopback: answers the statuses it was told to, then 204, and keeps what came."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.got: list[tuple[dict[str, str], bytes]] = []
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                endpoint.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(endpoint.statuses.pop(0) if endpoint.statuses else 204)
                self.send_header("Location", "http://169.254.169.254/")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    made = Endpoint()
    yield made
    made.close()


class Push:
    """A filled archive, a pusher and a wall clock set by hand."""

    def __init__(self, archive: Archive) -> None:
        fill(archive)
        self.archive = archive
        # The verifier asks the machine's clock.
        self.wall = MovableClock(datetime.now(UTC).replace(microsecond=0))
        self.signer = Signer(b"k" * 32)
        self.pusher = self.another()

    def another(self, **more: Any) -> Pusher:
        """Another process's pusher."""
        timetable = Timetable(12, 0, timedelta(hours=1))
        courier = Courier(networks=("127.0.0.0/8",))
        return Pusher(
            self.archive, MovableClock(), timetable, self.signer, courier, wall=self.wall, chance=lambda: 0.0, **more
        )

    def hook(self, url: str, *kinds: str) -> tuple[str, str]:
        """A webhook of acme's: its id and secret."""
        outcome = self.write(
            lambda transaction: webhook_changes.create_webhook(
                self.archive, transaction, KEY, PLAN, self.signer, NOW, url=url, kinds=kinds or tuple(NOTICE_KINDS)
            )
        )
        return str(outcome.answer["webhook"]), outcome.secrets["secret"]

    def write(self, change: Any) -> Any:
        return self.archive.writes.once(WriteRequest("acme", "", "", NOW), change)

    def states(self, webhook_id: str) -> list[tuple[str, int, int | None]]:
        found = self.archive.webhooks.deliveries(webhook_id)
        return sorted((push.state, push.attempts, push.last_status) for push in found)


@pytest.fixture
def push(archive: Archive) -> Push:
    return Push(archive)


def test_what_is_pushed_verifies_and_is_what_the_feed_says(push, endpoint):
    webhook_id, secret = push.hook(endpoint.url)
    push.pusher.announce()
    assert push.pusher.deliver_due() == 3
    feed = [render_notice(notice) for _, notice in push.archive.notices.page("acme")]
    assert [event["type"] for event in feed] == ["skyproof.run.available"] * 2 + ["skyproof.run.degraded"]
    got = {}
    for headers, body in endpoint.got:
        assert Verifier(secret).verify(body.decode(), headers) == orjson.loads(body)
        assert headers["webhook-id"] == orjson.loads(body)["id"]
        assert headers["content-type"] == "application/json"
        got[headers["webhook-id"]] = orjson.loads(body)
    assert got == {event["id"]: event for event in feed}
    assert push.states(webhook_id) == [("delivered", 1, 204)] * 3
    assert push.pusher.announce() == push.pusher.deliver_due() == 0


def test_a_webhook_gets_the_kinds_it_wants_and_nothing_from_before(push, endpoint):
    degraded, _ = push.hook(endpoint.url, "run.degraded")
    push.pusher.announce()
    late, _ = push.hook(endpoint.url)
    push.pusher.deliver_due()
    assert push.states(degraded) == [("delivered", 1, 204)]
    assert push.states(late) == []


def test_failures_are_tried_again_on_schedule_and_then_dead(push, endpoint):
    webhook_id, secret = push.hook(endpoint.url, "run.degraded")
    push.pusher.announce()
    endpoint.statuses = [500, 302, 404, 503] + [500] * 20
    began = push.wall.instant
    waited = []
    for _ in range(len(SCHEDULE) + 1):
        assert push.pusher.deliver_due() == 1
        assert push.pusher.deliver_due() == 0  # not before it is due
        (made,) = push.archive.webhooks.deliveries(webhook_id)
        if made.state == "pending":
            waited.append(made.due_at - push.wall.instant)
            push.wall.instant = made.due_at
    assert tuple(waited) == SCHEDULE
    assert (made.state, made.attempts, made.last_status) == ("dead", 10, 500)
    assert made.finished_at == push.wall.instant == began + sum(SCHEDULE, timedelta(0))
    assert len({headers["webhook-id"] for headers, _ in endpoint.got}) == 1
    assert len({body for _, body in endpoint.got}) == 1
    assert [each.delivery_id for each in push.archive.webhooks.deliveries(webhook_id, state="dead")] == [
        made.delivery_id
    ]
    # Replayed, it is the same event in a new delivery, signed anew.
    endpoint.statuses = []
    push.wall.instant = datetime.now(UTC).replace(microsecond=0)
    push.write(
        lambda transaction: webhook_changes.replay(
            push.archive, transaction, KEY, webhook_id, made.delivery_id, NOW, due_at=push.wall.instant
        )
    )
    assert push.pusher.deliver_due() == 1
    headers, body = endpoint.got[-1]
    assert headers["webhook-id"] == endpoint.got[0][0]["webhook-id"]
    Verifier(secret).verify(body.decode(), headers)
    assert push.states(webhook_id) == [("dead", 10, 500), ("delivered", 1, 204)]


def test_redirects_and_addresses_inside_are_not_followed(push, endpoint):
    webhook_id, _ = push.hook(endpoint.url, "run.degraded")
    push.pusher.announce()
    endpoint.statuses = [302]
    push.pusher.deliver_due()
    (made,) = push.archive.webhooks.deliveries(webhook_id)
    assert (made.last_status, made.last_error) == (302, "redirects are not followed")
    # A name that came to point inside meanwhile: nothing is called, and the owner reads why.
    push.pusher.courier = Courier(resolver=lambda *_: ["10.0.0.1"])
    push.wall.instant = made.due_at
    calls = len(endpoint.got)
    push.pusher.deliver_due()
    (made,) = push.archive.webhooks.deliveries(webhook_id)
    assert (made.last_status, made.state, len(endpoint.got)) == (None, "pending", calls)
    assert "not public" in made.last_error


def test_an_endpoint_that_is_gone_is_called_no_more(push, endpoint):
    webhook_id, _ = push.hook(endpoint.url)
    push.pusher.announce()
    endpoint.statuses = [410] * 3
    push.pusher.deliver_due()
    (webhook,) = push.archive.webhooks.all("acme")
    assert "410" in webhook.disabled_reason
    assert push.states(webhook_id) == [("dead", 1, 410)] * 3
    calls = len(endpoint.got)
    push.write(lambda t: webhook_changes.change_webhook(push.archive, t, KEY, webhook_id, NOW, is_active=True))
    (webhook,) = push.archive.webhooks.all("acme")
    assert webhook.disabled_reason == ""
    assert push.pusher.deliver_due() == 0
    assert len(endpoint.got) == calls


def test_a_switched_off_webhook_waits_and_goes_on(push, endpoint):
    webhook_id, _ = push.hook(endpoint.url, "run.degraded")
    push.pusher.announce()
    for is_active, made in ((False, 0), (True, 1)):
        push.write(
            lambda t, is_active=is_active: webhook_changes.change_webhook(
                push.archive, t, KEY, webhook_id, NOW, is_active=is_active
            )
        )
        assert push.pusher.deliver_due() == made


def test_what_a_killed_process_had_claimed_is_made_again(push, endpoint):
    webhook_id, _ = push.hook(endpoint.url, "run.degraded")
    push.pusher.announce()
    claimed = push.archive.webhooks.claim_due(push.wall.instant, most=8, claim_for=timedelta(seconds=60))
    assert len(claimed) == 1
    other = push.another()
    assert other.deliver_due() == 0  # it may still be under way
    push.wall.instant += timedelta(seconds=60)
    assert other.deliver_due() == 1
    assert push.states(webhook_id) == [("delivered", 2, 204)]


def test_several_processes_make_each_attempt_once(push, endpoint):
    webhook_id, _ = push.hook(endpoint.url)
    others = [push.another() for _ in range(3)]
    for pusher in others:
        pusher.announce()
    threads = [threading.Thread(target=pusher.deliver_due) for pusher in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert push.states(webhook_id) == [("delivered", 1, 204)] * 3
    assert len(endpoint.got) == 3


def test_nobody_is_told_what_is_anothers(push, endpoint):
    push.hook(endpoint.url)
    push.pusher.announce()
    push.pusher.deliver_due()
    bolts = [notice for _, notice in push.archive.notices.page("bolt")]
    assert len(bolts) == 3
    assert all(notice.customer_id == "bolt" for notice in bolts)
    assert len(endpoint.got) == 3  # acme's alone


def test_it_works_on_its_own_and_stops(push, endpoint):
    webhook_id, _ = push.hook(endpoint.url, "run.degraded")
    pusher = push.another(every_s=0.01)
    pusher.start()
    for _ in range(1000):
        if push.states(webhook_id) == [("delivered", 1, 204)]:
            break
        threading.Event().wait(0.01)
    pusher.close()
    assert push.states(webhook_id) == [("delivered", 1, 204)]


def test_an_unforeseen_fault_is_logged_and_ends_nothing(push, endpoint, monkeypatch, caplog):
    webhook_id, _ = push.hook(endpoint.url, "run.degraded")
    pusher = push.another(every_s=0.01)
    announce, calls = pusher.announce, []

    def faulty() -> int:
        calls.append(1)
        if len(calls) == 1:
            raise ZeroDivisionError("a fault of ours")
        return announce()

    monkeypatch.setattr(pusher, "announce", faulty)
    pusher.start()
    for _ in range(1000):
        if push.states(webhook_id) == [("delivered", 1, 204)]:
            break
        threading.Event().wait(0.01)
    pusher.close()
    assert push.states(webhook_id) == [("delivered", 1, 204)]
    assert "a fault of ours" in caplog.text


def test_notices_are_kept_for_a_while_and_those_on_their_way_until_they_arrived(push, endpoint):
    webhook_id, _ = push.hook(endpoint.url)
    endpoint.statuses = [500]
    push.pusher.announce()
    push.pusher.deliver_due()
    told = push.archive.notices.page("acme")
    another = push.another(keep=timedelta(hours=1))  # all of it happened more than an hour before the product's present
    assert another.tidy() > 0
    assert another.tidy() == 0  # once an hour
    (waiting,) = push.archive.webhooks.deliveries(webhook_id)
    assert (waiting.state, waiting.attempts) == ("pending", 1)
    assert waiting.event_id in {notice.event_id for _, notice in push.archive.notices.page("acme")}
    push.wall.instant += timedelta(hours=2)
    assert push.pusher.deliver_due() == 1
    another.tidy()
    assert push.archive.webhooks.deliveries(webhook_id) == ()
    kept = [number for customer in ("acme", "bolt") for number, _ in push.archive.notices.page(customer)]
    assert len(kept) == 1
    assert kept[0] >= max(number for number, _ in told)


def test_what_is_recent_is_kept(push, endpoint):
    push.hook(endpoint.url)
    push.pusher.announce()
    push.pusher.deliver_due()
    assert push.pusher.tidy() == 0
    assert len(push.archive.notices.page("acme")) == 3
