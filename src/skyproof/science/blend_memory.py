"""What the blend remembers, what it is set to, and how memory becomes weights; compiled.

Leads come first in every array of the memory, so that what one lead learned lies together.

The weights of a lead are a mean of several candidates' weights, each good at something:

* the prior: equal weights, or what held-out scores of the experts say; never learns, hard to beat with a short record;
* Bernstein online aggregation per quantile level, with several learning rates and memories (``excess`` ...);
* Newton's step: the weights that minimise a quadratic model of the loss over the whole record, the same at all levels,
  with more or less pooling of leads and pull towards the prior (``curvature``, ``pull``).

A site's weights are a mean of those of its lead and of its own, which start there and leave as its record grows.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skyproof.science.compiled import compiled

Floats = NDArray[Any]
#: A weight no lower than this keeps every expert able to come back, and a lone survivor of an outage able to speak.
_FLOOR = 1e-4
#: Steps of the solver of Newton's weights; each moves weight between two experts and never raises the objective.
_SOLVER_STEPS = 60
#: Leads that matter less than this to a lead are left out of its record.
_LEAST_SHARE = 0.01


class Plan(NamedTuple):
    """Settings as arrays: J levels, M aggregations, F quadratic memories, N Newton candidates, C = 1 + M + N candidates.

    ``level_weights`` (J,) sum to 1; ``smoother`` (J, J), rows sum to 1; ``rates``, ``forgettings`` (M,);
    ``quadratic_forgettings`` (F,); ``newton`` (N, 3): which memory, what share of a neighbouring lead's record counts,
    pull towards the prior in issue times; ``candidate_prior`` (C,); ``meta`` (2,): rate and forgetting of the aggregation of
    candidates; ``site`` (3,): forgetting, share of a neighbouring lead's record, pull towards the lead's weights in issue
    times.
    """

    levels: Floats
    level_weights: Floats
    smoother: Floats
    rates: Floats
    forgettings: Floats
    quadratic_forgettings: Floats
    newton: Floats
    candidate_prior: Floats
    meta: Floats
    site: Floats


class Memory(NamedTuple):
    """What was learned about one variable: K experts, L leads, S sites (0: no weights per site).

    ``trust_*`` aggregate the two ways to weigh a site's experts: as its lead does, or by the site's own record.
    """

    prior: Floats  # (L, K)
    excess: Floats  # (L, M, K, J)
    variance: Floats  # (L, M, K, J)
    spread: Floats  # (L, M, J)
    updates: Floats  # (L, M)
    curvature: Floats  # (L, F, K, K)
    pull: Floats  # (L, F, K)
    quadratic_updates: Floats  # (L, F)
    solution: Floats  # (L, N, K)
    candidate_excess: Floats  # (L, C)
    candidate_variance: Floats  # (L, C)
    candidate_spread: Floats  # (L,)
    site_pull: Floats  # (L, S, K)
    site_centre: Floats  # (L, S, K)
    site_size: Floats  # (L, S)
    site_updates: Floats  # (L, S)
    site_solution: Floats  # (L, S, K)
    trust_excess: Floats  # (L, 2)
    trust_variance: Floats  # (L, 2)
    trust_spread: Floats  # (L,)


def empty_memory(prior: Floats, plan: Plan, sites: int) -> Memory:
    """Nothing seen; ``prior`` (L, K) sums to 1 over experts."""
    leads, experts = prior.shape
    levels, aggregations, candidates = len(plan.levels), len(plan.rates), len(plan.candidate_prior)
    memories = len(plan.quadratic_forgettings)
    prior = np.ascontiguousarray(prior, dtype=np.float64)
    return Memory(
        prior=prior,
        excess=np.zeros((leads, aggregations, experts, levels)),
        variance=np.zeros((leads, aggregations, experts, levels)),
        spread=np.full((leads, aggregations, levels), 1e-12),
        updates=np.zeros((leads, aggregations)),
        curvature=np.zeros((leads, memories, experts, experts)),
        pull=np.zeros((leads, memories, experts)),
        quadratic_updates=np.zeros((leads, memories)),
        solution=np.repeat(prior[:, None], len(plan.newton), axis=1),
        candidate_excess=np.zeros((leads, candidates)),
        candidate_variance=np.zeros((leads, candidates)),
        candidate_spread=np.full(leads, 1e-12),
        site_pull=np.zeros((leads, sites, experts)),
        site_centre=np.zeros((leads, sites, experts)),
        site_size=np.zeros((leads, sites)),
        site_updates=np.zeros((leads, sites)),
        site_solution=np.repeat(prior[:, None], sites, axis=1),
        trust_excess=np.zeros((leads, 2)),
        trust_variance=np.zeros((leads, 2)),
        trust_spread=np.full(leads, 1e-12),
    )


@compiled
def learning_rate(variance: float, spread: float, rate: float, count: int) -> float:
    """Adaptive rate of one expert: sqrt(log K / variance), at most half the inverse range of its losses, times ``rate``."""
    return rate * min(0.5 / spread, math.sqrt(math.log(max(count, 2)) / max(variance, 1e-24)))


@compiled
def aggregate(prior: Floats, excess: Floats, variance: Floats, spread: float, rate: float) -> Floats:
    """Weights (K,) of Bernstein online aggregation from cumulated excess losses; sum 1."""
    weights = np.empty(len(excess))
    best, total = -np.inf, 0.0
    for k in range(len(excess)):
        eta = learning_rate(variance[k], spread, rate, len(excess))
        weights[k] = np.log(prior[k] * eta) - eta * excess[k]
        best = max(best, weights[k])
    for k in range(len(excess)):
        weights[k] = np.exp(weights[k] - best)
        total += weights[k]
    for k in range(len(excess)):
        weights[k] /= total
    return weights


@compiled
def candidate_weights(memory: Memory, plan: Plan, lead: int) -> Floats:
    """Weights (C, K, J) of every candidate at one lead."""
    _, aggregations, experts, levels = memory.excess.shape
    weights = np.empty((len(plan.candidate_prior), experts, levels))
    for k in range(experts):
        for j in range(levels):
            weights[0, k, j] = memory.prior[lead, k]
            for n in range(len(plan.newton)):
                weights[1 + aggregations + n, k, j] = memory.solution[lead, n, k]
    for m in range(aggregations):
        for j in range(levels):
            level = aggregate(
                memory.prior[lead],
                memory.excess[lead, m, :, j],
                memory.variance[lead, m, :, j],
                memory.spread[lead, m, j],
                plan.rates[m],
            )
            for k in range(experts):
                weights[1 + m, k, j] = level[k]
    return weights


@compiled
def lead_weights(memory: Memory, plan: Plan, lead: int, weights: Floats) -> None:
    """Weights (K, J) of one lead, into ``weights``: the mean of the candidates', by what each was worth; all above zero."""
    candidates = candidate_weights(memory, plan, lead)
    shares = aggregate(
        plan.candidate_prior,
        memory.candidate_excess[lead],
        memory.candidate_variance[lead],
        memory.candidate_spread[lead],
        plan.meta[0],
    )
    experts, levels = weights.shape
    for k in range(experts):
        for j in range(levels):
            total = _FLOOR
            for c in range(len(shares)):
                total += shares[c] * candidates[c, k, j]
            weights[k, j] = total / (1 + _FLOOR * experts)


@compiled
def smooth_over_leads(weights: Floats, lead: int, smooth: Floats) -> None:
    """Weights of one lead of (L, K, J), and a little of its neighbours' (binomial, the edge repeated), into ``smooth``."""
    last = len(weights) - 1
    before, after = max(lead - 1, 0), min(lead + 1, last)
    first, final = max(lead - 2, 0), min(lead + 2, last)
    for k in range(smooth.shape[0]):
        for j in range(smooth.shape[1]):
            near = weights[before, k, j] + weights[after, k, j]
            far = weights[first, k, j] + weights[final, k, j]
            smooth[k, j] = (6 * weights[lead, k, j] + 4 * near + far) / 16


@compiled
def mean_over_levels(weights: Floats, plan: Plan, mean: Floats) -> None:
    """Mean (K,) of weights (K, J), into ``mean``."""
    for k in range(len(mean)):
        total = 0.0
        for j in range(len(plan.level_weights)):
            total += weights[k, j] * plan.level_weights[j]
        mean[k] = total


@compiled
def solve_lead(memory: Memory, plan: Plan, lead: int) -> None:
    """Every Newton candidate's weights of one lead, from the records of all leads as far as each counts; in place."""
    leads, _, experts = memory.pull.shape
    for n in range(len(plan.newton)):
        which, decay, patience = int(plan.newton[n, 0]), plan.newton[n, 1], plan.newton[n, 2]
        curvature, pull, updates = np.zeros((experts, experts)), np.zeros(experts), 0.0
        for other in range(leads):
            share = decay ** abs(other - lead)
            if share < _LEAST_SHARE or memory.quadratic_updates[other, which] == 0:
                continue
            updates += share * memory.quadratic_updates[other, which]
            for k in range(experts):
                pull[k] += share * memory.pull[other, which, k]
                for i in range(experts):
                    curvature[k, i] += share * memory.curvature[other, which, k, i]
        if updates > 0:
            ridge = patience * np.trace(curvature) / (updates * experts)
            for k in range(experts):
                curvature[k, k] += ridge
                pull[k] -= ridge * memory.prior[lead, k]
            minimise_on_simplex(curvature, pull, memory.solution[lead, n])


@compiled
def solve_sites(memory: Memory, plan: Plan, mean: Floats, lead: int) -> None:
    """Every site's own weights at one lead; in place.

    A site's loss is modelled with the curvature of its lead, scaled to the site's, and its own pull; ``mean`` (K,), the
    weights of the lead, count as much as a record of some issue times.
    """
    leads, sites, experts = memory.site_pull.shape
    curvature, linear, model = np.zeros((experts, experts)), np.empty(experts), np.empty((experts, experts))
    for other in range(leads):
        share = plan.site[1] ** abs(other - lead)
        if share >= _LEAST_SHARE:
            for k in range(experts):
                for i in range(experts):
                    curvature[k, i] += share * memory.curvature[other, 0, k, i]
    scale = np.trace(curvature)
    if scale <= 0:
        return
    target = np.empty(experts)
    for site in range(sites):
        size, updates = 0.0, 0.0
        target[:], linear[:] = 0.0, 0.0
        for other in range(leads):
            share = plan.site[1] ** abs(other - lead)
            if share >= _LEAST_SHARE and memory.site_updates[other, site] > 0:
                size += share * memory.site_size[other, site]
                updates += share * memory.site_updates[other, site]
                for k in range(experts):
                    linear[k] += share * memory.site_pull[other, site, k]
                    target[k] += share * memory.site_centre[other, site, k]
        patience = plan.site[2] * size / max(updates, 1.0)
        for k in range(experts):
            for i in range(experts):
                model[k, i] = (size + patience) * curvature[k, i] / scale
                linear[k] -= curvature[k, i] / scale * (target[i] + patience * mean[i])
            model[k, k] += 1e-6 * (size + patience)
        if size > 0:
            minimise_on_simplex(model, linear, memory.site_solution[lead, site])
        else:
            memory.site_solution[lead, site] = mean


@compiled
def minimise_on_simplex(curvature: Floats, pull: Floats, weights: Floats) -> None:
    """Moves ``weights`` towards the minimum of w'Cw / 2 + p'w over weights that sum to 1; in place."""
    experts = len(weights)
    slope = np.empty(experts)
    for k in range(experts):
        slope[k] = pull[k]
        for i in range(experts):
            slope[k] += curvature[k, i] * weights[i]
    for _ in range(_SOLVER_STEPS):
        up, down = 0, -1
        for k in range(experts):
            if slope[k] < slope[up]:
                up = k
            if weights[k] > 0 and (down < 0 or slope[k] > slope[down]):
                down = k
        gain = slope[down] - slope[up]
        bend = curvature[up, up] + curvature[down, down] - 2 * curvature[up, down]
        if up == down or gain <= 0 or bend <= 0:
            break
        step = min(gain / bend, weights[down])
        weights[up] += step
        weights[down] = max(weights[down] - step, 0.0)
        for k in range(experts):
            slope[k] += step * (curvature[k, up] - curvature[k, down])
