"""What can be asked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Literal, TypedDict

_Names = str | Sequence[str]
_Numbers = float | Sequence[float]


class ForecastQuestion(TypedDict, total=False):
    """The parameters of ``GET /v1/forecast``, under the names of the API. Lists may be given as lists."""

    site: _Names
    latitude: _Numbers
    longitude: _Numbers
    hourly: _Names
    daily: _Names
    quantiles: _Numbers
    exceedance: _Names
    members: int
    run: str | datetime
    as_of: datetime
    models: Literal["skyproof", "best_match"]
    version: str
    provenance: Literal["none", "summary", "steps"]
    timezone: str
    timeformat: Literal["iso8601", "unixtime"]
    temperature_unit: Literal["celsius", "fahrenheit", "kelvin"]
    wind_speed_unit: Literal["ms", "kmh", "mph", "kn"]
    precipitation_unit: Literal["mm", "inch"]
    forecast_hours: int
    forecast_days: int
    start_date: date
    end_date: date
    start_hour: str | datetime
    end_hour: str | datetime


def write_parameters(question: ForecastQuestion) -> dict[str, str]:
    """A question as the parameters of an address."""
    return {name: _write(value) for name, value in question.items() if value is not None}


def _write(value: Any) -> str:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone; give it one, such as datetime.UTC")
        return value.isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return ",".join(_write(each) for each in value)
    return str(value)
