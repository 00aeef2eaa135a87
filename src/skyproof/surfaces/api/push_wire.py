"""The shapes of what customers ask and are told about events and webhooks."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from skyproof.stages.deliver.targets import LONGEST_URL
from skyproof.surfaces.api.wire import Page

Url = Annotated[str, Field(min_length=1, max_length=LONGEST_URL, description="A public https address.")]
Kinds = Annotated[
    list[Annotated[str, Field(max_length=60)]],
    Field(min_length=1, max_length=50, description="For example run.available, run.late, run.degraded, run.recovered."),
]
_STRICT = ConfigDict(extra="forbid")


class WebhookIn(BaseModel):
    """A webhook to make."""

    model_config = _STRICT

    url: Url
    events: Kinds


class WebhookChangeIn(BaseModel):
    """What to change of a webhook."""

    model_config = _STRICT

    url: Url | None = None
    events: Kinds | None = None
    active: bool | None = None


class WebhookOut(BaseModel):
    """A webhook, without its secret."""

    webhook: str
    url: str
    events: list[str]
    created_at: str
    active: bool
    disabled_reason: str
    previous_secret_until: Annotated[str | None, Field(description="Until then the secret before signs too.")]


class NewWebhookOut(WebhookOut):
    """A webhook whose secret is new."""

    secret: Annotated[str | None, Field(description="whsec_..., shown this once; null if the request was sent again.")]


class WebhooksOut(BaseModel):
    """Webhooks by id."""

    webhooks: list[WebhookOut]


class DeliveryPage(Page):
    """Which deliveries are wanted."""

    state: Annotated[
        Literal["all", "pending", "delivered", "dead"], Field(description="dead: given up after the last attempt.")
    ] = "all"


class DeliveryOut(BaseModel):
    """One event on its way to one webhook."""

    delivery: str
    event: str
    type: str
    state: str
    attempts: int
    created_at: str
    next_attempt_at: str | None
    finished_at: str | None
    last_status: int | None
    last_error: str


class DeliveriesOut(BaseModel):
    """Deliveries, newest first."""

    deliveries: list[DeliveryOut]
    next_cursor: str | None


class EventPage(Page):
    """Which events are wanted."""

    type: Annotated[str, Field(max_length=300, description="Kinds, with commas; all by default.")] = ""


class EventOut(BaseModel):
    """An event, as it is pushed (CloudEvents 1.0)."""

    specversion: str
    type: str
    source: str
    id: str
    time: str
    data: dict[str, object]


class EventsOut(BaseModel):
    """Events, oldest first. ``next_cursor`` is always there: asked again with it, only what is new comes."""

    events: list[EventOut]
    next_cursor: str


#: Bodies of requests, for the description.
BODIES: tuple[type[BaseModel], ...] = (WebhookIn, WebhookChangeIn)
