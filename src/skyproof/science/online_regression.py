"""Ridge regression that walks forward in time: at each issue time it knows the pairs that had arrived, and no others.

Each pair is added to sums of products once, when its observation arrives; the sums fade with a half life. From them
coefficients are solved for all cases together, for each lead shrunk towards those, and for each site shrunk towards its
lead's. Several half lives and strengths of shrinkage run side by side; their predictions are averaged with weights
that follow how well each did so far. So every prediction, also of the training period, is out of sample, and an update costs one
day's pairs.

Pairs of one day are no independent evidence: a front that comes early is early at all stations. The strength of shrinkage is
therefore counted in days, not in pairs.

Sources:
    Hoerl and Kennard (1970), doi:10.1080/00401706.1970.10488634 (ridge regression); Gelman and Hill (2007), chapter 12
    (partial pooling); Raftery et al. (2010), doi:10.1198/TECH.2009.08104 (dynamic model averaging with forgetting).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.science.ridge_kernels import solve_ridges

Floats = NDArray[Any]

#: Half lives tried, in days; the last one hardly forgets.
HALF_LIVES_DAYS = (8.0, 30.0, 150.0, 1500.0)
#: Strengths of shrinkage tried, in days of evidence.
STRENGTHS_DAYS = (2.0, 15.0, 90.0)
#: How much harder a lead's own coefficients, and a site's own, are held than the pooled ones.
_LEAD_HOLD, _SITE_HOLD = 1.0, 4.0
#: Memory of the averaging weights, in days.
_WEIGHT_HALF_LIFE_DAYS = 120.0


@dataclass(frozen=True, slots=True)
class Walk:
    """Which pairs arrive when: ``arrivals[i]`` are (issue, lead) index pairs known at issue i and not at issue i - 1."""

    arrivals: tuple[tuple[NDArray[np.intp], NDArray[np.intp]], ...]
    days: Floats


def plan_walk(arrived: NDArray[np.datetime64], issue_times: NDArray[np.datetime64]) -> Walk:
    """Order the pairs by arrival.

    Args:
        arrived: when each (issue, lead) was known.
        issue_times: (issue,), increasing.
    """
    first = np.searchsorted(issue_times, arrived, side="left")
    order = np.argsort(first, axis=None, kind="stable")
    sorted_first = first.ravel()[order]
    edges = np.searchsorted(sorted_first, np.arange(len(issue_times) + 1))
    arrivals = []
    for issue in range(len(issue_times)):
        flat = order[edges[issue] : edges[issue + 1]]
        arrivals.append((flat // arrived.shape[1], flat % arrived.shape[1]))
    days = (issue_times - issue_times[:1]) / np.timedelta64(86_400, "s")
    return Walk(tuple(arrivals), np.asarray(days))


def group_leads(count: int, *, most: int = 8) -> NDArray[np.intp]:
    """Neighbouring leads that share coefficients, (lead,): each its own while there are few."""
    return np.asarray(np.arange(count) * min(count, most) // max(count, 1))


@dataclass(frozen=True, slots=True)
class Walked:
    """What a walk said and where it ended.

    ``prediction``: (issue, lead, site), NaN before anything was known and where the design is not finite; ``coefficients``:
    (group of leads, site, term) with which the last issue time was predicted, one site for all where none has its own;
    NaN where nothing was known by then.
    """

    prediction: Floats
    coefficients: Floats


def apply_regression(design: Floats, coefficients: Floats) -> Floats:
    """Predict with the coefficients that a walk ended with.

    Args:
        design: (issue, lead, site, term), as :func:`walk_regression` was given.
        coefficients: those of :class:`Walked`, learned on the same leads.

    Returns:
        (issue, lead, site); NaN where the design is not finite.
    """
    by_lead = coefficients[group_leads(design.shape[1])]
    return np.asarray(np.einsum("ilst,lst->ils", design, np.broadcast_to(by_lead, design.shape[1:])))


def walk_regression(design: Floats, target: Floats, walk: Walk, *, penalty: Floats, per_site: bool = True) -> Walked:
    """Predict every case from the pairs known at its issue time.

    Args:
        design: (issue, lead, site, term), finite where a prediction is wanted; column 0 is the constant.
        target: (issue, lead, site), NaN where there is no observation.
        walk: the order of arrival.
        penalty: relative shrinkage of each term, (term,); 0 leaves a term free.
        per_site: learn coefficients of each site, too.

    Returns:
        The predictions, and the coefficients of the last issue time.
    """
    issues, leads, sites, terms = design.shape
    group = group_leads(leads)
    groups = int(group[-1]) + 1
    good: NDArray[np.bool_] = np.asarray(np.isfinite(design).all(axis=-1))
    clean = np.where(good[..., None], design, 0.0)
    known = good & np.isfinite(target)
    filled = np.where(known, target, 0.0)
    combos = [(half_life, strength) for half_life in range(len(HALF_LIVES_DAYS)) for strength in STRENGTHS_DAYS]
    sums = _Sums(group, sites if per_site and sites > 1 else 0, terms)
    loss, count = np.zeros((len(combos), groups)), np.zeros(groups)
    prediction = np.full((issues, leads, sites), np.nan)
    candidates = np.full((issues, len(combos), leads, sites), np.nan, dtype=np.float32)
    shares = np.zeros(loss.shape)
    for issue in range(issues):
        gap = walk.days[issue] - walk.days[issue - 1] if issue else 0.0
        sums.fade(gap)
        fade = 0.5 ** (gap / _WEIGHT_HALF_LIFE_DAYS)
        loss *= fade
        count *= fade
        for earlier, lead in zip(*walk.arrivals[issue], strict=True):
            use = known[earlier, lead]
            if not use.any():
                continue
            sums.add(lead, clean[earlier, lead], filled[earlier, lead], use)
            miss = np.square(candidates[earlier, :, lead] - filled[earlier, lead])[:, use]
            if np.isfinite(miss).all():
                loss[:, group[lead]] += miss.mean(axis=1) / sums.size[group[lead]]
                count[group[lead]] += 1 / sums.size[group[lead]]
        if not sums.any:
            continue
        for number, (half_life, strength) in enumerate(combos):
            candidates[issue, number] = sums.predict(half_life, strength * penalty, clean[issue])
        shares = _averaging_weights(loss, count)
        prediction[issue] = np.einsum("kl,kls->ls", shares[:, group], candidates[issue])
    last = np.full((groups, sites if sums.by_site else 1, terms), np.nan)
    if sums.any:
        each = [sums.coefficients(half_life, strength * penalty) for half_life, strength in combos]
        last = np.einsum("kg,kgst->gst", shares, np.stack(each))
    return Walked(np.where(good, prediction, np.nan), last)


def _averaging_weights(loss: Floats, count: Floats) -> Floats:
    """Weights (candidate, lead) that fall with the likelihood ratio of normal errors, one day counting as one pair."""
    total = loss + loss.mean(axis=1, keepdims=True) * 0.5 + 1e-12
    days = count + 0.5 * count.mean()
    score = -0.5 * days * np.log(total / total.min(axis=0))
    weights = np.exp(score - score.max(axis=0))
    return np.asarray(weights / weights.sum(axis=0))


class _Sums:
    """Fading sums of products: of all cases by group of leads, and of each site by group of leads."""

    def __init__(self, group: NDArray[np.intp], sites: int, terms: int) -> None:
        self.group, self.size = group, np.bincount(group)
        memories, groups = len(HALF_LIVES_DAYS), len(self.size)
        self.gram = np.zeros((memories, groups, terms, terms))
        self.cross = np.zeros((memories, groups, terms))
        self.by_site = sites > 0
        self.site_gram = np.zeros((memories, groups, sites, terms, terms))
        self.site_cross = np.zeros((memories, groups, sites, terms))
        self.any = False

    def fade(self, gap_days: float) -> None:
        for number, half_life in enumerate(HALF_LIVES_DAYS):
            keep = 0.5 ** (gap_days / half_life)
            for sums in (self.gram, self.cross, self.site_gram, self.site_cross):
                sums[number] *= keep

    def add(self, lead: int, design: Floats, target: Floats, use: NDArray[np.bool_]) -> None:
        rows, values, group = design[use], target[use], self.group[lead]
        # Each day counts as one, however many sites and leads of a group reported.
        share = 1 / (len(rows) * self.size[group])
        self.gram[:, group] += share * (rows.T @ rows)
        self.cross[:, group] += share * (rows.T @ values)
        self.any = True
        if self.by_site:
            masked = design * (use[:, None] / self.size[group])
            self.site_gram[:, group] += masked[:, :, None] * design[:, None, :]
            self.site_cross[:, group] += masked * target[:, None]

    def predict(self, half_life: int, penalty: Floats, design: Floats) -> Floats:
        """(lead, site) from a design (lead, site, term)."""
        by_lead = self.coefficients(half_life, penalty)[self.group]
        return np.asarray(np.einsum("lst,lst->ls", design, np.broadcast_to(by_lead, design.shape)))

    def coefficients(self, half_life: int, penalty: Floats) -> Floats:
        """(group, site, term); one site for all where none has its own."""
        gram, cross = self.gram[half_life], self.cross[half_life]
        ridge = np.diag(penalty + 1e-6)
        pooled = np.linalg.solve(gram.mean(axis=0) + ridge, cross.mean(axis=0))
        by_group = pooled + np.linalg.solve(gram + _LEAD_HOLD * ridge, (cross - gram @ pooled)[..., None])[..., 0]
        if not self.by_site:
            return np.asarray(by_group[:, None])
        site_gram, site_cross = self.site_gram[half_life], self.site_cross[half_life]
        terms = len(penalty)
        start = np.broadcast_to(by_group[:, None], site_cross.shape).reshape(-1, terms)
        hold = _SITE_HOLD * penalty + _SITE_HOLD
        own = solve_ridges(site_gram.reshape(-1, terms, terms), site_cross.reshape(-1, terms), start, hold)
        return np.asarray(own.reshape(site_cross.shape))
