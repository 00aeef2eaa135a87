"""Isotonic distributional regression: the best distributions that rise with one index, found without choosing a family.

Where a larger index means larger outcomes, the distribution function at a threshold t falls in the index. Isotonic distributional
regression takes, at every threshold, the falling function of the index that is nearest to what happened, 1{y <= t}, in
squares; pooling adjacent violators finds it in one pass. The result is calibrated in sample, and no other choice that rises
with the index has a lower CRPS there. Thresholds are a fixed grid and the index is kept in bins, so that time and memory
beyond one sort do not depend on the number of cases. Means over subsamples (subagging) smooth the steps.

Sources:
    Henzi, Ziegel and Gneiting (2021), Isotonic distributional regression, doi:10.1111/rssb.12450; Walz, Henzi, Ziegel and
    Gneiting (2024), Easy uncertainty quantification (EasyUQ), doi:10.1137/22M1541915.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.science.compiled import compiled

Floats = NDArray[Any]


@dataclass(frozen=True, slots=True)
class IsotonicDistributions:
    """Distributions along an index: ``below`` (node, threshold) is the probability of at most a threshold.

    ``nodes`` (node,) and ``thresholds`` (threshold,) rise strictly; ``below`` falls along nodes, rises along thresholds
    and ends in 1. The first threshold carries the probability of itself, as of a dry day.
    """

    nodes: NDArray[np.float64]
    thresholds: NDArray[np.float64]
    below: NDArray[np.float64]


def index_bins(index: Floats, most: int) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Bins of about equally many values, each value its own bin where there are few; equal values share one.

    Returns:
        Mean of the values of each bin, (bin,), rising strictly; the bin of each value.
    """
    values, place = np.unique(index, return_inverse=True)
    if len(values) <= most:
        return values, place.astype(np.intp)
    edges = np.unique(np.quantile(index, np.linspace(0, 1, most + 1))[1:-1])
    _, place = np.unique(np.searchsorted(edges, index, side="right"), return_inverse=True)
    return np.bincount(place, index) / np.bincount(place), place.astype(np.intp)


def threshold_grid(target: Floats, most: int) -> NDArray[np.float64]:
    """Thresholds between which a distribution function is taken as linear: the values themselves, or quantiles of them."""
    values = np.unique(target)
    return values if len(values) <= most else np.unique(np.quantile(target, np.linspace(0, 1, most)))


def fit_isotonic(
    index: Floats, target: Floats, bags: NDArray[np.bool_], *, most_nodes: int = 100, most_thresholds: int = 150
) -> IsotonicDistributions:
    """Isotonic distributions, averaged over subsamples.

    Args:
        index: (case,), finite; any unit.
        target: (case,), finite.
        bags: (bag, case), which cases each subsample holds; one bag of all cases is the plain method.
        most_nodes: bins of the index.
        most_thresholds: thresholds.

    Raises:
        ValueError: there is no case, or a bag holds none.
    """
    if not len(target) or not bags.any(axis=1).all():
        raise ValueError("a bag without cases; give each at least one")
    nodes, place = index_bins(np.asarray(index, dtype=np.float64), most_nodes)
    thresholds = threshold_grid(np.asarray(target, dtype=np.float64), most_thresholds)
    # The first threshold that is not below the target; whatever rounds beyond the last belongs to it.
    reached = np.minimum(np.searchsorted(thresholds, target), len(thresholds) - 1)
    cells = place * len(thresholds) + reached
    below = np.zeros((len(nodes), len(thresholds)))
    for bag in bags:
        counts = np.bincount(cells[bag], minlength=below.size).reshape(below.shape).astype(np.float64)
        held = counts.sum(axis=1) > 0
        fitted = pool_violators(np.cumsum(counts[held], axis=1), counts[held].sum(axis=1))
        below += fitted if held.all() else _between(nodes[held], fitted, nodes)
    below /= len(bags)
    return IsotonicDistributions(nodes, thresholds, below)


def isotonic_quantiles(
    fitted: IsotonicDistributions, index: Floats, levels: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Quantiles at new values of the index, which counts in the unit of the target.

    Between nodes the distribution function is interpolated. Beyond the outermost node its distribution moves along with the
    index: the warmest forecast yet promises more than the warmest before.

    Args:
        fitted: distributions.
        index: (...), NaN where unknown.
        levels: (level,), rising.

    Returns:
        (..., level), rising along levels and in the index; NaN where the index is.
    """
    flat = np.asarray(index, dtype=np.float64).reshape(-1)
    result = np.full((len(flat), len(levels)), np.nan, dtype=np.float32)
    known = np.flatnonzero(np.isfinite(flat))
    held = np.clip(flat[known], fitted.nodes[0], fitted.nodes[-1])
    said = np.empty((len(known), len(levels)))
    _read(fitted.nodes, fitted.thresholds, fitted.below, held, np.asarray(levels, dtype=np.float64), said)
    result[known] = said + (flat[known] - held)[:, None]
    return result.reshape(*np.shape(index), len(levels))


def _between(nodes: Floats, below: Floats, wanted: Floats) -> Floats:
    """Distributions at other values of the index, linear between nodes and constant beyond."""
    right = np.clip(np.searchsorted(nodes, wanted), 1, max(len(nodes) - 1, 1))
    if len(nodes) == 1:
        return np.broadcast_to(below, (len(wanted), below.shape[1]))
    share = np.clip((wanted - nodes[right - 1]) / (nodes[right] - nodes[right - 1]), 0.0, 1.0)[:, None]
    return np.asarray((1 - share) * below[right - 1] + share * below[right])


@compiled
def pool_violators(count_below: Floats, count: Floats) -> Floats:
    """Distribution functions that fall along nodes, nearest to the observed shares in weighted squares.

    Args:
        count_below: (node, threshold), cases of each node at most at each threshold.
        count: (node,), cases of each node, all above zero.

    Returns:
        (node, threshold), falling along nodes; rising along thresholds as ``count_below`` does.
    """
    nodes, thresholds = count_below.shape
    fitted = np.empty((nodes, thresholds))
    total, weight, first = np.empty(nodes), np.empty(nodes), np.empty(nodes + 1, dtype=np.int64)
    for t in range(thresholds):
        blocks = 0
        for node in range(nodes):
            total[blocks], weight[blocks], first[blocks] = count_below[node, t], count[node], node
            blocks += 1
            # A share that is larger than the one before it is pooled with it.
            while blocks > 1 and total[blocks - 1] * weight[blocks - 2] >= total[blocks - 2] * weight[blocks - 1]:
                total[blocks - 2] += total[blocks - 1]
                weight[blocks - 2] += weight[blocks - 1]
                blocks -= 1
        first[blocks] = nodes
        for block in range(blocks):
            share = total[block] / weight[block]
            for node in range(first[block], first[block + 1]):
                fitted[node, t] = share
    return fitted


@compiled
def _read(nodes: Floats, thresholds: Floats, below: Floats, index: Floats, levels: Floats, said: Floats) -> None:
    """Quantiles (case, level) from the distribution functions of the two nodes around each index."""
    last = len(thresholds) - 1
    for case in range(len(index)):
        right = min(max(np.searchsorted(nodes, index[case]), 1), len(nodes) - 1)
        left = max(right - 1, 0)
        gap = nodes[right] - nodes[left]
        share = (index[case] - nodes[left]) / gap if gap > 0.0 else 0.0
        place = 0
        before = here = (1.0 - share) * below[left, 0] + share * below[right, 0]
        for level in range(len(levels)):
            while here < levels[level] and place < last:
                place += 1
                before, here = here, (1.0 - share) * below[left, place] + share * below[right, place]
            if place == 0 or here <= before:
                said[case, level] = thresholds[place]
            else:
                inside = min((levels[level] - before) / (here - before), 1.0)
                said[case, level] = thresholds[place - 1] + inside * (thresholds[place] - thresholds[place - 1])
