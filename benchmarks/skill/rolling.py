"""Rolling origin: a model sees only rows whose observation had arrived when its forecasts were issued; scores of what it said."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.stats import norm

from benchmarks.skill.tables import HUNDREDTHS, Table

#: Fits on a frame of known cases and returns what forecasts the quantiles (case, level) of another.
Predict = Callable[[pd.DataFrame], np.ndarray]
Fit = Callable[[pd.DataFrame], Predict]


def roll(
    table: Table,
    fit: Fit,
    *,
    refit: pd.Timedelta | None = None,
    known: Callable[[pd.Timestamp], np.ndarray] | None = None,
) -> np.ndarray:
    """Quantiles of the scored rows, refitted at every ``refit`` with what was known at the first issue time after it.

    Returns:
        (case, level) for every row of the frame, NaN where it is not scored; sorted over levels, within the target's limits.
    """
    frame, step = table.frame, refit or table.refit
    wanted = np.flatnonzero(table.scored())
    issued = frame["issue_time"].to_numpy()[wanted]
    blocks = ((issued - issued.min()) // step.to_timedelta64()).astype(int)
    result = np.full((len(frame), len(table.levels)), np.nan)
    for block in np.unique(blocks):
        rows = wanted[blocks == block]
        as_of = pd.Timestamp(issued[blocks == block].min())
        seen = (known or table.known)(as_of)
        if seen.any():
            result[rows] = fit(frame[seen])(frame.iloc[rows])
    return np.clip(np.sort(result, axis=1), table.lower, table.upper)


def last_days(table: Table, count: int) -> Callable[[pd.Timestamp], np.ndarray]:
    """Known rows of a sliding window: the last ``count`` dates for which any are, as in Raftery et al. (2005)."""
    dates = table.frame["valid_time"].dt.floor("D").to_numpy()

    def known(as_of: pd.Timestamp) -> np.ndarray:
        seen = table.known(as_of)
        newest = np.unique(dates[seen])[-count:]
        return seen & (dates >= newest[0]) if len(newest) else seen

    return known


def level_weights(levels: np.ndarray) -> np.ndarray:
    """Probability each level stands for: borders midway between levels, the outer ones reaching to 0 and 1."""
    return np.diff(np.concatenate([[0.0], (levels[1:] + levels[:-1]) / 2, [1.0]]))


def scores(quantiles: np.ndarray, observed: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """CRPS from the quantiles, (case,); the plain mean pinball loss where there are 99 levels, as GEFCom2014 scores."""
    miss = observed[:, None] - quantiles
    loss = np.maximum(levels * miss, (levels - 1) * miss)
    return loss.mean(axis=1) if len(levels) == len(HUNDREDTHS) else 2 * (loss @ level_weights(levels))


def covered(quantiles: np.ndarray, observed: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Whether the 80 % interval holds the observation, (case,), 0 to 1.

    Ties count by the share of the probability at the tied value that lies inside, so that a rain forecast can be calibrated.
    """
    below = ((quantiles < observed[:, None]) * level_weights(levels)).sum(axis=1)
    upto = ((quantiles <= observed[:, None]) * level_weights(levels)).sum(axis=1)
    span = np.maximum(upto - below, 1e-9)
    share = np.clip(np.minimum(upto, 0.9) - np.maximum(below, 0.1), 0, None) / span
    low, high = quantiles[:, np.argmin(np.abs(levels - 0.1))], quantiles[:, np.argmin(np.abs(levels - 0.9))]
    plain = (observed >= low) & (observed <= high)
    tied = (upto - below) > 0
    return np.where(tied, share, plain)


def widen(quantiles: np.ndarray, given: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Quantiles at other levels: linear in the normal score of the level, the outer pieces prolonged.

    Args:
        quantiles: (case, given), sorted here.
        given: their levels, ascending.
        wanted: the levels asked for, ascending.
    """
    ordered = np.sort(quantiles, axis=1)
    have, want = norm.ppf(given), norm.ppf(wanted)
    right = np.clip(np.searchsorted(have, want), 1, len(have) - 1)
    share = (want - have[right - 1]) / (have[right] - have[right - 1])
    return ordered[:, right - 1] * (1 - share) + ordered[:, right] * share
