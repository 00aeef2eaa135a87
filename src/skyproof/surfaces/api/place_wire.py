"""The shapes of what customers ask and are told about their places, observations and portfolios."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from skyproof.domain.portfolios import MOST_PORTFOLIO_SITES
from skyproof.stages.deliver.observation_rows import MOST_ROWS
from skyproof.surfaces.api.wire import InstantIn, Page

Name = Annotated[str, Field(min_length=1, max_length=120, pattern=r"^[^\x00-\x1f\x7f]+$")]
Zone = Annotated[str, Field(min_length=1, max_length=60, description="IANA time zone.")]
Elevation = Annotated[float, Field(ge=-500, le=9000, description="Metres above sea level.")]
_STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)


class SiteIn(BaseModel):
    """A place to create."""

    model_config = _STRICT

    name: Name
    latitude: Annotated[float, Field(ge=-90, le=90, description="Degrees north.")]
    longitude: Annotated[float, Field(ge=-180, le=180, description="Degrees east.")]
    elevation: Elevation
    timezone: Zone = "UTC"


class SiteChangeIn(BaseModel):
    """What to change of a place; where it lies stays: a place that moves is another place."""

    model_config = _STRICT

    name: Name | None = None
    elevation: Elevation | None = None
    timezone: Zone | None = None

    @model_validator(mode="after")
    def _something(self) -> SiteChangeIn:
        if not self.model_dump(exclude_none=True):
            raise ValueError("nothing is to be changed; give name, elevation or timezone")
        return self


class SiteOut(BaseModel):
    """A place you may ask about."""

    site: str
    name: str
    latitude: float
    longitude: float
    elevation: float
    timezone: str
    shared: Annotated[bool, Field(description="Whether every customer sees it; otherwise it is yours alone.")]
    state: Annotated[
        str, Field(description="forecast, waiting (for a run in which a source speaks of it), or retired.")
    ]


class SitesOut(BaseModel):
    """Places by id."""

    sites: list[SiteOut]
    next_cursor: str | None


class ObservationIn(BaseModel):
    """One value that was measured."""

    time: Annotated[str, Field(description="ISO 8601 with its zone; of means and sums the end of the interval.")]
    variable: str
    value: Annotated[float | None, Field(description="null: nothing was measured.")]
    unit: Annotated[str, Field(description="UCUM code; the variable's own by default.")] = ""


class ObservationsIn(BaseModel):
    """Values that were measured."""

    observations: Annotated[list[ObservationIn], Field(max_length=MOST_ROWS)]


class VerdictOut(BaseModel):
    """What became of a row."""

    row: Annotated[int, Field(description="Its number in the request, from 0.")]
    verdict: Annotated[str, Field(description="accepted, flagged (kept, not used), revised, duplicate, or rejected.")]
    reason: str
    flag: Annotated[str, Field(description="future, fill, negative, range, or missing.")] = ""


class VerdictsOut(BaseModel):
    """What became of every row."""

    site: str
    received: int
    accepted: int
    flagged: int
    revised: int
    duplicate: int
    rejected: int
    rows: list[VerdictOut]


class ObservationPage(Page):
    """Which observations are wanted."""

    variable: Annotated[str, Field(max_length=60, description="One variable.")]
    start: Annotated[InstantIn, Field(description="First valid time, with its zone.")]
    end: Annotated[InstantIn, Field(description="Last valid time; at most 31 days later.")]
    qc: Annotated[Literal["all", "passed", "flagged"], Field(description="Rows by how they passed the checks.")] = "all"


class ObservationOut(BaseModel):
    """One statement of yours; of several about one time the last recorded counts."""

    time: str
    value: float | None
    flag: str
    recorded_at: str


class ObservationsOut(BaseModel):
    """What you sent, revisions included, by time."""

    site: str
    variable: str
    unit: str
    observations: list[ObservationOut]
    next_cursor: str | None


class MemberIn(BaseModel):
    """A site of a portfolio."""

    model_config = _STRICT

    site: Annotated[str, Field(min_length=1, max_length=64)]
    weight: Annotated[float, Field(ge=-1e9, le=1e9, description="For example its capacity; not zero.")] = 1.0


class PortfolioIn(BaseModel):
    """Sites to take together."""

    model_config = _STRICT

    name: Name
    aggregate: Annotated[Literal["sum", "mean"], Field(description="Weighted sum, or weighted mean.")] = "sum"
    members: Annotated[list[MemberIn], Field(min_length=1, max_length=MOST_PORTFOLIO_SITES)]

    @model_validator(mode="after")
    def _each_once(self) -> PortfolioIn:
        if len({member.site for member in self.members}) < len(self.members):
            raise ValueError("a site stands among the members twice")
        return self


class MemberOut(BaseModel):
    """A site of a portfolio."""

    site: str
    weight: float


class PortfolioOut(BaseModel):
    """Sites taken together."""

    portfolio: str
    name: str
    aggregate: str
    members: list[MemberOut]
    created_at: str


class PortfoliosOut(BaseModel):
    """Portfolios by id."""

    portfolios: list[PortfolioOut]


class PortfolioQuestion(BaseModel):
    """What is wanted of a portfolio."""

    model_config = ConfigDict(extra="forbid")

    hourly: Annotated[str, Field(max_length=400, description="Variables, with commas.")]
    quantiles: Annotated[
        str,
        Field(
            max_length=800,
            pattern=r"^(0?\.[0-9]{1,4}(,0?\.[0-9]{1,4})*)?$",
            description="Quantile levels, with commas.",
        ),
    ] = "0.1,0.5,0.9"
    members: Annotated[int, Field(ge=20, le=1000, description="Scenarios that are drawn.")] = 200
    run: Annotated[
        str, Field(max_length=70, pattern=r"^(latest|run_[0-9a-f]{1,64})$", description="A run by its id.")
    ] = "latest"


class PortfolioForecastOut(BaseModel):
    """A portfolio's forecast: columns as of /v1/forecast, worked out scenario by scenario."""

    portfolio: str
    name: str
    aggregate: str
    members: list[MemberOut]
    hourly_units: dict[str, str]
    hourly: dict[str, list[str | float | None]]
    hourly_cell_methods: dict[str, str]
    hourly_null_reasons: dict[str, dict[str, str]] = {}
    meta: dict[str, object]


#: Bodies of requests, for the description.
BODIES: tuple[type[BaseModel], ...] = (SiteIn, SiteChangeIn, ObservationIn, ObservationsIn, MemberIn, PortfolioIn)
