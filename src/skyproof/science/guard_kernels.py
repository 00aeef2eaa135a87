"""The calibration guard's loops, compiled: how an outcome is told in normal scores, and how quantiles are moved.

A forecast is its quantiles (J,) over the normal scores of their levels, joined by straight lines; beyond the outermost
pair they go on with its slope. A normal score says where in its forecast an outcome lies: standard normal if calibrated.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.science.compiled import compiled

Floats = NDArray[Any]
#: Outcomes further out count as this far: one absurd value must not widen every interval.
_FURTHEST = 3.5
#: Beyond its outermost pair a forecast is at least this steep, in units of its mean slope: a tail has no end.
_LEAST_SLOPE = 0.3


@compiled
def normal_distribution(score: float) -> float:
    """Distribution function of the standard normal."""
    return 0.5 * math.erfc(-score / math.sqrt(2.0))


@compiled
def quantile_at(quantiles: Floats, scores: Floats, score: float) -> float:
    """The forecast's quantile at a normal score."""
    last = len(scores) - 1
    if score <= scores[0]:
        return float(quantiles[0] - (scores[0] - score) * _tail_slope(quantiles, scores, 0))
    if score >= scores[last]:
        return float(quantiles[last] + (score - scores[last]) * _tail_slope(quantiles, scores, last - 1))
    high = np.searchsorted(scores, score, side="right")
    share = (score - scores[high - 1]) / (scores[high] - scores[high - 1])
    return float(quantiles[high - 1] + share * (quantiles[high] - quantiles[high - 1]))


@compiled
def _tail_slope(quantiles: Floats, scores: Floats, low: int) -> float:
    last = len(scores) - 1
    slope = (quantiles[low + 1] - quantiles[low]) / (scores[low + 1] - scores[low])
    if slope == 0.0:
        # A tie at the end (dry weather, full power) is a limit, not a tail.
        return 0.0
    return float(max(slope, _LEAST_SLOPE * (quantiles[last] - quantiles[0]) / (scores[last] - scores[0])))


@compiled
def score_interval(quantiles: Floats, scores: Floats, value: float) -> tuple[float, float]:
    """Normal scores between which an outcome lies in its forecast: apart only where quantiles tie at the value."""
    last = len(scores) - 1
    first, final = -1, -1
    for j in range(last + 1):
        if quantiles[j] == value:
            first, final = (j if first < 0 else first), j
    if first >= 0:
        low = -np.inf if first == 0 and final > 0 else scores[first]
        high = np.inf if final == last and first < last else scores[final]
        return low, high
    if value < quantiles[0]:
        slope = _tail_slope(quantiles, scores, 0)
        score = scores[0] - (quantiles[0] - value) / slope if slope > 0 else -_FURTHEST
    elif value > quantiles[last]:
        slope = _tail_slope(quantiles, scores, last - 1)
        score = scores[last] + (value - quantiles[last]) / slope if slope > 0 else _FURTHEST
    else:
        high = np.searchsorted(quantiles, value)
        share = (value - quantiles[high - 1]) / (quantiles[high] - quantiles[high - 1])
        score = scores[high - 1] + share * (scores[high] - scores[high - 1])
    score = min(max(score, -_FURTHEST), _FURTHEST)
    return score, score


@compiled
def mean_moments(low: float, high: float) -> tuple[float, float]:
    """Mean and mean square of a standard normal between two scores; of the score itself where they are one."""
    mass = normal_distribution(high) - normal_distribution(low)
    if mass < 1e-9:
        middle = min(max(low, -_FURTHEST), _FURTHEST)
        return middle, middle * middle
    below, above = _density(low), _density(high)
    first = (below - above) / mass
    edge = (low * below if below > 0 else 0.0) - (high * above if above > 0 else 0.0)
    return first, 1.0 + edge / mass


@compiled
def _density(score: float) -> float:
    return math.exp(-0.5 * score * score) / math.sqrt(2 * math.pi) if abs(score) < 30 else 0.0


@compiled
def share_beyond(low: float, high: float, border: float) -> float:
    """How much of an outcome between two scores lies above a border."""
    if high <= border:
        return 0.0
    if low >= border:
        return 1.0
    above = normal_distribution(high) - normal_distribution(border)
    return above / max(normal_distribution(high) - normal_distribution(low), 1e-12)


@compiled
def move_quantiles(quantiles: Floats, scores: Floats, correction: Floats, limits: Floats, moved: Floats) -> None:
    """Recalibrated quantiles (J,) into ``moved``; in order, inside limits.

    ``correction`` (4,): mean and log standard deviation of the outcomes' normal scores, then log stretch of the lower and of
    the upper side about the median that these leave.
    """
    centre, spread = correction[0], math.exp(correction[1])
    middle = quantile_at(quantiles, scores, centre)
    for j in range(len(scores)):
        value = quantile_at(quantiles, scores, centre + spread * scores[j])
        stretch = math.exp(correction[2] if scores[j] < 0 else correction[3])
        value = middle + stretch * (value - middle)
        moved[j] = min(max(value, limits[0]), limits[1])
        if j > 0:
            # Rounding alone could put a quantile below the one before.
            moved[j] = max(moved[j], moved[j - 1])


@compiled
def mean_loss(quantiles: Floats, value: float, levels: Floats, level_weights: Floats) -> float:
    """Twice the mean quantile loss of one forecast."""
    total = 0.0
    for j in range(len(levels)):
        miss = value - quantiles[j]
        total += 2 * level_weights[j] * max(levels[j] * miss, (levels[j] - 1) * miss)
    return total
