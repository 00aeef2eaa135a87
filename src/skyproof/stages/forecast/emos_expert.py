"""The EMOS experts: a source's ensemble made a calibrated distribution, learned from cases."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.cases import Cases, Place
from skyproof.domain.variables import Variable
from skyproof.science.site_memory import MemoryTraits
from skyproof.stages.forecast.axes import flatten, nest
from skyproof.stages.forecast.case_blocks import case_block, group_leads
from skyproof.stages.forecast.emos_choice import (
    checkpoint,
    choose_traits,
    default_traits,
    outlook_quantiles,
)
from skyproof.stages.forecast.emos_scales import Scale, candidate_numbers, candidate_of, candidates
from skyproof.stages.forecast.source_regression import SourceRegression, Traits

Floats = NDArray[Any]
State = dict[str, NDArray[Any]]


class EmosExpert:
    """Distributional regression on one source; see :mod:`skyproof.stages.forecast.source_regression`.

    A refit begins from the last solution, and chooses anew only when the record has grown by a fifth. Sleeps where the
    source is missing and, altogether, for circular variables and before ten cases are known.
    """

    def __init__(self, source_id: str) -> None:
        self.name = f"emos:{source_id}"
        self._source_id = source_id
        self._groups: list[State] = []
        self._common: State = {}

    def fit(self, cases: Cases, as_of: np.datetime64) -> None:
        """Learn from the cases known at ``as_of``."""
        past = cases.take(slice(0, int(np.searchsorted(cases.issue_times, as_of, side="right"))))
        if not candidates(cases.variable) or self._source_id not in past.members or not len(past.issue_times):
            self._groups, self._common = [], {}
            return
        mark = checkpoint(len(past.issue_times))
        if not self._common or int(self._common["checkpoint"][0]) != mark:
            early = past.take(slice(0, mark))
            traits = choose_traits(early, self._source_id) if mark else default_traits(cases.variable)
            self._common = {"checkpoint": np.array([mark]), **traits_state(traits)}
        traits = traits_of(self._common)
        groups = group_leads(len(past.issue_times), len(past.lead_hours), len(past.sites))
        self._common |= axes_state(past, groups)
        before = self._groups if len(self._groups) == len(groups) else [{}] * len(groups)

        def fit_group(index: int) -> State:
            block = case_block(past, groups[index], as_of)
            if np.isfinite(block.observed).sum() < 10 or not np.isfinite(block.members[self._source_id]).any():
                return {}
            scale = Scale.of(cases.variable, traits.candidate.transform, block.observed)
            regression = self._regression(cases.variable, traits, scale)
            regression.fit(block, before[index] or None)
            return {**regression.state(), "scale": scale.state()}

        self._groups = in_threads(fit_group, len(groups))

    def predict(self, cases: Cases, levels: NDArray[np.float64]) -> NDArray[np.float32]:
        """Quantiles of every case; NaN where the source is missing."""
        shape = (len(cases.issue_times), len(cases.lead_hours), len(cases.sites), len(levels))
        result = np.full(shape, np.nan, dtype=np.float32)
        if not self._groups or self._source_id not in cases.members or not len(cases.issue_times):
            return result
        traits, sites = traits_of(self._common), known_sites(self._common, cases.sites)

        def predict_group(index: int) -> None:
            group, leads = groups[index]
            state = self._groups[group]
            if not state:
                return
            block = case_block(cases, leads, None)
            scale = Scale.restore(state["scale"])
            regression = self._regression(cases.variable, traits, scale)
            regression.restore(state)
            outlook = regression.predict(block, sites)
            result[:, leads] = outlook_quantiles(traits.candidate, outlook, scale, levels)

        groups = groups_of_leads(self._common, cases.lead_hours)
        in_threads(predict_group, len(groups))
        return result

    def state(self) -> Mapping[str, NDArray[Any]]:
        """Coefficients and memories by group of leads."""
        return pack_groups(self._common, self._groups)

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take it back."""
        self._common, self._groups = unpack_groups(state)

    def _regression(self, variable: Variable, traits: Traits, scale: Scale) -> SourceRegression:
        return SourceRegression(self._source_id, traits, scale, amounts=variable.family == "censored")


def pack_groups(common: State, groups: Sequence[State]) -> State:
    """What all groups of leads share, and what each has learned, as one mapping."""
    return flatten({"common": common, **{f"{index}": group for index, group in enumerate(groups)}})


def unpack_groups(state: Mapping[str, NDArray[Any]]) -> tuple[State, list[State]]:
    """The inverse of :func:`pack_groups`."""
    nested = nest(dict(state))
    common = nested.pop("common", {})
    count = len(common.get("groups", ())) and int(common["groups"].max()) + 1
    return common, [nested.get(str(index), {}) for index in range(count)]


def in_threads(work: Callable[[int], Any], count: int) -> list[Any]:
    """``work`` of every index, in as many threads as there are cores; the arithmetic within holds no lock."""
    if count <= 1:
        return [work(index) for index in range(count)]
    with ThreadPoolExecutor(min(os.cpu_count() or 1, count)) as pool:
        return list(pool.map(work, range(count)))


def axes_state(cases: Cases, groups: Sequence[NDArray[np.intp]]) -> State:
    """Sites and leads of a fit, and the group of every lead."""
    group = np.empty(len(cases.lead_hours), dtype=np.int64)
    for index, leads in enumerate(groups):
        group[leads] = index
    return {
        "sites": np.array([site.place_id for site in cases.sites]),
        "leads": np.array(cases.lead_hours, dtype=np.float64),
        "groups": group,
    }


def known_sites(common: State, sites: tuple[Place, ...]) -> NDArray[np.intp]:
    """Where each site was in the fit; -1 for a new one."""
    place = {name: index for index, name in enumerate(common["sites"].tolist())}
    return np.array([place.get(site.place_id, -1) for site in sites], dtype=np.intp)


def groups_of_leads(common: State, lead_hours: tuple[int, ...]) -> list[tuple[int, NDArray[np.intp]]]:
    """Each group of the fit with the leads now asked that are nearest to one of its leads."""
    nearest = np.abs(np.array(lead_hours)[:, None] - common["leads"]).argmin(axis=1)
    group = common["groups"][nearest]
    return [(int(index), np.flatnonzero(group == index)) for index in np.unique(group)]


def traits_state(traits: Traits) -> State:
    """Traits as arrays."""
    return {
        "candidate": np.array(candidate_numbers(traits.candidate)),
        "half_lives": np.array(
            [traits.memory.half_life_days, traits.memory.scale_pseudo_cases, traits.case_half_life_days]
        ),
        "pseudo_cases": np.array(traits.memory.pseudo_cases),
    }


def traits_of(state: State) -> Traits:
    """The inverse of :func:`traits_state`."""
    memory_life, scale_pseudo, case_life = (float(value) for value in state["half_lives"])
    memory = MemoryTraits(memory_life, tuple(float(value) for value in state["pseudo_cases"]), scale_pseudo)
    return Traits(candidate_of(state["candidate"]), memory, case_life)
