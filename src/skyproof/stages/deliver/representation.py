"""The JSON of an answer: Open-Meteo's shape and names; everything of ours is an addition."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from skyproof.domain.times import format_instant
from skyproof.stages.deliver.columns import ColumnPlan, Columns
from skyproof.stages.deliver.nearest import FoundSite
from skyproof.stages.deliver.requests import ForecastRequest
from skyproof.stages.deliver.run_view import MODEL, RunView
from skyproof.stages.deliver.time_axis import TimeAxis

MEDIA_TYPE = "application/json"
_OPTIONS = orjson.OPT_SERIALIZE_NUMPY


@dataclass(frozen=True, slots=True)
class PlaceAnswer:
    """One place with its times and numbers."""

    found: FoundSite
    axis: TimeAxis
    columns: Columns


def render_json(
    forecast_id: str, view: RunView, plan: ColumnPlan, request: ForecastRequest, answers: Sequence[PlaceAnswer]
) -> bytes:
    """The body: one object for one place, an array of objects for several, as Open-Meteo does."""
    documents = [
        _document(forecast_id, view, plan, request, answer) | ({"location_id": number} if number else {})
        for number, answer in enumerate(answers)
    ]
    return orjson.dumps(documents[0] if len(documents) == 1 else documents, option=_OPTIONS)


def _document(
    forecast_id: str, view: RunView, plan: ColumnPlan, request: ForecastRequest, answer: PlaceAnswer
) -> dict[str, Any]:
    found, axis = answer.found, answer.axis
    columns = answer.columns.values.reshape(len(plan.names), len(axis))
    document: dict[str, Any] = {
        "latitude": found.latitude,
        "longitude": found.longitude,
        "elevation": found.site.elevation_m,
        "generationtime_ms": view.run.generation_ms,
        "utc_offset_seconds": axis.utc_offset_seconds,
        "timezone": axis.zone,
        "timezone_abbreviation": axis.abbreviation,
        "hourly_units": {"time": request.timeformat, **dict(zip(plan.names, plan.symbols, strict=True))},
        "hourly": {"time": axis.labels, **dict(zip(plan.names, columns, strict=True))},
        "hourly_cell_methods": dict(zip(plan.names, plan.cell_methods, strict=True)),
        "grid": _grid(found),
        "meta": _meta(forecast_id, view, request),
    }
    if answer.columns.missing:
        document["hourly_null_reasons"] = answer.columns.missing
    if request.provenance == "steps":
        document["hourly_source"] = _steps(view, len(axis))
    return document


def _grid(found: FoundSite) -> dict[str, Any]:
    site = found.site
    return {
        "site": site.site_id,
        "name": site.name,
        "latitude": site.latitude,
        "longitude": site.longitude,
        "elevation": site.elevation_m,
        "method": "site" if found.distance_km is None else "nearest_site",
        "distance_km": found.distance_km or 0.0,
    }


def _meta(forecast_id: str, view: RunView, request: ForecastRequest) -> orjson.Fragment:
    # What is the same in every answer from a run was written once; the two members of this answer go around it.
    about = view.brief if request.provenance == "none" else view.summary
    links = orjson.dumps({"self": f"/v1/forecasts/{forecast_id}"})
    return orjson.Fragment(b'{"forecast_id":"%b",%b,"links":%b}' % (forecast_id.encode(), about[1:-1], links))


def _steps(view: RunView, steps: int) -> dict[str, Iterable[Any]]:
    regime = view.run.regime.regime_id
    return {
        "model": [MODEL] * steps,
        "version": [view.run.release_id] * steps,
        "init_time": [format_instant(view.run.init_time)] * steps,
        "fallback": [None if regime == "full" else regime] * steps,
    }
