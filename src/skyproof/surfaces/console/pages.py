"""Templates of the pages, loaded once; everything put into them is escaped."""

from __future__ import annotations

import math
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

_STATIC = "static"


def render(template: str, **values: Any) -> str:
    """Fill a template."""
    return _environment().get_template(template).render(**values)


@cache
def stylesheet() -> bytes:
    """The style of all pages."""
    return files(__package__).joinpath(_STATIC, "console.css").read_bytes()


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("skyproof.surfaces.console", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=_number, percent=_percent, age=_age)
    return environment


def _number(value: float | None, decimals: int = 2) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.{decimals}f}"


def _percent(share: float | None, decimals: int = 1, sign: str = "") -> str:
    return "–" if share is None or math.isnan(share) else f"{100 * share:{sign}.{decimals}f} %"


def _age(hours: float | None) -> str:
    if hours is None:
        return "never"
    return f"{hours:.0f} h" if hours < 72 else f"{hours / 24:.0f} days"
