"""Censored, shifted gamma EMOS for rain (Scheuerer and Hamill 2015, doi:10.1175/MWR-D-15-0061.1), by minimum CRPS."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scoringrules as sr
from scipy import stats
from scipy.optimize import minimize

from benchmarks.skill.rolling import Fit, Predict
from benchmarks.skill.tables import Table


def csg(table: Table, *, season_days: int = 366) -> Fit:
    """CSG of each lead, pooled over sites, for :func:`rolling.roll`.

    The mean grows with the share of wet members and every source's mean (coefficients not negative), the standard
    deviation with the root of the mean and the members' mean difference.

    Args:
        table: the set.
        season_days: only cases within so many days of the season of the forecasts teach.
    """

    def fit(known: pd.DataFrame) -> Predict:
        def predict(frame: pd.DataFrame) -> np.ndarray:
            middle = frame["valid_time"].dt.dayofyear.median()
            apart = np.abs((known["valid_time"].dt.dayofyear - middle + 182.6) % 365.25 - 182.6)
            old = known[apart <= season_days]
            y = old["observed"].to_numpy(float)
            climate = _climate(y)
            means, wet, difference = _statistics(table, old)
            usual = np.maximum(means.mean(axis=0), 1e-3)
            alphas = _fit(y, means / usual, wet, difference, climate)
            means, wet, difference = _statistics(table, frame)
            mean, sd = _moments(alphas, means / usual, wet, difference, climate)
            return gamma_quantiles(mean, sd, climate[2], table.levels)

        return predict

    return fit


def gamma_quantiles(mean: np.ndarray, sd: np.ndarray, shift: float, levels: np.ndarray) -> np.ndarray:
    """Quantiles (case, level) of a gamma variable of that mean and deviation, moved down by ``shift`` and cut at 0."""
    shape, scale = np.square(mean / sd), np.square(sd) / mean
    return np.maximum(stats.gamma.ppf(levels, shape[:, None], scale=scale[:, None]) - shift, 0.0)


def csg_crps(y: np.ndarray, mean: np.ndarray, sd: np.ndarray, shift: float) -> np.ndarray:
    return np.asarray(sr.crps_csg0(y, np.square(mean / sd), mean / np.square(sd), shift=shift))


def _climate(y: np.ndarray) -> tuple[float, float, float]:
    """Mean, standard deviation and shift of the unconditional distribution."""

    def loss(theta: np.ndarray) -> float:
        mean, sd, shift = np.exp(theta)
        return float(csg_crps(y, np.full(len(y), mean), np.full(len(y), sd), shift).mean())

    start = np.log([max(y.mean(), 0.1) + 0.3, max(y.std(), 0.2), 0.3])
    mean, sd, shift = np.exp(minimize(loss, start, method="Nelder-Mead", options={"maxiter": 300}).x)
    return float(mean), float(sd), float(shift)


def _statistics(table: Table, frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    members = [frame[list(columns)].to_numpy(float) for columns in table.sources.values()]
    widest = np.sort(max(members, key=lambda m: m.shape[1]), axis=1)
    count = widest.shape[1]
    ranks = 2 * np.arange(1, count + 1) - count - 1
    return (
        np.stack([m.mean(axis=1) for m in members], axis=1),
        (widest > 0.1).mean(axis=1),
        2 * (widest @ ranks) / count**2,
    )


def _moments(
    alphas: np.ndarray, means: np.ndarray, wet: np.ndarray, difference: np.ndarray, climate: tuple[float, float, float]
) -> tuple[np.ndarray, np.ndarray]:
    a = np.square(alphas)
    bend = max(a[0], 1e-4)
    inside = a[1] + a[2] * wet + means @ a[5:]
    mean = np.maximum(climate[0] / bend * np.log1p(np.expm1(min(bend, 20.0)) * inside), 1e-3)
    return mean, np.maximum(a[3] * climate[1] * np.sqrt(mean / climate[0]) + a[4] * difference, 1e-3)


def _fit(
    y: np.ndarray, means: np.ndarray, wet: np.ndarray, difference: np.ndarray, climate: tuple[float, float, float]
) -> np.ndarray:
    def loss(alphas: np.ndarray) -> float:
        return float(csg_crps(y, *_moments(alphas, means, wet, difference, climate), climate[2]).mean())

    start = np.sqrt([0.05, 0.1, 0.1, 0.6, 0.2, *np.full(means.shape[1], 0.8 / means.shape[1])])
    return np.asarray(minimize(loss, start, method="L-BFGS-B", options={"maxiter": 100}).x)
