"""Scores as mergeable sums: what one day's verification of one release leaves behind."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
from numpy.typing import NDArray

#: Sums kept per cell, in this order along the last axis of ``DayScores.sums``. Every mean is a sum divided by ``n``.
STATISTICS: tuple[str, ...] = (
    "n", "crps", "absolute_error", "error", "squared_error", "covered_80", "width_80", "covered_50",
    "brier_1", "brier_2", "event_1", "event_2",
    "pinball_p05", "pinball_p10", "pinball_p25", "pinball_p50", "pinball_p75", "pinball_p90", "pinball_p95",
)  # fmt: skip
#: Equal bins of the probability integral transform.
PIT_BINS = 10


@dataclass(frozen=True, slots=True)
class DayScores:
    """Sums of one release for one valid day.

    ``sums``: (model, variable, site, lead, statistic) float64; ``pit``: (model, variable, site, lead, bin) float64.
    ``models[0]`` is the product; the others are its baselines on the same pairs (a pair counts only where every
    model that answered that run has a value). ``known_until`` is the ``recorded_at`` of the newest observation used.
    """

    release_id: str
    valid_day: date
    models: tuple[str, ...]
    variables: tuple[str, ...]
    site_ids: tuple[str, ...]
    lead_hours: tuple[int, ...]
    sums: NDArray[np.float64]
    pit: NDArray[np.float64]
    known_until: datetime | None


@dataclass(frozen=True, slots=True)
class ScoreDay:
    """The catalogue entry of one :class:`DayScores` object; the newest ``scored_at`` of a day counts."""

    release_id: str
    valid_day: date
    scored_at: datetime
    object_key: str
    digest: str
    pairs: int
