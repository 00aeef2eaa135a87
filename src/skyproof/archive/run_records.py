"""How a run's regime and inputs are written as JSON, in its file and in its row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from skyproof.domain.forecasts import Regime, RunInput
from skyproof.domain.times import format_instant, parse_instant


def regime_to_json(regime: Regime) -> dict[str, Any]:
    """A regime as plain JSON."""
    return {**asdict(regime), "missing": list(regime.missing), "late": list(regime.late)}


def regime_from_json(row: Mapping[str, Any]) -> Regime:
    """The regime of :func:`regime_to_json`."""
    return Regime(**{**row, "missing": tuple(row["missing"]), "late": tuple(row["late"])})


def inputs_to_json(inputs: Iterable[RunInput]) -> list[dict[str, Any]]:
    """The lineage of a run as plain JSON."""
    return [
        {**asdict(entry), "init_time": _text(entry.init_time), "available_at": _text(entry.available_at)}
        for entry in inputs
    ]


def inputs_from_json(rows: Iterable[Mapping[str, Any]]) -> tuple[RunInput, ...]:
    """The lineage of :func:`inputs_to_json`."""
    return tuple(
        RunInput(**{**row, "init_time": _instant(row["init_time"]), "available_at": _instant(row["available_at"])})
        for row in rows
    )


def _text(instant: datetime | None) -> str | None:
    return None if instant is None else format_instant(instant)


def _instant(text: str | None) -> datetime | None:
    return None if text is None else parse_instant(text)
