"""All that is remembered about a source's errors: by each site, around it, and of the last days."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.science.neighbours import nearness, neighbour_offsets
from skyproof.science.site_memory import Corrections, EventTimes, MemoryTraits, SiteMemory, remember
from skyproof.stages.forecast.case_blocks import CaseBlock

Floats = NDArray[Any]

#: The errors of the last days: how they are weighed against older ones is found by the regression that uses them.
_LATELY = MemoryTraits(2.5, (1.0,))
#: Distance and difference in height at which another site counts 0.61, and sites from which neighbours are asked.
_NEAR_KM, _HEIGHT_M, _FEWEST_NEIGHBOURS = 100.0, 300.0, 5
#: Sums that a site's own errors go into begin so.
_RECORDS = ("memory_slow_", "memory_fast_")
#: Pseudo-cases of the mean error around a site.
_AROUND = 8.0


@dataclass(frozen=True, slots=True)
class Recollection:
    """What was remembered of each case at its issue time, (issue, lead, site).

    ``correction`` is the site's own; ``around`` what its neighbours say of what the own record leaves open; ``lately`` and
    ``lately_around`` the errors of the last days after both, at the site and around it.
    """

    correction: Floats
    around: Floats
    lately: Floats
    lately_around: Floats
    leverage: Floats
    log_scale: Floats


class SiteMemories:
    """Memories of all sites of one source and group of leads."""

    def __init__(self, traits: MemoryTraits) -> None:
        self._traits = traits
        self._numbers: dict[str, NDArray[np.float64]] = {}
        self._neighbours: bool | None = None

    def learn(self, block: CaseBlock, errors: Floats, features: Floats, scale: Floats) -> Recollection:
        """Run through a block of known errors, (issue, lead, site), and keep what they taught.

        Args:
            block: the cases.
            errors: observed minus expected at unit size.
            features: (site, event, k).
            scale: expected size of the errors.
        """
        self._numbers, self._neighbours = {"places": block.places}, None
        return self._run(block, errors, features, scale, None)

    def recall(self, block: CaseBlock, features: Floats, sites: NDArray[np.intp]) -> Recollection:
        """What is remembered of new cases; ``sites`` as in the fit, -1 for new ones."""
        nothing = np.full(block.shape, np.nan)
        return self._run(block, nothing, features, np.ones(block.shape), sites)

    @property
    def has_neighbours(self) -> bool:
        """Whether enough of the learned sites have coordinates to ask those around a site."""
        if self._neighbours is None:
            located = np.isfinite(self._numbers["places"][:, :2]).all(axis=1)
            self._neighbours = int(located.sum()) >= _FEWEST_NEIGHBOURS
        return self._neighbours

    def state(self) -> dict[str, NDArray[np.float64]]:
        """Sums of every site."""
        return {f"memory_{name}": array for name, array in self._numbers.items()}

    def restore(self, state: Mapping[str, Floats]) -> None:
        """Take them back."""
        self._neighbours = None
        own = {name: array for name, array in state.items() if name.startswith("memory_")}
        self._numbers = {name.removeprefix("memory_"): np.asarray(array) for name, array in own.items()}

    def _run(
        self, block: CaseBlock, errors: Floats, features: Floats, scale: Floats, sites: NDArray[np.intp] | None
    ) -> Recollection:
        size = by_site(scale)
        weights = self._weights(block.places, sites)
        slow = self._pass("slow", (by_site(errors), features), (size, block.times), self._traits, sites)
        correction = by_case(slow.correction, block)
        open_share = np.minimum(self._traits.pseudo_cases[0] * by_case(slow.leverage, block), 1.0)
        around = open_share * self._around("slow", slow, weights, block, self._traits, sites)
        left = errors - correction - around
        constant = np.ascontiguousarray(features[..., :1])
        fast = self._pass("fast", (by_site(left), constant), (size, block.times), _LATELY, sites)
        return Recollection(
            correction,
            around,
            by_case(fast.correction, block),
            np.broadcast_to(self._around("fast", fast, weights, block, _LATELY, sites), correction.shape),
            by_case(slow.leverage, block),
            by_case(slow.log_scale, block),
        )

    def _pass(
        self,
        name: str,
        cases: tuple[Floats, Floats],
        setting: tuple[Floats, EventTimes],
        traits: MemoryTraits,
        sites: NDArray[np.intp] | None,
    ) -> Corrections:
        if sites is not None:
            memory = self._memory(name, sites)
            if name == "slow":
                # What a site is wrong by on the whole stays the best that is known of it, however old; what it was lately passes.
                memory = replace(memory, at=float(setting[1].issued[-1]))
            return remember(*cases, *setting, traits, memory=memory)[0]
        told, memory = remember(*cases, *setting, traits)
        sums = {"gram": memory.gram, "cross": memory.cross, "squares": memory.squares, "count": memory.count}
        self._numbers |= {f"{name}_{key}": array for key, array in sums.items()}
        self._numbers["at"] = np.array([memory.at])
        return told

    def _around(
        self,
        name: str,
        told: Corrections,
        weights: Floats | None,
        block: CaseBlock,
        traits: MemoryTraits,
        sites: NDArray[np.intp] | None,
    ) -> Floats:
        """Mean error around each site, (issue, 1, site)."""
        if weights is None:
            return np.zeros((1, 1, 1))
        sums, counts = told.offset_sum, told.offset_count
        if sites is not None:
            # New cases may name but a few of the sites; all that were learned from speak.
            age = np.maximum(block.times.issued - self._numbers["at"][0], 0.0)
            fade = 0.5 ** (age / traits.half_life_days) if name == "fast" else np.ones(len(age))
            sums = self._numbers[f"{name}_cross"][:, :1] * fade
            counts = self._numbers[f"{name}_gram"][:, 0, :1] * fade
        return neighbour_offsets(weights, sums, counts, pseudo_cases=_AROUND).T[:, None, :].astype(np.float64)

    def _weights(self, places: Floats, sites: NDArray[np.intp] | None) -> Floats | None:
        if not self.has_neighbours:
            return None
        own = np.arange(len(places)) if sites is None else sites
        named = (places, self._numbers["places"])
        return _neighbourhood(
            *(np.ascontiguousarray(part, dtype=np.float64).tobytes() for part in named), own.tobytes()
        )

    def _memory(self, name: str, sites: NDArray[np.intp]) -> SiteMemory:
        """Of these sites; one that is new has none."""
        parts = [self._numbers[f"{name}_{key}"][sites].copy() for key in ("gram", "cross", "squares", "count")]
        for part in parts:
            part[sites < 0] = 0.0
        return SiteMemory(parts[0], parts[1], parts[2], parts[3], float(self._numbers["at"][0]))


@lru_cache(maxsize=4)
def _neighbourhood(places: bytes, learned: bytes, own: bytes) -> Floats:
    """Weights of the learned sites at each place, its own zero; made once for all leads, variables and sources.

    Args:
        places: float64 (place, 3), as bytes.
        learned: the same of the sites learned from.
        own: which of those each place is, -1 for none, intp.
    """
    to, at = (np.frombuffer(part).reshape(-1, 3) for part in (places, learned))
    weights = nearness(to, at, length_km=_NEAR_KM, length_m=_HEIGHT_M)
    place = np.frombuffer(own, dtype=np.intp)
    weights[np.flatnonzero(place >= 0), place[place >= 0]] = 0.0
    weights.flags.writeable = False
    return weights


def without_records(state: Mapping[str, NDArray[Any]], hidden: Collection[str]) -> Mapping[str, NDArray[Any]]:
    """An expert's state as if some sites had told nothing of their errors; what all sites together taught stays.

    Args:
        state: as experts pack it (:func:`~skyproof.stages.forecast.emos_expert.pack_groups`).
        hidden: ids of the sites.
    """
    if "common/sites" not in state or not hidden:
        return state
    places = np.flatnonzero(np.isin(state["common/sites"], sorted(hidden)))
    kept = dict(state)
    for name in state if len(places) else ():
        owner, _, own = name.partition("/")
        if owner != "of" and own.rpartition("|")[2].startswith(_RECORDS):
            kept[name] = state[name].copy()
            # Groups of leads come before sites where they are kept as one array.
            kept[name][(slice(None), places) if owner == "all" else places] = 0.0
    return kept


def by_site(array: Floats) -> Floats:
    """(issue, lead, site) to (site, event)."""
    return np.ascontiguousarray(array.reshape(-1, array.shape[-1]).T, dtype=np.float32)


def by_case(array: Floats, block: CaseBlock) -> Floats:
    """(site, event) to (issue, lead, site)."""
    return np.asarray(array.T.reshape(block.shape), dtype=np.float64)
