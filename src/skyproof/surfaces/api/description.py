"""The API's description: what FastAPI knows of itself, and the plain routes described from the parameter table."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from skyproof.domain.variables import VARIABLES
from skyproof.stages.deliver.daily_names import DAILY
from skyproof.stages.deliver.forms import FORMS
from skyproof.stages.deliver.parameters import PARAMETERS, Parameter
from skyproof.surfaces.api import account_wire, place_wire, problems, push_wire, wire

_PROBLEM_REFERENCE = {"$ref": "#/components/schemas/ProblemOut"}
_BYTES = {"type": "string", "contentMediaType": "application/octet-stream"}
#: What the body of each form is.
_SHAPES: dict[str, dict[str, Any]] = {
    "json": {"type": ["object", "array"]},
    "csv": {"type": "string"},
    "arrow": _BYTES,
    "parquet": _BYTES,
    "covjson": {"type": "object"},
    "flatbuffers": _BYTES,
}
#: Names that the items of a list are chosen from.
_NAMES = {"hourly": [variable.name for variable in VARIABLES], "daily": list(DAILY)}
_ABOUT = (
    "Calibrated probabilistic forecasts for registered places, in Open-Meteo's words. Every answer has a forecast_id, "
    "never changes, and can be had again byte for byte."
)


def describe(app: FastAPI, version: str) -> dict[str, Any]:
    """The OpenAPI document of the application."""
    if app.openapi_schema is None:
        document = get_openapi(title="Skyproof", version=version, description=_ABOUT, routes=app.routes)
        components = document.setdefault("components", {})
        schemas = components.setdefault("schemas", {})
        schemas["ProblemOut"] = wire.ProblemOut.model_json_schema(ref_template="#/components/schemas/{model}")
        for body in (*account_wire.BODIES, *place_wire.BODIES, *push_wire.BODIES):
            schemas[body.__name__] = body.model_json_schema(ref_template="#/components/schemas/{model}")
        components["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer"},
            "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        }
        document["paths"]["/v1/forecast"] = {"get": _forecast_operation()}
        for path, operations in document["paths"].items():
            for operation in operations.values():
                _complete(path, operation)
        app.openapi_schema = document
    return app.openapi_schema


def _complete(path: str, operation: dict[str, Any]) -> None:
    """Every operation: one shape of errors, and who may call it."""
    content = {problems.MEDIA_TYPE: {"schema": _PROBLEM_REFERENCE}}
    responses = operation["responses"]
    responses.pop("422", None)
    responses["4XX"] = {"description": "The request is wrong, or opens nothing", "content": content}
    responses["5XX"] = {"description": "Our fault", "content": content}
    operation["security"] = [{"bearer": []}, {"header": []}] if path.startswith("/v1/") else []


def _forecast_operation() -> dict[str, Any]:
    return {
        "summary": "Forecast for one or several places",
        "operationId": "forecast",
        "parameters": [_parameter(parameter) for parameter in PARAMETERS],
        "responses": {
            "200": {
                "description": "The forecast; an array of objects for several places",
                "headers": {
                    name: {"schema": {"type": "string"}} for name in ("ETag", "Last-Modified", "Forecast-Regime")
                },
                "content": {
                    form.media_type.partition(";")[0]: {"schema": _SHAPES[name]} for name, form in FORMS.items()
                },
            },
            "304": {"description": "You hold this answer (If-None-Match)"},
        },
    }


def _parameter(parameter: Parameter) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    if parameter.choices:
        schema["enum"] = list(parameter.choices)
    if parameter.default:
        schema["default"] = parameter.default
    if parameter.is_list:
        names = _NAMES.get(parameter.name)
        schema = {"type": "array", "items": {"type": "string"} if names is None else {"type": "string", "enum": names}}
    return {
        "name": parameter.name,
        "in": "query",
        "required": False,
        "description": parameter.help,
        "schema": schema,
        "example": parameter.example.split(",") if parameter.is_list else parameter.example,
        **({"style": "form", "explode": False} if parameter.is_list else {}),
    }
