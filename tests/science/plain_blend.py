"""The blend's rules written once more in plain numpy, cell by cell, for one variable; slow, and nothing is shared."""

from __future__ import annotations

import numpy as np


class PlainBlend:
    """One memory per lead; K experts, J levels, S sites. ``settings`` are those of a plan, by name."""

    def __init__(self, plan, experts, leads, sites, prior=None):
        self.plan, self.experts, self.leads, self.sites = plan, experts, leads, sites
        self.prior = np.full(experts, 1 / experts) if prior is None else prior
        shape = (leads, len(plan.rates), experts, len(plan.levels))
        self.excess, self.variance, self.updates = np.zeros(shape), np.zeros(shape), np.zeros(shape[:2])
        self.spread = np.full((*shape[:2], shape[3]), 1e-12)
        memories = len(plan.quadratic_forgettings)
        self.curvature, self.pull = np.zeros((leads, memories, experts, experts)), np.zeros((leads, memories, experts))
        self.quadratics = np.zeros((leads, memories))
        self.newton = np.tile(self.prior, (leads, len(plan.newton), 1))
        self.meta = [_Aggregation(plan.candidate_prior, plan.meta) for _ in range(leads)]
        self.trust = [_Aggregation(np.full(2, 0.5), plan.meta) for _ in range(leads)]
        self.site_pull, self.site_centre = np.zeros((leads, sites, experts)), np.zeros((leads, sites, experts))
        self.site_size, self.site_updates = np.zeros((leads, sites)), np.zeros((leads, sites))
        self.own = np.tile(self.prior, (leads, sites, 1))

    def weights(self, lead):
        """Smoothed weights (K, J)."""
        each = np.stack([self._lead_weights(other) for other in range(self.leads)])
        padded = np.concatenate([each[:1], each[:1], each, each[-1:], each[-1:]])
        return np.tensordot(np.array([1, 4, 6, 4, 1]) / 16, padded[lead : lead + 5], axes=1)

    def combine(self, experts):
        """Blended quantiles (L, S, J) of experts (K, L, S, J), all awake somewhere."""
        return np.stack(
            [
                [np.sort(self._mixtures(experts[:, lead, site], lead, site)[0]) for site in range(experts.shape[2])]
                for lead in range(self.leads)
            ]
        )

    def learn(self, experts, observed, leads):
        """Outcomes (L, S) of one issue time at some leads."""
        before = {lead: self.weights(lead) for lead in leads}
        for lead in leads:
            self._learn_lead(experts[:, lead], observed[lead], lead, before[lead])
        for lead in leads:
            self._solve(lead)
        after = {lead: self.weights(lead) @ self.plan.level_weights for lead in leads}
        for lead in leads:
            self._solve_sites(lead, after[lead])

    def _candidates(self, lead):
        constant = np.stack([self.prior, *self.newton[lead]])[:, :, None] * np.ones(len(self.plan.levels))
        aggregated = []
        for m, rate in enumerate(self.plan.rates):
            eta = _rate(self.variance[lead, m], self.spread[lead, m], rate, self.experts)
            weights = self.prior[:, None] * eta * np.exp(-eta * self.excess[lead, m])
            aggregated.append(weights / weights.sum(axis=0))
        return np.concatenate([constant[:1], np.stack(aggregated), constant[1:]])

    def _lead_weights(self, lead):
        mixed = np.tensordot(self.meta[lead].weights(), self._candidates(lead), axes=1)
        return (mixed + 1e-4) / (1 + 1e-4 * self.experts)

    def _mixtures(self, said, lead, site, shared=None):
        """The blend, by the lead's weights alone, by the site's own alone; the share of the latter."""
        shared = self.weights(lead) if shared is None else shared
        awake = np.isfinite(said).all(axis=-1, keepdims=True)
        said = np.where(awake, said, 0.0).astype(float)
        own = np.maximum(shared + (self.own[lead, site] - shared @ self.plan.level_weights)[:, None], 1e-6)
        plain, alone = ((w * awake * said).sum(axis=0) / (w * awake).sum(axis=0) for w in (shared, own))
        share = self.trust[lead].weights()[1]
        return plain + share * (alone - plain), plain, alone, share

    def _learn_lead(self, said, observed, lead, shared):
        plan, losses, gaps, curvatures, trust, awake_sites = self.plan, [], [], [], [], []
        mean = shared @ plan.level_weights
        for site, value in enumerate(observed):
            awake = np.isfinite(said[:, site]).all(axis=-1)
            if not np.isfinite(value) or not awake.any():
                continue
            mixed, plain, alone, share = self._mixtures(said[:, site], lead, site, shared)
            slope = (value < mixed) - plan.levels
            gap = np.where(awake[:, None], said[:, site] - mixed, 0.0)
            density = _density(mixed, plan.levels, (shared * np.abs(gap)).sum(axis=0))
            curvature = np.einsum("j,kj,ij->ki", plan.level_weights * density, gap, gap)
            loss = gap @ (plan.level_weights * slope)
            losses.append(slope * gap)
            gaps.append(loss)
            curvatures.append(curvature)
            awake_sites.append(awake)
            trust.append(
                [(plan.level_weights * slope) @ (plain - mixed), (plan.level_weights * slope) @ (alone - mixed)]
            )
            keep, size = 1 - plan.site[0], np.trace(curvature)
            centre = mean + share * (self.own[lead, site] - mean)
            self.site_pull[lead, site] = keep * self.site_pull[lead, site] + loss
            self.site_centre[lead, site] = keep * self.site_centre[lead, site] + size * centre
            self.site_size[lead, site] = keep * self.site_size[lead, site] + size
            self.site_updates[lead, site] = keep * self.site_updates[lead, site] + 1
        if not losses:
            return
        self.trust[lead].learn(np.mean(trust, axis=0))
        total = np.mean(losses, axis=0)
        self.meta[lead].learn(np.einsum("ckj,kj->c", self._candidates(lead), total * plan.level_weights))
        curvature, gradient = np.mean(curvatures, axis=0), np.mean(gaps, axis=0)
        for f, forgetting in enumerate(plan.quadratic_forgettings):
            scale, limit = 1.0, 100 * np.trace(self.curvature[lead, f]) / max(self.quadratics[lead, f], 1)
            if self.quadratics[lead, f] >= 10 and 0 < limit < np.trace(curvature):
                scale = limit / np.trace(curvature)
            self.curvature[lead, f] = (1 - forgetting) * self.curvature[lead, f] + scale * curvature
            self.pull[lead, f] = (1 - forgetting) * self.pull[lead, f] + scale * (gradient - curvature @ mean)
            self.quadratics[lead, f] = (1 - forgetting) * self.quadratics[lead, f] + 1
        self._learn_levels(np.sum(losses, axis=0), np.sum(awake_sites, axis=0), lead)

    def _learn_levels(self, total, spoken, lead):
        excess = (total / np.maximum(spoken, 1)[:, None]) @ self.plan.smoother.T
        for m, rate in enumerate(self.plan.rates):
            keep = 1 - self.plan.forgettings[m]
            usual = np.sqrt(self.variance[lead, m].mean(axis=0) / max(self.updates[lead, m], 1))
            limit = np.where((self.updates[lead, m] >= 10) & (usual > 0), 10 * usual, np.inf)
            value = np.clip(excess, -limit, limit)
            self.spread[lead, m] = np.maximum(self.spread[lead, m] * keep, np.abs(value).max(axis=0))
            square = np.where((spoken > 0)[:, None], value**2, (value**2).sum(axis=0) / max((spoken > 0).sum(), 1))
            self.variance[lead, m] = self.variance[lead, m] * keep + square
            eta = _rate(self.variance[lead, m], self.spread[lead, m], rate, self.experts)
            self.excess[lead, m] = self.excess[lead, m] * keep + value * (1 + eta * value)
            self.updates[lead, m] = self.updates[lead, m] * keep + 1

    def _shares(self, lead, decay):
        shares = float(decay) ** np.abs(np.arange(self.leads) - lead)
        return np.where(shares < 0.01, 0.0, shares)

    def _solve(self, lead):
        for n, (which, decay, patience) in enumerate(self.plan.newton):
            shares, f = self._shares(lead, decay), int(which)
            curvature = np.tensordot(shares, self.curvature[:, f], axes=1)
            ridge = patience * np.trace(curvature) / ((shares @ self.quadratics[:, f]) * self.experts)
            pull = shares @ self.pull[:, f] - ridge * self.prior
            self.newton[lead, n] = minimum(curvature + ridge * np.eye(self.experts), pull)

    def _solve_sites(self, lead, mean):
        shares = self._shares(lead, self.plan.site[1])
        curvature = np.tensordot(shares, self.curvature[:, 0], axes=1)
        curvature = curvature / np.trace(curvature)
        for site in range(self.sites):
            size, updates = shares @ self.site_size[:, site], shares @ self.site_updates[:, site]
            patience = self.plan.site[2] * size / max(updates, 1)
            pull = shares @ self.site_pull[:, site] - curvature @ (shares @ self.site_centre[:, site] + patience * mean)
            model = (size + patience) * (curvature + 1e-6 * np.eye(self.experts))
            self.own[lead, site] = minimum(model, pull) if size > 0 else mean


class _Aggregation:
    """Bernstein online aggregation of a few candidates."""

    def __init__(self, prior, settings):
        self.prior, (self.rate, self.forgetting) = np.asarray(prior), settings
        self.excess, self.variance, self.spread = np.zeros(len(prior)), np.zeros(len(prior)), 1e-12

    def weights(self):
        eta = _rate(self.variance, self.spread, self.rate, len(self.prior))
        weights = self.prior * eta * np.exp(-eta * self.excess)
        return weights / weights.sum()

    def learn(self, loss):
        keep = 1 - self.forgetting
        self.spread = max(self.spread * keep, np.abs(loss).max())
        self.variance = self.variance * keep + loss**2
        eta = _rate(self.variance, self.spread, self.rate, len(self.prior))
        self.excess = self.excess * keep + loss * (1 + eta * loss)


def _rate(variance, spread, rate, count):
    return rate * np.minimum(0.5 / spread, np.sqrt(np.log(max(count, 2)) / np.maximum(variance, 1e-24)))


def _density(mixed, levels, apart):
    span = np.concatenate([[levels[1] - levels[0]], levels[2:] - levels[:-2], [levels[-1] - levels[-2]]])
    width = np.concatenate([[mixed[1] - mixed[0]], mixed[2:] - mixed[:-2], [mixed[-1] - mixed[-2]]])
    width = np.maximum(width, span * apart)
    return np.where(width > 0, span / np.where(width > 0, width, 1.0), 0.0)


def minimum(curvature, pull):
    """Minimum of w'Cw / 2 + p'w over the simplex, by trying every set of experts with weight."""
    count, best, answer = len(pull), np.inf, None
    for chosen in range(1, 2**count):
        inside = np.array([bool(chosen >> k & 1) for k in range(count)])
        size = inside.sum()
        system = np.zeros((size + 1, size + 1))
        system[:size, :size], system[:size, size], system[size, :size] = curvature[np.ix_(inside, inside)], 1, 1
        weights = np.zeros(count)
        weights[inside] = np.linalg.solve(system, np.append(-pull[inside], 1))[:size]
        value = weights @ curvature @ weights / 2 + pull @ weights
        if (weights >= -1e-12).all() and value < best:
            best, answer = value, weights
    return answer
