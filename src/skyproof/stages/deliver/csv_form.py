"""The CSV of an answer: Open-Meteo's blocks (places, then series), and a third block of reasons where values are missing."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any

from skyproof.domain.times import format_instant
from skyproof.stages.deliver.columns import ColumnPlan
from skyproof.stages.deliver.representation import PlaceAnswer
from skyproof.stages.deliver.run_view import RunView

MEDIA_TYPE = "text/csv; charset=utf-8"
_PLACE_COLUMNS = (
    "latitude", "longitude", "elevation", "utc_offset_seconds", "timezone", "timezone_abbreviation", "site",
    "distance_km", "forecast_id", "run_id", "init_time", "issued_at", "regime", "attribution", "planet",
)  # fmt: skip


def render_csv(forecast_id: str, view: RunView, plan: ColumnPlan, answers: Sequence[PlaceAnswer]) -> bytes:
    """The body; a missing value is an empty cell. ``location_id`` leads each row where there are several places."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    several = len(answers) > 1
    blocks = [
        (_PLACE_COLUMNS, [_places(forecast_id, view, answer) for answer in answers]),
        (_headings(plan), [_series(plan, answer) for answer in answers]),
    ]
    if any(answer.columns.missing for answer in answers):
        blocks.append((("variable", "time", "reason"), [_reasons(answer) for answer in answers]))
    for position, (headings, places) in enumerate(blocks):
        if position:
            text.write("\n")
        writer.writerow(("location_id", *headings) if several else headings)
        for number, rows in enumerate(places):
            writer.writerows((number, *row) if several else row for row in rows)
    return text.getvalue().encode()


def _headings(plan: ColumnPlan) -> tuple[str, ...]:
    return ("time", *(f"{name} ({symbol})" for name, symbol in zip(plan.names, plan.symbols, strict=True)))


def _places(forecast_id: str, view: RunView, answer: PlaceAnswer) -> Iterator[tuple[Any, ...]]:
    found, axis, run = answer.found, answer.axis, view.run
    yield (
        found.latitude,
        found.longitude,
        found.site.elevation_m,
        axis.utc_offset_seconds,
        axis.zone,
        axis.abbreviation,
        found.site.site_id,
        found.distance_km or 0.0,
        forecast_id,
        run.run_id,
        format_instant(run.init_time),
        format_instant(run.issue_time),
        run.regime.regime_id,
        "; ".join(view.attribution),
        "sandbox" if view.is_sandbox else "",
    )


def _series(plan: ColumnPlan, answer: PlaceAnswer) -> Iterator[tuple[Any, ...]]:
    columns = answer.columns.values.reshape(len(plan.names), len(answer.axis)).T.tolist()
    for label, row in zip(answer.axis.labels, columns, strict=True):
        yield (label, *("" if value != value else value for value in row))  # noqa: PLR0124 only NaN differs from itself


def _reasons(answer: PlaceAnswer) -> Iterator[tuple[Any, ...]]:
    for variable, steps in answer.columns.missing.items():
        for step, reason in steps.items():
            yield variable, answer.axis.labels[int(step)], reason
