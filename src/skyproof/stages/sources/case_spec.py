"""The YAML that says what a table of forecasts and observations holds, and how it is to be judged. Unknown keys are refused."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import numpy as np
from numpy.typing import NDArray
from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from skyproof.domain.bench import Refit, ScoreName
from skyproof.domain.errors import InvalidValueError
from skyproof.domain.quantiles import LEVEL_ARRAY
from skyproof.domain.times import parse_instant
from skyproof.stages.sources.register import read_yaml


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str | int) and not isinstance(value, bool) else value


def _as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _as_texts(value: Any) -> Any:
    return [_as_text(item) for item in value] if isinstance(value, list) else value


def _as_site(value: Any) -> Any:
    return {"id": value} if isinstance(value, str | int) and not isinstance(value, bool) else value


def _as_columns(value: Any) -> Any:
    return value if isinstance(value, dict) else {"columns": value}


def _as_sources(value: Any) -> Any:
    if value is None:
        return {}
    if isinstance(value, str):
        return {value: value}
    if isinstance(value, list) and all(isinstance(item, str | int) for item in value):
        return {str(item): str(item) for item in value}
    return {str(name): columns for name, columns in value.items()} if isinstance(value, dict) else value


def _no_list(value: Any) -> Any:
    return [] if value is None else value


Text = Annotated[str, BeforeValidator(_as_text)]
Names = Annotated[tuple[str, ...], BeforeValidator(_as_texts), BeforeValidator(_as_list), BeforeValidator(_no_list)]


def _as_period(value: Any) -> Any:
    """First and last second of a day or month; twice the same instant for a time of day."""
    text = value.isoformat() if isinstance(value, date) else str(value).strip()
    try:
        if len(text) <= len("2004-02"):
            first = datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC)
            after = (first + timedelta(days=32)).replace(day=1)
        else:
            first = parse_instant(text)
            after = first + timedelta(days=1) if len(text) <= len("2004-02-07") else first + timedelta(seconds=1)
    except (ValueError, OverflowError, InvalidValueError) as error:
        raise ValueError(f"{text[:40]!r} is no date; write it like 2013-01-31 or 2013-01-31T06:00") from error
    return first, after - timedelta(seconds=1)


Period = Annotated[tuple[datetime, datetime], BeforeValidator(_as_period)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class TimeSpec(_Part):
    """Which columns say when. Two of init, valid and lead time, or the valid time and the hour of issue."""

    valid_time: str | None = Field(None, description="column of the time a row speaks of")
    init_time: str | None = Field(
        None,
        description="column of the time the forecast was issued",
        validation_alias=AliasChoices("init_time", "issue_time"),
    )
    lead_hours: str | float | None = Field(None, description="column of the lead in hours, or the one lead of all rows")
    lead_days: str | float | None = Field(None, description="column of the lead in days, or the one lead of all rows")
    issue_hour: float | None = Field(
        None,
        ge=0,
        lt=24,
        description="hour (UTC) of the day; a row was issued at the last such hour before its valid time",
    )
    zone: str | None = Field(None, description="IANA zone of times written without one; by default UTC")
    format: str | None = Field(
        None, description="strptime format of text times; by default ISO 8601, YYYYMMDD or YYYYMMDDHH"
    )

    @model_validator(mode="after")
    def _enough(self) -> TimeSpec:
        leads = [self.lead_hours, self.lead_days, self.issue_hour]
        given = sum(lead is not None for lead in leads)
        if given > 1:
            raise ValueError("give only one of lead_hours, lead_days and issue_hour")
        if self.valid_time is None and self.init_time is None:
            raise ValueError("give valid_time or init_time (the name of a column)")
        if given == 0 and (self.valid_time is None or self.init_time is None):
            raise ValueError("give lead_hours, lead_days or issue_hour, or both valid_time and init_time")
        if self.issue_hour is not None and (self.valid_time is None or self.init_time is not None):
            raise ValueError("issue_hour goes with valid_time alone")
        return self


class SiteSpec(_Part):
    """Where a row is: a column of identifiers or one constant; coordinates may be columns or numbers."""

    id: Text | None = Field(None, description="column of the identifier, or the one place of all rows")
    constant: Text | None = Field(None, description="the one place of all rows")
    latitude: str | float | None = Field(None, description="column of degrees north, or a number")
    longitude: str | float | None = Field(None, description="column of degrees east, or a number")
    elevation: str | float | None = Field(None, description="column of metres above sea level, or a number")

    @model_validator(mode="after")
    def _one_way(self) -> SiteSpec:
        if self.id is not None and self.constant is not None:
            raise ValueError("give either id (a column) or constant (one place)")
        return self


class TargetSpec(_Part):
    """What is forecast, and how it was observed."""

    column: str | None = Field(None, description="column of the observation")
    variable: str | None = Field(
        None, description="name of the variable; a known one brings its limits; by default the column's"
    )
    unit: Text | None = Field(None, description="unit of the target and of all sources; results are given in it")
    lower: float | None = Field(None, description="physical lower limit, in that unit")
    upper: float | None = Field(None, description="physical upper limit, in that unit")
    observation_delay_hours: float | None = Field(
        0.0, ge=0, le=24 * 366, description="hours after the valid time at which the observation is known"
    )

    @model_validator(mode="after")
    def _limits(self) -> TargetSpec:
        if self.lower is not None and self.upper is not None and not self.lower < self.upper:
            raise ValueError(f"lower {self.lower:g} is not below upper {self.upper:g}")
        return self


class SourceColumns(_Part):
    """The members of one source. A name with * or ? stands for every column it fits."""

    columns: Names = Field(min_length=1, description="column, or list of columns (its members)")
    unit: Text | None = Field(None, description="its unit, where it is not the target's")


class ObservationsSpec(_Part):
    """Observations that lie in files of their own, joined by place and valid time."""

    files: Names = Field(min_length=1, description="file names, relative to the spec")
    column: str | None = Field(None, description="column of the observation; by default target.column")
    site: str | None = Field(None, description="column of the place; by default site.id")
    valid_time: str | None = Field(None, description="column of the valid time")
    init_time: str | None = Field(
        None,
        description="column of an init time, where there is no valid time",
        validation_alias=AliasChoices("init_time", "issue_time"),
    )
    lead_hours: str | float | None = Field(None, description="hours from init to valid time: column or number")
    zone: str | None = Field(None, description="IANA zone of times written without one; by default UTC")
    format: str | None = Field(None, description="strptime format of text times")
    where: dict[str, Any] = Field(default_factory=dict, description="only rows with these values")

    @model_validator(mode="after")
    def _enough(self) -> ObservationsSpec:
        if self.valid_time is None and (self.init_time is None or self.lead_hours is None):
            raise ValueError("give valid_time (the name of a column)")
        return self


class PivotSpec(_Part):
    """A long table: one row for each source and member."""

    value: str = Field(description="column of the forecast")
    source: str | None = Field(None, description="column of the source's name; without it there is one source")
    member: str | None = Field(None, description="column of the member; without it each source has one")


class EvaluateSpec(_Part):
    """The period that is scored, and how."""

    from_: Period = Field(alias="from", description="first valid time that is scored, for example 2013-01-01")
    until: Period | None = Field(None, description="last valid time that is scored; a date means the whole day")
    quantiles: int | tuple[float, ...] = Field(21, description="21 (the product's), 99, or a list of probabilities")
    score: ScoreName = Field("crps", description="crps, or pinball (mean over the quantiles)")
    refit: Refit = Field("auto", description="how often the experts learn anew: daily, weekly, monthly or auto")
    leave_out: Literal["sites"] | None = Field(None, description="sites: judge every site with nothing learned from it")

    @model_validator(mode="after")
    def _levels(self) -> EvaluateSpec:
        asked = self.quantiles
        if isinstance(asked, int):
            if not 3 <= asked <= 199:
                raise ValueError(f"quantiles {asked} is outside 3 to 199")
        elif not 1 <= len(asked) <= 199 or not all(0 < p < 1 for p in asked) or list(asked) != sorted(set(asked)):
            raise ValueError("quantiles must be probabilities between 0 and 1, rising, at most 199")
        return self

    @property
    def levels(self) -> NDArray[np.float64]:
        """The probabilities asked for: 21 are the product's own, another number n means k / (n + 1)."""
        if not isinstance(self.quantiles, int):
            return np.array(self.quantiles, dtype=np.float64)
        if self.quantiles == len(LEVEL_ARRAY):
            return np.array(LEVEL_ARRAY)
        return np.round(np.arange(1, self.quantiles + 1) / (self.quantiles + 1), 12)


class CaseSpec(_Part):
    """A table of forecasts and what came of them."""

    name: Text = Field(min_length=1, max_length=100, description="what people call the table")
    note: str = Field("", description="where it comes from, and what to know")
    files: Names = Field(min_length=1, description="Parquet or CSV files; several are put one below the other")
    time: TimeSpec = Field(description="which columns say when")
    site: Annotated[SiteSpec, BeforeValidator(_as_site)] = Field(
        SiteSpec(constant="site"), description="which columns say where, or a constant"
    )
    target: TargetSpec = Field(description="what is forecast, and how it was observed")
    sources: Annotated[
        dict[str, Annotated[SourceColumns, BeforeValidator(_as_columns)]], BeforeValidator(_as_sources)
    ] = Field(default_factory=dict, description="columns of each source")
    features: Names = Field((), description="further predictor columns")
    observations: ObservationsSpec | None = Field(None, description="observations in files of their own")
    pivot: PivotSpec | None = Field(None, description="a long table: one row for each source and member")
    where: dict[str, Any] = Field(default_factory=dict, description="only rows with these values")
    missing: Names = Field(("", "NA", "NaN", "nan", "null", "None", "-"), description="words or numbers for no value")
    delimiter: str | None = Field(None, min_length=1, max_length=1, description="of CSV files; by default found out")
    decimal: Literal[".", ","] = Field(".", description="decimal mark of CSV files")
    evaluate: EvaluateSpec = Field(description="the period that is scored, and how")

    @model_validator(mode="after")
    def _complete(self) -> CaseSpec:
        if not self.sources and not self.features and self.pivot is None:
            raise ValueError("give sources, or features to learn from")
        if self.target.column is None and (self.observations is None or self.observations.column is None):
            raise ValueError("give target.column (the column of the observation)")
        return self


def load_case_spec(path: Path) -> CaseSpec:
    """Read the spec of a table.

    Raises:
        UnreadableFileError: no file, no YAML, or no mapping.
        InvalidValueError: an unknown key, a missing one, or an impossible value; every one is named.
    """
    return parse_case_spec(read_yaml(path), path.name)


def parse_case_spec(content: Mapping[str, Any], name: str = "spec") -> CaseSpec:
    """Check a spec given as a mapping.

    Raises:
        InvalidValueError: an unknown key, a missing one, or an impossible value; every one is named.
    """
    try:
        return CaseSpec.model_validate(content)
    except ValidationError as error:
        problems = list(dict.fromkeys(_tell(each) for each in error.errors()[:20]))
        raise InvalidValueError(
            f"{name} is wrong: {'; '.join(problems)}", hint="the page 'Bench your own table' describes the format"
        ) from error


def _tell(problem: Any) -> str:
    """One problem of a spec: the key, and what to do."""
    place = [str(part) for part in problem["loc"] if not str(part).startswith(("function-", "tuple[", "constrained-"))]
    key = ".".join("from" if part == "from_" else part for part in place)
    model = _model_at(CaseSpec, place[:-1])
    if problem["type"] == "extra_forbidden":
        known = [field.alias or name for name, field in model.model_fields.items()] if model else []
        near = difflib.get_close_matches(place[-1], known, 1)
        wanted = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"
        return f"unknown key {key!r} ({wanted})"
    field = next(
        (f for n, f in (model.model_fields if model else {}).items() if place and place[-1] in {n, f.alias}), None
    )
    meaning = f": {field.description}" if field is not None and field.description else ""
    if problem["type"] == "missing":
        return f"{key!r} is missing{meaning}"
    said = str(problem["msg"]).removeprefix("Value error, ")
    return f"{key + ': ' if key else ''}{said}{meaning if problem['type'] != 'value_error' else ''}"


def _model_at(model: type[BaseModel], place: list[str]) -> type[BaseModel] | None:
    """The model that a key of the spec belongs to."""
    for part in place:
        field = next((f for name, f in model.model_fields.items() if part in {name, f.alias}), None)
        if field is None:
            return SourceColumns if model is CaseSpec else None
        below = next(_models(field.annotation), None)
        if below is None:
            return None
        model = below
        if part == "sources":
            return SourceColumns if len(place) > 1 else model
    return model


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    if get_origin(annotation) in {Annotated, Union, UnionType, dict}:
        for part in get_args(annotation):
            yield from _models(part)
