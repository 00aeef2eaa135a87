"""The common shape of every set the baselines are run on: one row per case, ready for a rolling origin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

#: Levels of temperature, wind and rain: those of the product. Power is judged at 99, as in its competitions.
PRODUCT_LEVELS = np.array([0.025, *(round(0.05 * k, 2) for k in range(1, 20)), 0.975])
HUNDREDTHS = np.arange(1, 100) / 100
NO_DELAY, MONTH = pd.Timedelta(0), pd.Timedelta(days=30)


@dataclass(frozen=True)
class Table:
    """One set and one target.

    ``frame`` has a row per case with the columns site, issue_time, valid_time, lead (hours) and observed, everything in
    ``sources`` and ``features``. A source's columns are its members. ``start`` is the first valid time that is scored.
    ``spread`` names a column that is the ensemble's standard deviation, where members are not given.
    ``kind`` (temperature, precipitation, power) says which families of distributions fit.
    """

    name: str
    kind: str
    frame: pd.DataFrame
    sources: Mapping[str, tuple[str, ...]]
    features: tuple[str, ...]
    start: pd.Timestamp
    levels: np.ndarray = field(default_factory=lambda: PRODUCT_LEVELS)
    lower: float = -np.inf
    upper: float = np.inf
    delay: pd.Timedelta = NO_DELAY
    refit: pd.Timedelta = MONTH
    lead_groups: tuple[tuple[int, int], ...] = ()
    spread: str = ""

    def scored(self) -> np.ndarray:
        """Which rows count."""
        return np.asarray((self.frame["valid_time"] >= self.start) & self.frame["observed"].notna())

    def known(self, as_of: pd.Timestamp) -> np.ndarray:
        """Which rows' observation had arrived by then."""
        return np.asarray((self.frame["valid_time"] + self.delay <= as_of) & self.frame["observed"].notna())

    def early(self) -> Table:
        """The same table up to the start of scoring, scored on its last 30 %: what tuning may look at."""
        before = self.frame[self.frame["valid_time"] < self.start]
        times = np.sort(before["valid_time"].unique())
        start = pd.Timestamp(times[int(0.7 * len(times))])
        return Table(
            self.name,
            self.kind,
            before.reset_index(drop=True),
            self.sources,
            self.features,
            start,
            self.levels,
            self.lower,
            self.upper,
            self.delay,
            self.refit,
            spread=self.spread,
        )


def mean_and_spread(frame: pd.DataFrame, columns: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the members (0 for a single one), (case,)."""
    values = frame[list(columns)].to_numpy(float)
    return values.mean(axis=1), values.std(axis=1)
