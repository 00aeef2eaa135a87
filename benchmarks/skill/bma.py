"""Bayesian model averaging with Gaussian kernels, fitted by EM (Raftery et al. 2005, doi:10.1175/MWR2906.1).

Members of one source are exchangeable: they share a bias correction and a weight (Fraley et al. 2010,
doi:10.1175/2009MWR3046.1). The variance is common to all kernels.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import ndtr

from benchmarks.skill.rolling import Fit, Predict
from benchmarks.skill.tables import Table


def bma(table: Table, *, iterations: int = 300) -> Fit:
    """BMA of each lead, pooled over sites, for :func:`rolling.roll`."""
    groups = list(table.sources.values())

    def fit(known: pd.DataFrame) -> Predict:
        def predict(frame: pd.DataFrame) -> np.ndarray:
            result = np.full((len(frame), len(table.levels)), np.nan)
            for lead, rows in frame.groupby("lead").indices.items():
                old = known[known["lead"] == lead]
                if len(old) < 10:
                    continue
                y = old["observed"].to_numpy(float)
                kernels, lines = zip(*(_corrected(old[list(g)].to_numpy(float), y) for g in groups), strict=True)
                weights, sd = _expectation_maximisation(list(kernels), y, iterations)
                new = [a + b * frame[list(g)].to_numpy(float)[rows] for g, (a, b) in zip(groups, lines, strict=True)]
                shares = np.concatenate([np.full(len(g), w / len(g)) for g, w in zip(groups, weights, strict=True)])
                result[rows] = mixture_quantiles(np.concatenate(new, axis=1), shares, sd, table.levels)
            return result

        return predict

    return fit


def mixture_quantiles(centers: np.ndarray, weights: np.ndarray, sd: float, levels: np.ndarray) -> np.ndarray:
    """Quantiles (case, level) of normal mixtures with centers (case, kernel) and weights (kernel,), by bisection."""
    low = np.repeat(centers.min(axis=1)[:, None] - 6 * sd, len(levels), axis=1)
    high = np.repeat(centers.max(axis=1)[:, None] + 6 * sd, len(levels), axis=1)
    for _ in range(30):
        middle = (low + high) / 2
        below = (ndtr((middle[..., None] - centers[:, None, :]) / sd) @ weights) < levels
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return (low + high) / 2


def _corrected(members: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, tuple[float, float]]:
    x, target = members.ravel(), np.repeat(y, members.shape[1])
    slope = float(np.cov(x, target)[0, 1] / max(x.var(ddof=1), 1e-9))
    level = float(target.mean() - slope * x.mean())
    return level + slope * members, (level, slope)


def _expectation_maximisation(kernels: list[np.ndarray], y: np.ndarray, iterations: int) -> tuple[np.ndarray, float]:
    """Weights of the groups and the common standard deviation."""
    sizes = np.array([k.shape[1] for k in kernels])
    centers = np.concatenate(kernels, axis=1)
    group = np.repeat(np.arange(len(sizes)), sizes)
    misses = np.square(y[:, None] - centers)
    weights, variance, last = np.full(len(sizes), 1 / len(sizes)), float(misses.mean()), -np.inf
    for _ in range(iterations):
        density = (weights / sizes)[group] * np.exp(-misses / (2 * variance)) / np.sqrt(2 * np.pi * variance)
        total = density.sum(axis=1, keepdims=True) + 1e-300
        duty = density / total
        weights = np.bincount(group, duty.sum(axis=0), minlength=len(sizes)) / len(y)
        variance = float((duty * misses).sum() / len(y))
        likelihood = float(np.log(total).mean())
        if likelihood - last < 1e-7:
            break
        last = likelihood
    return weights, float(np.sqrt(variance))
