"""Sums of what each model scored, by day and group of leads, so that any mean and its interval can be made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.bench import BenchTable
from skyproof.domain.cases import Cases, RolledForecasts
from skyproof.science.level_scores import (
    covered_at_levels,
    crps_at_levels,
    pinball_at_levels,
    pit_range,
    quantile_at,
    share_at_or_below,
)

#: What is summed over the pairs of a day: those of a model, then the product's score on the same pairs.
SUMS = ("n", "score", "error", "covered_80", "width_80", "product_score")
PIT_BINS = 20
_EDGES = (6, 12, 24)
_MOST_VALUES = 1 << 24


@dataclass(frozen=True, slots=True)
class LeadGroup:
    """Leads from (not included) and to (included), in hours."""

    label: str
    from_hours: int
    to_hours: int


@dataclass(frozen=True, slots=True)
class BenchSums:
    """``totals`` has dims (model, lead group, day, sum of :data:`SUMS`), in the unit reported.

    ``pit`` counts the product's probability integral transform in equal bins; ``below`` is the share of observations at
    or below each of its levels.
    """

    names: tuple[str, ...]
    groups: tuple[LeadGroup, ...]
    days: NDArray[np.datetime64]
    totals: NDArray[np.float64]
    pit: NDArray[np.float64]
    below: NDArray[np.float64]


def lead_groups(lead_hours: Sequence[int]) -> tuple[LeadGroup, ...]:
    """Groups that hold every lead: to 6, 12 and 24 h, then whole days."""
    found: dict[tuple[int, int], LeadGroup] = {}
    for lead in sorted(lead_hours):
        first, last = next(((a, b) for a, b in zip((-1, *_EDGES), _EDGES, strict=False) if lead <= b), (0, 0))
        if not last:
            day = (lead - 1) // 24
            first, last = day * 24, day * 24 + 24
        label = f"to {last} h" if last <= _EDGES[-1] else f"day {last // 24}"
        found[first, last] = LeadGroup(label, max(first, 0), last)
    return tuple(found.values())


def align(table: BenchTable, rolled: RolledForecasts) -> tuple[Cases, NDArray[np.bool_]]:
    """The table's cases of the issue times that were forecast, and which of them are judged."""
    chosen = np.searchsorted(table.cases.issue_times, rolled.cases.issue_times)
    return table.cases.take(chosen), table.scored[chosen]


def sum_scores(table: BenchTable, rolled: RolledForecasts) -> BenchSums:
    """Score every model where it and the product both speak; models never see what they are not asked."""
    cases, judged = align(table, rolled)
    groups = lead_groups(cases.lead_hours)
    group_of = np.array(
        [next(k for k, g in enumerate(groups) if lead <= g.to_hours) for lead in cases.lead_hours], dtype=np.int64
    )
    days, day_of = np.unique(cases.valid_times.astype("datetime64[D]"), return_inverse=True)
    day_of = day_of.reshape(cases.valid_times.shape)
    totals = np.zeros((len(rolled.names), len(groups), len(days), len(SUMS)))
    pit, below, pairs = np.zeros(PIT_BINS), np.zeros(len(rolled.levels)), 0
    step = max(_MOST_VALUES // max(rolled.quantiles[0, 0].size, 1), 1)
    for start in range(0, len(cases.issue_times), step):
        block = slice(start, start + step)
        issue, lead, site = np.nonzero(judged[block])
        observed = _reported(table, cases.observed[block][issue, lead, site])
        key = group_of[lead] * len(days) + day_of[block][issue, lead]
        ours = _reported(table, rolled.quantiles[0, block][issue, lead, site])
        speaks = np.isfinite(ours).all(axis=-1)
        product_score = _score(table, ours, observed, rolled.levels)
        for model in range(len(rolled.names)):
            q = ours if model == 0 else _reported(table, rolled.quantiles[model, block][issue, lead, site])
            both = speaks if model == 0 else speaks & np.isfinite(q).all(axis=-1)
            columns = _columns(table, q[both], observed[both], rolled.levels, product_score[both])
            for k, values in enumerate(columns):
                sums = np.bincount(key[both], weights=values, minlength=len(groups) * len(days))
                totals[model, :, :, k] += sums.reshape(len(groups), len(days))
        low, high = pit_range(ours[speaks], observed[speaks], rolled.levels)
        cumulated = share_at_or_below(low, high, np.linspace(0, 1, PIT_BINS + 1))
        pit += np.diff(cumulated, axis=-1).sum(axis=0)
        below += share_at_or_below(low, high, rolled.levels).sum(axis=0)
        pairs += int(speaks.sum())
    seen = totals[0, :, :, 0].sum(axis=0) > 0
    return BenchSums(rolled.names, groups, days[seen], totals[:, :, seen], pit, below / max(pairs, 1))


def _columns(
    table: BenchTable,
    quantiles: NDArray[np.float64],
    observed: NDArray[np.float64],
    levels: NDArray[np.float64],
    product_score: NDArray[np.float64],
) -> tuple[NDArray[np.float64], ...]:
    """Every pair's part in each of :data:`SUMS`."""
    return (
        np.ones(len(observed)),
        _score(table, quantiles, observed, levels),
        quantile_at(quantiles, levels, 0.5) - observed,
        covered_at_levels(quantiles, observed, levels),
        quantile_at(quantiles, levels, 0.9) - quantile_at(quantiles, levels, 0.1),
        product_score,
    )


def _score(
    table: BenchTable, quantiles: NDArray[np.float64], observed: NDArray[np.float64], levels: NDArray[np.float64]
) -> NDArray[np.float64]:
    score = pinball_at_levels if table.score == "pinball" else crps_at_levels
    return score(quantiles, observed, levels)


def _reported(table: BenchTable, values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Canonical values in the unit of the table."""
    return np.asarray(values.astype(np.float64) * table.scale + table.offset)
