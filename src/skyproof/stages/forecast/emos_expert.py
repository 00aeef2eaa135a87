"""The EMOS experts: a source's ensemble made a calibrated distribution, learned from cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.cases import Cases, Place
from skyproof.domain.variables import Variable
from skyproof.science.site_memory import MemoryTraits
from skyproof.science.threads import in_threads
from skyproof.stages.forecast.axes import nest
from skyproof.stages.forecast.case_blocks import case_block, group_leads
from skyproof.stages.forecast.emos_choice import (
    checkpoint,
    choose_traits,
    default_traits,
    outlook_quantiles,
)
from skyproof.stages.forecast.emos_scales import Scale, candidate_numbers, candidate_of, candidates
from skyproof.stages.forecast.source_regression import Outlook, SourceRegression, Traits

Floats = NDArray[Any]
State = dict[str, NDArray[Any]]


class EmosExpert:
    """Distributional regression on one source; see :mod:`skyproof.stages.forecast.source_regression`.

    A refit begins from the last solution, and chooses anew only when the record has grown by a fifth. Sleeps where the
    source is missing and, altogether, for circular variables and before ten cases are known.
    """

    def __init__(self, source_id: str) -> None:
        self.name = f"emos:{source_id}"
        self.source_id = source_id
        self._groups: list[State] = []
        self._common: State = {}
        self._learned: tuple[Any, list[Outlook | None]] = (None, [])
        self._asked: tuple[Cases | None, dict[int, Outlook]] = (None, {})

    def fit(self, cases: Cases, as_of: np.datetime64) -> None:
        """Learn from the cases known at ``as_of``."""
        past = known_issues(cases, as_of)
        self._learned, self._asked = (None, []), (None, {})
        if not candidates(cases.variable) or self.source_id not in past.members or not len(past.issue_times):
            self._groups, self._common = [], {}
            return
        mark = checkpoint(len(past.issue_times))
        if chooses_anew(self._common, mark):
            early = past.take(slice(0, mark))
            traits = choose_traits(early, self.source_id) if mark else default_traits(cases.variable)
            self._common = {"checkpoint": np.array([mark]), **traits_state(traits)}
        groups = group_leads(len(past.issue_times), len(past.lead_hours), len(past.sites))
        self._common |= axes_state(past, groups)
        before = self._groups if len(self._groups) == len(groups) else [{}] * len(groups)

        def fit_group(index: int) -> tuple[State, Outlook | None]:
            block = case_block(past, groups[index], as_of)
            if np.isfinite(block.observed).sum() < 10 or not np.isfinite(block.members[self.source_id]).any():
                return {}, None
            scale = Scale.of(cases.variable, self.traits.candidate.transform, block.observed)
            regression = self._regression(cases.variable, scale)
            outlook = regression.fit(block, before[index] or None)
            return {**regression.state(), "scale": scale.state()}, outlook.in_half()

        fitted = in_threads(fit_group, len(groups))
        self._groups = [state for state, _ in fitted]
        self._learned = ((as_of, len(past.issue_times)), [outlook for _, outlook in fitted])

    def predict(self, cases: Cases, levels: NDArray[np.float64]) -> NDArray[np.float32]:
        """Quantiles of every case; NaN where the source is missing."""
        shape = (len(cases.issue_times), len(cases.lead_hours), len(cases.sites), len(levels))
        result = np.full(shape, np.nan, dtype=np.float32)
        if not self._groups or self.source_id not in cases.members or not len(cases.issue_times):
            return result
        groups, candidate = groups_of_leads(self._common, cases.lead_hours), self.traits.candidate
        self.begin(cases)

        def predict_group(place: int) -> None:
            index, leads = groups[place]
            outlook = self.outlook(cases, index, leads)
            if outlook is not None:
                scale = Scale.restore(self._groups[index]["scale"])
                result[:, leads] = outlook_quantiles(candidate, outlook, scale, levels)

        in_threads(predict_group, len(groups), cells=cases.observed.size)
        return result

    @property
    def traits(self) -> Traits:
        """What was chosen for the source."""
        return traits_of(self._common)

    def learned_outlooks(self, cases: Cases, as_of: np.datetime64) -> list[Outlook | None]:
        """What it would have said of the cases it learns from at ``as_of``, by group of leads; fits it if it was not."""
        if self._learned[0] != (as_of, len(known_issues(cases, as_of).issue_times)):
            self.fit(cases, as_of)
        outlooks, self._learned = self._learned[1], (None, [])
        return outlooks

    def begin(self, cases: Cases) -> None:
        """Be ready for :meth:`outlook` of these cases: whoever asks for them again is given what was worked out."""
        if self._asked[0] is not cases:
            self._asked = (cases, {})

    def outlook(self, cases: Cases, index: int, leads: NDArray[np.intp]) -> Outlook | None:
        """What it says of new cases at the leads that belong to a group; None where it knows nothing of the group."""
        if index >= len(self._groups) or not self._groups[index] or self.source_id not in cases.members:
            return None
        held = self._asked[1]
        if index not in held:
            state = self._groups[index]
            regression = self._regression(cases.variable, Scale.restore(state["scale"]))
            regression.restore(state)
            held[index] = regression.predict(case_block(cases, leads, None), known_sites(self._common, cases.sites))
        return held[index]

    def state(self) -> Mapping[str, NDArray[Any]]:
        """Coefficients and memories by group of leads."""
        return pack_groups(self._common, self._groups)

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take it back."""
        self._common, self._groups = unpack_groups(state)
        self._learned, self._asked = (None, []), (None, {})

    def _regression(self, variable: Variable, scale: Scale) -> SourceRegression:
        return SourceRegression(self.source_id, self.traits, scale, amounts=variable.family == "censored")


def known_issues(cases: Cases, as_of: np.datetime64) -> Cases:
    """The cases issued by ``as_of``."""
    return cases.take(slice(0, int(np.searchsorted(cases.issue_times, as_of, side="right"))))


def chooses_anew(common: State, mark: int) -> bool:
    """Whether the record has reached another checkpoint since something was chosen on it."""
    return not common or mark != int(common["checkpoint"][0])


def pack_groups(common: State, groups: Sequence[State]) -> State:
    """What all groups of leads share, and what each has learned, as one mapping: few large arrays, not many small ones."""
    packed = {f"common/{name}": array for name, array in common.items()}
    for name in dict.fromkeys(name for group in groups for name in group):
        holders = [index for index, group in enumerate(groups) if name in group]
        kinds = {(groups[index][name].shape, groups[index][name].dtype) for index in holders}
        if len(kinds) == 1:
            packed[f"all/{name}"] = np.stack([groups[index][name] for index in holders])
            packed[f"of/{name}"] = np.array(holders)
        else:
            packed |= {f"{index}/{name}": groups[index][name] for index in holders}
    return packed


def unpack_groups(state: Mapping[str, NDArray[Any]]) -> tuple[State, list[State]]:
    """The inverse of :func:`pack_groups`."""
    nested = nest(dict(state))
    common, stacked, holders = (nested.pop(kind, {}) for kind in ("common", "all", "of"))
    count = len(common.get("groups", ())) and int(common["groups"].max()) + 1
    groups = [nested.get(str(index), {}) for index in range(count)]
    for name, arrays in stacked.items():
        for index, array in zip(holders[name].tolist(), arrays, strict=True):
            groups[index][name] = array
    return common, groups


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
