"""What experts that had not seen the tail of the history said during it, and how the blend learned from that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.protocols import Blend
from skyproof.domain.variables import Variable
from skyproof.science.panel import heard
from skyproof.science.threads import in_threads

State = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Hindcast:
    """Held-out forecasts of one variable and their outcomes.

    ``experts``: (issue, expert, site, lead, level), the first ``usual`` of whom need no source; ``observed``: (issue, site,
    lead), NaN where not known at the end; ``states``: the blend's state at each issue time; ``final``: after everything
    known was seen.
    """

    variable: Variable
    names: tuple[str, ...]
    usual: int
    experts: NDArray[np.float32]
    observed: NDArray[np.float32]
    states: tuple[State, ...]
    final: State

    def blended(self, blend: Blend, number: int, keep: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
        """The blend's quantiles (site, lead, level) at one issue time; only of the experts to keep, if given."""
        answers = self.experts[number]
        if keep is not None:
            answers = answers.copy()
            answers[~keep] = np.nan
        return np.asarray(blend.combine(self.states[number], heard(answers, self.usual)[:, None])[0])

    def blended_all(self, blend: Blend, keep: NDArray[np.bool_] | None = None, *, skip: int) -> NDArray[np.float32]:
        """:meth:`blended` of all issue times but the first ``skip``: (issue, site, lead, level)."""
        count = len(self.states) - skip
        numbers = range(skip, len(self.states))
        return np.stack(in_threads(lambda at: self.blended(blend, numbers[at], keep), count, cells=self.observed.size))


def learn_blend(
    blend: Blend,
    variable: Variable,
    names: tuple[str, ...],
    usual: int,
    experts: NDArray[np.float32],
    outcomes: tuple[NDArray[np.float32], NDArray[np.int16]],
) -> Hindcast:
    """Let the blend learn in the order in which outcomes arrived.

    Args:
        blend: fresh.
        variable: the one forecast.
        names: of the experts.
        usual: how many of the first need no source.
        experts: (issue, expert, site, lead, level).
        outcomes: observed and ``known_from`` as :class:`~skyproof.stages.learn.outcomes.Outcomes` has them, (issue, site, lead).
    """
    observed, known_from = outcomes
    state = blend.initial_state(experts.shape[1], 1, observed.shape[2])
    states: list[State] = []
    for number in range(len(experts) + 1):
        for earlier in range(number):
            fresh = known_from[earlier] == number
            if fresh.any():
                seen = np.where(fresh, observed[earlier], np.nan).astype(np.float32)
                state = blend.update(state, heard(experts[earlier], usual)[:, None], seen[None])
        states.append(state)
    return Hindcast(variable, names, usual, experts, observed, tuple(states[:-1]), states[-1])
