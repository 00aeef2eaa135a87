"""The API's description: what FastAPI knows of itself, and the plain routes described from the parameter table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from skyproof.surfaces.api import account_wire, place_wire, problems, push_wire, query_wire, wire
from skyproof.surfaces.api.forecast_description import FORECAST_SCHEMAS, forecast_operation
from skyproof.surfaces.api.lifecycle import Deprecation

#: Addresses that need no key.
OPEN = frozenset({"/healthz", "/readyz", "/edr", "/edr/conformance"})
_PROBLEM_REFERENCE = {"$ref": "#/components/schemas/ProblemOut"}
_ABOUT = (
    "Calibrated probabilistic forecasts for registered places, in Open-Meteo's words. Every answer has a forecast_id, "
    "never changes, and can be had again byte for byte."
)


def describe(app: FastAPI, version: str, deprecations: Sequence[Deprecation] = ()) -> dict[str, Any]:
    """The OpenAPI document of the application; what goes away is marked in it."""
    if app.openapi_schema is None:
        document = get_openapi(title="Skyproof", version=version, description=_ABOUT, routes=app.routes)
        components = document.setdefault("components", {})
        schemas = components.setdefault("schemas", {})
        schemas["ProblemOut"] = wire.ProblemOut.model_json_schema(ref_template="#/components/schemas/{model}")
        for body in (*account_wire.BODIES, *place_wire.BODIES, *push_wire.BODIES, *query_wire.BODIES):
            schema = body.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas.update(schema.pop("$defs", {}))
            schemas[body.__name__] = schema
        schemas.update(FORECAST_SCHEMAS)
        components["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer"},
            "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        }
        document["paths"]["/v1/forecast"] = {"get": forecast_operation()}
        for path, operations in document["paths"].items():
            for operation in operations.values():
                _complete(path, operation)
        for each in deprecations:
            _mark(document, each)
        app.openapi_schema = document
    return app.openapi_schema


def _complete(path: str, operation: dict[str, Any]) -> None:
    """Every operation: one shape of errors, and who may call it."""
    content = {problems.MEDIA_TYPE: {"schema": _PROBLEM_REFERENCE}}
    responses = operation["responses"]
    responses.pop("422", None)
    responses["4XX"] = {"description": "The request is wrong, or opens nothing", "content": content}
    responses["5XX"] = {"description": "Our fault", "content": content}
    operation["security"] = [] if path in OPEN else [{"bearer": []}, {"header": []}]


def _mark(document: dict[str, Any], deprecation: Deprecation) -> None:
    operation = document["paths"][deprecation.path][deprecation.method.lower()]
    marked = operation
    if deprecation.parameter:
        marked = next(each for each in operation["parameters"] if each["name"] == deprecation.parameter)
    marked["deprecated"] = True
