"""The CSV of an answer: Open-Meteo's blocks (places, then series), and a third block of reasons where values are missing."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any

from skyproof.domain.times import format_instant
from skyproof.stages.deliver.answers import Block, Content, PlaceAnswer
from skyproof.stages.deliver.columns import Heads

MEDIA_TYPE = "text/csv; charset=utf-8"
_PLACE_COLUMNS = (
    "latitude", "longitude", "elevation", "utc_offset_seconds", "timezone", "timezone_abbreviation", "site",
    "distance_km", "forecast_id", "run_id", "init_time", "issued_at", "regime", "attribution", "planet",
    "calibration", "calibration_km",
)  # fmt: skip


def render_csv(content: Content) -> bytes:
    """The body; a missing value is an empty cell. ``location_id`` leads each row where there are several places."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    answers = content.places
    several = len(answers) > 1
    blocks: list[tuple[Sequence[str], list[Iterator[tuple[Any, ...]]]]] = [
        (_PLACE_COLUMNS, [_places(content, answer) for answer in answers])
    ]
    for number, block in enumerate(answers[0].blocks):
        blocks.append((_headings(block.heads), [_series(answer.blocks[number]) for answer in answers]))
    if any(block.columns.missing for answer in answers for block in answer.blocks):
        blocks.append((("variable", "time", "reason"), [_reasons(answer) for answer in answers]))
    for position, (headings, places) in enumerate(blocks):
        if position:
            text.write("\n")
        writer.writerow(("location_id", *headings) if several else headings)
        for number, rows in enumerate(places):
            writer.writerows((number, *row) if several else row for row in rows)
    return text.getvalue().encode()


def _headings(heads: Heads) -> tuple[str, ...]:
    return ("time", *(f"{name} ({symbol})" for name, symbol in zip(heads.names, heads.symbols, strict=True)))


def _places(content: Content, answer: PlaceAnswer) -> Iterator[tuple[Any, ...]]:
    found, axis, view = answer.found, answer.axis, content.view
    run = view.run
    yield (
        found.latitude,
        found.longitude,
        found.site.elevation_m,
        axis.utc_offset_seconds,
        axis.zone,
        axis.abbreviation,
        found.site.site_id,
        found.distance_km or 0.0,
        content.forecast_id,
        run.run_id,
        format_instant(run.init_time),
        format_instant(run.issue_time),
        run.regime.regime_id,
        "; ".join(view.attribution),
        "sandbox" if view.is_sandbox else "",
        found.calibration.scope,
        "" if found.calibration.distance_km is None else found.calibration.distance_km,
    )


def _series(block: Block) -> Iterator[tuple[Any, ...]]:
    for label, row in zip(block.labels, block.columns.values.T.tolist(), strict=True):
        yield (label, *("" if value != value else value for value in row))  # noqa: PLR0124 only NaN differs from itself


def _reasons(answer: PlaceAnswer) -> Iterator[tuple[Any, ...]]:
    for block in answer.blocks:
        for variable, steps in block.columns.missing.items():
            for step, reason in steps.items():
                yield variable, block.labels[int(step)], reason
