"""The report of a bench: every model with its score and interval, and the product's difference to each on the same pairs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof import __version__
from skyproof.domain.bench import BenchTable
from skyproof.domain.cases import RolledForecasts
from skyproof.domain.errors import NotAvailableError
from skyproof.science.significance import Estimate, Verdict, decide, mean_with_interval
from skyproof.stages.verify.bench_sums import SUMS, BenchSums, LeadGroup, sum_scores

PRODUCT = "skyproof"
_KINDS = {
    PRODUCT: "product",
    "climatology": "climatology",
    "persistence": "persistence",
    "equal_weight": "equal_weight",
}
_N, _SCORE, _ERROR, _COVERED, _WIDTH, _OURS = range(len(SUMS))


@dataclass(frozen=True, slots=True)
class Score:
    """A model over some leads. ``n`` counts pairs, ``n_effective`` how many independent days they are worth.

    ``bias`` is median minus observation; ``coverage_80`` and ``width_80`` are those of the interval from 10 to 90 %. NaN
    where the levels asked for do not say it.
    """

    leads: str
    n: int
    n_effective: float
    score: float
    interval: tuple[float, float]
    bias: float
    coverage_80: float
    width_80: float


@dataclass(frozen=True, slots=True)
class Difference:
    """The product's score minus a model's on the same pairs, over some leads; below zero the product is better."""

    leads: str
    n: int
    difference: float
    interval: tuple[float, float]
    relative: float
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class ModelReport:
    """One model: overall, and by group of leads."""

    name: str
    kind: str
    overall: Score
    by_lead: tuple[Score, ...]
    fit_seconds: float
    predict_seconds: float


@dataclass(frozen=True, slots=True)
class DifferenceReport:
    """The product beside one model: overall, and by group of leads."""

    model: str
    overall: Difference
    by_lead: tuple[Difference, ...]


@dataclass(frozen=True, slots=True)
class BenchReport:
    """Everything a bench found. ``sums`` are behind the pictures."""

    table: BenchTable
    models: tuple[ModelReport, ...]
    differences: tuple[DifferenceReport, ...]
    warnings: tuple[str, ...]
    seconds: float
    peak_memory_mb: float
    sums: BenchSums

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; the form is described in docs/how-to/bench-your-own-table.md and is only added to."""
        table = self.table
        return {
            "name": table.name,
            "score": table.score,
            "unit": table.unit,
            "variable": table.cases.variable.name,
            "levels": [float(level) for level in table.levels],
            "evaluate": {
                "from": str(table.evaluate_from),
                "until": str(table.evaluate_until),
                "refit": table.refit,
                "leave_out": "sites" if table.leave_out_sites else None,
                "days": len(self.sums.days),
                "sites": len(table.cases.sites),
                "observation_delay_hours": table.cases.delay_hours,
            },
            "models": [_model_dict(model, self.sums.groups) for model in self.models],
            "differences": [_difference_dict(each, self.sums.groups) for each in self.differences],
            "warnings": list(self.warnings),
            "seconds": self.seconds,
            "peak_memory_mb": self.peak_memory_mb,
            "version": __version__,
            "digest": table.digest,
        }


def build_bench_report(
    table: BenchTable, rolled: RolledForecasts, *, warnings: tuple[str, ...], seconds: float, peak_memory_mb: float
) -> BenchReport:
    """Score what was forecast.

    Raises:
        NotAvailableError: the product said nothing about any judged case.
    """
    sums = sum_scores(table, rolled)
    if not sums.totals[0, :, :, _N].any():
        raise NotAvailableError("the product spoke of no judged case", hint="choose a later evaluate.from")
    labels = [group.label for group in sums.groups]
    models, differences = [], []
    for k, name in enumerate(sums.names):
        overall = _score("all", sums.totals[k].sum(axis=0))
        by_lead = tuple(_score(label, sums.totals[k, g]) for g, label in enumerate(labels))
        fit, predict = rolled.fit_seconds.get(name, 0.0), rolled.predict_seconds.get(name, 0.0)
        models.append(ModelReport(name, _kind(name), overall, by_lead, float(fit), float(predict)))
        if k:
            apart = _difference("all", sums.totals[k].sum(axis=0))
            parts = tuple(_difference(label, sums.totals[k, g]) for g, label in enumerate(labels))
            differences.append(DifferenceReport(name, apart, parts))
    return BenchReport(table, tuple(models), tuple(differences), warnings, seconds, peak_memory_mb, sums)


def _kind(name: str) -> str:
    return _KINDS.get(name, "raw" if name.startswith("raw:") else "expert")


def _score(leads: str, days: NDArray[np.float64]) -> Score:
    """A model from its sums by day (day, sum)."""
    estimate = _ratio(days[:, _SCORE], days[:, _N])
    total = days.sum(axis=0)
    n = max(float(total[_N]), 1.0)
    empty = total[_N] == 0
    bias, covered, width = (float("nan") if empty else float(total[k] / n) for k in (_ERROR, _COVERED, _WIDTH))
    return Score(
        leads,
        int(total[_N]),
        estimate.n_effective,
        estimate.value,
        (float(estimate.low), float(estimate.high)),
        bias,
        covered,
        width,
    )


def _difference(leads: str, days: NDArray[np.float64]) -> Difference:
    estimate = _ratio(days[:, _OURS] - days[:, _SCORE], days[:, _N])
    theirs = _ratio(days[:, _SCORE], days[:, _N]).value
    advantage = Estimate(-estimate.value, -estimate.high, -estimate.low, estimate.n, estimate.n_effective)
    relative = estimate.value / theirs if theirs > 0 else float("nan")
    interval = (float(estimate.low), float(estimate.high))
    return Difference(leads, int(days[:, _N].sum()), estimate.value, interval, relative, decide(advantage))


def _ratio(sums: NDArray[np.float64], counts: NDArray[np.float64]) -> Estimate:
    """Mean over all pairs with an interval that knows that days differ in their number of pairs.

    The ratio of two sums by day has the interval of the mean of its linear form, ``mean + (sum - mean * count) / mean
    count`` (Cochran 1977, Sampling Techniques, 3rd edition, section 6.4).
    """
    some = counts > 0
    if not some.any():
        return Estimate(float("nan"), float("nan"), float("nan"), 0, 0.0)
    mean = float(sums[some].sum() / counts[some].sum())
    return mean_with_interval(mean + (sums[some] - mean * counts[some]) / counts[some].mean())


def _model_dict(model: ModelReport, groups: tuple[LeadGroup, ...]) -> dict[str, Any]:
    overall = asdict(model.overall)
    del overall["leads"]
    return {
        "name": model.name,
        "kind": model.kind,
        **overall,
        "fit_seconds": model.fit_seconds,
        "predict_seconds": model.predict_seconds,
        "by_lead": [asdict(each) | _hours(group) for each, group in zip(model.by_lead, groups, strict=True)],
    }


def _difference_dict(each: DifferenceReport, groups: tuple[LeadGroup, ...]) -> dict[str, Any]:
    overall = asdict(each.overall)
    del overall["leads"]
    parts = [asdict(part) | _hours(group) for part, group in zip(each.by_lead, groups, strict=True)]
    return {"model": each.model, **overall, "by_lead": parts}


def _hours(group: LeadGroup) -> dict[str, int]:
    return {"from_hours": group.from_hours, "to_hours": group.to_hours}
