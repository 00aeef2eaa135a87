"""A table someone wants judged: its cases, and how they are to be judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.cases import Cases

ScoreName = Literal["crps", "pinball"]
Refit = Literal["daily", "weekly", "monthly", "auto"]
Strength = Literal["weak", "strong"]


@dataclass(frozen=True, slots=True)
class BenchTable:
    """Cases of a table, in the variable's canonical unit, and the question asked of them.

    ``evaluate_from`` and ``evaluate_until`` are valid times, both inclusive: cases that speak of them are scored.
    Numbers are reported in ``unit``: ``reported = canonical * scale + offset``. ``digest`` names the content of table
    and question.
    """

    name: str
    cases: Cases
    unit: str
    scale: float
    offset: float
    levels: NDArray[np.float64]
    score: ScoreName
    evaluate_from: np.datetime64
    evaluate_until: np.datetime64
    refit: Refit
    leave_out_sites: bool
    warnings: tuple[str, ...]
    digest: str

    @property
    def asked(self) -> NDArray[np.bool_]:
        """Cases that are observed and valid in the period asked for, (issue, lead, site)."""
        valid = self.cases.valid_times
        inside = (valid >= self.evaluate_from) & (valid <= self.evaluate_until)
        return np.asarray(inside[..., None] & np.isfinite(self.cases.observed))

    @property
    def scored(self) -> NDArray[np.bool_]:
        """Cases that are judged: asked for, and some source (without sources, some predictor) says something."""
        cases = self.cases
        held = [np.isfinite(members).any(axis=-1) for members in cases.members.values()]
        held = held or [np.isfinite(values) for values in cases.predictors.values()]
        return np.asarray(self.asked & np.logical_or.reduce(held))

    @property
    def first_issue(self) -> np.datetime64:
        """The first issue time that any judged case has."""
        issues = self.scored.any(axis=(1, 2))
        return np.datetime64(self.cases.issue_times[np.argmax(issues)])


@dataclass(frozen=True, slots=True)
class PairFinding:
    """Something that says that forecasts and observations do not belong together as they stand.

    ``kind``: shifted, swapped, unit, constant, frozen, leak. A ``strong`` one is certain enough to refuse the table.
    """

    kind: str
    strength: Strength
    message: str
    hint: str
