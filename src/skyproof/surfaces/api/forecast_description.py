"""How ``GET /v1/forecast`` is described: its parameters from their table, and the shape of its answers."""

from __future__ import annotations

from typing import Any

from skyproof.domain.variables import VARIABLES
from skyproof.stages.deliver.daily_names import DAILY
from skyproof.stages.deliver.forms import FORMS
from skyproof.stages.deliver.parameters import PARAMETERS, Parameter
from skyproof.stages.deliver.questions import MOST_LEVELS, MOST_MEMBERS, MOST_PARAMETERS, MOST_PLACES
from skyproof.stages.deliver.requests import MOST_DAYS, MOST_HOURS

_TEXT = {"type": "string"}
_NUMBER = {"type": "number"}
_BYTES = {"type": "string", "contentMediaType": "application/octet-stream"}
_IDENTIFIER = "^[a-z0-9][a-z0-9_.-]{0,63}$"
_DAY = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_INSTANT = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}"


def _listed(item: dict[str, Any], most: int) -> dict[str, Any]:
    return {"type": "array", "items": item, "minItems": 1, "maxItems": most}


def _counted(most: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": 1, "maximum": most}


def _written(pattern: str, most: int = 40) -> dict[str, Any]:
    return {"type": "string", "pattern": pattern, "maxLength": most}


#: What a parameter's value must look like, beyond the choices of the table.
_VALUES: dict[str, dict[str, Any]] = {
    "site": _listed({"type": "string", "pattern": _IDENTIFIER}, MOST_PLACES),
    "latitude": _listed({"type": "number", "minimum": -90, "maximum": 90}, MOST_PLACES),
    "longitude": _listed({"type": "number", "minimum": -180, "maximum": 180}, MOST_PLACES),
    "hourly": _listed({"type": "string", "enum": [variable.name for variable in VARIABLES]}, MOST_PARAMETERS),
    "daily": _listed({"type": "string", "enum": list(DAILY)}, MOST_PARAMETERS),
    "quantiles": _listed({"type": "number", "minimum": 0.001, "maximum": 0.999}, MOST_LEVELS),
    "exceedance": _listed({"type": "string", "pattern": "^[a-z0-9_]{1,60}[<>]-?[0-9]"}, MOST_PARAMETERS),
    "members": _counted(MOST_MEMBERS),
    "run": _written(f"{_INSTANT}|^run_[0-9a-f]{{1,64}}$|^latest$", 68),
    "as_of": _written(_INSTANT),
    "version": _written("^(stable|latest|rel_[0-9a-f]{1,64})$", 68),
    "timezone": _written("^(auto|UTC|[A-Za-z0-9_+-]{1,30}(/[A-Za-z0-9_+-]{1,30}){0,2})$", 92),
    "forecast_hours": _counted(MOST_HOURS),
    "forecast_days": _counted(MOST_DAYS),
    "start_date": _written(_DAY),
    "end_date": _written(_DAY),
    "start_hour": _written(_INSTANT),
    "end_hour": _written(_INSTANT),
}

_UNITS = {"type": "object", "required": ["time"], "additionalProperties": _TEXT}
_BLOCK = {
    "type": "object",
    "required": ["time"],
    "properties": {"time": {"type": "array", "items": {"type": ["string", "integer"]}}},
    "additionalProperties": {"type": "array", "items": {"type": ["number", "null"]}},
}
_METHODS = {"type": "object", "additionalProperties": _TEXT}
_REASONS = {
    "type": "object",
    "description": "For each variable with gaps: step, counted from 0, to the reason why its values are null.",
    "additionalProperties": {"type": "object", "additionalProperties": _TEXT},
}
_SOURCES = {"type": "object", "additionalProperties": {"type": "array", "items": {"type": ["string", "null"]}}}
_KINDS = {"units": _UNITS, "": _BLOCK, "cell_methods": _METHODS, "null_reasons": _REASONS, "source": _SOURCES}
_GRID = {
    "type": "object",
    "required": ["site", "name", "latitude", "longitude", "elevation", "method", "distance_km"],
    "properties": {
        "site": _TEXT,
        "name": _TEXT,
        "latitude": _NUMBER,
        "longitude": _NUMBER,
        "elevation": _NUMBER,
        "method": {"enum": ["site", "nearest_site", "interpolated"]},
        "distance_km": _NUMBER,
    },
}
_META = {
    "type": "object",
    "required": ["forecast_id", "run_id", "model", "model_version", "init_time", "issued_at", "links"],
    "properties": {
        "forecast_id": {"type": "string", "pattern": "^fc_[a-z2-7]{26}$"},
        "run_id": _TEXT,
        "model": _TEXT,
        "model_version": _TEXT,
        "init_time": _TEXT,
        "issued_at": _TEXT,
        "attribution": {"type": "array", "items": _TEXT},
        "calibration": {
            "type": "object",
            "description": "What the forecast was calibrated on; distance_km to the nearest site with a record.",
            "properties": {
                "scope": {"enum": ["own_record", "neighbours", "interpolated"]},
                "distance_km": {"type": ["number", "null"]},
            },
        },
        "links": {"type": "object", "additionalProperties": _TEXT},
    },
}
#: Schemas that the description refers to.
FORECAST_SCHEMAS: dict[str, Any] = {
    "Forecast": {
        "type": "object",
        "description": "One place, in Open-Meteo's shape.",
        "required": [
            "latitude", "longitude", "elevation", "generationtime_ms", "utc_offset_seconds", "timezone",
            "timezone_abbreviation", "grid", "meta",
        ],
        "properties": {
            **dict.fromkeys(("latitude", "longitude", "elevation", "generationtime_ms"), _NUMBER),
            "utc_offset_seconds": {"type": "integer"},
            "timezone": _TEXT,
            "timezone_abbreviation": _TEXT,
            "location_id": {"type": "integer", "description": "Number of the place, from the second one on."},
            **{
                f"{kind}_{part}".rstrip("_"): schema
                for kind in ("hourly", "daily")
                for part, schema in _KINDS.items()
            },
            "grid": _GRID,
            "meta": _META,
        },
    }
}  # fmt: skip
_FORECAST = {"$ref": "#/components/schemas/Forecast"}
#: What the body of each form is.
_SHAPES: dict[str, dict[str, Any]] = {
    "json": {"oneOf": [_FORECAST, {"type": "array", "items": _FORECAST, "minItems": 2}]},
    "csv": _TEXT,
    "arrow": _BYTES,
    "parquet": _BYTES,
    "covjson": {
        "type": "object",
        "required": ["type"],
        "properties": {"type": {"enum": ["Coverage", "CoverageCollection"]}},
    },
    "flatbuffers": _BYTES,
}


def forecast_operation() -> dict[str, Any]:
    """The operation as OpenAPI has it."""
    return {
        "summary": "Forecast for one or several places",
        "operationId": "forecast",
        "parameters": [_parameter(parameter) for parameter in PARAMETERS],
        "responses": {
            "200": {
                "description": "The forecast; an array of objects for several places",
                "headers": {name: {"schema": _TEXT} for name in ("ETag", "Last-Modified", "Forecast-Regime")},
                "content": content_of(tuple(FORMS)),
            },
            "304": {"description": "You hold this answer (If-None-Match)"},
        },
    }


def content_of(forms: tuple[str, ...]) -> dict[str, Any]:
    """The bodies that some forms have, by media type."""
    return {FORMS[form].media_type.partition(";")[0]: {"schema": _SHAPES[form]} for form in forms}


def _parameter(parameter: Parameter) -> dict[str, Any]:
    schema = _VALUES.get(parameter.name) or {"type": "string", "enum": list(parameter.choices)}
    if parameter.default:
        schema = {**schema, "default": parameter.default}
    return {
        "name": parameter.name,
        "in": "query",
        "required": False,
        "description": parameter.help,
        "schema": schema,
        "example": _example(parameter, schema),
        # An empty value is the default.
        **({"style": "form", "explode": False} if parameter.is_list else {"allowEmptyValue": True}),
    }


def _example(parameter: Parameter, schema: dict[str, Any]) -> Any:
    if parameter.is_list:
        is_number = schema["items"]["type"] == "number"
        return [float(item) if is_number else item for item in parameter.example.split(",")]
    return int(parameter.example) if schema["type"] == "integer" else parameter.example
