"""Predictive distributions from the leaves of trees: what cases that fell into the same leaves had come to.

A forest grown for the mean puts alike cases into a leaf; the distribution of a new case is the mean over trees of the
distributions in its leaves. Each leaf keeps a histogram of its training targets on common edges, so that memory and time do
not depend on how many cases there were.

Source:
    Meinshausen (2006), Quantile regression forests, Journal of Machine Learning Research 7, 983-999.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray


def histogram_edges(target: NDArray[np.floating[Any]], *, bins: int = 120) -> NDArray[np.float64]:
    """Edges that hold about equally many targets each; a value that recurs (calm, dry) gets a bin without width."""
    edges = np.quantile(np.asarray(target, dtype=np.float64), np.linspace(0, 1, bins + 1))
    unique, counts = np.unique(edges, return_counts=True)
    return np.sort(np.concatenate([unique, unique[counts > 1]]))


def fill_leaves(
    leaves: NDArray[np.int32], target: NDArray[np.floating[Any]], edges: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Share of each leaf's targets in each bin.

    Args:
        leaves: (case, tree), the leaf each training case fell into.
        target: (case,).
        edges: of :func:`histogram_edges`.

    Returns:
        (tree, leaf, bin) float32; each leaf that holds a case sums to 1.
    """
    bins = find_bins(target, edges)
    counts = np.zeros((leaves.shape[1], int(leaves.max(initial=0)) + 1, len(edges) - 1), dtype=np.float32)
    for tree in range(leaves.shape[1]):
        np.add.at(counts[tree], (leaves[:, tree], bins), 1.0)
    return np.asarray(counts / np.maximum(counts.sum(axis=-1, keepdims=True), 1.0))


def find_bins(target: NDArray[np.floating[Any]], edges: NDArray[np.float64]) -> NDArray[np.intp]:
    """The bin of each target; a value on a doubled edge falls into the bin without width."""
    values = np.asarray(target, dtype=np.float64)
    right = np.searchsorted(edges, values, side="right") - 1
    left = np.searchsorted(edges, values, side="left")
    doubled = right > left
    return np.clip(np.where(doubled, left, right), 0, len(edges) - 2)


@numba.njit(cache=True, nogil=True)
def leaf_quantiles(
    leaves: NDArray[np.int32],
    shares: NDArray[np.float32],
    edges: NDArray[np.float64],
    levels: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Quantiles of the mean over trees of the distributions in the leaves of each case.

    Args:
        leaves: (case, tree).
        shares: (tree, leaf, bin) of :func:`fill_leaves`.
        edges: (bin + 1,).
        levels: (level,), increasing.

    Returns:
        (case, level); linear inside a bin.
    """
    cases, trees = leaves.shape
    bins = len(edges) - 1
    result = np.empty((cases, len(levels)), dtype=np.float32)
    mixed = np.empty(bins)
    for case in range(cases):
        mixed[:] = 0.0
        for tree in range(trees):
            leaf = leaves[case, tree]
            for part in range(bins):
                mixed[part] += shares[tree, leaf, part]
        total = mixed.sum()
        below, level = 0.0, 0
        for part in range(bins):
            here = mixed[part] / total
            while level < len(levels) and levels[level] <= below + here and here > 0.0:
                inside = (levels[level] - below) / here
                result[case, level] = edges[part] + inside * (edges[part + 1] - edges[part])
                level += 1
            below += here
        while level < len(levels):
            result[case, level] = edges[bins]
            level += 1
    return result
