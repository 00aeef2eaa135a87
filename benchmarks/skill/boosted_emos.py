"""Nonhomogeneous boosting: EMOS that picks its predictors (Messner, Mayr and Zeileis 2017, doi:10.1175/MWR-D-16-0088.1).

Location and log scale are linear in standardised predictors; each step moves the one coefficient whose predictor goes best with
the slope of the log likelihood. The number of steps is that with the smallest loss over the last quarter of the known cases.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import norm

from benchmarks.skill.rolling import Fit, Predict
from benchmarks.skill.tables import Table
from benchmarks.skill.trees import design

STEP = 0.1
MOST_STEPS = 600


def boosted_emos(table: Table) -> Fit:
    """Boosted Gaussian EMOS of each lead, sites told apart by indicators, for :func:`rolling.roll`."""

    def fit(known: pd.DataFrame) -> Predict:
        def predict(frame: pd.DataFrame) -> np.ndarray:
            result = np.full((len(frame), len(table.levels)), np.nan)
            for lead, rows in frame.groupby("lead").indices.items():
                old = known[known["lead"] == lead]
                x, new = _standard(_columns(table, old), _columns(table, frame.iloc[rows]))
                y = old["observed"].to_numpy(float)
                shift, unit = y.mean(), y.std()
                first = int(0.75 * len(old))
                path = list(_steps(x[:first], (y[:first] - shift) / unit, MOST_STEPS))
                losses = [_loss(x[first:], (y[first:] - shift) / unit, *pair) for pair in path]
                *_, (b, c) = _steps(x, (y - shift) / unit, int(np.argmin(losses)) + 1)
                location, scale = shift + unit * (new @ b), unit * np.exp(new @ c)
                result[rows] = location[:, None] + scale[:, None] * norm.ppf(table.levels)
            return result

        return predict

    return fit


def _columns(table: Table, frame: pd.DataFrame) -> pd.DataFrame:
    """Predictors, the site as indicators, and the sources' mean times the season."""
    x, center = design(table, frame)
    x = x.drop(columns=[c for c in ("day_of_year", "hour", "lead") if c in x])
    for name in ("season_sin", "season_cos"):
        x[f"mean_{name}"] = x[name] * (center - 10.0)
    for column in table.features:
        if column.endswith("_sd"):
            x[f"log_{column}"] = np.log(np.maximum(x[column], 1e-6))
    if "site" in x:
        for site in range(table.frame["site"].nunique()):
            x[f"site_{site}"] = (x["site"] == site).astype(float)
        x = x.drop(columns="site")
    return x


def _standard(old: pd.DataFrame, new: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Both to mean 0 and deviation 1 of the old, missing values at the mean, and a leading column of ones."""
    middle, width = old.mean(), old.std(ddof=0)
    keep = width[width > 1e-9].index
    both = [((f[keep] - middle[keep]) / width[keep]).fillna(0.0).to_numpy(float) for f in (old, new)]
    ones = [np.column_stack([np.ones(len(f)), f]) for f in both]
    return ones[0], ones[1]


def _steps(x: np.ndarray, y: np.ndarray, count: int):  # type: ignore[no-untyped-def]
    """Coefficients of location and log scale after each step."""
    b, c = np.zeros(x.shape[1]), np.zeros(x.shape[1])
    location, log_scale = x @ b, x @ c
    for _ in range(count):
        z = (y - location) * np.exp(-log_scale)
        by_location, by_scale = z * np.exp(-log_scale), z * z - 1
        pulls = [x.T @ by_location / len(y), x.T @ by_scale / len(y)]
        trials = []
        for pull, slope, coefficients in ((pulls[0], by_location, b), (pulls[1], by_scale, c)):
            # The intercept always goes along; the predictor is the one that goes best with the slope.
            best = 1 + int(np.argmax(np.abs(pull[1:])))
            moved = coefficients.copy()
            size = STEP * pull / max(slope.std(), 1e-9) if coefficients is b else STEP * pull
            moved[best] += size[best]
            moved[0] += STEP * pull[0]
            trials.append(moved)
        options = [(trials[0], c), (b, trials[1])]
        b, c = options[int(np.argmin([_loss(x, y, *option) for option in options]))]
        location, log_scale = x @ b, x @ c
        yield b, c


def _loss(x: np.ndarray, y: np.ndarray, b: np.ndarray, c: np.ndarray) -> float:
    log_scale = x @ c
    return float((log_scale + np.square((y - x @ b) * np.exp(-log_scale)) / 2).mean())
