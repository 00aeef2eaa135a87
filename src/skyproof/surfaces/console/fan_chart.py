"""A fan chart as scalable graphics: nested intervals, the median, and what was observed, in plain SVG."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.quantiles import LEVELS

WIDTH, HEIGHT = 860, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 14, 34
#: Nested intervals, widest first: (lower level, upper level, what it is called in the page's style).
_BANDS = ((0.025, 0.975, "band95"), (0.1, 0.9, "band80"), (0.25, 0.75, "band50"))

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Mark:
    """A tick of an axis: where, and what stands there."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class FanChart:
    """Everything a template needs to draw. Positions are in the units of the picture."""

    width: int
    height: int
    plot: tuple[int, int, int, int]
    bands: tuple[tuple[str, str], ...]
    median: str
    dots: tuple[tuple[float, float], ...]
    rows: tuple[Mark, ...]
    columns: tuple[Mark, ...]
    start: float


def draw_fan(
    valid_times: list[datetime],
    quantiles: Floats,
    observed_times: list[datetime],
    observed: Floats,
    *,
    init_time: datetime,
) -> FanChart | None:
    """Lay out a chart.

    Args:
        valid_times: n instants of the forecast.
        quantiles: dims (lead, level), levels of :data:`skyproof.domain.quantiles.LEVELS`; NaN where there is none.
        observed_times: m instants.
        observed: m values, same unit; NaN where nothing was known.
        init_time: where the forecast begins.

    Returns:
        None if there is no value to draw.
    """
    known = np.atleast_1d(np.isfinite(quantiles).all(axis=1))
    values = np.concatenate([quantiles[known].ravel(), observed[np.isfinite(observed)]])
    if not known.any():
        return None
    times = [instant for instant, there in zip(valid_times, known, strict=True) if there]
    first, last = min([*times, *observed_times, init_time]), max([*times, *observed_times])
    low, high, ticks = _scale(float(values.min()), float(values.max()))
    right, bottom = WIDTH - _RIGHT, HEIGHT - _BOTTOM

    def x(instant: datetime) -> float:
        return round(_LEFT + (right - _LEFT) * ((instant - first) / max(last - first, timedelta(hours=1))), 1)

    def y(value: float) -> float:
        return round(bottom - (bottom - _TOP) * (value - low) / (high - low), 1)

    across = [x(instant) for instant in times]
    rows = quantiles[known]

    def line(level: float) -> list[str]:
        return [f"{a},{y(float(v))}" for a, v in zip(across, rows[:, LEVELS.index(level)], strict=True)]

    bands = tuple((name, " ".join(line(upper) + line(lower)[::-1])) for lower, upper, name in _BANDS)
    dots = tuple(
        (x(instant), y(float(value)))
        for instant, value in zip(observed_times, observed, strict=True)
        if np.isfinite(value)
    )
    marks = tuple(Mark(y(tick), f"{tick:g}") for tick in ticks)
    return FanChart(
        WIDTH, HEIGHT, (_LEFT, _TOP, right, bottom), bands, " ".join(line(0.5)), dots, marks,
        tuple(Mark(x(day), f"{day:%a %d %b}") for day in _midnights(first, last)), x(init_time),
    )  # fmt: skip


def _midnights(first: datetime, last: datetime) -> list[datetime]:
    day = first.replace(hour=0, minute=0, second=0, microsecond=0)
    days = [day + timedelta(days=k) for k in range((last - day).days + 1)]
    wanted = [instant for instant in days if first <= instant <= last]
    return wanted[:: max(1, len(wanted) // 8)]


def _scale(low: float, high: float) -> tuple[float, float, list[float]]:
    """Bounds and ticks at round numbers (1, 2 or 5 times a power of ten)."""
    spread = max(high - low, 1e-6)
    power = 10.0 ** np.floor(np.log10(spread / 4))
    step = next(power * k for k in (1, 2, 5, 10) if spread / (power * k) <= 6)
    bottom, top = np.floor(low / step) * step, np.ceil(high / step) * step
    if top - bottom < step / 2:
        top = bottom + step
    count = round((top - bottom) / step)
    return float(bottom), float(top), [float(round(bottom + k * step, 10)) for k in range(count + 1)]
