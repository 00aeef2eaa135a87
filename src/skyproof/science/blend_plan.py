"""The settings of the blend, one set for every data set, and what is believed of experts before anything was seen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skyproof.science.blend_memory import Plan

#: Smoothing of evidence over levels: standard deviation in probability.
_LEVEL_BANDWIDTH = 0.05
#: Held-out scores become prior weights by this power of (best score / own score).
PRIOR_POWER = 6.0


def make_plan(levels: NDArray[np.float64]) -> Plan:
    """The settings for these quantile levels; one set of them for every data set."""
    levels = np.asarray(levels, dtype=np.float64)
    edges = np.concatenate([[0.0], (levels[1:] + levels[:-1]) / 2, [1.0]])
    distance = (levels[:, None] - levels[None, :]) / _LEVEL_BANDWIDTH
    smoother = np.exp(-0.5 * distance**2) * np.diff(edges)
    return Plan(
        levels=levels,
        level_weights=np.diff(edges),
        smoother=smoother / smoother.sum(axis=1, keepdims=True),
        rates=np.array([1.0, 3.0, 1.0]),
        forgettings=np.array([0.01, 0.01, 0.05]),
        quadratic_forgettings=np.array([0.001, 0.03]),
        newton=np.array([[0, 1.0, 2.0], [0, 0.7, 10.0], [1, 1.0, 10.0], [0, 1.0, 30.0]]),
        candidate_prior=np.array([0.05, 0.05, 0.05, 0.05, 0.2, 0.2, 0.2, 0.2]),
        meta=np.array([3.0, 0.01]),
        site=np.array([0.005, 0.8, 30.0]),
    )


def prior_weights(scores: NDArray[np.float64] | None, experts: int, leads: int) -> NDArray[np.float64]:
    """Weights (lead, expert) before anything was seen.

    Args:
        scores: held-out mean score of each expert, (expert,) or (lead, expert), lower is better; NaN: not known, taken as
            the mean of the others. None: all alike.
        experts: how many.
        leads: how many.
    """
    if scores is None:
        return np.full((leads, experts), 1.0 / experts)
    known = np.broadcast_to(np.asarray(scores, dtype=np.float64), (leads, experts)).copy()
    for row in known:
        row[~np.isfinite(row)] = row[np.isfinite(row)].mean() if np.isfinite(row).any() else 1.0
    weights = (known.min(axis=1, keepdims=True) / known) ** PRIOR_POWER
    weights = np.maximum(weights / weights.sum(axis=1, keepdims=True), 1e-6)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
