"""The shapes of what customers ask and are told about their account."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from skyproof.surfaces.api.wire import Page

Scope = Annotated[str, Field(max_length=40)]


class KeyIn(BaseModel):
    """A key to make."""

    model_config = ConfigDict(extra="forbid")

    scopes: Annotated[
        list[Scope], Field(min_length=1, max_length=20, description="What it opens; no more than your own key.")
    ]
    lifetime_days: Annotated[int | None, Field(ge=1, le=3650, description="Days until it expires; null: never.")] = None


class RotationIn(BaseModel):
    """How to rotate a key."""

    model_config = ConfigDict(extra="forbid")

    overlap_hours: Annotated[int, Field(ge=0, le=720, description="Hours for which the old key goes on opening.")] = 24


class KeyOut(BaseModel):
    """A key, without its secret."""

    key_id: str
    scopes: list[str]
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    replaces: Annotated[str | None, Field(description="The key it was rotated from.")]
    live: bool


class NewKeyOut(KeyOut):
    """A key just made."""

    key: Annotated[
        str | None, Field(description="The key itself, shown this once; null if the request was sent again.")
    ]
    old_expires_at: Annotated[str | None, Field(description="When the rotated key stops opening.")] = None


class KeysOut(BaseModel):
    """Keys, oldest first."""

    keys: list[KeyOut]


class UsagePage(BaseModel):
    """Which days are wanted."""

    model_config = ConfigDict(extra="forbid")

    days: Annotated[int, Field(ge=1, le=400, description="How many days back, today included.")] = 31


class UsageDayOut(BaseModel):
    """Requests of a day in UTC."""

    day: str
    requests: int
    refused: Annotated[int, Field(description="Requests beyond the plan, answered 429.")]


class UsageOut(BaseModel):
    """What the plan allows and what was used of it. Counts of the last second may still be under way."""

    plan: str
    requests_per_minute: int
    requests_per_day: int
    left_this_minute: int
    left_today: int
    days: list[UsageDayOut]


class AuditPage(Page):
    """Which entries are wanted."""


class AuditEntryOut(BaseModel):
    """One change."""

    at: str
    key_id: Annotated[str, Field(description="The key that was used; operator: the provider changed it.")]
    action: str
    subject: str
    detail: dict[str, object]


class AuditOut(BaseModel):
    """Changes, newest first."""

    entries: list[AuditEntryOut]
    next_cursor: str | None


#: Bodies of requests, for the description.
BODIES: tuple[type[BaseModel], ...] = (KeyIn, RotationIn)
