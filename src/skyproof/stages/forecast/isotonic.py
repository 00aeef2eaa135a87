"""The isotonic expert: a larger forecast means a larger outcome, and nothing else is assumed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.cases import Cases
from skyproof.science.isotonic_distributions import IsotonicDistributions, fit_isotonic, isotonic_quantiles
from skyproof.science.online_regression import group_leads
from skyproof.stages.forecast.emos_expert import State, groups_of_leads, pack_groups, unpack_groups

Floats = NDArray[Any]

#: Groups of leads that have distributions of their own, and cases each is learned from at most: bounds of time and memory.
_MOST_GROUPS, _MOST_ROWS = 4, 150_000
#: Fewer cases say nothing.
_FEWEST_ROWS = 60
#: Halves of the record and their complements: means over them smooth what one record's steps are.
_PAIRS_OF_BAGS = 4


class IsotonicExpert:
    """Isotonic distributional regression on what the sources say together; implements ``CaseExpert``.

    The index is the mean over sources of their members' mean, each corrected by the running mean error it lately had at
    the site and lead. So one regression serves all sites of a group of leads, and a source that is missing leaves the index
    what it was. It is what remains where all an ensemble leaves behind is its mean. Sleeps where every source is missing, for
    circular variables, and before 60 cases are known.
    """

    name = "idr"
    needs_recent = True

    def __init__(self) -> None:
        self._groups: list[State] = []
        self._common: State = {}

    def fit(self, cases: Cases, as_of: np.datetime64) -> None:
        """Learn from the cases known at ``as_of``."""
        self._groups, self._common = [], {}
        if not cases.members or not cases.lead_hours or cases.variable.family == "circular":
            return
        index = _index(cases)
        use = cases.known(as_of) & np.isfinite(index)
        group = group_leads(len(cases.lead_hours), most=_MOST_GROUPS)
        self._common = {"leads": np.array(cases.lead_hours, dtype=np.float64), "groups": group}
        for number in range(int(group[-1]) + 1):
            rows = np.flatnonzero(use & (group == number)[:, None])
            self._groups.append(_fit(index, cases.observed, rows) if len(rows) >= _FEWEST_ROWS else {})

    def predict(self, cases: Cases, levels: NDArray[np.float64]) -> NDArray[np.float32]:
        """Quantiles of every case; NaN where every source is missing."""
        result = np.full((*cases.observed.shape, len(levels)), np.nan, dtype=np.float32)
        if not any(self._groups) or not cases.members or not len(cases.issue_times):
            return result
        index = _index(cases)
        learned = [number for number, state in enumerate(self._groups) if state]
        for number, leads in groups_of_leads(self._common, cases.lead_hours):
            # A group of which nothing was observed in time is answered as the one nearest to it.
            state = self._groups[learned[int(np.argmin(np.abs(np.array(learned) - number)))]]
            fitted = IsotonicDistributions(state["nodes"], state["thresholds"], state["below"])
            result[:, leads] = isotonic_quantiles(fitted, index[:, leads], levels)
        return result

    def state(self) -> Mapping[str, NDArray[Any]]:
        """Distributions by group of leads."""
        return pack_groups(self._common, self._groups)

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take them back."""
        self._common, self._groups = unpack_groups(state)


def isotonic_experts(cases: Cases) -> tuple[IsotonicExpert, ...]:
    """One, where any source speaks of the quantity."""
    return (IsotonicExpert(),) if cases.members else ()


def _fit(index: Floats, observed: Floats, rows: NDArray[np.intp]) -> State:
    """Distributions from some cells, thinned evenly where there are too many."""
    if len(rows) > _MOST_ROWS:
        rows = rows[np.linspace(0, len(rows) - 1, _MOST_ROWS).astype(np.intp)]
    # Whole issue times: cases of one day share their error, and would sit in both halves.
    issues, place = np.unique(rows // (index.shape[1] * index.shape[2]), return_inverse=True)
    chance = np.random.default_rng(len(issues))
    half = np.stack([chance.permutation(len(issues)) < len(issues) // 2 for _ in range(_PAIRS_OF_BAGS)])
    bags = np.concatenate([half, ~half]) if len(issues) > 1 else np.ones((1, 1), dtype=bool)
    fitted = fit_isotonic(index.reshape(-1)[rows], observed.reshape(-1)[rows], bags[:, place])
    return {"nodes": fitted.nodes, "thresholds": fitted.thresholds, "below": fitted.below}


def _index(cases: Cases) -> Floats:
    """(issue, lead, site): the mean of the sources that speak, each without its usual error of late; else NaN."""
    total, count = np.zeros(cases.observed.shape), np.zeros(cases.observed.shape)
    for source, members in cases.members.items():
        said = members.mean(axis=-1) + cases.recent.get(f"error_slow:{source}", np.float32(0))
        known = np.isfinite(said)
        total += np.where(known, said, 0)
        count += known
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
