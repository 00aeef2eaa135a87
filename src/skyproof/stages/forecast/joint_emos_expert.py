"""EMOS of all sources together: one regression on what each says, with any of them missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.cases import Cases
from skyproof.domain.protocols import CaseExpert
from skyproof.domain.variables import Variable
from skyproof.science.threads import in_threads
from skyproof.stages.forecast.case_blocks import CaseBlock, case_block, group_leads
from skyproof.stages.forecast.emos_choice import (
    LEVELS,
    checkpoint,
    later,
    outlook_quantiles,
    quantile_loss,
    sample_blocks,
)
from skyproof.stages.forecast.emos_expert import (
    EmosExpert,
    State,
    axes_state,
    chooses_anew,
    groups_of_leads,
    known_issues,
    known_sites,
    pack_groups,
    traits_of,
    traits_state,
    unpack_groups,
)
from skyproof.stages.forecast.emos_scales import Candidate, Scale, candidate_numbers, candidate_of, candidates
from skyproof.stages.forecast.joint_regression import JointRegression, JointTraits
from skyproof.stages.forecast.source_regression import LOGISTIC_SD, Outlook, SourceRegression, Traits

Floats = NDArray[Any]

#: Distributions of a location and a scale, as the joint regression works with.
_LOCATION_SCALE = {"normal", "logistic", "truncated"}
#: What a group's state holds beside that of the joint regression.
_OURS = {"scale", "heard"}
_RIDGES = (0.3, 3.0, 30.0, 300.0)
_HELD_OUT = 0.35
_WORTH = 0.001


class JointEmosExpert:
    """Distributional regression on the outlooks of all sources, weights held near equal by a ridge chosen from the data.

    A source whose own expert describes it by a location and a scale in the terms of this one is taken as that expert has
    it; any other is described anew. Sleeps where every source is missing and, altogether, for circular variables and before
    ten cases are known.

    Args:
        experts: those of the sources, which are fitted, restored and asked beside it.
    """

    def __init__(self, experts: Sequence[EmosExpert]) -> None:
        self.name = "emos:all"
        self._experts = {expert.source_id: expert for expert in experts}
        self._groups: list[State] = []
        self._common: State = {}

    def fit(self, cases: Cases, as_of: np.datetime64) -> None:
        """Learn from the cases known at ``as_of``."""
        past = known_issues(cases, as_of)
        names = [name for name in sorted(past.members) if np.isfinite(past.members[name]).any()]
        options = joint_candidates(cases.variable)
        if not options or not names or not len(past.issue_times):
            self._groups, self._common = [], {}
            return
        told = {name: self._experts[name].learned_outlooks(cases, as_of) for name in names}
        described = {name: _in_terms_of(self._experts[name].traits, options[0]) for name in names}
        mark = checkpoint(len(past.issue_times))
        if self._stale(mark, described):
            self._common = {"checkpoint": np.array([mark]), "sources": np.array(names)}
            for name, traits in described.items():
                self._common |= {f"{key}.{name}": array for key, array in traits_state(traits).items()}
            early = past.take(slice(0, mark))
            self._common |= _joint_state(_choose_joint(early, described, options) if mark else JointTraits(options[0]))
            self._groups = []
        groups = group_leads(len(past.issue_times), len(past.lead_hours), len(past.sites))
        self._common |= axes_state(past, groups)
        before = self._groups if len(self._groups) == len(groups) else [{}] * len(groups)
        joint = _joint_of(self._common)

        def fit_group(index: int) -> State:
            block = case_block(past, groups[index], as_of)
            if np.isfinite(block.observed).sum() < 10:
                return {}
            scale = Scale.of(cases.variable, joint.candidate.transform, block.observed)
            state: State = {"scale": scale.state()}
            earlier, outlooks, heard = _by_source(before[index]), [], []
            for name, traits in described.items():
                if not np.isfinite(block.members[name]).any():
                    continue
                outlook = told[name][index] if traits == self._experts[name].traits else None
                if outlook is None:
                    regression = self._regression(cases.variable, name, scale)
                    outlook = regression.fit(block, earlier.get(name))
                    state |= {f"{name}|{key}": array for key, array in regression.state().items()}
                outlooks.append(_as_candidate(outlook, traits.candidate, options[0]))
                heard.append(name)
            if not outlooks:
                return {}
            together = JointRegression(joint, scale)
            together.fit(block, outlooks, before[index] or None)
            return {**state, "heard": np.array(heard), **together.state()}

        self._groups = in_threads(fit_group, len(groups))

    def predict(self, cases: Cases, levels: NDArray[np.float64]) -> NDArray[np.float32]:
        """Quantiles of every case; NaN where every source is missing."""
        shape = (len(cases.issue_times), len(cases.lead_hours), len(cases.sites), len(levels))
        result = np.full(shape, np.nan, dtype=np.float32)
        if not self._groups or not len(cases.issue_times):
            return result
        joint = _joint_of(self._common)
        groups = groups_of_leads(self._common, cases.lead_hours)
        for expert in self._experts.values():
            expert.begin(cases)

        def predict_group(place: int) -> None:
            index, leads = groups[place]
            state = self._groups[index]
            if not state:
                return
            block = case_block(cases, leads, None)
            scale = Scale.restore(state["scale"])
            own = _by_source(state)
            outlooks = [
                self._outlook(name, own.get(name), (cases, index, leads), block, scale)
                for name in state["heard"].tolist()
            ]
            together = JointRegression(joint, scale)
            together.restore({key: array for key, array in state.items() if "|" not in key and key not in _OURS})
            outlook = together.predict(block, outlooks)
            result[:, leads] = outlook_quantiles(joint.candidate, outlook, scale, levels)

        in_threads(predict_group, len(groups), cells=cases.observed.size)
        return result

    def state(self) -> Mapping[str, NDArray[Any]]:
        """Coefficients by group of leads, and memories of the sources that are described anew."""
        return pack_groups(self._common, self._groups)

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take it back."""
        self._common, self._groups = unpack_groups(state)

    def _stale(self, mark: int, described: Mapping[str, Traits]) -> bool:
        return (
            chooses_anew(self._common, mark)
            or self._common["sources"].tolist() != list(described)
            or any(self._traits(name) != traits for name, traits in described.items())
        )

    def _traits(self, name: str) -> Traits:
        own = {key.removesuffix(f".{name}"): array for key, array in self._common.items() if key.endswith(f".{name}")}
        return traits_of(own)

    def _regression(self, variable: Variable, name: str, scale: Scale) -> SourceRegression:
        return SourceRegression(name, self._traits(name), scale, amounts=variable.family == "censored")

    def _outlook(
        self,
        name: str,
        own: State | None,
        asked: tuple[Cases, int, NDArray[np.intp]],
        block: CaseBlock,
        scale: Scale,
    ) -> Outlook:
        """What a source says of new cases, in the terms of this expert."""
        cases, first = asked[0], joint_candidates(asked[0].variable)[0]
        outlook = None
        if name in block.members and own is None:
            outlook = self._experts[name].outlook(*asked)
        elif name in block.members and own is not None:
            regression = self._regression(cases.variable, name, scale)
            regression.restore(own)
            outlook = regression.predict(block, known_sites(self._common, cases.sites))
        if outlook is None:
            nothing = np.full(block.shape, np.nan)
            return Outlook(nothing, nothing, 0.0)
        return _as_candidate(outlook, self._traits(name).candidate, first)


def emos_experts(cases: Cases) -> tuple[CaseExpert, ...]:
    """One expert for each source and, where there are several, one for all of them."""
    own = tuple(EmosExpert(source) for source in cases.members)
    return (*own, JointEmosExpert(own)) if len(own) > 1 else own


def joint_candidates(variable: Variable) -> tuple[Candidate, ...]:
    """Those with a location and a scale that share a transform with the first."""
    options = candidates(variable)
    return tuple(
        option
        for option in options
        if option.transform == options[0].transform and option.distribution in _LOCATION_SCALE
    )


def _in_terms_of(traits: Traits, first: Candidate) -> Traits:
    """How a source is described to the joint regression: as its own expert does, if that has a location and a scale."""
    own = traits.candidate
    fits = own.transform == first.transform and own.distribution in _LOCATION_SCALE
    return traits if fits else replace(traits, candidate=first)


def _as_candidate(outlook: Outlook, own: Candidate, wanted: Candidate) -> Outlook:
    """The same with the scale of another distribution: that of a logistic is smaller than its standard deviation."""
    more = (own.distribution == "logistic") - (wanted.distribution == "logistic")
    return replace(outlook, log_scale=outlook.log_scale + more * np.log(LOGISTIC_SD)) if more else outlook


def _choose_joint(cases: Cases, described: Mapping[str, Traits], options: Sequence[Candidate]) -> JointTraits:
    """Ridge, then distribution, by the quantile loss on the later issue times."""
    amounts = cases.variable.family == "censored"
    prepared = []
    for block in sample_blocks(cases):
        if np.isfinite(block.observed).sum() < 100:
            continue
        scale = Scale.of(cases.variable, options[0].transform, block.observed)
        cut = max(int(len(block.observed) * (1 - _HELD_OUT)), 1)
        hidden = block.observed.copy()
        hidden[cut:] = np.nan
        early = replace(block, observed=hidden)
        outlooks = []
        for name, traits in described.items():
            if np.isfinite(block.members[name]).any():
                regression = SourceRegression(name, traits, scale, amounts=amounts)
                outlook = regression.fit_outlook(early, regression.fit_memories(block, regression.fit_pooled(block)))
                outlooks.append(_as_candidate(outlook, traits.candidate, options[0]))
        # A lead that no source reaches tells nothing.
        if outlooks:
            prepared.append((block, early, scale, outlooks, cut))

    def loss(option: JointTraits) -> float:
        losses = []
        for block, early, scale, outlooks, cut in prepared:
            outlook = JointRegression(option, scale).fit(early, outlooks)
            quantiles = outlook_quantiles(option.candidate, later(outlook, cut), scale, LEVELS)
            losses.append(quantile_loss(quantiles, block.observed[cut:]))
        finite = [value for value in losses if np.isfinite(value)]
        return float(np.mean(finite)) if finite else np.inf

    best = JointTraits(options[0])
    best_loss = loss(best)
    for option in [JointTraits(options[0], ridge) for ridge in _RIDGES]:
        if (value := loss(option)) < best_loss:
            best, best_loss = option, value
    for candidate in options[1:]:
        option = replace(best, candidate=candidate)
        if (value := loss(option)) < best_loss * (1 - _WORTH):
            best, best_loss = option, value
    return best


def _joint_state(traits: JointTraits) -> State:
    return {
        "joint_candidate": np.array(candidate_numbers(traits.candidate)),
        "joint_numbers": np.array([traits.ridge, traits.case_half_life_days]),
    }


def _joint_of(state: State) -> JointTraits:
    ridge, half_life = (float(number) for number in state["joint_numbers"])
    return JointTraits(candidate_of(state["joint_candidate"]), ridge, half_life)


def _by_source(state: State) -> dict[str, State]:
    """The parts of a group's state that belong to each source, in their order."""
    parts: dict[str, State] = {}
    for key, array in state.items():
        if "|" in key:
            name, _, own = key.partition("|")
            parts.setdefault(name, {})[own] = array
    return {name: parts[name] for name in sorted(parts)}
