"""The blend over a whole rolling period in one call: at each issue time only what had been observed by then is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.times import Instants
from skyproof.science.blend_kernels import all_lead_weights, combine_leads, learn_leads
from skyproof.science.blend_memory import Memory, Plan, empty_memory, mean_over_levels, smooth_over_leads
from skyproof.science.blend_plan import make_plan, prior_weights
from skyproof.science.compiled import check_shape, compiled, plain_array

Floats = NDArray[Any]


@dataclass(frozen=True, slots=True)
class RolledBlend:
    """A period, blended.

    ``blended``: (issue, lead, site, level) float32, sorted, NaN where every expert slept. ``weights``: (issue, expert, lead),
    as used at each issue time for sites without a record, mean over levels, sum 1. ``memory``: after the last issue time,
    to go on from.
    """

    blended: NDArray[np.float32]
    weights: NDArray[np.float32]
    memory: Memory


def arrival_order(issue_times: Instants, valid_times: Instants, delay_hours: float = 0.0) -> NDArray[np.intp]:
    """Number of the first issue time at which each outcome had arrived.

    Args:
        issue_times: (issue,), rising.
        valid_times: (issue, lead), what each case speaks of.
        delay_hours: from valid time until the observation arrives.

    Returns:
        (issue, lead); the number of issue times where it did not arrive before the last.
    """
    arrived = valid_times + np.timedelta64(round(delay_hours * 3600), "s")
    return np.searchsorted(issue_times, arrived, side="left")


def blend_rolling(
    experts: NDArray[np.float32],
    observed: NDArray[np.float32],
    arrivals: NDArray[np.intp],
    levels: NDArray[np.float64],
    *,
    prior_scores: NDArray[np.float64] | None = None,
    memory: Memory | None = None,
    plan: Plan | None = None,
) -> RolledBlend:
    """Blend experts at every issue time with weights learned from the outcomes that had arrived by then.

    Args:
        experts: (expert, issue, lead, site, level), any unit, quantiles rising; NaN where an expert sleeps.
        observed: (issue, lead, site), the same unit, NaN where never observed.
        arrivals: (issue, lead), the number of the issue time by which the outcome was known; see :func:`arrival_order`.
        levels: (level,), rising, strictly between 0 and 1.
        prior_scores: held-out score of each expert from before the period, see :func:`prior_weights`.
        memory: what was learned before, to go on from; instead of ``prior_scores``.
        plan: settings other than those of :func:`make_plan`.

    Raises:
        ValueError: two arrays differ in a shared dimension.

    Source:
        See :mod:`skyproof.science.online_blend`.
    """
    count, issues, leads, sites, _ = experts.shape
    plan = make_plan(levels) if plan is None else plan
    check_shape("levels", plan.levels.shape, experts.shape[4:])
    check_shape("observed", observed.shape, experts.shape[1:4])
    check_shape("arrivals", arrivals.shape, experts.shape[1:3])
    if memory is None:
        prior = prior_weights(prior_scores, count, leads)
        memory = empty_memory(prior, plan, sites if sites > 1 else 0)
    else:
        check_shape("memory", memory.excess.shape[::2] + memory.excess.shape[3:], (leads, count, len(plan.levels)))
        check_shape("sites of memory", memory.site_size.shape[1:], (sites if memory.site_size.size else 0,))
        memory = Memory(*(part.copy() for part in memory))
    blended = np.empty(experts.shape[1:], dtype=np.float32)
    weights = np.empty((issues, count, leads), dtype=np.float32)
    # What was observed at the very issue time (a lead of nothing) is learned from at the next.
    known = np.maximum(arrivals, np.arange(issues)[:, None] + 1)
    _walk(memory, plan, plain_array(experts), (plain_array(observed), known), blended, weights)
    return RolledBlend(blended, weights, memory)


@compiled
def _walk(
    memory: Memory, plan: Plan, experts: Floats, outcomes: tuple[Floats, Floats], blended: Floats, weights: Floats
) -> None:
    observed, arrivals = outcomes
    issues, leads = arrivals.shape
    current = all_lead_weights(memory, plan)
    count, levels = current.shape[1:]
    shared, mean = np.empty((count, levels)), np.empty(count)
    for now in range(issues):
        for earlier in range(now):
            chosen = np.flatnonzero(arrivals[earlier] == now)
            if len(chosen) > 0:
                learn_leads(memory, plan, current, experts[:, earlier], observed[earlier], chosen)
        combine_leads(memory, plan, current, experts[:, now], blended[now])
        for lead in range(leads):
            smooth_over_leads(current, lead, shared)
            mean_over_levels(shared, plan, mean)
            for k in range(count):
                weights[now, k, lead] = mean[k]
