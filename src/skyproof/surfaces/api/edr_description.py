"""How the routes of EDR are described: their parameters, and what they answer."""

from __future__ import annotations

from typing import Any

from skyproof.surfaces.api.edr_documents import COLLECTION
from skyproof.surfaces.api.forecast_description import content_of

_IN_PATH = {
    "collection": ("The collection; there is one.", {"type": "string", "enum": [COLLECTION]}, COLLECTION),
    "instance": ("A run, by its id or its init time.", {"type": "string", "maxLength": 68}, "2026-01-31T12:00:00Z"),
    "location": ("A place, by its id.", {"type": "string", "maxLength": 64}, "zurich"),
}
_COORDS = {
    "position": "POINT(8.54 47.38)",
    "area": "POLYGON((7 46,9 46,9 48,7 48,7 46))",
    "trajectory": "LINESTRINGM(8.54 47.38 1743300000,8.0 47.0 1743310800)",
}
_QUERY = (
    ("parameter-name", "Variables, or their quantiles; see the collection's parameter_names.", "temperature_2m"),
    ("quantiles", "Quantile levels of every variable named, beyond the standard.", "0.1,0.5,0.9"),
    ("datetime", "An instant, or start/end of which one may be open (..).", "2026-01-31T06:00Z/.."),
)
_HEADERS = {name: {"schema": {"type": "string"}} for name in ("ETag", "Last-Modified", "Forecast-Regime")}


def described_document(name: str, path: tuple[str, ...] = ()) -> dict[str, Any]:
    """Of a route that answers metadata; ``path`` names the parameters in its address."""
    media = "application/geo+json" if name.endswith("locations") else "application/json"
    open_to_all = name in ("edr", "conformance")
    choice = [] if open_to_all else [_choice("f", ["json"])]
    return {
        "operationId": f"edr-{name}",
        "parameters": [*_path(path), *choice],
        "responses": {"200": {"description": "Metadata", "content": {media: {"schema": {"type": "object"}}}}},
    }


def described_query(name: str, path: tuple[str, ...]) -> dict[str, Any]:
    """Of a route that answers data."""
    parameters = [*_path(path)]
    coords = _COORDS.get(name.removeprefix("instance-"))
    if coords is not None:
        parameters.append(
            {
                "name": "coords", "in": "query", "required": True, "description": "Well-known text; longitude comes first.",
                "schema": {"type": "string", "pattern": "^ *[A-Za-z]+ *[A-Za-z]* *[(].*[)] *$"}, "example": coords,
            }
        )  # fmt: skip
    parameters += [
        {
            "name": each,
            "in": "query",
            "required": False,
            "description": help_text,
            "schema": {"type": "string"},
            "example": shown,
        }
        for each, help_text, shown in _QUERY
    ]
    parameters += [_choice("crs", ["CRS84"]), _choice("f", ["CoverageJSON"])]
    return {
        "operationId": f"edr-{name}",
        "parameters": parameters,
        "responses": {
            "200": {"description": "CoverageJSON", "headers": _HEADERS, "content": content_of(("covjson",))},
            "304": {"description": "You hold this answer (If-None-Match)"},
        },
    }


def _path(names: tuple[str, ...]) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "description": help_text, "schema": schema, "example": shown}
        for name in names
        for help_text, schema, shown in (_IN_PATH[name],)
    ]


def _choice(name: str, choices: list[str]) -> dict[str, Any]:
    described = {"crs": "Reference system of coords.", "f": "Form of the answer."}
    return {
        "name": name, "in": "query", "required": False, "description": described[name],
        "schema": {"type": "string", "enum": choices, "default": choices[0]},
    }  # fmt: skip
