"""The product beside the baselines: pairs of the same case, ratios of mean scores, intervals that know of correlation in time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from skyproof.science.significance import skill_with_interval

KEYS = ["site", "valid_time", "lead"]


@dataclass(frozen=True)
class Ratio:
    """Mean score of one over that of another on the cases both have, with a 95 % interval; below 1 is better."""

    baseline: str
    cases: int
    ours: float
    theirs: float
    low: float
    high: float

    @property
    def value(self) -> float:
        """Ratio of the means."""
        return self.ours / self.theirs


def compare(ours: pd.DataFrame, theirs: pd.DataFrame, baseline: str) -> Ratio:
    """Pair by site, valid time and lead; sums per valid day are the series the interval is made from.

    Args:
        ours: columns site, valid_time, lead, score.
        theirs: the same of the baseline.
        baseline: its name.
    """
    both = ours[[*KEYS, "score"]].merge(theirs[[*KEYS, "score"]], on=KEYS, suffixes=("_ours", "_theirs")).dropna()
    if both.empty:
        return Ratio(baseline, 0, *[float("nan")] * 4)
    daily = both.groupby(both["valid_time"].dt.floor("D"))[["score_ours", "score_theirs"]].sum()
    skill = skill_with_interval(daily["score_ours"].to_numpy(), daily["score_theirs"].to_numpy())
    return Ratio(
        baseline, len(both), both["score_ours"].mean(), both["score_theirs"].mean(), 1 - skill.high, 1 - skill.low
    )


def against_all(ours: pd.DataFrame, folder: Path) -> list[Ratio]:
    """The product against every kept baseline of a set, the strongest baseline first."""
    found = [compare(ours, pd.read_parquet(path), path.stem) for path in sorted(folder.glob("*.parquet"))]
    return sorted(found, key=lambda r: r.theirs if np.isfinite(r.theirs) else np.inf)


def as_markdown(name: str, ratios: list[Ratio]) -> str:
    """One table of a set for the documentation."""
    lines = [
        f"### {name}",
        "",
        "| baseline | cases | its score | ours | ratio | 95 % interval |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {r.baseline} | {r.cases} | {r.theirs:.4f} | {r.ours:.4f} | {r.value:.3f} | {r.low:.3f} to {r.high:.3f} |"
        for r in ratios
    ]
    return "\n".join(lines) + "\n"
