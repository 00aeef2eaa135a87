"""Names of degradation regimes: which sources a run had to do without."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import combinations
from typing import TypeVar

FULL = "full"
OBSERVATIONS_ONLY = "observations-only"
CLIMATOLOGY_ONLY = "climatology-only"
_NO_OBSERVATIONS = "+no-observations"
#: Up to this many sources every subset is a regime of its own; beyond, losses of one or two and of all.
_MOST_SUBSETS_OF = 4

Value = TypeVar("Value")


def regime_id(source_ids: Sequence[str], missing: Collection[str], *, observations: bool) -> str:
    """The regime without the sources ``missing``, with or without recent observations."""
    gone = [source_id for source_id in source_ids if source_id in missing]
    if len(gone) == len(source_ids):
        return OBSERVATIONS_ONLY if observations else CLIMATOLOGY_ONLY
    name = f"without-{'-'.join(gone)}" if gone else FULL
    return name if observations else name + _NO_OBSERVATIONS


def known_losses(source_ids: Sequence[str]) -> tuple[tuple[frozenset[str], bool], ...]:
    """Every (missing sources, observations present) that a release is calibrated for."""
    counts = range(len(source_ids) + 1) if len(source_ids) <= _MOST_SUBSETS_OF else (0, 1, 2, len(source_ids))
    losses = [frozenset(gone) for count in counts for gone in combinations(source_ids, count)]
    return tuple((gone, observations) for observations in (True, False) for gone in losses)


def nearest_regime(
    known: Mapping[str, Value], source_ids: Sequence[str], missing: Collection[str], *, observations: bool
) -> Value:
    """What is ``known`` of the regime, or else of the one nearest to it that misses no less where it can."""
    name = regime_id(source_ids, missing, observations=observations)
    if name in known:
        return known[name]
    gone = frozenset(missing)

    def distance(loss: tuple[frozenset[str], bool]) -> tuple[int, int, int]:
        return (len(gone ^ loss[0]), abs(observations - loss[1]), -len(loss[0]))

    nearest = min(known_losses(source_ids), key=distance)
    return known[regime_id(source_ids, nearest[0], observations=nearest[1])]
