"""The shapes of what is told about models and sources."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field

from skyproof.surfaces.api.wire import Page, SourceStatusOut


class VersionOut(BaseModel):
    """A release of the model."""

    version: Annotated[str, Field(description="Its id; ask for it with version=.")]
    state: Annotated[str, Field(description="stable is what is asked for by default.")]
    created_at: str
    trained_from: str
    trained_until: str
    sources: list[str]


class VersionsOut(BaseModel):
    """Releases, newest first."""

    versions: list[VersionOut]
    next_cursor: str | None


class VersionPage(Page):
    """Which releases are wanted."""


class ModelOut(BaseModel):
    """What a model forecasts, and its newest stable release."""

    model: str
    title: str
    description: str
    aliases: Annotated[list[str], Field(description="Other names it answers to.")]
    variables: Annotated[list[str], Field(description="Those of its newest run.")]
    daily: Annotated[list[str], Field(description="Statistics of days that can be asked for.")]
    lead_hours: list[int]
    quantile_levels: Annotated[
        list[float], Field(description="Levels kept; any other one is interpolated between them.")
    ]
    statistics: list[str]
    latest: VersionOut | None


class ModelsOut(BaseModel):
    """Models."""

    models: list[ModelOut]


class ModelCardOut(ModelOut):
    """A model with the card of its newest stable release."""

    card: Annotated[dict[str, Any], Field(description="What it was learned from, how it holds up, and its limits.")]


class SourceOut(SourceStatusOut):
    """A source: its terms, what it promises, and how fresh it is."""

    upstream_group: Annotated[str, Field(description="Sources of one group fail together.")]
    attribution: str
    commercial_use: bool
    redistribution: bool
    cadence_hours: float
    latency_p50_hours: float
    latency_p95_hours: float
    members: int
    lead_hours: list[int]
    units: Annotated[dict[str, str], Field(description="Its variables, and the units it sends them in.")]
    url: str


class SourcesOut(BaseModel):
    """Sources by id."""

    sources: list[SourceOut]
