"""What customers make of a forecast: days, sums, degree days, spells. Members in, members or probabilities out.

Arrays end in (lead, member). Everything here must be worked out member by member and turned into quantiles last: the maximum of
quantiles is not the quantile of a maximum. NaN in a window leaves NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.errors import InvalidValueError
from skyproof.domain.times import Instants, from_datetime64, to_datetime64

Floats = NDArray[Any]
How = Literal["maximum", "minimum", "mean", "sum"]

_WAYS: dict[str, Callable[..., Floats]] = {"maximum": np.max, "minimum": np.min, "mean": np.mean, "sum": np.sum}


@dataclass(frozen=True, slots=True)
class Window:
    """A span of time and the leads in it. ``label`` is a date for days of a site, else the start."""

    label: str
    start: np.datetime64
    end: np.datetime64
    places: NDArray[np.intp]

    @property
    def hours(self) -> float:
        """Its length: 23, 24 or 25 for a day."""
        return float((self.end - self.start) / np.timedelta64(3600, "s"))


def local_days(valid_times: Instants, zone: ZoneInfo, *, step_hours: int, instant: bool) -> tuple[Window, ...]:
    """The calendar days of a time zone that the leads cover in full; where clocks change a day has 23 or 25 h.

    Args:
        valid_times: (lead,), rising, on a grid of ``step_hours``.
        zone: of the site.
        step_hours: distance of two leads.
        instant: True for values that hold at their valid time (midnight belongs to the day it begins); False for those of the
            interval before it (midnight closes the day before).
    """
    if not len(valid_times):
        return ()
    seconds = valid_times.astype("datetime64[s]").astype(np.int64)
    first, last = (from_datetime64(valid_times[k]).astimezone(zone).date() for k in (0, -1))
    found = []
    for number in range((last - first).days + 2):
        day = first + timedelta(days=number - 1)
        start, end = _midnight(day, zone), _midnight(day + timedelta(days=1), zone)
        a, b = int(start.astype(np.int64)), int(end.astype(np.int64))
        inside = (seconds >= a) & (seconds < b) if instant else (seconds > a) & (seconds <= b)
        # How many there would be, did the leads go on for ever.
        shift = -1 if instant else 0
        wanted = (b + shift - seconds[0]) // (step_hours * 3600) - (a + shift - seconds[0]) // (step_hours * 3600)
        if wanted and int(inside.sum()) == wanted:
            found.append(Window(day.isoformat(), start, end, np.flatnonzero(inside)))
    return tuple(found)


def rolling_windows(valid_times: Instants, *, step_hours: int, window_hours: int) -> tuple[Window, ...]:
    """Every span of so many hours that the leads cover, one beginning at each lead's interval.

    For sums and means over the interval before each valid time.

    Raises:
        InvalidValueError: a window that is no multiple of the step.
    """
    if window_hours < 1 or window_hours % step_hours:
        raise InvalidValueError(
            f"a window of {window_hours} h does not consist of steps of {step_hours} h",
            hint=f"ask for a multiple of {step_hours} h",
        )
    count, step = window_hours // step_hours, np.timedelta64(step_hours * 3600, "s")
    found = []
    for k in range(len(valid_times) - count + 1):
        end = valid_times[k + count - 1]
        if end - valid_times[k] == (count - 1) * step:
            start = valid_times[k] - step
            label = f"{np.datetime_as_string(start, unit='m')}Z"
            found.append(Window(label, start, end, np.arange(k, k + count)))
    return tuple(found)


def over_windows(values: Floats, windows: Sequence[Window], how: How) -> NDArray[np.float64]:
    """The maximum, minimum, mean or sum of each window, member by member.

    Use it for a day's extremes of temperature, a day's mean, rain over hours. An extreme of values at steps is milder than
    that of a thermometer read all the time: by some tenths of a kelvin at 1 h, by a kelvin or two at 6 h.

    Args:
        values: (..., lead, member).
        windows: from :func:`local_days` or :func:`rolling_windows`.
        how: what is taken.

    Returns:
        (..., window, member) in the unit of the values.
    """
    parts = [_WAYS[how](values[..., window.places, :], axis=-2) for window in windows]
    return np.stack(parts, axis=-2) if parts else np.empty((*values.shape[:-2], 0, values.shape[-1]))


def heating_degrees(daily_mean: Floats, *, base: float = 15.5, limit: float | None = None) -> NDArray[np.float64]:
    """Heating degree days of days: how far the day's mean lies below the base.

    Args:
        daily_mean: mean temperature of each day and member, Cel.
        base: indoor temperature less what people and devices add, Cel: 15.5 in Britain, 18.3 (65 degF) in the US.
        limit: nothing is heated on days warmer than this, Cel; Eurostat: base 18, limit 15. None: the base.

    Returns:
        Kelvin days; add up over days.

    Source:
        CIBSE TM41 (2006), section 2; Eurostat, Energy statistics: heating and cooling degree days (nrg_chdd), metadata.
    """
    cold = np.maximum(base - daily_mean, 0.0)
    return np.asarray(cold if limit is None else np.where(daily_mean > limit, np.minimum(cold, 0.0), cold))


def cooling_degrees(daily_mean: Floats, *, base: float = 22.0, limit: float | None = None) -> NDArray[np.float64]:
    """Cooling degree days of days: how far the day's mean lies above the base.

    Args:
        daily_mean: mean temperature of each day and member, Cel.
        base: Cel: 22 in Britain, 18.3 (65 degF) in the US, 21 for Eurostat.
        limit: nothing is cooled on days cooler than this, Cel; 24 for Eurostat. None: the base.

    Returns:
        Kelvin days; add up over days.

    Source:
        As :func:`heating_degrees`.
    """
    warm = np.maximum(daily_mean - base, 0.0)
    return np.asarray(warm if limit is None else np.where(daily_mean < limit, np.minimum(warm, 0.0), warm))


def in_spells(happens: NDArray[np.bool_], steps: int) -> NDArray[np.bool_]:
    """Where an event goes on for at least so many steps on end: (..., lead, member), True at all steps of such a spell.

    Use it on members above a threshold: whether a crane must stand still for three hours is a question about courses.

    Args:
        happens: (..., lead, member).
        steps: shortest spell, at least 1.
    """
    leads = happens.shape[-2]
    result = np.zeros_like(happens)
    for start in range(leads - steps + 1):
        span = slice(start, start + steps)
        result[..., span, :] |= np.all(happens[..., span, :], axis=-2, keepdims=True)
    return result


def spell_probabilities(happens: NDArray[np.bool_], steps: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Probability that each lead lies in a spell of at least so many steps, (..., lead); and that there is any, (...)."""
    spells = in_spells(happens, steps)
    return spells.mean(axis=-1), spells.any(axis=-2).mean(axis=-1)


def _midnight(day: date, zone: ZoneInfo) -> np.datetime64:
    return to_datetime64(datetime.combine(day, time(), zone).astimezone(UTC))
