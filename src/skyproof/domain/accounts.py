"""What a customer may do: the scopes of keys, the limits of plans, and the record of who changed what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from skyproof.domain.errors import InvalidValueError, UnknownNameError

#: What a key may open. A key names its scopes, so that a later one is never opened by accident.
SCOPES: dict[str, str] = {
    "forecast:read": "Forecasts, runs, variables, sites and portfolios, the state of the service.",
    "sites:write": "Create, change and retire sites and portfolios.",
    "observations:read": "Read the observations you sent.",
    "observations:write": "Send observations of your own sites.",
    "events:read": "Read the feed of events.",
    "webhooks:write": "Manage webhooks, read and replay their deliveries.",
    "account:read": "Usage, keys (never their secrets) and the audit log.",
    "keys:write": "Make, rotate and revoke keys with no more scopes than one's own.",
}
FORECAST_SCOPE = "forecast:read"
#: Who is named in the audit log where no key was used: the person at the command line.
OPERATOR = "operator"


def check_scopes(scopes: tuple[str, ...]) -> tuple[str, ...]:
    """Return the scopes in their usual order, each once.

    Raises:
        InvalidValueError: there is none.
        UnknownNameError: one does not exist.
    """
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown:
        raise UnknownNameError(f"scope {unknown[0][:40]!r} is not known", hint=f"use {', '.join(SCOPES)}")
    if not scopes:
        raise InvalidValueError("a key without scopes opens nothing", hint=f"give some of {', '.join(SCOPES)}")
    return tuple(scope for scope in SCOPES if scope in scopes)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a customer may ask for and keep. Requests are counted over calendar minutes and days in UTC."""

    requests_per_minute: int
    requests_per_day: int
    sites: int
    portfolios: int
    webhooks: int

    def __post_init__(self) -> None:
        if min(self.requests_per_minute, self.requests_per_day) < 1 or min(self.sites, self.portfolios) < 0:
            raise InvalidValueError(
                "a plan without requests serves nobody", hint="give at least one a minute and a day"
            )


DEFAULT_PLAN = "standard"
PLANS: Mapping[str, Plan] = {
    "trial": Plan(60, 2_000, 5, 1, 1),
    "standard": Plan(600, 200_000, 1_000, 20, 10),
    "enterprise": Plan(6_000, 5_000_000, 20_000, 200, 50),
}


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One change by a customer or the operator. ``action`` is dotted (``key.created``); ``detail`` holds no secret."""

    recorded_at: datetime
    customer_id: str
    key_id: str
    action: str
    subject: str
    detail: Mapping[str, object] = field(default_factory=dict)
