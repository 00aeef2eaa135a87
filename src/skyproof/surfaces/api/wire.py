"""The shapes of discovery answers, from which the API's description is generated."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from skyproof.domain.times import require_utc

_INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T")


class Page(BaseModel):
    """Which part of a list is wanted."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=1000, description="Most rows in the answer.")] = 200
    cursor: Annotated[str, Field(max_length=100, description="next_cursor of the answer before.")] = ""


def _require_instant(text: Any) -> Any:
    """Only what looks like an instant: pydantic takes numbers for seconds since 1970."""
    if isinstance(text, str) and not _INSTANT.match(text):
        raise ValueError("is no instant; write it like 2026-01-31T06:00:00Z")
    return text


#: An instant in a parameter.
InstantIn = Annotated[datetime, BeforeValidator(_require_instant)]


class ModelChoice(BaseModel):
    """Which model is meant."""

    model_config = ConfigDict(extra="forbid")

    model: Annotated[Literal["skyproof", "best_match"], Field(description="There is one.")] = "skyproof"


class RunPage(Page, ModelChoice):
    """Which runs are wanted."""

    since: Annotated[InstantIn | None, Field(description="Runs issued at or after this instant (UTC).")] = None


class LatestRun(ModelChoice):
    """How far the newest run must reach."""

    min_lead_hours: Annotated[int, Field(ge=0, le=1000, description="Hours it must reach ahead of its init time.")] = 0


class Nothing(BaseModel):
    """No parameters."""

    model_config = ConfigDict(extra="forbid")


class VariableOut(BaseModel):
    """A forecast quantity in the words of its neighbours."""

    name: str
    title: str
    standard_name: Annotated[str, Field(description="CF standard name.")]
    unit: Annotated[str, Field(description="UCUM code of the default unit.")]
    symbol: str
    cell_methods: Annotated[
        str, Field(description="instant, or what it says of the interval that ends at its time: preceding ...")
    ]
    lower_limit: float | None
    upper_limit: float | None
    decimals: int
    height_m: float | None
    grib_short_names: list[str]
    units: Annotated[list[str], Field(description="Units that can be asked for.")]
    daily: Annotated[list[str], Field(description="Statistics of its days that can be asked for.")]


class VariablesOut(BaseModel):
    """All quantities."""

    variables: list[VariableOut]


class RegimeOut(BaseModel):
    """How degraded a run is."""

    id: str
    missing: list[str]
    late: list[str]
    band_widening: float
    nominal_coverage: float
    measured_coverage: float | None
    n: int


class RunOut(BaseModel):
    """A published run."""

    run_id: str
    model_version: str
    init_time: str
    issued_at: str
    available_at: str
    regime: RegimeOut
    warnings: list[str]


class RunsOut(BaseModel):
    """Runs, newest first."""

    runs: list[RunOut]
    next_cursor: str | None


class SourceStatusOut(BaseModel):
    """How fresh a source is."""

    source: str
    title: str
    licence: str
    newest_init_time: str | None
    newest_available_at: str | None
    age_hours: float | None
    overdue: Annotated[bool, Field(description="Older than its cadence and its usual worst delay allow.")]


class StatusOut(BaseModel):
    """How the service is."""

    status: Annotated[str, Field(description="ok, degraded (a source is missing), stale, or no_run.")]
    now: str
    sandbox: bool
    newest_run: RunOut | None
    run_age_hours: float | None
    sources: list[SourceStatusOut]


class HealthOut(BaseModel):
    """Whether the process lives."""

    status: str


class ProblemOut(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    instance: str
    request_id: str
    hint: str
    errors: list[dict[str, str]]
    error: Annotated[bool, Field(description="Always true, as Open-Meteo has it.")]
    reason: Annotated[str, Field(description="The detail once more, under Open-Meteo's name.")]


def aware(instant: datetime | None) -> datetime | None:
    """An instant from a parameter, in UTC.

    Raises:
        InvalidValueError: it has no zone.
    """
    return None if instant is None else require_utc(instant, "since")
