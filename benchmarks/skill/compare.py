"""The product beside the baselines: pairs of the same case, ratios of mean scores, intervals that know of correlation in time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.skill.rolling import scores
from benchmarks.skill.tables import HUNDREDTHS
from skyproof.science.significance import skill_with_interval

KEYS = ["site", "valid_time", "lead"]


@dataclass(frozen=True)
class Ratio:
    """Mean score of one over that of another on the cases both have, with a 95 % interval; below 1 is better."""

    baseline: str
    leads: str
    cases: int
    ours: float
    theirs: float
    low: float
    high: float

    @property
    def value(self) -> float:
        """Ratio of the means."""
        return self.ours / self.theirs


def read_product(path: Path) -> pd.DataFrame:
    """What ``skyproof bench --out`` wrote, in the columns of the baselines."""
    frame = pd.read_parquet(path).rename(columns={"lead_hours": "lead"})
    for column in ("issue_time", "valid_time"):
        frame[column] = frame[column].dt.tz_convert(None).astype("datetime64[s]")
    return frame.astype({"site": str})


def rescore(frame: pd.DataFrame, levels: np.ndarray) -> pd.DataFrame:
    """Scores from the quantiles at some of the frame's levels."""
    said = frame[[f"q{level:g}" for level in levels]].to_numpy(float)
    return frame[[*KEYS, "observed"]].assign(score=scores(said, frame["observed"].to_numpy(float), levels))


def common_levels(*frames: pd.DataFrame) -> np.ndarray:
    """Levels all frames have: 99 or the 21 of the product, or what they share of them."""
    shared = set.intersection(*({c for c in frame if c[0] == "q" and c[1:2].isdigit()} for frame in frames))
    levels = np.array(sorted(float(name[1:]) for name in shared))
    return HUNDREDTHS if len(levels) == len(HUNDREDTHS) else levels


def compare(ours: pd.DataFrame, theirs: pd.DataFrame, baseline: str, leads: str = "all") -> Ratio:
    """Pair by site, valid time and lead; sums per valid day are the series the interval is made from.

    Args:
        ours: columns site, valid_time, lead, score.
        theirs: the same of the baseline.
        baseline: its name.
        leads: which leads these are.
    """
    both = ours[[*KEYS, "score"]].merge(theirs[[*KEYS, "score"]], on=KEYS, suffixes=("_ours", "_theirs")).dropna()
    if both.empty:
        return Ratio(baseline, leads, 0, *[float("nan")] * 4)
    daily = both.groupby(both["valid_time"].dt.floor("D"))[["score_ours", "score_theirs"]].sum()
    skill = skill_with_interval(daily["score_ours"].to_numpy(), daily["score_theirs"].to_numpy())
    means = both["score_ours"].mean(), both["score_theirs"].mean()
    return Ratio(baseline, leads, len(both), *means, 1 - skill.high, 1 - skill.low)


def against_all(ours: pd.DataFrame, folder: Path, groups: tuple[tuple[int, int], ...] = ()) -> list[Ratio]:
    """The product against every kept baseline of a set, the strongest baseline first; all leads, then groups of them."""
    found = [r for path in sorted(folder.glob("*.parquet")) for r in _ratios(ours, path, groups)]
    order = {"all": 0, **{f"{low}-{high}": k + 1 for k, (low, high) in enumerate(groups)}}
    return sorted(found, key=lambda r: (order[r.leads], r.theirs if np.isfinite(r.theirs) else np.inf))


def as_markdown(name: str, ratios: list[Ratio]) -> str:
    """One table of a set for the documentation."""
    head = "| baseline | leads (h) | cases | its score | ours | ratio | 95 % interval |"
    lines = [f"### {name}", "", head, "|---|---|---|---|---|---|---|"]
    lines += [
        f"| {r.baseline} | {r.leads} | {r.cases} | {r.theirs:.4f} | {r.ours:.4f} | {r.value:.3f} | {r.low:.3f} to {r.high:.3f} |"
        for r in ratios
    ]
    return "\n".join(lines) + "\n"


def _ratios(ours: pd.DataFrame, path: Path, groups: tuple[tuple[int, int], ...]) -> Iterator[Ratio]:
    baseline = pd.read_parquet(path)
    levels = common_levels(ours, baseline)
    mine, theirs = rescore(ours, levels), rescore(baseline, levels)
    both = mine.merge(theirs, on=KEYS)
    apart = (both["observed_x"] - both["observed_y"]).abs().max()
    if apart > 0.01:
        raise ValueError(
            f"{path.stem}: observations differ by up to {apart:g}; not the same cases or not the same unit"
        )
    yield compare(mine, theirs, path.stem)
    for low, high in groups:
        part = [frame[frame["lead"].between(low, high)] for frame in (mine, theirs)]
        yield compare(part[0], part[1], path.stem, f"{low}-{high}")
