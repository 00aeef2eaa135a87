"""Telling customers without being asked: what happened to runs becomes notices, and notices go out to webhooks.

Attempts are spread over three days (Standard Webhooks' schedule); what got no 2xx by then is dead and can be replayed. A consumer
may get an event more than once, and knows it by its ``webhook-id``. Attempts live by the machine's clock, what they tell by the
product's.
"""

from __future__ import annotations

import logging
import math
import random
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta

import orjson

from skyproof.archive.archive import Archive
from skyproof.cycle.clock import SystemClock
from skyproof.domain.errors import InvalidValueError, SkyproofError
from skyproof.domain.notices import Notice, Push, Webhook
from skyproof.domain.protocols import Clock
from skyproof.stages.deliver.run_notices import RunEvent, Timetable, find_events, notices_for, render_notice
from skyproof.stages.deliver.signatures import KEY_BYTES, Signer
from skyproof.stages.deliver.targets import Courier, UnreachableError

logger = logging.getLogger(__name__)

#: Waits before the second and every later attempt.
SCHEDULE: tuple[timedelta, ...] = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
#: Longer than an attempt may take, so that no other process makes it meanwhile.
_CLAIM_FOR = timedelta(seconds=60)
_AT_ONCE = 8
#: Longer than events are looked for: what is forgotten must not be told anew.
KEPT = timedelta(days=90)
_TIDY_EVERY = timedelta(hours=1)
_GONE = 410
_USER_AGENT = "Skyproof-Webhooks/1"


class Pusher:
    """Makes notices and carries them; several processes may, beside one another."""

    def __init__(
        self,
        archive: Archive,
        clock: Clock,
        timetable: Timetable,
        signer: Signer,
        courier: Courier,
        *,
        wall: Clock | None = None,
        every_s: float = 5.0,
        keep: timedelta = KEPT,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Make a pusher; :meth:`start` makes it work.

        Args:
            archive: what happened, who wants to know, and how far that got.
            clock: the product's, by which runs are late.
            timetable: when runs are due.
            signer: signs what is pushed.
            courier: carries it.
            wall: the machine's clock, by which attempts are made.
            every_s: how often it looks, in seconds.
            keep: how long notices and their pushes are kept.
            chance: between 0 and 1; spreads attempts that failed together.
        """
        self._archive = archive
        self._clock = clock
        self._timetable = timetable
        self.signer = signer
        self.courier = courier
        self.wall = wall or SystemClock()
        self._every_s = every_s
        self._keep = keep
        self._tidied: datetime | None = None
        self._chance = chance
        self._told: frozenset[str] = frozenset()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def announce(self) -> int:
        """Tell every customer what happened to runs and was not told yet; returns how many notices are new."""
        events = find_events(self._archive, self._timetable, self._clock.now())
        new: list[RunEvent] = [event for event in events if event.event_id not in self._told]
        if not new:
            return 0
        told = 0
        for customer in self._archive.customers.all():
            notices = list(notices_for(self._archive, customer.customer_id, new))
            told += self._archive.notices.add(notices, now=self.wall.now())
        # What this process has told it need not try again; another process that tries changes nothing.
        self._told = frozenset(event.event_id for event in events)
        return told

    def deliver_due(self) -> int:
        """Make every attempt that is due; returns how many were made."""
        made = 0
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="push") as pool:
            while not self._stopping.is_set() and self._archive.webhooks.has_due(self.wall.now()):
                claimed = self._archive.webhooks.claim_due(self.wall.now(), most=_AT_ONCE, claim_for=_CLAIM_FOR)
                if not claimed:
                    break
                # An attempt that raises unforeseen is heard of here; its claim runs out and it is made again.
                for _ in pool.map(lambda parts: self._attempt(*parts), claimed):
                    made += 1
        return made

    def tidy(self) -> int:
        """Once an hour drop notices that are kept long enough, and their pushes; returns how many notices."""
        now = self.wall.now()
        if self._tidied is not None and now - self._tidied < _TIDY_EVERY:
            return 0
        self._tidied = now
        return self._archive.notices.forget(before=self._clock.now() - self._keep)

    def start(self) -> None:
        """Work from now on, in a thread of its own; one that never looks needs none."""
        if math.isinf(self._every_s):
            return
        self._thread = threading.Thread(target=self._work, name="pusher", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop once the attempts under way are settled."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def _work(self) -> None:
        while not self._stopping.wait(self._every_s):
            try:
                self.announce()
                self.deliver_due()
                self.tidy()
            except SkyproofError as error:
                logger.warning("pushing failed, and is tried again: %s", error)
            except Exception:
                # One unforeseen fault must not end telling for good: it is logged whole, and the next look tries again.
                logger.exception("pushing failed, and is tried again")

    def _attempt(self, push: Push, webhook: Webhook, notice: Notice) -> None:
        status, failure = self._send(webhook, notice)
        now = self.wall.now()
        if not failure:
            settled = replace(push, state="delivered", last_status=status, last_error="", finished_at=now)
        elif status == _GONE or push.attempts > len(SCHEDULE):
            settled = replace(push, state="dead", last_status=status, last_error=failure, finished_at=now)
        else:
            due = now + SCHEDULE[push.attempts - 1] * (1.0 + 0.2 * self._chance())
            settled = replace(push, last_status=status, last_error=failure, due_at=due)
        self._archive.webhooks.settle(settled)
        if status == _GONE:
            self._archive.webhooks.disable(webhook.webhook_id, "the address answered 410 Gone")

    def _send(self, webhook: Webhook, notice: Notice) -> tuple[int | None, str]:
        body = orjson.dumps(render_notice(notice))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": _USER_AGENT,
            **self.signer.headers(webhook, notice.event_id, body, sent_at=self.wall.now(), now=self._clock.now()),
        }
        try:
            status = self.courier.send(webhook.url, headers, body)
        except (UnreachableError, InvalidValueError) as error:
            return None, error.message if isinstance(error, SkyproofError) else str(error)
        if 200 <= status < 300:
            return status, ""
        return status, "redirects are not followed" if 300 <= status < 400 else f"the address answered {status}"


def idle_pusher(archive: Archive, clock: Clock) -> Pusher:
    """A pusher that never looks: for servers without settings, whose webhooks are kept and checked all the same."""
    timetable = Timetable(24, 0, timedelta(hours=24))
    return Pusher(archive, clock, timetable, Signer(secrets.token_bytes(KEY_BYTES)), Courier(), every_s=math.inf)
