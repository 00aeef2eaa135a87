"""Where an instant lies in the day and in the year, as regression needs it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.times import Instants

#: Mean length of the Gregorian year, in days.
DAYS_PER_YEAR = 365.2425


def day_of_year(valid_times: Instants) -> NDArray[np.float64]:
    """Days since the turn of the year with their fraction, 0 to 366, same shape."""
    seconds = valid_times.astype("datetime64[s]").astype(np.int64)
    year_start = valid_times.astype("datetime64[Y]").astype("datetime64[s]").astype(np.int64)
    return np.asarray((seconds - year_start) / 86_400.0)


def hour_of_day(valid_times: Instants) -> NDArray[np.float64]:
    """Hours since midnight UTC, 0 to 24, same shape."""
    return np.asarray(valid_times.astype("datetime64[s]").astype(np.int64) % 86_400 / 3600.0)


def harmonics(valid_times: Instants) -> NDArray[np.float64]:
    """Cosine and sine of the season, then of the hour: (..., 4)."""
    year = 2 * np.pi * day_of_year(valid_times) / DAYS_PER_YEAR
    day = 2 * np.pi * hour_of_day(valid_times) / 24
    return np.stack([np.cos(year), np.sin(year), np.cos(day), np.sin(day)], axis=-1)
