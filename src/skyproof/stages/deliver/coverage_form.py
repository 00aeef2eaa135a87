"""An answer as CoverageJSON: a coverage for each place, or a collection of them.

Each quantile, probability and member is a parameter of its own, and the quantiles of one quantity form a parameter group: an
axis of percentiles would be a domain that clients of the common domain types cannot read.

Source:
    OGC 21-069r2, CoverageJSON community standard 1.0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from skyproof.domain.times import format_instant, from_epoch_seconds
from skyproof.stages.deliver.answers import Block, Content, PlaceAnswer
from skyproof.stages.deliver.columns import Column, Heads
from skyproof.stages.deliver.table_form import column_facts

MEDIA_TYPE = "application/vnd.cov+json"
_STANDARD_NAMES = "http://vocab.nerc.ac.uk/standard_name/"
_UCUM = "http://www.opengis.net/def/uom/UCUM/"
_CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
SPACE = {"coordinates": ["x", "y"], "system": {"type": "GeographicCRS", "id": _CRS84}}
TIME = {"coordinates": ["t"], "system": {"type": "TemporalRS", "calendar": "Gregorian"}}


def render_coverage(content: Content) -> bytes:
    """The body: a ``Coverage`` where there is one, else a ``CoverageCollection``."""
    heads = {
        f"{block.kind} {name}": column
        for block in content.places[0].blocks
        for name, column in zip(block.heads.names, block.heads.columns, strict=True)
    }
    if content.request.instants:
        coverages = [_trajectory(content)]
    else:
        coverages = [_coverage(answer, block) for answer in content.places for block in answer.blocks]
    described: dict[str, Any] = {
        "parameters": describe_parameters(list(heads.values())),
        **describe_groups([block.heads for block in content.places[0].blocks]),
        "skyproof:meta": origin(content),
    }
    if len(coverages) == 1 and not content.request.is_area:
        return orjson.dumps({**coverages[0], **described})
    collection = {"type": "CoverageCollection", "domainType": "PointSeries", "coverages": coverages, **described}
    return orjson.dumps(collection)


def origin(content: Content) -> dict[str, Any]:
    """Where an answer comes from."""
    view = content.view
    about = view.brief if content.request.provenance == "none" else view.summary
    links = {"self": f"/v1/forecasts/{content.forecast_id}"}
    return {"forecast_id": content.forecast_id, **orjson.loads(about), "links": links}


def describe_parameters(columns: Sequence[Column]) -> dict[str, Any]:
    """A CoverageJSON parameter for each column, by name."""
    return {column.name: _parameter(column) for column in columns}


def describe_groups(blocks: Sequence[Heads]) -> dict[str, Any]:
    """Which parameters are quantiles of one quantity, as ``parameterGroups``; nothing where there are none."""
    groups: dict[str, list[Column]] = {}
    for heads in blocks:
        for column in heads.columns:
            if column.level is not None:
                groups.setdefault(f"{column.variable.name} {column.cell_method}", []).append(column)
    made = [
        {
            "type": "ParameterGroup",
            "label": {"en": f"{columns[0].variable.title}, quantiles"},
            "observedProperty": _property(columns[0]),
            "members": [column.name for column in columns],
        }
        for columns in groups.values()
    ]
    return {"parameterGroups": made} if made else {}


def text_of(seconds: int) -> str:
    """An instant as CoverageJSON writes it."""
    return format_instant(from_epoch_seconds(seconds))


def range_of(values: NDArray[np.float64], axis: str) -> dict[str, Any]:
    """One axis of numbers; null where missing."""
    shown = [None if value != value else value for value in values.tolist()]  # noqa: PLR0124 only NaN differs from itself
    return {"type": "NdArray", "dataType": "float", "axisNames": [axis], "shape": [len(shown)], "values": shown}


def _coverage(answer: PlaceAnswer, block: Block) -> dict[str, Any]:
    found = answer.found
    times: dict[str, Any] = {"values": [text_of(second) for second in block.seconds.tolist()]}
    if block.ends is not None:
        pairs = zip(block.seconds.tolist(), block.ends.tolist(), strict=True)
        times["bounds"] = [text_of(second) for pair in pairs for second in pair]
    coverage: dict[str, Any] = {
        "type": "Coverage",
        "id": f"{found.site.site_id}/{block.kind}",
        "domain": {
            "type": "Domain",
            "domainType": "PointSeries",
            "axes": {"x": {"values": [found.longitude]}, "y": {"values": [found.latitude]}, "t": times},
            "referencing": [SPACE, TIME],
        },
        "ranges": {
            name: range_of(values, "t") for name, values in zip(block.heads.names, block.columns.values, strict=True)
        },
        "skyproof:site": found.site.site_id,
        "skyproof:calibration": found.calibration.facts(),
    }
    if block.columns.missing:
        coverage["skyproof:nullReasons"] = block.columns.missing
    return coverage


def _trajectory(content: Content) -> dict[str, Any]:
    """One coverage along the places, each at its instant."""
    answers = content.places
    blocks = [answer.blocks[0] for answer in answers]
    values = np.concatenate([block.columns.values for block in blocks], axis=1)
    places = [
        [text_of(int(block.seconds[0])), answer.found.longitude, answer.found.latitude]
        for answer, block in zip(answers, blocks, strict=True)
    ]
    missing: dict[str, dict[str, str]] = {}
    for number, block in enumerate(blocks):
        for name, steps in block.columns.missing.items():
            missing.setdefault(name, {})[str(number)] = steps["0"]
    coverage: dict[str, Any] = {
        "type": "Coverage",
        "domain": {
            "type": "Domain",
            "domainType": "Trajectory",
            "axes": {"composite": {"dataType": "tuple", "coordinates": ["t", "x", "y"], "values": places}},
            "referencing": [TIME, SPACE],
        },
        "ranges": {name: range_of(row, "composite") for name, row in zip(blocks[0].heads.names, values, strict=True)},
        "skyproof:sites": [answer.found.site.site_id for answer in answers],
        "skyproof:calibrations": [answer.found.calibration.facts() for answer in answers],
    }
    return {**coverage, "skyproof:nullReasons": missing} if missing else coverage


def _parameter(column: Column) -> dict[str, Any]:
    return {
        "type": "Parameter",
        "description": {"en": f"{_title(column)}; {column.cell_method}"},
        "observedProperty": _property(column),
        "unit": {
            "label": {"en": column.unit.symbol},
            "symbol": {"value": column.unit.code, "type": _UCUM},
        },
        "skyproof:statistic": column_facts(column),
    }


def _property(column: Column) -> dict[str, Any]:
    variable = column.variable
    return {"id": f"{_STANDARD_NAMES}{variable.standard_name}/", "label": {"en": variable.title}}


def _title(column: Column) -> str:
    title = column.variable.title
    if column.level is not None:
        return f"{title}, quantile {column.level:g}"
    if column.threshold is not None:
        return f"{title}, probability of {column.threshold.text}"
    return f"{title}, member {column.member}" if column.member else f"{title}, mean"
