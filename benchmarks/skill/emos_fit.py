"""Ensemble model output statistics by minimum CRPS, after Gneiting et al. (2005, doi:10.1175/MWR2904.1).

Location = a + sum of b_k x_k, with b_k >= 0 where asked; scale from the spread by a variance link (c + d S^2, c, d >= 0) or a
log link. The slopes of the score in location and scale are carried to the coefficients by the chain rule: one routine for
every family.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.optimize import minimize
from scipy.special import expit, ndtr

#: Score per case, and its slopes in location and scale.
Slopes = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]


def gaussian(y: np.ndarray, location: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    z = (y - location) / scale
    centered, twice_density = 2 * ndtr(z) - 1, np.sqrt(2 / np.pi) * np.exp(-z * z / 2)
    by_scale = twice_density - 1 / np.sqrt(np.pi)
    return scale * (z * centered + by_scale), -centered, by_scale


def censored_logistic(
    y: np.ndarray, location: np.ndarray, scale: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logistic, all probability below 0 put at 0: the integral of (F - 1{y <= x})^2 from 0 on, in closed form."""
    z, edge = (y - location) / scale, -location / scale
    centered, squared = 2 * expit(z) - 1, np.square(expit(edge))
    score = np.logaddexp(0, z) + np.logaddexp(0, -z) - 1 - np.logaddexp(0, edge) + expit(edge)
    return scale * score, squared - centered, score - z * centered + edge * squared


@dataclass(frozen=True)
class Family:
    """A location-scale family: its score with slopes, and its quantiles (case, level)."""

    crps: Slopes
    standard: Callable[[np.ndarray], np.ndarray]
    floor: float = -np.inf

    def quantiles(self, location: np.ndarray, scale: np.ndarray, levels: np.ndarray) -> np.ndarray:
        """(case, level), not below the floor."""
        return np.maximum(location[:, None] + scale[:, None] * self.standard(levels), self.floor)


GAUSSIAN = Family(gaussian, stats.norm.ppf)
CENSORED_LOGISTIC = Family(censored_logistic, stats.logistic.ppf, floor=0.0)


@dataclass(frozen=True)
class Fitted:
    """Coefficients of location and scale, for designs of the same columns as at the fit."""

    family: Family
    location: np.ndarray
    scale: np.ndarray
    center: np.ndarray
    log_link: bool

    def parameters(self, x: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Location and scale, (case,) each."""
        return _parameters(x - self.center, v, self.location, self.scale, self.log_link)

    def quantiles(self, x: np.ndarray, v: np.ndarray, levels: np.ndarray) -> np.ndarray:
        """(case, level)."""
        return self.family.quantiles(*self.parameters(x, v), levels)


def fit_emos(
    family: Family,
    x: np.ndarray,
    v: np.ndarray,
    y: np.ndarray,
    *,
    nonnegative: np.ndarray,
    log_link: bool = False,
    start: Fitted | None = None,
) -> Fitted:
    """Minimum CRPS.

    Args:
        family: of the distribution.
        x: location design (case, column); the first column is 1.
        v: scale design (case, column); the first column is 1. With the variance link columns are variances.
        y: observed (case,).
        nonnegative: which columns of ``x`` have a coefficient that may not be negative (found as a square).
        log_link: the scale's logarithm is linear in ``v``, else its square is.
        start: an earlier fit to begin from.
    """
    center = np.concatenate([[0.0], x[:, 1:].mean(axis=0)])
    centered = x - center
    if start is None:
        theta = _first_guess(centered, v, y, nonnegative, log_link)
    else:
        shifted = start.location.copy()
        shifted[0] += (center - start.center) @ start.location
        theta = np.concatenate(
            [np.where(nonnegative, np.sqrt(np.maximum(shifted, 1e-4)), shifted), _root(start.scale, log_link)]
        )
    count = x.shape[1]

    def objective(theta: np.ndarray) -> tuple[float, np.ndarray]:
        raw, spread = theta[:count], theta[count:]
        coefficients = np.where(nonnegative, raw * raw, raw)
        location, scale = _parameters(centered, v, coefficients, spread if log_link else spread * spread, log_link)
        score, by_location, by_scale = family.crps(y, location, scale)
        chain = scale if log_link else 1 / (2 * scale)
        slope = np.concatenate([
            centered.T @ by_location * np.where(nonnegative, 2 * raw, 1.0),
            v.T @ (by_scale * chain) * (1.0 if log_link else 2 * spread),
        ])  # fmt: skip
        return float(score.mean()), slope / len(y)

    found = minimize(
        objective, theta, jac=True, method="L-BFGS-B", options={"maxiter": 200 if start is None else 60, "ftol": 1e-7}
    ).x
    raw, spread = found[:count], found[count:]
    return Fitted(
        family, np.where(nonnegative, raw * raw, raw), spread if log_link else spread * spread, center, log_link
    )


def _parameters(
    x: np.ndarray, v: np.ndarray, b: np.ndarray, c: np.ndarray, log_link: bool
) -> tuple[np.ndarray, np.ndarray]:
    linear = v @ c
    scale = np.exp(np.clip(linear, -6, 6)) if log_link else np.sqrt(np.maximum(linear, 1e-4))
    return x @ b, scale


def _root(values: np.ndarray, log_link: bool) -> np.ndarray:
    return values if log_link else np.sqrt(np.maximum(values, 1e-4))


def _first_guess(x: np.ndarray, v: np.ndarray, y: np.ndarray, nonnegative: np.ndarray, log_link: bool) -> np.ndarray:
    ridge = 1e-3 * np.eye(x.shape[1]) * np.maximum(np.square(x).sum(axis=0), 1e-9)
    b = np.linalg.solve(x.T @ x + ridge, x.T @ y)
    residual = y - x @ b
    variance = max(float(residual @ residual) / len(y), 1e-3)
    c = np.zeros(v.shape[1])
    c[0] = np.log(variance) / 2 if log_link else 0.8 * variance
    if not log_link and v.shape[1] > 1:
        c[1] = 0.2 * variance / max(float(v[:, 1].mean()), 1e-6)
    return np.concatenate([np.where(nonnegative, np.sqrt(np.maximum(b, 1e-2)), b), _root(c, log_link)])
