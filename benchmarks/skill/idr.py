"""Isotonic distributional regression on one index (Henzi, Ziegel and Gneiting 2021, doi:10.1111/rssb.12450), with subagging.

The distribution at every threshold is the antitonic least-squares fit of 1{y <= t} on the index, found by pooling adjacent
violators; between training values of the index it is interpolated. With several sources the index is their mean, or a
regression on them (the distributional index model of Henzi, Kleger and Ziegel 2021, doi:10.1080/01621459.2021.1938582).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.optimize import isotonic_regression

from benchmarks.skill.rolling import Fit, Predict
from benchmarks.skill.tables import Table, mean_and_spread

MOST_THRESHOLDS = 150
#: Subsamples of half the cases (Henzi et al. draw more).
BAGS = 12
FEWEST_PER_SITE = 150


def idr(table: Table, *, regression: bool, seed: int = 1) -> Fit:
    """IDR of each lead, of each site where it has enough cases, for :func:`rolling.roll`.

    Args:
        table: the set.
        regression: the index is a least-squares fit on all sources, the season and the site; else the mean of the sources.
        seed: of the subsamples.
    """

    def fit(known: pd.DataFrame) -> Predict:
        def predict(frame: pd.DataFrame) -> np.ndarray:
            result = np.full((len(frame), len(table.levels)), np.nan)
            by_site = known.groupby(["site", "lead"]).size().min() >= FEWEST_PER_SITE
            keys = ["lead", "site"] if by_site else ["lead"]
            old_groups = known.groupby(keys).indices
            for key, rows in frame.groupby(keys).indices.items():
                old, new = known.iloc[old_groups.get(key, [])], frame.iloc[rows]
                x, at = _indices(table, old, new, regression)
                fine, wanted = np.isfinite(x), np.isfinite(at)
                if fine.sum() >= 30 and wanted.any():
                    said = idr_quantiles(
                        x[fine], old["observed"].to_numpy(float)[fine], at[wanted], table.levels, seed=seed
                    )
                    result[rows[wanted]] = said
            return result

        return predict

    return fit


def idr_quantiles(
    x: np.ndarray, y: np.ndarray, new: np.ndarray, levels: np.ndarray, *, bags: int = BAGS, seed: int = 1
) -> np.ndarray:
    """Quantiles (case, level) at ``new`` from the cases (x, y)."""
    thresholds = np.unique(y)
    if len(thresholds) > MOST_THRESHOLDS:
        thresholds = np.unique(np.quantile(y, np.linspace(0, 1, MOST_THRESHOLDS)))
    chance = np.random.default_rng(seed)
    total = np.zeros((len(new), len(thresholds)))
    for _ in range(bags):
        part = chance.choice(len(x), len(x) // 2, replace=False) if bags > 1 else np.arange(len(x))
        total += idr_distribution(x[part], y[part], new, thresholds)
    reached = total[:, None, :] / bags >= levels[None, :, None] - 1e-12
    return thresholds[np.where(reached.any(axis=2), reached.argmax(axis=2), len(thresholds) - 1)]


def idr_distribution(x: np.ndarray, y: np.ndarray, new: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Distribution function (case, threshold) at ``new``; equal values of the index are one case of their mean."""
    places, which = np.unique(x, return_inverse=True)
    counts = np.bincount(which).astype(float)
    below = np.empty((len(new), len(thresholds)))
    for column, threshold in enumerate(thresholds):
        share = np.bincount(which, y <= threshold) / counts
        fitted = isotonic_regression(share, weights=counts, increasing=False)
        below[:, column] = np.interp(new, places, fitted.x)
    return below


def _indices(table: Table, old: pd.DataFrame, new: pd.DataFrame, regression: bool) -> tuple[np.ndarray, np.ndarray]:
    """The index of known and new cases, (case,) each."""

    def sources(frame: pd.DataFrame) -> np.ndarray:
        return np.stack([mean_and_spread(frame, columns)[0] for columns in table.sources.values()], axis=1)

    x, at = sources(old), sources(new)
    if not regression:
        return x.mean(axis=1), at.mean(axis=1)

    def columns(frame: pd.DataFrame, values: np.ndarray) -> np.ndarray:
        phase = 2 * np.pi * frame["valid_time"].dt.dayofyear.to_numpy() / 365.25
        waves = (
            [np.sin(phase), np.cos(phase)] if len(old) > 300 and np.ptp(old["valid_time"].dt.dayofyear) > 300 else []
        )
        return np.column_stack([np.ones(len(frame)), values, *waves])

    names = sorted(old["site"].unique())
    own = np.eye(len(names))[pd.Categorical(old["site"], names).codes]
    codes = pd.Categorical(new["site"], names).codes
    own_new = np.where(codes[:, None] >= 0, np.eye(len(names))[codes], 0.0)
    design, later = np.hstack([columns(old, x), own]), np.hstack([columns(new, at), own_new])
    fine = np.isfinite(design).all(axis=1)
    penalty = np.diag([1e-6] * (design.shape[1] - len(names)) + [3.0] * len(names))
    y = old["observed"].to_numpy(float)
    b = np.linalg.solve(design[fine].T @ design[fine] + penalty, design[fine].T @ y[fine])
    return design @ b, later @ b
