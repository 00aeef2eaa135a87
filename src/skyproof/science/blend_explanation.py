"""What each expert and each source gave to a forecast, from the blend's weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Contributions:
    """Mean weights, largest first, each sum 1: of every expert, and of every source (the experts fed by it alone).

    An expert fed by none or by several (climatology, joint trees) stands among the sources under its own name.
    """

    experts: dict[str, float]
    sources: dict[str, float]


def explain_weights(weights: Floats, names: Sequence[str]) -> Contributions:
    """Mean weight per expert and per source.

    Args:
        weights: (expert, ...), not below zero; NaN where nothing was blended. Cells are averaged as they are.
        names: one per expert, ``method:source`` or ``method``.

    Raises:
        ValueError: names and experts differ in number, or no weight is above zero.
    """
    if len(names) != len(weights):
        raise ValueError(f"got {len(names)} names for {len(weights)} experts; give one each")
    means = np.nanmean(np.asarray(weights, dtype=np.float64).reshape(len(names), -1), axis=1)
    if not means.sum() > 0:
        raise ValueError("no weight is above zero, so there is nothing to explain")
    shares = means / means.sum()
    experts: dict[str, float] = {}
    sources: dict[str, float] = {}
    for name, share in zip(names, shares, strict=True):
        method, _, source = name.partition(":")
        experts[name] = float(share)
        sources[source or method] = sources.get(source or method, 0.0) + float(share)
    return Contributions(_largest_first(experts), _largest_first(sources))


def _largest_first(shares: dict[str, float]) -> dict[str, float]:
    return dict(sorted(shares.items(), key=lambda item: (-item[1], item[0])))
