"""The times of an answer: which steps of a run it holds, and how they are written in a zone.

Every written time carries its offset, because a naive local time means two instants on one night in autumn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.errors import InvalidValueError
from skyproof.domain.sites import find_zone
from skyproof.domain.times import format_instant
from skyproof.stages.deliver.questions import ForecastRequest


@dataclass(frozen=True, slots=True)
class TimeAxis:
    """Steps [first, last) of a run, their instants in epoch seconds and as written."""

    first: int
    last: int
    valid_seconds: NDArray[np.int64]
    labels: tuple[str, ...] | tuple[int, ...]
    zone: str
    abbreviation: str
    utc_offset_seconds: int

    def __len__(self) -> int:
        return self.last - self.first


def make_axis(init_time: datetime, lead_hours: Sequence[int], zone_name: str, request: ForecastRequest) -> TimeAxis:
    """The time axis of an answer.

    Args:
        init_time: the run's, aware UTC.
        lead_hours: the run's leads, rising.
        zone_name: an IANA name (``auto`` already resolved).
        request: gives the window and the form of times.

    Raises:
        InvalidValueError: no step of the run lies in the window.
    """
    zone: tzinfo = UTC if zone_name == "UTC" else find_zone(zone_name)
    valid_times = [init_time + timedelta(hours=lead) for lead in lead_hours]
    earliest, latest = _window(init_time, zone, request)
    inside = [
        index
        for index, instant in enumerate(valid_times)
        if (earliest is None or instant >= earliest) and (latest is None or instant <= latest)
    ]
    if not inside:
        raise InvalidValueError(
            "no step of the run lies in the time asked for",
            hint=f"the run reaches from {format_instant(valid_times[0])} to {format_instant(valid_times[-1])}",
        )
    chosen = valid_times[inside[0] : inside[-1] + 1]
    seconds = np.array([int(instant.timestamp()) for instant in chosen], dtype=np.int64)
    local = [instant.astimezone(zone) for instant in chosen]
    offset = local[0].utcoffset() or timedelta(0)
    unix = request.timeformat == "unixtime"
    return TimeAxis(
        inside[0],
        inside[-1] + 1,
        seconds,
        tuple(seconds.tolist()) if unix else tuple(_write(instant) for instant in local),
        zone_name,
        local[0].tzname() or zone_name,
        int(offset.total_seconds()),
    )


def _write(instant: datetime) -> str:
    text = instant.isoformat(timespec="minutes")
    return text.removesuffix("+00:00") + "Z" if instant.tzinfo is UTC else text


def _window(init_time: datetime, zone: tzinfo, request: ForecastRequest) -> tuple[datetime | None, datetime | None]:
    """First and last instant wanted, both included; None is open."""
    if request.forecast_hours is not None:
        return None, init_time + timedelta(hours=request.forecast_hours)
    if request.forecast_days is not None:
        first_day = init_time.astimezone(zone).date()
        # Midnight of the day after the last, in local time: days around a change of clocks have 23 or 25 hours.
        end = datetime.combine(first_day + timedelta(days=request.forecast_days), datetime.min.time(), zone)
        return None, end.astimezone(UTC) - timedelta(seconds=1)
    # A naive time that happens twice begins with its first and ends with its second meaning.
    start = None if request.start is None else _aware(request.start, zone, fold=0)
    return start, None if request.end is None else _aware(request.end, zone, fold=1)


def _aware(instant: datetime, zone: tzinfo, *, fold: int) -> datetime:
    return instant.replace(tzinfo=zone, fold=fold).astimezone(UTC) if instant.tzinfo is None else instant
