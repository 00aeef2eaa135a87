"""EMOS of all sources together: one regression on what each says, with any of them missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.cases import Cases
from skyproof.domain.variables import Variable
from skyproof.stages.forecast.case_blocks import CaseBlock, case_block, group_leads
from skyproof.stages.forecast.emos_choice import (
    LEVELS,
    checkpoint,
    choose_traits,
    default_traits,
    later,
    outlook_quantiles,
    quantile_loss,
    sample_blocks,
)
from skyproof.stages.forecast.emos_expert import (
    State,
    axes_state,
    groups_of_leads,
    in_threads,
    known_sites,
    pack_groups,
    traits_of,
    traits_state,
    unpack_groups,
)
from skyproof.stages.forecast.emos_scales import Candidate, Scale, candidate_numbers, candidate_of, candidates
from skyproof.stages.forecast.joint_regression import JointRegression, JointTraits
from skyproof.stages.forecast.source_regression import Outlook, SourceRegression, Traits

Floats = NDArray[Any]

_RIDGES = (0.3, 3.0, 30.0, 300.0)
_HELD_OUT = 0.35
_WORTH = 0.001


class JointEmosExpert:
    """Distributional regression on the outlooks of all sources, weights held near equal by a ridge chosen from the data.

    Sleeps where every source is missing and, altogether, for circular variables and before ten cases are known.
    """

    def __init__(self) -> None:
        self.name = "emos:all"
        self._groups: list[State] = []
        self._common: State = {}

    def fit(self, cases: Cases, as_of: np.datetime64) -> None:
        """Learn from the cases known at ``as_of``."""
        past = cases.take(slice(0, int(np.searchsorted(cases.issue_times, as_of, side="right"))))
        names = [name for name in sorted(past.members) if np.isfinite(past.members[name]).any()]
        options = joint_candidates(cases.variable)
        if not options or not names or not len(past.issue_times):
            self._groups, self._common = [], {}
            return
        mark = checkpoint(len(past.issue_times))
        if self._stale(mark, names):
            self._common = {"checkpoint": np.array([mark]), "sources": np.array(names)}
            early = past.take(slice(0, mark))
            traits = [
                _source_traits(early, name, options[0]) if mark else default_traits(cases.variable) for name in names
            ]
            traits = [replace(each, candidate=options[0]) for each in traits]
            for name, each in zip(names, traits, strict=True):
                self._common |= {f"{key}.{name}": array for key, array in traits_state(each).items()}
            joint = _choose_joint(early, names, traits, options) if mark else JointTraits(options[0])
            self._common |= _joint_state(joint)
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
            earlier = _by_source(before[index])
            outlooks = []
            for name, regression in self._regressions(cases.variable, scale, block):
                outlooks.append(regression.fit(block, earlier.get(name)))
                state |= {f"{name}|{key}": array for key, array in regression.state().items()}
            if not outlooks:
                return {}
            together = JointRegression(joint, scale)
            together.fit(block, outlooks, before[index] or None)
            return state | together.state()

        self._groups = in_threads(fit_group, len(groups))

    def predict(self, cases: Cases, levels: NDArray[np.float64]) -> NDArray[np.float32]:
        """Quantiles of every case; NaN where every source is missing."""
        shape = (len(cases.issue_times), len(cases.lead_hours), len(cases.sites), len(levels))
        result = np.full(shape, np.nan, dtype=np.float32)
        if not self._groups or not len(cases.issue_times):
            return result
        joint, sites = _joint_of(self._common), known_sites(self._common, cases.sites)
        groups = groups_of_leads(self._common, cases.lead_hours)

        def predict_group(index: int) -> None:
            group, leads = groups[index]
            state = self._groups[group]
            if not state:
                return
            block = case_block(cases, leads, None)
            scale = Scale.restore(state["scale"])
            outlooks = []
            for name, own in _by_source(state).items():
                if name in block.members:
                    regression = SourceRegression(
                        name, self._traits(name), scale, amounts=cases.variable.family == "censored"
                    )
                    regression.restore(own)
                    outlooks.append(regression.predict(block, sites))
                else:
                    outlooks.append(_silence(block))
            together = JointRegression(joint, scale)
            together.restore({key: array for key, array in state.items() if "|" not in key and key != "scale"})
            outlook = together.predict(block, outlooks)
            result[:, leads] = outlook_quantiles(joint.candidate, outlook, scale, levels)

        in_threads(predict_group, len(groups))
        return result

    def state(self) -> Mapping[str, NDArray[Any]]:
        """Coefficients and memories by group of leads and source."""
        return pack_groups(self._common, self._groups)

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take it back."""
        self._common, self._groups = unpack_groups(state)

    def _stale(self, mark: int, names: list[str]) -> bool:
        return (
            not self._common or int(self._common["checkpoint"][0]) != mark or self._common["sources"].tolist() != names
        )

    def _traits(self, name: str) -> Traits:
        own = {key.removesuffix(f".{name}"): array for key, array in self._common.items() if key.endswith(f".{name}")}
        return traits_of(own)

    def _regressions(self, variable: Variable, scale: Scale, block: CaseBlock) -> list[tuple[str, SourceRegression]]:
        """One for every source that says anything in a block."""
        amounts = variable.family == "censored"
        return [
            (name, SourceRegression(name, self._traits(name), scale, amounts=amounts))
            for name in self._common["sources"].tolist()
            if np.isfinite(block.members[name]).any()
        ]


def joint_candidates(variable: Variable) -> tuple[Candidate, ...]:
    """Those with a location and a scale that share a transform with the first."""
    options = candidates(variable)
    return tuple(
        option
        for option in options
        if option.transform == options[0].transform and option.distribution in {"normal", "logistic", "truncated"}
    )


def _source_traits(cases: Cases, name: str, candidate: Candidate) -> Traits:
    return choose_traits(cases, name, allowed=(candidate,))


def _choose_joint(
    cases: Cases, names: Sequence[str], traits: Sequence[Traits], options: Sequence[Candidate]
) -> JointTraits:
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
        for name, each in zip(names, traits, strict=True):
            if np.isfinite(block.members[name]).any():
                regression = SourceRegression(name, each, scale, amounts=amounts)
                outlooks.append(
                    regression.fit_outlook(early, regression.fit_memories(block, regression.fit_pooled(block)))
                )
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


def _silence(block: CaseBlock) -> Outlook:
    """What a source says that is not there."""
    nothing = np.full(block.shape, np.nan)
    return Outlook(nothing, nothing, 0.0)
