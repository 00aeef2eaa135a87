"""Instants. Inside Skyproof every time is aware UTC; the four times are never called ``time`` alone.

``init_time`` (when a model started), ``lead_time`` (how far ahead), ``valid_time = init_time + lead_time`` (what it
speaks of) and ``issue_time`` (when we say it). ``available_at`` and ``recorded_at`` say when something was known.
Whole seconds are enough for all of them; arrays use ``datetime64[s]``.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.errors import InvalidValueError

Instants = NDArray[np.datetime64]


def require_utc(instant: datetime, name: str = "instant") -> datetime:
    """Return ``instant`` in UTC; a naive one is refused, because nobody can know what it meant."""
    if instant.tzinfo is None:
        raise InvalidValueError(
            f"{name} {instant.isoformat()} has no time zone", hint="give it in UTC, for example 2026-01-31T06:00Z"
        )
    try:
        return instant.astimezone(UTC)
    except OverflowError as error:
        raise InvalidValueError(
            f"{name} {instant.isoformat()} lies outside the years 1 to 9999 in UTC",
            hint="write it like 2026-01-31T06:00Z",
        ) from error


def parse_instant(text: str, name: str = "instant") -> datetime:
    """Read an ISO 8601 instant; a date alone is its midnight UTC, a time without a zone is taken as UTC."""
    if len(text) > 40:
        raise InvalidValueError(f"{name} is {len(text)} characters long", hint="write it like 2026-01-31T06:00Z")
    try:
        instant = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise InvalidValueError(
            f"{name} {text!r} is not an ISO 8601 instant", hint="write it like 2026-01-31T06:00Z"
        ) from error
    try:
        return instant.replace(tzinfo=UTC) if instant.tzinfo is None else require_utc(instant, name)
    except OverflowError as error:
        raise InvalidValueError(
            f"{name} {text!r} lies outside the years 1 to 9999 in UTC", hint="write it like 2026-01-31T06:00Z"
        ) from error


def format_instant(instant: datetime) -> str:
    """Write an instant as ``2026-01-31T06:00:00Z``."""
    return require_utc(instant).strftime("%Y-%m-%dT%H:%M:%SZ")


def to_epoch_seconds(instant: datetime) -> int:
    """Whole seconds since 1970-01-01T00:00Z, rounded down."""
    return int(require_utc(instant).timestamp() // 1)


def from_epoch_seconds(seconds: int) -> datetime:
    """The instant of :func:`to_epoch_seconds`."""
    return datetime.fromtimestamp(seconds, UTC)


def to_datetime64(instant: datetime) -> np.datetime64:
    """An instant as ``datetime64[s]`` (UTC by convention)."""
    return np.datetime64(to_epoch_seconds(instant), "s")


def from_datetime64(value: Any) -> datetime:
    """An aware instant from a ``datetime64`` of any unit."""
    return from_epoch_seconds(int(np.datetime64(value, "s").astype(np.int64)))


def floor_to_hours(instant: datetime, step_hours: int) -> datetime:
    """The last multiple of ``step_hours`` (counted from 00 UTC of 1970-01-01) at or before ``instant``."""
    step = step_hours * 3600
    return from_epoch_seconds(to_epoch_seconds(instant) // step * step)


def hours(count: float) -> timedelta:
    """A duration of ``count`` hours."""
    return timedelta(hours=count)


def schedule(start: datetime, end: datetime, every_hours: int, at_hour_utc: int = 0) -> Iterator[datetime]:
    """Instants in [start, end], ``every_hours`` apart and aligned to ``at_hour_utc`` of 1970-01-01."""
    step, offset = every_hours * 3600, at_hour_utc * 3600
    first = -((offset - to_epoch_seconds(start)) // step) * step + offset
    first += step if first < start.timestamp() else 0
    for seconds in range(first, to_epoch_seconds(end) + 1, step):
        yield from_epoch_seconds(seconds)
