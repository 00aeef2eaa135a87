"""Where the sun stands, and what a cloudless sky gives: the frame of photovoltaic power."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.times import Instants
from skyproof.science.calendar import DAYS_PER_YEAR, day_of_year, hour_of_day

Floats = NDArray[Any]


def cosine_of_zenith(valid_times: Instants, *, latitude: float, longitude: float) -> NDArray[np.float64]:
    """Cosine of the sun's distance from the zenith, 0 when it is below the horizon; good to half a degree.

    Args:
        valid_times: any shape, UTC.
        latitude: degrees north.
        longitude: degrees east.

    Source:
        Spencer (1971), Fourier series representation of the position of the sun, Search 2 (5), 172, for declination and
        equation of time.
    """
    angle = 2 * np.pi * day_of_year(valid_times) / DAYS_PER_YEAR
    one, two, three = angle, 2 * angle, 3 * angle
    declination = (
        0.006918 - 0.399912 * np.cos(one) + 0.070257 * np.sin(one) - 0.006758 * np.cos(two) + 0.000907 * np.sin(two)
        - 0.002697 * np.cos(three) + 0.00148 * np.sin(three)
    )  # fmt: skip
    minutes = 229.18 * (
        0.000075 + 0.001868 * np.cos(one) - 0.032077 * np.sin(one) - 0.014615 * np.cos(two) - 0.040849 * np.sin(two)
    )
    hour_angle = np.pi / 12 * (hour_of_day(valid_times) + longitude / 15 + minutes / 60 - 12)
    phi = np.radians(latitude)
    cosine = np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.cos(hour_angle)
    return np.asarray(np.maximum(cosine, 0.0))


def clear_sky_radiation(cosine: Floats) -> NDArray[np.float64]:
    """Shortwave radiation of a cloudless sky on level ground, W/m2.

    Args:
        cosine: of the zenith angle; 0 or less is night.

    Source:
        Haurwitz (1945), doi:10.1175/1520-0469(1945)002<0154:IIRTCA>2.0.CO;2; among the best that need no knowledge of the air:
        Reno et al. (2012), SAND2012-2389.
    """
    up = np.maximum(cosine, 1e-6)
    return np.where(cosine > 0, 1098 * up * np.exp(-0.057 / up), 0.0)


def clear_sky_mean(
    valid_times: Instants, *, latitude: float, longitude: float, interval_hours: float, samples: int = 12
) -> NDArray[np.float64]:
    """Mean clear-sky radiation over the interval before each valid time, W/m2: radiation forecasts are such means."""
    back = (np.arange(samples) + 0.5) / samples * interval_hours * 3600
    instants = valid_times[..., None] - back.round().astype(np.int64) * np.timedelta64(1, "s")
    sun = cosine_of_zenith(instants, latitude=latitude, longitude=longitude)
    return np.asarray(clear_sky_radiation(sun).mean(axis=-1))


def clear_sky_index(radiation: Floats, clear_sky: Floats, *, least: float = 20.0) -> NDArray[np.float64]:
    """Radiation as a share of that of a cloudless sky, 0 to 1.3 (edges of clouds add); NaN where the sun gives too little.

    Args:
        radiation: W/m2.
        clear_sky: W/m2, from :func:`clear_sky_mean`.
        least: W/m2 of clear sky below which the ratio is noise.
    """
    share = np.clip(radiation / np.maximum(clear_sky, least), 0.0, 1.3)
    return np.where(clear_sky >= least, share, np.nan)
