"""Quotas: how much each customer asked, counted in memory and shared through the database once a second.

No request waits for the database. Every ``share_s`` seconds a process adds what it counted to what is kept and learns what
others added. Hence the bounds: a process that is killed loses at most ``share_s`` seconds of counts, and several processes
together let at most that many seconds of one another's requests through beyond a quota.

Spans are calendar minutes and days in UTC by the machine's clock, whatever clock forecasts live by.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import NamedTuple

from skyproof.archive.usage import Usage, UsageRow
from skyproof.domain.accounts import DEFAULT_PLAN, PLANS, Plan
from skyproof.domain.errors import QuotaError, StoreError
from skyproof.domain.times import from_epoch_seconds

logger = logging.getLogger(__name__)

MINUTE_S = 60
DAY_S = 86_400
#: Minutes are kept this long: nobody asks for older ones.
_KEEP_MINUTES = timedelta(hours=1)


class _Span:
    """The current minute or day of one customer: ``count`` is what all processes are known to have counted."""

    __slots__ = ("count", "limit", "refused", "span_s", "start", "unshared")

    def __init__(self, span_s: int, limit: int) -> None:
        self.span_s, self.limit = span_s, limit
        self.start = self.count = self.unshared = self.refused = 0


class Allowance(NamedTuple):
    """What is left after a request: of the minute and of the day, and in how many seconds each begins anew."""

    minute_limit: int
    minute_left: int
    minute_ends_s: int
    day_limit: int
    day_left: int
    day_ends_s: int


class Account:
    """One customer's counts in this process."""

    __slots__ = ("customer_id", "day", "finished", "minute", "plan")

    def __init__(self, customer_id: str, plan: Plan) -> None:
        self.customer_id = customer_id
        self.plan = plan
        self.minute = _Span(MINUTE_S, plan.requests_per_minute)
        self.day = _Span(DAY_S, plan.requests_per_day)
        #: Of spans that ended before they were shared.
        self.finished: list[UsageRow] = []


class Meter:
    """Counts requests and refuses those beyond a plan; safe to share between threads."""

    def __init__(
        self,
        usage: Usage,
        *,
        plans: Mapping[str, Plan] = PLANS,
        share_s: float = 1.0,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Make a meter; :meth:`start` makes it share.

        Args:
            usage: where counts are kept.
            plans: the limits by name; a customer of an unknown plan has those of the default one.
            share_s: how often counts are shared, in seconds.
            wall: the machine's clock, in seconds since 1970.
        """
        self._usage = usage
        self._plans = plans
        self._share_s = share_s
        self.wall = wall
        self._accounts: dict[str, Account] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._tidied = 0.0

    def account(self, customer_id: str, plan_name: str) -> Account:
        """The counts of a customer, who is on that plan now."""
        plan = self._plans.get(plan_name) or self._plans.get(DEFAULT_PLAN) or PLANS[DEFAULT_PLAN]
        with self._lock:
            account = self._accounts.get(customer_id)
            if account is None:
                account = self._accounts[customer_id] = Account(customer_id, plan)
            elif account.plan != plan:
                account.plan = plan
                account.minute.limit, account.day.limit = plan.requests_per_minute, plan.requests_per_day
        return account

    def plan(self, customer_id: str) -> Plan:
        """The plan of a customer whose key opened a moment ago."""
        with self._lock:
            return self._accounts[customer_id].plan

    def take(self, account: Account) -> Allowance | None:
        """Count one request; None, and nothing counted, if it is beyond the plan."""
        now = int(self.wall())
        with self._lock:
            minute, day = account.minute, account.day
            if now - minute.start >= MINUTE_S or now < minute.start:
                _begin(account, minute, now)
                if now - day.start >= DAY_S or now < day.start:
                    _begin(account, day, now)
            if minute.count >= minute.limit or day.count >= day.limit:
                return None
            minute.count += 1
            minute.unshared += 1
            day.count += 1
            day.unshared += 1
            return _allowance(account, now)

    def refuse(self, account: Account) -> QuotaError:
        """Count a refused request; returns the error that says so."""
        now = int(self.wall())
        with self._lock:
            day, minute = account.day, account.minute
            spent, name = (day, "day") if day.count >= day.limit else (minute, "minute")
            minute.refused += 1
            day.refused += 1
            wait = max(spent.start + spent.span_s - now, 1)
        return QuotaError(
            f"the {spent.limit:,} requests of your plan are used up for this {name}",
            hint=f"ask again in {wait} s, spread your requests, or take a larger plan",
            retry_after_s=wait,
        )

    def left(self, account: Account) -> Allowance:
        """What is left, counting nothing."""
        now = int(self.wall())
        with self._lock:
            return _allowance(account, now)

    def share(self) -> None:
        """Add what was counted to what is kept, and learn what others added.

        Raises:
            StoreError: it could not be kept; it is counted with the next share.
        """
        rows = self._take_unshared()
        if not rows:
            return
        try:
            kept = self._usage.add(rows)
        except StoreError:
            with self._lock:
                for row in rows:
                    self._accounts[row.customer_id].finished.append(row)
            raise
        with self._lock:
            for row in kept:
                account = self._accounts[row.customer_id]
                for span in (account.minute, account.day):
                    if span.span_s == row.span_s and span.start == int(row.starts_at.timestamp()):
                        span.count = row.requests + span.unshared
        self._tidy()

    def start(self) -> None:
        """Share from now on, in a thread of its own."""
        self._thread = threading.Thread(target=self._work, name="usage", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Share what was counted, and stop."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        self._share_or_say()

    def _work(self) -> None:
        while not self._stopping.wait(self._share_s):
            self._share_or_say()

    def _share_or_say(self) -> None:
        try:
            self.share()
        except StoreError as error:
            logger.warning("usage could not be kept: %s", error)

    def _take_unshared(self) -> list[UsageRow]:
        totals: dict[tuple[str, int, int], list[int]] = {}
        with self._lock:
            for account in self._accounts.values():
                for span in (account.minute, account.day):
                    if span.unshared or span.refused:
                        _finish(account, span)
                for row in account.finished:
                    key = (row.customer_id, row.span_s, int(row.starts_at.timestamp()))
                    total = totals.setdefault(key, [0, 0])
                    total[0] += row.requests
                    total[1] += row.refused
                account.finished.clear()
        return [
            UsageRow(customer, span, from_epoch_seconds(start), *total)
            for (customer, span, start), total in totals.items()
        ]

    def _tidy(self) -> None:
        now = self.wall()
        if now - self._tidied > MINUTE_S:
            self._tidied = now
            self._usage.forget(MINUTE_S, before=from_epoch_seconds(int(now)) - _KEEP_MINUTES)


def _begin(account: Account, span: _Span, now: int) -> None:
    if span.unshared or span.refused:
        _finish(account, span)
    span.start, span.count = now - now % span.span_s, 0


def _finish(account: Account, span: _Span) -> None:
    row = UsageRow(account.customer_id, span.span_s, from_epoch_seconds(span.start), span.unshared, span.refused)
    account.finished.append(row)
    span.unshared = span.refused = 0


def _allowance(account: Account, now: int) -> Allowance:
    minute, day = account.minute, account.day
    return Allowance(
        minute.limit,
        max(minute.limit - minute.count, 0),
        minute.start + MINUTE_S - now,
        day.limit,
        max(day.limit - day.count, 0),
        day.start + DAY_S - now,
    )
