"""Things that go wrong, planted when data are published, so that the planet itself need not be run again.

A YAML list of ``{date, kind, target, days, args}``. What was planted is an answer key: the pipeline sees only its effects.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from skyproof.domain.errors import InvalidValueError

EventKind = Literal[
    "dark", "late", "partial", "duplicated", "frozen", "members_missing", "unit_slip", "time_shift", "nan_block",
    "sensor_drift", "stuck_sensor",
]  # fmt: skip
STATION_KINDS: tuple[EventKind, ...] = ("sensor_drift", "stuck_sensor")


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid")
    date: date
    kind: EventKind
    target: str = Field(min_length=1, max_length=64)
    days: float = Field(1.0, gt=0, le=400)
    args: dict[str, float | str] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Event:
    """One planted fault: from ``start`` for ``days``, at a provider or a station. ``args`` depend on the kind: ``hours`` (late,
    time_shift), ``share`` (partial, members_missing, nan_block), ``variable`` (unit_slip, stuck_sensor, sensor_drift),
    ``per_day`` (sensor_drift).
    """

    start: datetime
    kind: EventKind
    target: str
    days: float = 1.0
    args: Mapping[str, float | str] = field(default_factory=dict)

    @property
    def end(self) -> datetime:
        """When it is over."""
        return self.start + timedelta(days=self.days)

    def covers(self, instant: datetime) -> bool:
        """Whether it is on."""
        return self.start <= instant < self.end

    def number(self, name: str, default: float) -> float:
        """A numeric argument."""
        return float(self.args.get(name, default))


def read_events(text: str) -> tuple[Event, ...]:
    """Read a YAML list of events.

    Raises:
        InvalidValueError: every row that is wrong is named.
    """
    try:
        rows = TypeAdapter(list[_Row]).validate_python(yaml.safe_load(text) or [])
    except (ValidationError, yaml.YAMLError) as error:
        hint = f"kinds: {', '.join(get_args(EventKind))}"
        raise InvalidValueError(f"the list of events is wrong: {error}", hint=hint) from error
    return tuple(
        Event(datetime(r.date.year, r.date.month, r.date.day, tzinfo=UTC), r.kind, r.target, r.days, r.args)
        for r in rows
    )


def default_events() -> tuple[Event, ...]:
    """What goes wrong on the demo's planet."""
    return read_events((files("skyproof.stages.sandbox") / "demo-events.yaml").read_text(encoding="utf-8"))


def write_answer_key(events: Sequence[Event], path: Path) -> None:
    """Write what was planted beside the planet, for graders only."""
    rows: list[dict[str, Any]] = [
        {"date": e.start.date(), "kind": e.kind, "target": e.target, "days": e.days, "args": dict(e.args)}
        for e in events
    ]
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(yaml.safe_dump(rows, sort_keys=False), encoding="utf-8")
    temporary.replace(path)
