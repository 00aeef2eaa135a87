"""The blend's two passes over forecasts, compiled: mixing experts, and learning from what was observed.

Everything is learned from one linearised loss: the gradient of the quantile loss at the blend itself, times how far an
expert (a candidate) is from the blend. An expert asleep is where the blend is, so it neither wins nor loses.

Arrays: ``experts`` (K, L, S, J) and ``observed`` (L, S) of one issue time and one variable; ``weights`` (L, K, J) of every
lead, before its neighbours are heard.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.science.blend_memory import (
    Memory,
    Plan,
    aggregate,
    candidate_weights,
    lead_weights,
    learning_rate,
    mean_over_levels,
    smooth_over_leads,
    solve_lead,
    solve_sites,
)
from skyproof.science.compiled import compiled

Floats = NDArray[Any]
#: An excess loss counts at most this many times the root mean square of those before, once there were enough of them.
_LARGEST_EXCESS = 10.0
_ENOUGH_UPDATES = 10.0
#: Both ways to weigh a site's experts start alike.
_HALF = np.array([0.5, 0.5])


@compiled
def all_lead_weights(memory: Memory, plan: Plan) -> Floats:
    """Weights (L, K, J) of every lead, before neighbours are heard."""
    leads, _, experts, levels = memory.excess.shape
    weights = np.empty((leads, experts, levels))
    for lead in range(leads):
        lead_weights(memory, plan, lead, weights[lead])
    return weights


@compiled
def combine_leads(memory: Memory, plan: Plan, weights: Floats, experts: Floats, blended: Floats) -> None:
    """Blended quantiles (L, S, J), sorted, into ``blended``; NaN where everyone sleeps."""
    count, leads, sites, levels = experts.shape
    tile, awake, shared = np.empty((count, levels)), np.empty(count), np.empty((count, levels))
    own, plain, alone = np.empty((count, levels)), np.empty(levels), np.empty(levels)
    mean = np.empty(count)
    for lead in range(leads):
        smooth_over_leads(weights, lead, shared)
        mean_over_levels(shared, plan, mean)
        trust = _trust_in_sites(memory, plan, lead)
        for site in range(sites):
            if not _read(experts, lead, site, tile, awake):
                for j in range(levels):
                    blended[lead, site, j] = np.nan
                continue
            _mix(tile, awake, shared, plain)
            if trust > 0:
                _own_weights(memory, shared, mean, lead, site, own)
                _mix(tile, awake, own, alone)
                for j in range(levels):
                    plain[j] += trust * (alone[j] - plain[j])
            _sort(plain)
            for j in range(levels):
                blended[lead, site, j] = plain[j]


@compiled
def learn_leads(memory: Memory, plan: Plan, weights: Floats, experts: Floats, observed: Floats, leads: Floats) -> None:
    """Learn from the observations of one issue time at the numbered ``leads``; memory and weights change in place."""
    shared, mean = np.empty((len(leads), *weights.shape[1:])), np.empty(weights.shape[1])
    for number in range(len(leads)):
        smooth_over_leads(weights, leads[number], shared[number])
    for number in range(len(leads)):
        _learn_lead(memory, plan, shared[number], experts, observed, leads[number])
    for lead in leads:
        solve_lead(memory, plan, lead)
        lead_weights(memory, plan, lead, weights[lead])
    if memory.site_updates.shape[1] > 0:
        for number in range(len(leads)):
            smooth_over_leads(weights, leads[number], shared[number])
            mean_over_levels(shared[number], plan, mean)
            solve_sites(memory, plan, mean, leads[number])


@compiled
def _learn_lead(memory: Memory, plan: Plan, shared: Floats, experts: Floats, observed: Floats, lead: int) -> None:
    count, levels = shared.shape
    tile, awake, own, mean = np.empty((count, levels)), np.empty(count), np.empty((count, levels)), np.empty(count)
    plain, alone, mixed = np.empty(levels), np.empty(levels), np.empty(levels)
    push, bent, gap, site_loss = np.empty(levels), np.empty(levels), np.empty((count, levels)), np.empty(count)
    centre = np.empty(count)
    total, spoken, cases = np.zeros((count, levels)), np.zeros(count), 0
    curvature, gradient, trust_loss = np.zeros((count, count)), np.zeros(count), np.zeros(2)
    mean_over_levels(shared, plan, mean)
    trust = _trust_in_sites(memory, plan, lead)
    for site in range(observed.shape[1]):
        value = observed[lead, site]
        if not np.isfinite(value) or not _read(experts, lead, site, tile, awake):
            continue
        cases += 1
        _mix(tile, awake, shared, plain)
        if trust > 0:
            _own_weights(memory, shared, mean, lead, site, own)
            _mix(tile, awake, own, alone)
        for j in range(levels):
            mixed[j] = plain[j] + (trust * (alone[j] - plain[j]) if trust > 0 else 0.0)
            push[j] = plan.level_weights[j] * ((1.0 if value < mixed[j] else 0.0) - plan.levels[j])
            if trust > 0:
                trust_loss[0] += push[j] * (plain[j] - mixed[j])
                trust_loss[1] += push[j] * (alone[j] - mixed[j])
        for k in range(count):
            spoken[k] += awake[k]
            site_loss[k] = 0.0
            for j in range(levels):
                gap[k, j] = awake[k] * (tile[k, j] - mixed[j])
                total[k, j] += push[j] * gap[k, j]
                site_loss[k] += push[j] * gap[k, j]
            gradient[k] += site_loss[k]
        _bend(mixed, gap, shared, plan, bent)
        size = _add_curvature(gap, bent, curvature)
        if trust > 0:
            for k in range(count):
                centre[k] = mean[k] + trust * (memory.site_solution[lead, site, k] - mean[k])
            _learn_site(memory, 1 - plan.site[0], site_loss, centre, size, (lead, site))
    if cases > 0:
        _scale(cases, trust_loss, gradient, curvature, total)
        if trust > 0:
            _step(
                trust_loss, memory.trust_excess[lead], memory.trust_variance[lead], memory.trust_spread, lead, plan.meta
            )
        _learn_candidates(memory, plan, total, lead)
        _learn_quadratic(memory, plan, mean, curvature, gradient, lead)
        _learn_levels(memory, plan, total, spoken, cases, lead)


@compiled
def _scale(cases: int, trust_loss: Floats, gradient: Floats, curvature: Floats, total: Floats) -> None:
    """Sums over sites become means, in place."""
    trust_loss /= cases
    gradient /= cases
    curvature /= cases
    total /= cases


@compiled
def _read(experts: Floats, lead: int, site: int, tile: Floats, awake: Floats) -> bool:
    """Copy what the experts say at a cell; who sleeps counts 0. A forecast with a hole in it is no forecast."""
    anyone = False
    for k in range(tile.shape[0]):
        total = 0.0
        for j in range(tile.shape[1]):
            tile[k, j] = experts[k, lead, site, j]
            total += tile[k, j]
        if np.isfinite(total):
            awake[k] = 1.0
            anyone = True
        else:
            awake[k] = 0.0
            for j in range(tile.shape[1]):
                tile[k, j] = 0.0
    return anyone


@compiled
def _mix(tile: Floats, awake: Floats, weights: Floats, mixed: Floats) -> None:
    """Weighted mean (J,) of the experts awake, into ``mixed``."""
    count, levels = tile.shape
    share = np.zeros(levels)
    for j in range(levels):
        mixed[j] = 0.0
    for k in range(count):
        for j in range(levels):
            weight = awake[k] * weights[k, j]
            mixed[j] += weight * tile[k, j]
            share[j] += weight
    for j in range(levels):
        mixed[j] /= share[j]


@compiled
def _own_weights(memory: Memory, shared: Floats, mean: Floats, lead: int, site: int, own: Floats) -> None:
    """A site's own weights, with the differences between levels that its lead has; into ``own``."""
    for k in range(len(mean)):
        moved = memory.site_solution[lead, site, k] - mean[k]
        for j in range(shared.shape[1]):
            own[k, j] = max(shared[k, j] + moved, 1e-6)


@compiled
def _sort(values: Floats) -> None:
    """Insertion sort in place: nearly always in order already."""
    for i in range(1, len(values)):
        value, j = values[i], i
        while j > 0 and values[j - 1] > value:
            values[j] = values[j - 1]
            j -= 1
        values[j] = value


@compiled
def _bend(mixed: Floats, gap: Floats, shared: Floats, plan: Plan, bent: Floats) -> None:
    """Curvature of the expected loss at each level: its weight, times the forecast's own density there; into ``bent``."""
    last = len(mixed) - 1
    for j in range(last + 1):
        apart = 0.0
        for k in range(len(gap)):
            apart += shared[k, j] * abs(gap[k, j])
        low, high = max(j - 1, 0), min(j + 1, last)
        span = plan.levels[high] - plan.levels[low]
        # Where experts disagree, nobody is as sure as the narrowest quantiles say (experts without spread, for instance);
        # where they tie (dry weather), the density has no end, and nothing to be multiplied with.
        width = max(mixed[high] - mixed[low], span * apart)
        bent[j] = plan.level_weights[j] * (span / width if width > 0 else 1 / apart if apart > 0 else 0.0)


@compiled
def _add_curvature(gap: Floats, bent: Floats, curvature: Floats) -> float:
    """Add one case's second derivatives by the weights; returns their trace."""
    count, levels = gap.shape
    scaled, size = np.empty(levels), 0.0
    for k in range(count):
        for j in range(levels):
            scaled[j] = bent[j] * gap[k, j]
        for i in range(k + 1):
            total = 0.0
            for j in range(levels):
                total += scaled[j] * gap[i, j]
            curvature[k, i] += total
            if i < k:
                curvature[i, k] += total
            else:
                size += total
    return size


@compiled
def _learn_levels(memory: Memory, plan: Plan, total: Floats, spoken: Floats, cases: int, lead: int) -> None:
    """Bernstein online aggregation per level; evidence is shared with neighbouring levels first."""
    count, levels = total.shape
    excess, heard = np.zeros((count, levels)), 0
    for k in range(count):
        if spoken[k] > 0:
            heard += 1
            for j in range(levels):
                for i in range(levels):
                    excess[k, j] += plan.smoother[j, i] * total[k, i] / plan.level_weights[i]
                excess[k, j] *= cases / spoken[k]
    for m in range(len(plan.rates)):
        keep, updates = 1 - plan.forgettings[m], memory.updates[lead, m]
        for j in range(levels):
            before, usual, spread = 0.0, 0.0, memory.spread[lead, m, j] * keep
            for k in range(count):
                before += memory.variance[lead, m, k, j] / count
            limit = _largest(before, updates)
            for k in range(count):
                value = min(max(excess[k, j], -limit), limit)
                usual += value * value / heard
                spread = max(spread, abs(value))
            memory.spread[lead, m, j] = spread
            for k in range(count):
                value = min(max(excess[k, j], -limit), limit)
                # Who sleeps gathers the variance of the others: waking up must not look like being surer than they are.
                variance = memory.variance[lead, m, k, j] * keep + (value * value if spoken[k] > 0 else usual)
                eta = learning_rate(variance, spread, plan.rates[m], count)
                memory.variance[lead, m, k, j] = variance
                memory.excess[lead, m, k, j] = memory.excess[lead, m, k, j] * keep + value * (1 + eta * value)
        memory.updates[lead, m] = updates * keep + 1


@compiled
def _largest(variance: float, updates: float) -> float:
    usual = np.sqrt(variance / max(updates, 1.0))
    return _LARGEST_EXCESS * usual if updates >= _ENOUGH_UPDATES and usual > 0 else np.inf


@compiled
def _learn_quadratic(
    memory: Memory, plan: Plan, centre: Floats, curvature: Floats, gradient: Floats, lead: int
) -> None:
    """Add a quadratic model of the loss, expanded at the blend's own weights, to every record."""
    count, size = len(centre), np.trace(curvature)
    for f in range(len(plan.quadratic_forgettings)):
        keep, updates = 1 - plan.quadratic_forgettings[f], memory.quadratic_updates[lead, f]
        # Square of the limit of an excess loss: one absurd forecast counts no more than ten times the ordinary.
        limit = _LARGEST_EXCESS**2 * np.trace(memory.curvature[lead, f]) / max(updates, 1.0)
        scale = limit / size if updates >= _ENOUGH_UPDATES and 0 < limit < size else 1.0
        for k in range(count):
            pull = gradient[k]
            for i in range(count):
                pull -= curvature[k, i] * centre[i]
                memory.curvature[lead, f, k, i] = memory.curvature[lead, f, k, i] * keep + scale * curvature[k, i]
            memory.pull[lead, f, k] = memory.pull[lead, f, k] * keep + scale * pull
        memory.quadratic_updates[lead, f] = updates * keep + 1


@compiled
def _learn_candidates(memory: Memory, plan: Plan, total: Floats, lead: int) -> None:
    """Aggregate the candidates by their losses, linearised at the blend, over all levels together."""
    candidates = candidate_weights(memory, plan, lead)
    loss = np.zeros(len(candidates))
    for c in range(len(candidates)):
        for k in range(total.shape[0]):
            for j in range(total.shape[1]):
                loss[c] += candidates[c, k, j] * total[k, j]
    _step(
        loss, memory.candidate_excess[lead], memory.candidate_variance[lead], memory.candidate_spread, lead, plan.meta
    )


@compiled
def _step(loss: Floats, excess: Floats, variance: Floats, spread: Floats, lead: int, settings: Floats) -> None:
    """One step of Bernstein online aggregation, in place."""
    keep = 1 - settings[1]
    widest = spread[lead] * keep
    for c in range(len(loss)):
        widest = max(widest, abs(loss[c]))
    spread[lead] = widest
    for c in range(len(loss)):
        variance[c] = variance[c] * keep + loss[c] * loss[c]
        eta = learning_rate(variance[c], widest, settings[0], len(loss))
        excess[c] = excess[c] * keep + loss[c] * (1 + eta * loss[c])


@compiled
def _learn_site(memory: Memory, keep: float, loss: Floats, centre: Floats, size: float, cell: tuple[int, int]) -> None:
    """Add one case to the record of a (lead, site): its loss, linearised, and the weights at which it was."""
    for k in range(len(loss)):
        memory.site_pull[cell][k] = memory.site_pull[cell][k] * keep + loss[k]
        memory.site_centre[cell][k] = memory.site_centre[cell][k] * keep + size * centre[k]
    memory.site_size[cell] = memory.site_size[cell] * keep + size
    memory.site_updates[cell] = memory.site_updates[cell] * keep + 1


@compiled
def _trust_in_sites(memory: Memory, plan: Plan, lead: int) -> float:
    """Share of the sites' own weights in the blend, 0 where no site has any."""
    if memory.site_updates.shape[1] == 0:
        return 0.0
    spread = memory.trust_spread[lead]
    shares = aggregate(_HALF, memory.trust_excess[lead], memory.trust_variance[lead], spread, plan.meta[0])
    return float(shares[1])
