"""What is usual at a place: the forecast that needs nothing but the past.

The distribution of a site at a season and hour is its harmonic mean plus the quantiles of the departures seen within a
window of days around that season, all hours together. Amounts that are often zero keep their raw quantiles instead.

A season seen once is a small sample, because weather is autocorrelated: departures are stretched by what that does to
the error on days not seen (:func:`estimation_inflation`). Years that differ from those on record are not covered.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.quantiles import INDEX_MEDIAN, LEVEL_ARRAY
from skyproof.domain.times import Instants
from skyproof.science.calendar import DAYS_PER_YEAR, day_of_year, harmonics

Floats = NDArray[Any]
#: Days of the year share tables of this many days.
_BIN_DAYS = 5.0
_BINS = int(np.ceil(366 / _BIN_DAYS))
#: Half width of the window of days whose departures count as the same season.
_WINDOW_DAYS = 50.0
#: A season with fewer values than this per site is described by the whole record.
_FEWEST_VALUES = 60
#: With fewer days of record than this a seasonal mean cannot be told from weather.
SEASONAL_DAYS = 250.0
#: Pseudo-observations that hold harmonics at zero; hundreds of observations outweigh it, a few weeks do not.
_RIDGE = 20.0
#: Longest lag that counts towards the autocorrelation of weather, in days.
_LONGEST_MEMORY_DAYS = 12.0
#: Square of the normal score of the 0.9 quantile: the bounds of the 80 % interval are what the stretch is made for.
_SCORE_SQUARED = 1.642


def fit_climatology(observed: Floats, valid_times: Instants, *, zero_inflated: bool) -> dict[str, NDArray[Any]]:
    """Learn the climatology of every site.

    Args:
        observed: (valid_time, site), NaN where missing.
        valid_times: (valid_time,).
        zero_inflated: keep raw quantiles, with their mass at zero.

    Returns:
        ``mean`` (coefficient, site): harmonics; ``departures`` (season, site, 21).
    """
    span_days = (valid_times[-1] - valid_times[0]) / np.timedelta64(1, "D")
    design = _design(valid_times)
    if span_days < SEASONAL_DAYS:
        design[:, 1:3] = 0.0
        design[:, 5:] = 0.0
    mean = np.zeros((design.shape[1], observed.shape[1])) if zero_inflated else _fit_mean(design, observed)
    departure = observed - design @ mean
    seasonal = span_days >= SEASONAL_DAYS
    inflation = estimation_inflation(departure, span_days, seasonal=seasonal)
    everything = _column_quantiles(departure)
    season = np.broadcast_to(everything, (_BINS, *everything.shape)).copy()
    days = day_of_year(valid_times)
    for index in range(_BINS if seasonal else 0):
        distance = np.abs((days - (index + 0.5) * _BIN_DAYS + DAYS_PER_YEAR / 2) % DAYS_PER_YEAR - DAYS_PER_YEAR / 2)
        near = departure[distance <= _WINDOW_DAYS]
        enough = np.sum(np.isfinite(near), axis=0) >= _FEWEST_VALUES
        if enough.any():
            season[index, enough] = _column_quantiles(near[:, enough])
    middle = season[..., INDEX_MEDIAN, None]
    season = middle + inflation * (season - middle)
    return {"mean": mean, "departures": (np.maximum(season, 0.0) if zero_inflated else season).astype(np.float32)}


def estimation_inflation(departure: Floats, span_days: float, *, seasonal: bool) -> float:
    """By how much quantiles of departures must be stretched to hold on days that were not in the record.

    The record is worth ``n = span / memory`` independent days, with ``memory`` the integrated autocorrelation of the
    departures (Bartlett weights). Fitting p slow terms (constant, season and the window's own median; without seasons the
    constant alone) makes errors larger by sqrt((1 + p/n) / (1 - p/n));
    quantiles of a window worth m days are too narrow, by 1 + (1 + z^2) / 4m at normal score z, as Student's t is wider.

    Args:
        departure: (valid_time, site) on a regular axis, NaN where missing.
        span_days: length of the record.
        seasonal: departures are from a seasonal mean and are taken from a window.

    Returns:
        A factor from 1 to 1.5.
    """
    lags = max(int(_LONGEST_MEMORY_DAYS / max(span_days, 1.0) * len(departure)), 1)
    known = np.isfinite(departure)
    count = np.maximum(known.sum(axis=0), 1)
    centred = np.where(known, departure - np.where(known, departure, 0.0).sum(axis=0) / count, 0.0)
    total = np.maximum(np.square(centred).sum(), 1e-12)
    memory = 1.0
    for lag in range(1, min(lags, len(departure) - 1) + 1):
        pairs = np.maximum((known[lag:] & known[:-lag]).sum(), 1)
        memory += 2 * (1 - lag / (lags + 1)) * np.sum(centred[lag:] * centred[:-lag]) / pairs * known.sum() / total
    memory_days = max(memory, 1.0) * span_days / max(len(departure), 1)
    share = min((4 if seasonal else 1) * memory_days / max(span_days, 1.0), 0.3)
    window = min(2 * _WINDOW_DAYS, span_days) if seasonal else span_days
    narrow = 1 + (1 + _SCORE_SQUARED) / 4 * memory_days / max(window, 1.0)
    return float(min(np.sqrt((1 + share) / (1 - share)) * narrow, 1.5))


def climatology_mean(state: Mapping[str, Floats], valid_times: Instants) -> Floats:
    """Harmonic mean, (valid_time, site); zero for zero-inflated variables."""
    return np.asarray(_design(valid_times) @ state["mean"])


def climatology_quantiles(state: Mapping[str, Floats], valid_times: Instants) -> NDArray[np.float32]:
    """Quantiles (valid_time, site, 21) float32; NaN at sites without a record."""
    index = np.minimum((day_of_year(valid_times) / _BIN_DAYS).astype(np.intp), _BINS - 1)
    return (climatology_mean(state, valid_times)[..., None] + state["departures"][index]).astype(np.float32)


def _design(valid_times: Instants) -> Floats:
    terms = harmonics(valid_times)
    # The daily cycle is larger in summer: hour terms times season terms.
    mixed = terms[:, :2, None] * terms[:, None, 2:]
    return np.concatenate([np.ones((len(terms), 1)), terms, mixed.reshape(len(terms), 4)], axis=1)


def _fit_mean(design: Floats, observed: Floats) -> Floats:
    known = np.isfinite(observed)
    filled = np.where(known, observed, 0.0)
    gram = np.einsum("ti,ts,tj->sij", design, known.astype(float), design, optimize=True)
    count = np.maximum(known.sum(axis=0), 1)
    middle = filled.sum(axis=0) / count
    right = design.T @ np.where(known, observed - middle, 0.0)
    ridge = np.eye(design.shape[1]) * _RIDGE
    ridge[0, 0] = 1e-9
    solved = np.linalg.solve(gram + ridge, right.T[..., None])[..., 0].T
    solved[0] += middle
    return np.asarray(solved)


def _column_quantiles(values: Floats) -> Floats:
    """Quantiles (site, 21) of each column's finite values, Hyndman and Fan (1996) type 8; NaN where there are none.

    One sort serves all columns; ``np.nanquantile`` visits them one by one.
    """
    ordered = np.sort(values, axis=0)
    last = np.maximum(np.isfinite(ordered).sum(axis=0) - 1, 0)[:, None]
    place = np.clip(LEVEL_ARRAY * (last + 4 / 3) - 2 / 3, 0, last)
    low = np.floor(place).astype(np.intp)
    column = np.arange(values.shape[1])[:, None]
    start, end = ordered[low, column], ordered[np.minimum(low + 1, last), column]
    return np.asarray(start + (end - start) * (place - low))
