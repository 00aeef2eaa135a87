"""What customers are told without asking: notices, the webhooks that carry them, and each attempt to deliver one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from skyproof.domain.errors import InvalidValueError, UnknownNameError

#: Kinds of notices and when one is made.
NOTICE_KINDS: dict[str, str] = {
    "run.available": "a run was published",
    "run.late": "the run of a nominal issue time is not there when it should be",
    "run.degraded": "a run had to do without sources that the one before had",
    "run.recovered": "a run has all its sources again, or the run that was late is there",
    "corrigendum.published": "something that was delivered was found wrong",
}
PushState = Literal["pending", "delivered", "dead"]


def check_kinds(kinds: tuple[str, ...]) -> tuple[str, ...]:
    """Return the kinds in their usual order, each once.

    Raises:
        InvalidValueError: there is none.
        UnknownNameError: one does not exist.
    """
    unknown = [kind for kind in kinds if kind not in NOTICE_KINDS]
    if unknown:
        raise UnknownNameError(f"event {unknown[0][:40]!r} is not known", hint=f"use {', '.join(NOTICE_KINDS)}")
    if not kinds:
        raise InvalidValueError(
            "a webhook without events carries nothing", hint=f"give some of {', '.join(NOTICE_KINDS)}"
        )
    return tuple(kind for kind in NOTICE_KINDS if kind in kinds)


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing a customer is told. ``event_id`` names the event, the same for all customers; ``data`` is this customer's."""

    event_id: str
    customer_id: str
    kind: str
    occurred_at: datetime
    data: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Webhook:
    """An address that notices are pushed to.

    Its secret is derived from ``secret_version`` and never kept; until ``previous_until`` the one before signs too.
    """

    webhook_id: str
    customer_id: str
    url: str
    kinds: tuple[str, ...]
    created_at: datetime
    secret_version: int = 1
    previous_until: datetime | None = None
    disabled_reason: str = ""


@dataclass(frozen=True, slots=True)
class Push:
    """One notice on its way to one webhook. ``due_at`` is when the next attempt is made."""

    delivery_id: str
    webhook_id: str
    event_id: str
    kind: str
    state: PushState
    attempts: int
    due_at: datetime
    created_at: datetime
    last_status: int | None = None
    last_error: str = ""
    finished_at: datetime | None = None
