"""The scorecard: how good the product was, per variable and lead, beside every baseline, with verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

import numpy as np

from skyproof.archive.archive import Archive
from skyproof.domain.scores import STATISTICS
from skyproof.domain.variables import find_variable
from skyproof.science.significance import Estimate, Verdict, decide, mean_with_interval, skill_with_interval
from skyproof.stages.verify.collect import CollectedScores, collect_scores
from skyproof.stages.verify.score_day import PRODUCT

#: The baselines every claim is made against; EMOS of single sources stands in the details.
_CALIBRATED = "emos:"


@dataclass(frozen=True, slots=True)
class Comparison:
    """The product beside one baseline on the same pairs. ``skill`` is 1 - CRPS / CRPS of the baseline."""

    baseline: str
    crps: float
    product_crps: float
    skill: Estimate
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """One variable and group of leads. ``coverage`` is that of the 80 % interval; ``n`` counts pairs."""

    variable: str
    unit: str
    leads: str
    n: int
    crps: Estimate
    mae: float
    bias: float
    coverage: float
    brier: Mapping[str, float]
    comparisons: tuple[Comparison, ...]


@dataclass(frozen=True, slots=True)
class Scorecard:
    """All rows of a release, and the collected sums behind them for pictures."""

    release_id: str
    as_of: datetime
    day_from: date
    day_until: date
    site_ids: tuple[str, ...]
    rows: tuple[ScoreRow, ...]
    collected: CollectedScores

    def overall(self) -> tuple[ScoreRow, ...]:
        """One row per variable, all leads together."""
        return tuple(row for row in self.rows if row.leads == "all")

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "release_id": self.release_id,
            "as_of": self.as_of,
            "day_from": self.day_from,
            "day_until": self.day_until,
            "sites": len(self.site_ids),
            "rows": [asdict(row) for row in self.rows],
            "reproduce": f"skyproof scorecard --release {self.release_id} --json",
        }


def build_scorecard(
    archive: Archive,
    release_id: str,
    *,
    as_of: datetime,
    day_from: date | None = None,
    day_until: date | None = None,
) -> Scorecard:
    """Build the scorecard of a release from what was scored."""
    found = collect_scores(archive, release_id, as_of=as_of, day_from=day_from, day_until=day_until)
    rows = [
        _row(found, index, label, leads)
        for index in range(len(found.variables))
        for label, leads in lead_groups(found.lead_hours).items()
    ]
    return Scorecard(release_id, as_of, found.days[0], found.days[-1], found.site_ids, tuple(rows), found)


def lead_groups(lead_hours: tuple[int, ...]) -> dict[str, list[int]]:
    """Positions of the leads of each day ahead, and of all of them."""
    groups: dict[str, list[int]] = {"all": list(range(len(lead_hours)))}
    for position, lead in enumerate(lead_hours):
        groups.setdefault(f"day {(lead - 1) // 24 + 1}", []).append(position)
    return groups


def baselines(models: tuple[str, ...]) -> tuple[str, ...]:
    """The models a claim is made against: all but the product and single calibrated sources."""
    return tuple(name for name in models if name != PRODUCT and not name.startswith(_CALIBRATED))


def _row(found: CollectedScores, variable_index: int, label: str, leads: list[int]) -> ScoreRow:
    name = found.variables[variable_index]
    variable = find_variable(name)
    totals = found.totals[0, variable_index, leads].sum(axis=0)
    known = dict(zip(STATISTICS, totals, strict=True))
    n = max(known["n"], 1.0)
    daily = _daily(found.shared, found.pairs, 0, variable_index, leads)
    comparisons = []
    for model, other in enumerate(found.models):
        if other == PRODUCT:
            continue
        mine = _daily(found.shared, found.pairs, model, variable_index, leads)
        theirs = _daily(found.own, found.pairs, model, variable_index, leads)
        skill = skill_with_interval(mine, theirs)
        crps = float(np.nanmean(theirs)) if np.isfinite(theirs).any() else float("nan")
        ours = float(np.nanmean(mine)) if np.isfinite(mine).any() else float("nan")
        comparisons.append(Comparison(other, crps, ours, skill, decide(skill)))
    events = {
        f"> {threshold:g} {variable.unit}": known[f"brier_{k}"] / n
        for k, threshold in enumerate(variable.events[:2], 1)
    }
    return ScoreRow(
        variable=name,
        unit=variable.unit,
        leads=label,
        n=int(known["n"]),
        crps=mean_with_interval(daily),
        mae=known["absolute_error"] / n,
        bias=known["error"] / n,
        coverage=known["covered_80"] / n,
        brier=events,
        comparisons=tuple(comparisons),
    )


def _daily(sums: Any, pairs: Any, model: int, variable: int, leads: list[int]) -> Any:
    """Daily means, NaN on days without a pair."""
    count = pairs[:, model, variable][:, leads].sum(axis=1)
    total = sums[:, model, variable][:, leads].sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
