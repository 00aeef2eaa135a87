"""The shapes of research queries."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

_DURATION = re.compile(r"PT([0-9]{1,4})H|P([0-9]{1,2})D")
#: Rows of a JSON page, at most.
MOST_ROWS = 10_000


def _require_text(value: Any) -> Any:
    if not isinstance(value, str) or not re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T", value):
        raise ValueError("is no instant; write it like 2026-01-31T06:00:00Z")
    return value


def _read_hours(value: Any) -> Any:
    """Hours from a whole number, or an ISO 8601 duration of hours or days."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("is neither whole hours nor a duration like PT12H")  # noqa: TRY004 pydantic wants a ValueError
    if isinstance(value, int):
        return value
    match = _DURATION.fullmatch(value)
    if match is None:
        raise ValueError("is no duration of hours or days; write it like PT12H or P2D")
    return int(match[1]) if match[1] else 24 * int(match[2])


Instant = Annotated[AwareDatetime, BeforeValidator(_require_text)]
Hours = Annotated[
    int,
    BeforeValidator(_read_hours, json_schema_input_type=int | str),
    Field(ge=0, le=1000, description="Whole hours, or an ISO 8601 duration such as PT12H."),
]
Degrees = Annotated[float, Field(ge=-180, le=180, strict=True)]
Point = Annotated[list[Degrees], Field(min_length=2, max_length=2)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Points(_Strict):
    """Coordinates, latitude first; the nearest site answers."""

    type: Literal["point"]
    value: Annotated[list[Point], Field(min_length=1, max_length=1000)]


class NamedSites(_Strict):
    """Sites by id."""

    type: Literal["site"]
    value: Annotated[list[Annotated[str, Field(max_length=64)]], Field(min_length=1, max_length=1000)]


class AllSites(_Strict):
    """All sites you may ask for."""

    type: Literal["all"]


class InitRange(_Strict):
    """Init times from start to end, both included."""

    start: Instant
    end: Instant


class LeadRange(_Strict):
    """Leads from start to end, both included."""

    start: Hours = 0
    end: Hours = 1000


class Exceedance(_Strict):
    """A probability of every variable named, or of one."""

    op: Literal[">", "<"]
    value: Annotated[float, Field(ge=-999_999, le=999_999, strict=True)]
    variable: Annotated[str | None, Field(max_length=60)] = None


class ExceedanceOf(_Strict):
    """A probability as a statistic."""

    exceedance: Exceedance


Quantile = Annotated[str, Field(pattern=r"^(mean|median|q0?\.[0-9]{1,4})$")]


class QueryIn(_Strict):
    """What is wanted of many runs: a row for each run, place and lead; units are the variables' own."""

    models: Annotated[list[Literal["skyproof", "best_match"]], Field(min_length=1, max_length=1)] = ["skyproof"]
    version: Annotated[
        str, Field(pattern=r"^(stable|latest|rel_[0-9a-f]{1,64})$", description="A release, or stable for any.")
    ] = "stable"
    geo: Annotated[Points | NamedSites | AllSites, Field(discriminator="type")]
    init_time: InitRange
    lead_time: LeadRange = LeadRange()
    as_of: Annotated[Instant | None, Field(description="Only runs published by then; of one init time the newest.")] = (
        None
    )
    variables: Annotated[list[Annotated[str, Field(max_length=60)]], Field(min_length=1, max_length=64)]
    statistics: Annotated[list[Quantile | ExceedanceOf], Field(min_length=1, max_length=99)] = ["mean"]
    format: Literal["arrow", "json"] = "json"
    limit: Annotated[int, Field(ge=1, le=MOST_ROWS, strict=True, description="Most rows of a JSON page.")] = 1000
    cursor: Annotated[str | None, Field(max_length=30, description="next_cursor of the JSON page before.")] = None


class CostOut(BaseModel):
    """How large an answer would be."""

    runs: int
    places: int
    rows: int
    values: int
    allowed: bool


class QueryOut(BaseModel):
    """A page of rows, column by column; a page ends with its run."""

    columns: dict[str, list[Any]]
    units: dict[str, str]
    rows: int
    next_cursor: str | None
    meta: dict[str, Any]


BODIES: tuple[type[BaseModel], ...] = (QueryIn,)
