"""The JSON of an answer: Open-Meteo's shape and names; everything of ours is an addition."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from skyproof.domain.times import format_instant
from skyproof.stages.deliver.answers import Block, Content, PlaceAnswer
from skyproof.stages.deliver.nearest import FoundSite
from skyproof.stages.deliver.run_view import MODEL, RunView

MEDIA_TYPE = "application/json"
_OPTIONS = orjson.OPT_SERIALIZE_NUMPY


def render_json(content: Content) -> bytes:
    """The body: one object for one place, an array of objects for several, as Open-Meteo does."""
    documents = [
        _document(content, answer) | ({"location_id": number} if number else {})
        for number, answer in enumerate(content.places)
    ]
    return orjson.dumps(documents[0] if len(documents) == 1 else documents, option=_OPTIONS)


def _document(content: Content, answer: PlaceAnswer) -> dict[str, Any]:
    found, axis, view = answer.found, answer.axis, content.view
    document: dict[str, Any] = {
        "latitude": found.latitude,
        "longitude": found.longitude,
        "elevation": found.site.elevation_m,
        "generationtime_ms": view.run.generation_ms,
        "utc_offset_seconds": axis.utc_offset_seconds,
        "timezone": axis.zone,
        "timezone_abbreviation": axis.abbreviation,
    }
    for block in answer.blocks:
        heads = block.heads
        document[f"{block.kind}_units"] = {
            "time": content.request.timeformat,
            **dict(zip(heads.names, heads.symbols, strict=True)),
        }
        document[block.kind] = {"time": block.labels, **dict(zip(heads.names, block.columns.values, strict=True))}
        document[f"{block.kind}_cell_methods"] = dict(zip(heads.names, heads.cell_methods, strict=True))
    document["grid"] = _grid(found)
    document["meta"] = _meta(content, found)
    for block in answer.blocks:
        if block.columns.missing:
            document[f"{block.kind}_null_reasons"] = block.columns.missing
        if content.request.provenance == "steps":
            document[f"{block.kind}_source"] = _steps(view, block)
    return document


def _grid(found: FoundSite) -> dict[str, Any]:
    site = found.site
    return {
        "site": site.site_id,
        "name": site.name,
        "latitude": site.latitude,
        "longitude": site.longitude,
        "elevation": site.elevation_m,
        "method": _method(found),
        "distance_km": found.distance_km or 0.0,
    }


def _method(found: FoundSite) -> str:
    if found.is_point:
        return "interpolated"
    return "site" if found.distance_km is None else "nearest_site"


def _meta(content: Content, found: FoundSite) -> orjson.Fragment:
    # What is the same in every answer from a run was written once; what this answer has of its own goes around it.
    about = content.view.brief if content.request.provenance == "none" else content.view.summary
    links = orjson.dumps({"self": f"/v1/forecasts/{content.forecast_id}"})
    calibration = orjson.dumps(found.calibration.facts())
    return orjson.Fragment(
        b'{"forecast_id":"%b",%b,"calibration":%b,"links":%b}'
        % (content.forecast_id.encode(), about[1:-1], calibration, links)
    )


def _steps(view: RunView, block: Block) -> dict[str, Iterable[Any]]:
    steps, regime = len(block.labels), view.run.regime.regime_id
    return {
        "model": [MODEL] * steps,
        "version": [view.run.release_id] * steps,
        "init_time": [format_instant(view.run.init_time)] * steps,
        "fallback": [None if regime == "full" else regime] * steps,
    }
