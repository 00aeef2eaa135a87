"""Webhooks and the feed of events over HTTP."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta

import pytest

from skyproof.archive.archive import Archive
from skyproof.cycle.push_cycle import Pusher
from skyproof.domain.accounts import Plan
from skyproof.stages.deliver.run_notices import Timetable
from skyproof.stages.deliver.signatures import Signer
from skyproof.stages.deliver.targets import Courier
from tests.surfaces.api.served import NOW, Caller, MovableClock, calling, fill
from tests.surfaces.api.test_problems import check_problem

#: An address needs no name server.
URL = "https://93.184.216.34/hook"
HOOK = {"url": URL, "events": ["run.degraded", "run.late"]}


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
def pusher(archive: Archive, clock: MovableClock) -> Pusher:
    """Looks when it is told to; its attempts lead nowhere."""
    timetable = Timetable(12, 0, timedelta(hours=1))
    nowhere = Courier(networks=("127.0.0.0/8",), resolver=lambda host, _: ["127.0.0.1"], deadline_s=0.1)
    return Pusher(archive, clock, timetable, Signer(b"k" * 32), nowhere, wall=clock, every_s=float("inf"))


@pytest.fixture
def ask(archive: Archive, clock: MovableClock, pusher: Pusher) -> Iterator[Caller]:
    with calling(archive, fill(archive).tokens, clock=clock, pusher=pusher) as caller:
        yield caller


def test_a_webhook_is_made_changed_and_dropped_and_its_secret_is_told_once(ask, caplog):
    caplog.set_level(logging.DEBUG)
    made = ask.post("/v1/webhooks", HOOK, Idempotency_Key="hook-1")
    assert made.status_code == 201
    secret, name = made.json()["secret"], made.json()["webhook"]
    assert secret.startswith("whsec_")
    assert ask.post("/v1/webhooks", HOOK, Idempotency_Key="hook-1").json() == made.json() | {"secret": None}
    told = ask(f"/v1/webhooks/{name}").json()
    assert ask("/v1/webhooks").json()["webhooks"] == [told]
    assert (told["url"], told["events"], told["active"]) == (URL, ["run.late", "run.degraded"], True)
    changed = ask(f"/v1/webhooks/{name}", method="PATCH", body={"active": False, "events": ["run.available"]}).json()
    assert (changed["active"], changed["events"]) == (False, ["run.available"])
    assert ask(f"/v1/webhooks/{name}", method="PATCH", body={"active": True}).json()["disabled_reason"] == ""
    assert ask(f"/v1/webhooks/{name}", method="DELETE").status_code == 200
    check_problem(ask(f"/v1/webhooks/{name}"), 404, "not_found")
    shown = [ask(path).text for path in ("/v1/webhooks", "/v1/audit")] + [caplog.text]
    assert not [text for text in shown if secret in text or secret.removeprefix("whsec_") in text]


def test_a_secret_rotates_with_an_overlap(ask, clock):
    made = ask.post("/v1/webhooks", HOOK).json()
    path = f"/v1/webhooks/{made['webhook']}"
    rotated = ask.post(f"{path}/rotate").json()
    assert rotated["secret"] != made["secret"]
    assert rotated["previous_secret_until"] == "2025-03-31T03:00:00Z"
    check_problem(ask.post(f"{path}/rotate"), 409, "conflict")
    clock.instant = NOW + timedelta(hours=24)
    assert ask(path).json()["previous_secret_until"] is None
    assert ask.post(f"{path}/rotate").json()["secret"] not in (rotated["secret"], made["secret"])


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"events": []}, "invalid_value"),
        ({"events": ["run.exploded"]}, "unknown_name"),
        ({"url": "http://93.184.216.34/"}, "invalid_value"),
        ({"url": "https://127.0.0.1/"}, "invalid_value"),
        ({"url": "https://169.254.169.254/latest/meta-data/"}, "invalid_value"),
        ({"url": "https://[::1]/"}, "invalid_value"),
        ({"url": "https://10.0.0.7:8443/"}, "invalid_value"),
        ({"url": "https://user:word@93.184.216.34/"}, "invalid_value"),
        ({"url": "ftp://93.184.216.34/"}, "invalid_value"),
        ({"url": "x" * 501}, "invalid_value"),
        ({"secret": "whsec_mine"}, "unknown_name"),
    ],
)
def test_an_impossible_webhook_is_refused(archive, change, code):
    # With the courier of every day, and the system's resolver.
    with calling(archive, fill(archive).tokens) as ask:
        check_problem(ask.post("/v1/webhooks", HOOK | change), 422, code)
        name = ask.post("/v1/webhooks", HOOK).json()["webhook"]
        check_problem(ask(f"/v1/webhooks/{name}", method="PATCH", body=change), 422, code)


def test_webhooks_are_limited_by_the_plan(archive):
    with calling(archive, fill(archive).tokens, plans={"standard": Plan(10**6, 10**6, 1, 1, 1)}) as ask:
        ask.post("/v1/webhooks", HOOK)
        check_problem(ask.post("/v1/webhooks", HOOK), 429, "quota")


def test_deliveries_are_listed_given_up_and_replayed(ask, pusher, clock):
    name = ask.post("/v1/webhooks", {"url": "http://hooks.example.org:1/", "events": ["run.available"]})
    assert name.status_code == 422  # no such port is called
    name = ask.post("/v1/webhooks", {"url": "http://hooks.example.org:1025/", "events": ["run.available"]}).json()[
        "webhook"
    ]
    path = f"/v1/webhooks/{name}/deliveries"
    pusher.announce()
    waiting = ask(path).json()["deliveries"]
    assert [each["state"] for each in waiting] == ["pending", "pending"]
    check_problem(ask.post(f"{path}/{waiting[0]['delivery']}/replay"), 409, "conflict")
    while pusher.deliver_due():
        clock.instant += timedelta(days=2)
    dead = ask(f"{path}?state=dead").json()["deliveries"]
    assert [(each["state"], each["attempts"], each["last_status"]) for each in dead] == [("dead", 10, None)] * 2
    assert all(each["last_error"] for each in dead)
    assert ask(f"{path}?state=delivered").json()["deliveries"] == []
    again = ask.post(f"{path}/{dead[0]['delivery']}/replay", Idempotency_Key="again")
    assert (again.status_code, again.json()["state"], again.json()["event"]) == (201, "pending", dead[0]["event"])
    assert ask.post(f"{path}/{dead[0]['delivery']}/replay", Idempotency_Key="again").json() == again.json()
    pages, cursor = [], ""
    for _ in range(3):
        page = ask(f"{path}?limit=1&cursor={cursor}").json()
        pages += page["deliveries"]
        cursor = page["next_cursor"]
    assert cursor is None
    assert pages == ask(path).json()["deliveries"]
    check_problem(ask.post(f"{path}/dl_0/replay"), 404, "not_found")


def test_the_feed_gives_each_event_once_to_whoever_goes_on(ask, pusher, archive, clock):
    empty = ask("/v1/events").json()
    assert empty == {"events": [], "next_cursor": "0"}
    pusher.announce()
    seen, cursor = [], "0"
    for _ in range(5):
        page = ask(f"/v1/events?limit=2&cursor={cursor}").json()
        seen += page["events"]
        cursor = page["next_cursor"]
    assert [event["type"] for event in seen] == [
        "skyproof.run.available",
        "skyproof.run.available",
        "skyproof.run.degraded",
    ]
    assert ask(f"/v1/events?cursor={cursor}").json() == {"events": [], "next_cursor": cursor}
    degraded = ask("/v1/events?type=run.degraded").json()["events"]
    assert degraded == [seen[2]] == ask("/v1/events?type=skyproof.run.degraded").json()["events"]
    check_problem(ask("/v1/events?type=run.exploded"), 422, "unknown_name")
    check_problem(ask("/v1/events?cursor=x"), 422, "invalid_value")
