"""The calibration guard: intervals that keep covering as often as they say, learned while forecasts are issued.

Per regime and group of leads the guard looks at where outcomes fell in their forecasts (normal scores of the probability
integral transform) and moves the quantiles by four numbers:

* mean and standard deviation of the scores, shrunk towards none and one as far as the record is short. Sites that err
  together count as fewer; a regime with a short record leans on all regimes together;
* a stretch of either side, tracked so that the lower and the upper tenth are passed in one case of ten, with bounded steps
  that shrink as the record grows but never to nothing: whatever the weather does, coverage comes back.

Where the moved quantiles were worse in the recent past than those given, by a paired test on the score, the guard is weakened
and in the end off; it goes on comparing, so that it can come back.

Experimental, and not what forecasts are guarded by: that is :mod:`skyproof.science.spread_guard`. On simulated series with a
wrong spread this one holds coverage closer and scores better; on eleven real sets it cost up to 0.8 % of the score, and 3 %
on daily rain, where one factor cost at most 0.3 %. Four numbers are more than most records can teach.

Sources:
    Gibbs and Candes (2021), Adaptive conformal inference under distribution shift, arXiv:2106.00170.
    Angelopoulos, Candes and Tibshirani (2023), Conformal PID control for time series prediction, arXiv:2307.16895.
    Kuleshov, Fenner and Ermon (2018), Accurate uncertainties for deep learning using calibrated regression,
    arXiv:1807.00263.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from skyproof.science.compiled import check_shape, compiled, plain_array
from skyproof.science.guard_kernels import (
    mean_loss,
    mean_moments,
    move_quantiles,
    score_interval,
    share_beyond,
)

Floats = NDArray[Any]
#: Normal score of the 90 % quantile, the upper end of the 80 % interval.
_TENTH = float(ndtri(0.9))
#: How much a stretch moves per share of cases missed too many, at the least; and the largest step.
_LEAST_GAIN, _LARGEST_STEP = 0.06, 0.15
#: A stretch's gain is this over the record's length: somewhat less than the inverse of how fast the share responds (4.4).
_GAIN = 2.0
#: Of the square of a mean's normal score, this much is taken for chance (James and Stein's shrinkage).
_CHANCE = 3.0
#: Corrections stay within these: beyond, the forecast is of no use and no guard can help.
_LARGEST_MEAN, _LARGEST_LOG_SPREAD, _LARGEST_LOG_STRETCH = 1.0, math.log(2.5), math.log(1.6)
#: The guard weakens from the first to the second of these, in standard errors of the loss difference.
_DOUBT, _DENIAL = 0.0, 2.0
#: Correlation of sites' scores before anything is known of it.
_CORRELATION = 0.3


class GuardPlan(NamedTuple):
    """Settings. ``forgetting``: share of the record that fades with each issue time. ``patience``: cases worth which a
    correction of none (or that of all regimes) counts. ``limits`` (2,): of the variable, infinite for none.
    """

    levels: Floats
    level_weights: Floats
    scores: Floats
    limits: Floats
    forgetting: float
    patience: float


class GuardMemory(NamedTuple):
    """What was learned: R regimes and, last, all of them together; G groups of leads.

    ``sums`` (R + 1, G, 6), fading: weight and weighted mean of scores, weight and weighted mean square, updates, square of
    the mean score of one update. ``stretch`` (R + 1, G, 2): log stretch of either side. ``losses`` (R + 1, G, 3), fading:
    updates, loss difference (moved less given), its square.
    """

    sums: Floats
    stretch: Floats
    losses: Floats


@dataclass(frozen=True, slots=True)
class GuardedForecasts:
    """A period, guarded.

    ``quantiles``: (issue, lead, site, level) float32, sorted, inside limits. ``strength``: (issue, lead), 0 off to 1 whole.
    ``correction``: (issue, lead, 4), as used: mean and log standard deviation of normal scores, log stretch of the lower and
    upper side. ``memory``: after the last issue time, to go on from.
    """

    quantiles: NDArray[np.float32]
    strength: NDArray[np.float32]
    correction: NDArray[np.float32]
    memory: GuardMemory


def make_guard_plan(
    levels: NDArray[np.float64],
    *,
    lower: float | None = None,
    upper: float | None = None,
    forgetting: float = 0.015,
    patience: float = 20.0,
) -> GuardPlan:
    """The guard's settings for quantile levels and a variable's limits.

    Raises:
        ValueError: fewer than two levels.
    """
    levels = np.array(levels, dtype=np.float64)
    if len(levels) < 2:
        raise ValueError("a guard needs at least two levels to know a spread")
    edges = np.concatenate([[0.0], (levels[1:] + levels[:-1]) / 2, [1.0]])
    limits = np.array([-np.inf if lower is None else lower, np.inf if upper is None else upper])
    return GuardPlan(levels, np.diff(edges), ndtri(levels), limits, forgetting, patience)


def empty_guard(regimes: int, groups: int) -> GuardMemory:
    """Nothing seen."""
    return GuardMemory(
        np.zeros((regimes + 1, groups, 6)), np.zeros((regimes + 1, groups, 2)), np.zeros((regimes + 1, groups, 3))
    )


def guard_rolling(
    forecasts: NDArray[np.float32],
    observed: NDArray[np.float32],
    arrivals: NDArray[np.intp],
    plan: GuardPlan,
    *,
    regimes: NDArray[np.intp] | None = None,
    lead_groups: NDArray[np.intp] | None = None,
    memory: GuardMemory | None = None,
) -> GuardedForecasts:
    """Recalibrate forecasts at every issue time by the outcomes that had arrived by then.

    Args:
        forecasts: (issue, lead, site, level), sorted, any unit; NaN where there is none. At least two levels.
        observed: (issue, lead, site), the same unit, NaN where never observed.
        arrivals: (issue, lead), see :func:`skyproof.science.rolling_blend.arrival_order`.
        plan: see :func:`make_guard_plan`.
        regimes: (issue, lead), number of the regime each forecast was made in; None: always the same.
        lead_groups: (lead,), number of the group of each lead; None: all in one.
        memory: what was learned before, to go on from.

    Raises:
        ValueError: two arrays differ in a shared dimension, or the memory has not all regimes and groups.
    """
    issues, leads = arrivals.shape
    regimes = np.zeros((issues, leads), dtype=np.intp) if regimes is None else regimes
    groups = np.zeros(leads, dtype=np.intp) if lead_groups is None else lead_groups
    check_shape("observed", observed.shape, forecasts.shape[:3])
    check_shape("levels", plan.levels.shape, forecasts.shape[3:])
    check_shape("arrivals and lead_groups", (*arrivals.shape, len(groups)), (*forecasts.shape[:2], forecasts.shape[1]))
    check_shape("regimes", regimes.shape, arrivals.shape)
    wanted = int(regimes.max(initial=0)) + 1, int(groups.max(initial=0)) + 1
    if memory is None:
        memory = empty_guard(*wanted)
    else:
        if memory.sums.shape[0] <= wanted[0] or memory.sums.shape[1] < wanted[1]:
            raise ValueError(f"the memory has shape {memory.sums.shape[:2]}, too few for {wanted} regimes and groups")
        memory = GuardMemory(*(part.copy() for part in memory))
    quantiles = np.empty_like(forecasts, dtype=np.float32, order="C")
    strength = np.empty((issues, leads), dtype=np.float32)
    correction = np.empty((issues, leads, 4), dtype=np.float32)
    known = np.maximum(arrivals, np.arange(issues)[:, None] + 1)
    given = (plain_array(forecasts), plain_array(observed))
    places = (known, regimes.astype(np.int64), groups.astype(np.int64))
    _walk(memory, plan, given, places, (quantiles, strength, correction))
    return GuardedForecasts(quantiles, strength, correction, memory)


@compiled
def _walk(
    memory: GuardMemory,
    plan: GuardPlan,
    given: tuple[Floats, Floats],
    places: tuple[Floats, Floats, Floats],
    result: tuple[Floats, Floats, Floats],
) -> None:
    forecasts, observed = given
    arrivals, regimes, groups = places
    quantiles, strength, correction = result
    issues, leads = arrivals.shape
    for now in range(issues):
        for earlier in range(now):
            fresh = arrivals[earlier] == now
            if fresh.any():
                _learn_issue(memory, plan, forecasts[earlier], observed[earlier], (fresh, regimes[earlier], groups))
        for lead in range(leads):
            regime, group = regimes[now, lead], groups[lead]
            moved = current_correction(memory, plan, regime, group)
            share = _strength(memory.losses[regime, group])
            strength[now, lead] = share
            for part in range(4):
                correction[now, lead, part] = moved[part] * share
            move_sites(forecasts[now, lead], plan, moved * share, quantiles[now, lead])


@compiled
def move_sites(forecasts: Floats, plan: GuardPlan, correction: Floats, moved: Floats) -> None:
    """Move the quantiles (site, level) of one lead by its correction (4,), into ``moved``; NaN stays."""
    buffer, still = np.empty(forecasts.shape[1]), not correction.any()
    for site in range(len(forecasts)):
        if still or not np.isfinite(forecasts[site]).all():
            moved[site] = forecasts[site]
        else:
            move_quantiles(forecasts[site], plan.scores, correction, plan.limits, buffer)
            for j in range(len(buffer)):
                moved[site, j] = buffer[j]


@compiled
def current_correction(memory: GuardMemory, plan: GuardPlan, regime: int, group: int) -> Floats:
    """The four numbers (4,) that quantiles of a regime and group are moved by."""
    correction = np.zeros(4)
    last = len(memory.sums) - 1
    # First what all regimes say, shrunk to nothing; then the regime's own, shrunk to that.
    for place in (last, regime):
        if place == regime and last == 1:
            continue
        sums = memory.sums[place, group]
        if sums[0] > 0:
            mean = sums[1] / sums[0]
            # A mean that chance explains is left alone: bias is the experts' business, spread the blend's.
            surprise = (mean - correction[0]) ** 2 * sums[0]
            trust = max(1 - _CHANCE / max(surprise, 1e-9), 0.0) * sums[0] / (sums[0] + plan.patience)
            correction[0] += trust * (mean - correction[0])
            spread = 0.5 * math.log(max(sums[3] / sums[2] - 2 * correction[0] * mean + correction[0] ** 2, 1e-3))
            # The next case errs by what is not known of the mean and of the spread, too.
            spread += 0.5 * trust * trust / sums[0] + 0.5 / sums[2]
            trust = sums[2] / (sums[2] + plan.patience)
            correction[1] += trust * (spread - correction[1])
    correction[0] = min(max(correction[0], -_LARGEST_MEAN), _LARGEST_MEAN)
    correction[1] = min(max(correction[1], -_LARGEST_LOG_SPREAD), _LARGEST_LOG_SPREAD)
    correction[2:] = memory.stretch[regime, group]
    return correction


@compiled
def _strength(losses: Floats) -> float:
    """How much of the guard is used: less where it made forecasts worse, by a paired test on the fading record."""
    updates, total, squares = losses[0], losses[1], losses[2]
    if updates < 5:
        return 1.0
    mean = total / updates
    error = math.sqrt(max(squares / updates - mean * mean, 0.0) / updates)
    if error == 0:
        return 1.0 if mean <= 0 else 0.0
    return float(min(max((_DENIAL - mean / error) / (_DENIAL - _DOUBT), 0.0), 1.0))


@compiled
def _learn_issue(
    memory: GuardMemory, plan: GuardPlan, forecasts: Floats, observed: Floats, places: tuple[Floats, Floats, Floats]
) -> None:
    """Learn from the outcomes of one issue time that arrived together, regime by regime and group by group."""
    fresh, regimes, groups = places
    for regime in range(len(memory.sums) - 1):
        for group in range(memory.sums.shape[1]):
            chosen = np.flatnonzero(fresh & (regimes == regime) & (groups == group))
            if len(chosen) == 0:
                continue
            correction = current_correction(memory, plan, regime, group)
            seen = _look(plan, forecasts, observed, chosen, correction)
            if seen[0] == 0:
                continue
            weight = 0.0
            for place in (len(memory.sums) - 1, regime):
                weight = _learn_scores(memory.sums[place, group], plan, seen)
            _learn_stretch(memory.stretch[regime, group], memory.sums[regime, group], seen, weight)
            losses, keep = memory.losses[regime, group], 1 - plan.forgetting
            losses[0] = losses[0] * keep + 1
            losses[1] = losses[1] * keep + seen[5]
            losses[2] = losses[2] * keep + seen[5] * seen[5]


@compiled
def _look(plan: GuardPlan, forecasts: Floats, observed: Floats, leads: Floats, correction: Floats) -> Floats:
    """Cases, mean score, mean square score, share below and above the moved interval, mean loss difference: (6,)."""
    seen, moved = np.zeros(6), np.empty(forecasts.shape[2])
    for lead in leads:
        for site in range(observed.shape[1]):
            value, quantiles = observed[lead, site], forecasts[lead, site]
            if not np.isfinite(value) or not np.isfinite(quantiles).all():
                continue
            low, high = score_interval(quantiles, plan.scores, value)
            mean, square = mean_moments(low, high)
            move_quantiles(quantiles, plan.scores, correction, plan.limits, moved)
            low, high = score_interval(moved, plan.scores, value)
            seen[0] += 1
            seen[1] += mean
            seen[2] += square
            seen[3] += 1 - share_beyond(low, high, -_TENTH)
            seen[4] += share_beyond(low, high, _TENTH)
            seen[5] += mean_loss(moved, value, plan.levels, plan.level_weights)
            seen[5] -= mean_loss(quantiles, value, plan.levels, plan.level_weights)
    if seen[0] > 0:
        seen[1:] /= seen[0]
    return seen


@compiled
def _learn_scores(sums: Floats, plan: GuardPlan, seen: Floats) -> float:
    """Add one issue time's outcomes, counted as fewer the more they err together; returns as how many, for a spread."""
    keep, cases = 1 - plan.forgetting, seen[0]
    # The mean of n scores of correlation r has variance r + (1 - r) / n.
    together = (10 * _CORRELATION + sums[5]) / (10 + sums[4])
    variance = max(sums[3] / sums[2], 0.05) if sums[2] > 0 else 1.0
    correlation = min(max(together / variance, 0.0), 1.0) if cases > 1 else 0.0
    weight = cases / (1 + (cases - 1) * correlation)
    # Squares of scores of correlation r have correlation r squared.
    weight_square = cases / (1 + (cases - 1) * correlation * correlation)
    sums[0] = sums[0] * keep + weight
    sums[1] = sums[1] * keep + weight * seen[1]
    sums[2] = sums[2] * keep + weight_square
    sums[3] = sums[3] * keep + weight_square * seen[2]
    if cases > 1:
        sums[4] = sums[4] * keep + 1
        sums[5] = sums[5] * keep + max((seen[1] * seen[1] - variance / cases) * cases / (cases - 1), 0.0)
    return float(weight_square)


@compiled
def _learn_stretch(stretch: Floats, sums: Floats, seen: Floats, weight: float) -> None:
    """Widen the side that was passed too often, narrow the one passed too seldom; ``weight``: cases these outcomes are worth."""
    gain = max(_GAIN * weight / (10.0 + sums[2]), min(_LEAST_GAIN * math.sqrt(weight), _LARGEST_STEP))
    for side in range(2):
        step = min(max(gain * (seen[3 + side] - 0.1), -_LARGEST_STEP), _LARGEST_STEP)
        stretch[side] = min(max(stretch[side] + step, -_LARGEST_LOG_STRETCH), _LARGEST_LOG_STRETCH)
