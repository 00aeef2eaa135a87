"""The online blend: experts that come and go, joined per quantile level, never much worse than the best of them.

At its heart Bernstein online aggregation, linearised at the blend itself; around it, partial pooling between levels
(evidence is smoothed), leads (weights are smoothed, records shared), the whole record and its recent part (several
learning rates and memories, aggregated by their own losses), and a quadratic model of the loss whose minimum the weights
approach much faster than by aggregation alone. See :mod:`skyproof.science.blend_memory` for the parts.

Guarantee (Wintenberger 2017, theorem 3.3, for experts always awake and no forgetting): the mean loss exceeds that of
the best expert by at most a constant times sqrt(log(K) / T), because every part is aggregated with the prior by the same
rule. Forgetting gives up the constant for the ability to follow change, and one absurd forecast (a unit mistaken
upstream) counts no more than ten ordinary ones, so that it cannot slow learning down for months.

Sources:
    Wintenberger (2017), Optimal learning with Bernstein online aggregation, doi:10.1007/s10994-016-5592-6.
    Berrisch and Ziel (2021), CRPS learning, doi:10.1016/j.jeconom.2021.11.008 (levels apart, smoothing, forgetting,
    several settings aggregated).
    Devaine et al. (2013), doi:10.1007/s10994-012-5314-7 (sleeping experts).
    Hazan, Agarwal and Kale (2007), doi:10.1007/s10994-007-5016-8 (online Newton step).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.errors import StoreUnavailableError
from skyproof.domain.quantiles import LEVEL_ARRAY
from skyproof.science.blend_kernels import all_lead_weights, combine_leads, learn_leads
from skyproof.science.blend_memory import Memory, Plan, empty_memory, smooth_over_leads
from skyproof.science.blend_plan import make_plan, prior_weights
from skyproof.science.compiled import check_shape, plain_array

Floats = NDArray[Any]
State = Mapping[str, NDArray[Any]]


class BernsteinBlend:
    """Implements :class:`skyproof.domain.protocols.Blend`; its weights are shared by all sites.

    Args:
        levels: quantile levels of the experts, rising.
        plan: settings other than those of :func:`~skyproof.science.blend_plan.make_plan`.
    """

    def __init__(self, levels: NDArray[np.float64] = LEVEL_ARRAY, *, plan: Plan | None = None) -> None:
        self._plan = make_plan(levels) if plan is None else plan

    def initial_state(
        self, experts: int, variables: int, leads: int, *, prior: NDArray[np.float64] | None = None
    ) -> State:
        """Nothing seen: all experts weigh the same, or as their held-out scores ``prior`` (variable, expert) say."""
        scores = [None] * variables if prior is None else list(prior)
        parts = [empty_memory(prior_weights(score, experts, leads), self._plan, 0) for score in scores]
        return _state(parts)

    def combine(self, state: State, experts: NDArray[np.float32]) -> NDArray[np.float32]:
        """Blended quantiles (variable, site, lead, level), sorted; NaN where every expert sleeps."""
        self._check(state, experts)
        blended = np.empty(experts.shape[1:], dtype=np.float32)
        for variable, memory in enumerate(_memories(state)):
            weights = all_lead_weights(memory, self._plan)
            by_lead = plain_array(experts[:, variable]).transpose(0, 2, 1, 3)
            combine_leads(memory, self._plan, weights, by_lead, blended[variable].swapaxes(0, 1))
        return blended

    def update(self, state: State, experts: NDArray[np.float32], observed: NDArray[np.float32]) -> State:
        """The state after the observations of one issue time were seen. Leads without any keep theirs."""
        self._check(state, experts)
        check_shape("observed", observed.shape, experts.shape[1:4])
        memories = [Memory(*(part.copy() for part in memory)) for memory in _memories(state)]
        for variable, memory in enumerate(memories):
            leads = np.flatnonzero(np.isfinite(observed[variable]).any(axis=0))
            if len(leads):
                weights = all_lead_weights(memory, self._plan)
                by_lead = plain_array(experts[:, variable]).transpose(0, 2, 1, 3)
                learn_leads(memory, self._plan, weights, by_lead, plain_array(observed[variable]).T, leads)
        return _state(memories)

    def _check(self, state: State, experts: NDArray[np.float32]) -> None:
        leads, count = _prior(state).shape[1:]
        wanted = (count, len(state["prior"]), experts.shape[2], leads, len(self._plan.levels))
        check_shape("experts", experts.shape, wanted)

    def weights(self, state: State, awake: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Mean weights over levels (expert, variable, lead) when the experts of mask ``awake`` (expert,) are present."""
        means = []
        for memory in _memories(state):
            weights = all_lead_weights(memory, self._plan)
            smooth = np.empty_like(weights)
            for lead in range(len(weights)):
                smooth_over_leads(weights, lead, smooth[lead])
            means.append((smooth @ self._plan.level_weights).T)
        present = np.stack(means, axis=1) * awake[:, None, None]
        return np.asarray(present / np.maximum(present.sum(axis=0), 1e-300))


def _state(memories: list[Memory]) -> State:
    """Arrays (variable, lead, ...) of what is shared by all sites; what sites have of their own is empty here."""
    return {
        name: np.stack([getattr(memory, name) for memory in memories])
        for name in Memory._fields
        if not name.startswith("site_")
    }


def _prior(state: State) -> Floats:
    """The state's prior (variable, lead, expert), of which all other arrays have the shape."""
    if set(state) != {name for name in Memory._fields if not name.startswith("site_")}:
        raise StoreUnavailableError("the blend's state was made by another version of it", hint="learn a new release")
    return state["prior"]


def _memories(state: State) -> list[Memory]:
    """One memory per variable; views of the state."""
    leads, experts = _prior(state).shape[1:]
    sites = {
        "site_pull": (leads, 0, experts),
        "site_centre": (leads, 0, experts),
        "site_size": (leads, 0),
        "site_updates": (leads, 0),
        "site_solution": (leads, 0, experts),
    }
    empty = {name: np.zeros(shape) for name, shape in sites.items()}
    arrays = {name: _writeable(np.ascontiguousarray(values)) for name, values in state.items()}
    return [
        Memory(**{name: values[variable] for name, values in arrays.items()}, **empty)
        for variable in range(len(state["prior"]))
    ]


def _writeable(values: Floats) -> Floats:
    """The same array, or a copy of one that may not be written: compiled code treats the two as different types."""
    return np.require(values, requirements=["W"])
