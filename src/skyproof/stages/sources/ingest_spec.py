"""The small YAML that says what files hold: which columns, units, times and places. Unknown keys are refused."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from skyproof.stages.sources.register import PositiveDuration, RegisterRow, check_rows, read_model, read_yaml

FileFormat = Literal["csv", "parquet", "netcdf", "grib"]


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_as_list)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SiteRow(_Part):
    """A place, written out."""

    id: str = Field(description="Identifier, as the files write it.")
    latitude: float = Field(description="Degrees north.")
    longitude: float = Field(description="Degrees east.")
    elevation_m: float = Field(0.0, description="Metres above sea level.")
    name: str = Field("", description="What people call it.")
    timezone: str = Field("UTC", description="IANA zone of its calendar day.")


class SiteColumns(_Part):
    """Which columns name the place of a row. Without latitude and longitude the place must be known already."""

    id: str | None = Field(None, description="Column of the identifier.")
    constant: str | None = Field(None, description="The one place of all rows, where no column names it.")
    latitude: str | None = Field(None, description="Column of degrees north.")
    longitude: str | None = Field(None, description="Column of degrees east.")
    elevation: str | None = Field(None, description="Column of metres above sea level; without one, 0 m.")
    name: str | None = Field(None, description="Column of the name.")
    prefix: str = Field("", description="Put before every identifier, for example 'wmo-'.")

    @model_validator(mode="after")
    def _one_way(self) -> SiteColumns:
        if (self.id is None) == (self.constant is None):
            raise ValueError("give either id (a column) or constant (one place)")
        return self


class TimeColumns(_Part):
    """Which columns say when. Of init, valid and lead time two are enough."""

    init_time: str | None = Field(None, description="Column of the init time.")
    valid_time: str | None = Field(None, description="Column of the valid time.")
    lead_hours: str | int | None = Field(None, description="Column of the lead in hours, or the one lead of all rows.")
    issue_hour: int | None = Field(None, ge=0, le=23, description="Started at the last such hour (UTC) before valid.")
    available_at: str | None = Field(None, description="Column that says when a forecast became available.")
    recorded_at: str | None = Field(None, description="Column that says when an observation was recorded.")
    zone: str | None = Field(None, description="Zone of times written without one. Without it such times are refused.")
    format: str | None = Field(None, description="strptime format of text times; by default ISO 8601.")


class ForecastValue(_Part):
    """One variable of a forecast table, and the columns of each source; several columns are its members."""

    variable: str
    unit: str
    sources: dict[str, Names] = Field(min_length=1)


class ObservedValue(_Part):
    """One variable of an observation table."""

    variable: str
    unit: str
    column: str


class _Input(_Part):
    files: Names = Field(min_length=1, description="File names or patterns, relative to the data folder.")
    format: FileFormat | None = Field(None, description="By default from the file's suffix.")
    available_after: PositiveDuration | None = Field(
        None,
        description="When the files do not say when a row was known: this long after its init time (observations: valid "
        "time). Without it, the instant of ingestion, which is right for live files and useless for a backtest.",
    )


class _Table(_Input):
    time: TimeColumns
    site: SiteColumns
    where: dict[str, str | int | float] = Field(default_factory=dict, description="Only rows with these values.")
    delimiter: str = Field(",", min_length=1, max_length=1)
    decimal: str = Field(".", min_length=1, max_length=1)
    missing: tuple[str, ...] = Field(("", "NA", "NaN", "nan", "null", "None", "-"), description="Words for no value.")


class ForecastTable(_Table):
    """Forecasts as rows."""

    kind: Literal["forecasts"]
    values: tuple[ForecastValue, ...] = Field(min_length=1)
    member: str | None = Field(None, description="Column of the member, where each member has a row of its own.")
    accumulated: tuple[str, ...] = Field((), description="Variables given as sums since the init time.")


class ObservationTable(_Table):
    """Observations as rows."""

    kind: Literal["observations"]
    source: str = Field("observations", description="Name of the station network.")
    values: tuple[ObservedValue, ...] = Field(min_length=1)


class FieldFiles(_Input):
    """Forecast fields on a grid: GRIB, or NetCDF with the CF conventions."""

    kind: Literal["fields"]
    source: str
    variables: Names = Field((), description="Only these; by default all that we know.")
    interpolation: Literal["nearest", "bilinear"] = Field("nearest", description="bilinear needs a regular grid.")


Input = Annotated[ForecastTable | ObservationTable | FieldFiles, Field(discriminator="kind")]


class IngestSpec(_Part):
    """What a set of files holds."""

    name: str = Field("", description="What people call the data.")
    note: str = Field("", description="Where they come from, and what to know.")
    sites: tuple[SiteRow, ...] = Field((), description="Places, where no column describes them.")
    register_rows: dict[str, RegisterRow] = Field(default_factory=dict, alias="register")
    inputs: tuple[Input, ...] = Field(min_length=1)


def load_ingest_spec(path: Path) -> IngestSpec:
    """Read an ingest spec.

    Raises:
        UnreadableFileError: no file, no YAML, or no mapping.
        InvalidValueError: an unknown key, a missing one, or an impossible value; every one is named.
        UnknownNameError: a variable or unit of its register that does not exist.
    """
    spec = read_model(IngestSpec, read_yaml(path), path.name)
    check_rows(spec.register_rows)
    return spec


def default_row(source_id: str, cadence: timedelta, latency: timedelta) -> RegisterRow:
    """The register row of a source nobody described: it may be used here, and nothing more is known."""
    row = {"title": source_id, "upstream_group": source_id, "licence": "unknown", "attribution": ""}
    return RegisterRow.model_validate({**row, "cadence": cadence, "latency_p50": latency})
