"""The API's description as a page people read; everything on it comes from the description itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from skyproof.surfaces.console.pages import render


class ProblemCode(Protocol):
    """What the page says of a kind of problem."""

    @property
    def code(self) -> str:
        """Its stable name."""

    @property
    def status(self) -> int:
        """Its HTTP status."""

    @property
    def title(self) -> str:
        """What it is called."""

    @property
    def meaning(self) -> str:
        """What to do."""


def render_documentation(description: dict[str, Any], codes: Sequence[ProblemCode]) -> str:
    """The page of an OpenAPI document and the problem codes."""
    operations = [
        {"method": method.upper(), "path": path, "operation": operation, "parameters": _parameters(operation)}
        for path, methods in description["paths"].items()
        for method, operation in methods.items()
    ]
    operations.sort(key=lambda entry: (not entry["path"].startswith("/v1/forecast"), entry["path"]))
    return render("documentation.html.j2", about=description["info"], operations=operations, codes=codes)


def _parameters(operation: dict[str, Any]) -> list[dict[str, str]]:
    rows = []
    for parameter in operation.get("parameters", ()):
        schema = parameter.get("schema", {})
        choices = schema.get("enum", schema.get("items", {}).get("enum", ()))
        example = parameter.get("example", "")
        rows.append(
            {
                "name": parameter["name"],
                "place": parameter["in"],
                "required": "required" if parameter.get("required") else "",
                "default": str(schema.get("default", "")),
                "choices": ", ".join(map(str, choices)),
                "example": ",".join(map(str, example)) if isinstance(example, list) else str(example),
                "help": parameter.get("description") or schema.get("description", ""),
            }
        )
    return rows
