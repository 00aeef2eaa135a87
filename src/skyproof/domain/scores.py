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

    ``sums``: (model, variable, site, lead, statistic); ``pit``: (model, variable, site, lead, bin). A cell has few pairs
    a day: float32 holds its sums to seven digits; sums over cells are taken in float64.
    ``models[0]`` is the product; a pair counts for a baseline where the product, the baseline and the observation are
    all there, so its ``n`` says on how many of the product's pairs it stands beside it. ``known_until`` is the
    ``recorded_at`` of the day's newest observation known then; None if there was none.
    """

    release_id: str
    valid_day: date
    models: tuple[str, ...]
    variables: tuple[str, ...]
    site_ids: tuple[str, ...]
    lead_hours: tuple[int, ...]
    sums: NDArray[np.floating]
    pit: NDArray[np.floating]
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
