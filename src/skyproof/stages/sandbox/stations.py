"""What stations report: never quite what happened.

Each has a bias, Gaussian and heavy-tailed noise, rounding, an error of representativeness (it measures its own corner of
the place), gaps at random, outages of days, gaps when it storms, late messages, and corrections a day later.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.stages.sandbox.surface import VARIABLES

Floats = NDArray[Any]
#: Per variable: bias between stations (sd), noise (sd), rounding, in its unit. Precipitation errors are relative.
_BIAS = {"temperature_2m": 0.25, "wind_speed_10m": 0.15, "precipitation": 0.05, "pressure_msl": 0.25}
_NOISE = {"temperature_2m": 0.3, "wind_speed_10m": 0.35, "precipitation": 0.08, "pressure_msl": 0.25}
_ROUNDING = {"temperature_2m": 0.1, "wind_speed_10m": 0.1, "precipitation": 0.1, "pressure_msl": 0.1}
_HEAVY_SHARE, _HEAVY_FACTOR = 0.01, 6.0
_GAP_SHARE, _STORM_GAP_SHARE, _STORM_WIND = 0.02, 0.25, 18.0
_OUTAGES_PER_YEAR, _OUTAGE_STEPS = 1.5, (8, 40)
_LATE_SHARE, _CORRECTED_SHARE = 0.03, 0.01


@dataclass(frozen=True, slots=True)
class Reports:
    """First reports and corrections.

    ``values``: (valid, variable, site), NaN for none; ``delay_minutes``: (valid, site); ``corrected``: like ``values``, NaN
    where there is no correction, which comes a day after the first report.
    """

    values: Floats
    delay_minutes: NDArray[np.int64]
    corrected: Floats


def observe(weather: Floats, seed: int) -> Reports:
    """Reports of a true weather, (valid, variable, site)."""
    chance = np.random.default_rng((seed, 40))
    steps, _, sites = weather.shape
    values = np.empty_like(weather)
    for index, name in enumerate(VARIABLES):
        true = weather[:, index]
        bias = _BIAS[name] * chance.standard_normal(sites)
        error = _NOISE[name] * chance.standard_normal((steps, sites))
        error *= np.where(chance.random((steps, sites)) < _HEAVY_SHARE, _HEAVY_FACTOR, 1.0)
        seen = true * (1 + bias + error) if name == "precipitation" else true + bias + error
        if name != "temperature_2m":
            seen = np.maximum(seen, 0.0)
        values[:, index] = np.round(seen / _ROUNDING[name]) * _ROUNDING[name]
    wind = weather[:, VARIABLES.index("wind_speed_10m")]
    gone = chance.random((steps, sites)) < np.where(wind > _STORM_WIND, _STORM_GAP_SHARE, _GAP_SHARE)
    for site in range(sites):
        for _ in range(chance.poisson(_OUTAGES_PER_YEAR * steps / (4 * 365.25))):
            begin = int(chance.integers(0, steps))
            gone[begin : begin + int(chance.integers(*_OUTAGE_STEPS)), site] = True
    values[gone[:, None].repeat(values.shape[1], axis=1)] = np.nan
    delay = chance.integers(20, 41, (steps, sites))
    delay[chance.random((steps, sites)) < _LATE_SHARE] += 9 * 60
    wrong = (chance.random(values.shape) < _CORRECTED_SHARE) & np.isfinite(values)
    corrected = np.where(wrong, values, np.nan)
    slip = np.where(wrong, 0.3 * np.abs(chance.standard_normal(values.shape)), 0.0)
    return Reports(values + slip.astype(values.dtype), delay, corrected)
