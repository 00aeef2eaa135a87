"""Whether forecasts and observations belong together: every check on the cases of a table, and what they found.

The evidence is correlation of departures from season and hour, so that July and noon prove nothing. A strong finding
is meant to be certain; thresholds are such that none of the real sets of the benchmarks raises one, and that faults
planted into them are found where their length allows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.bench import PairFinding
from skyproof.domain.cases import Cases
from skyproof.science.case_features import base_quantities, plan_features
from skyproof.science.pair_columns import check_columns, find_frozen
from skyproof.science.pair_matches import Shift, best_shift, find_swaps, judge_shift, mean_correlation
from skyproof.science.pair_series import (
    PairSeries,
    TruthGrid,
    course_series,
    mean_of_members,
    pair_series,
    truth_grid,
    with_course,
)

Floats = NDArray[Any]
#: A predictor stands for the target where departures of both are at least this correlated at some shift (wind and power).
_TELLING = 0.6
#: The same with the course of day and year left in: sunshine and the power made of it.
_TELLING_COURSE = 0.85
#: The course comes back every day.
_HALF_A_DAY = 12 * 3600
#: A predictor is no forecast of the target: only a shift that explains this much of the rest is certain.
_CERTAIN = 0.25
#: More than this is no forecast but an observation of another day.
_AN_OBSERVATION = 0.97


def check_pairs(cases: Cases, *, said: str) -> list[PairFinding]:
    """All findings, strong ones first.

    Args:
        cases: of a table, in the canonical unit.
        said: unit that the table was said to be in.
    """
    truth = truth_grid(cases)
    found = check_columns(cases, said=said)
    frozen = find_frozen("the target", truth.observed) if _is_regular(truth) else None
    found += [frozen] if frozen is not None else []
    found += _check_matches(cases, truth)
    return sorted(found, key=lambda finding: finding.strength != "strong")


def _check_matches(cases: Cases, truth: TruthGrid) -> list[PairFinding]:
    sites = [cases.sites[k].place_id for k in truth.sites]
    forecasts = {name: mean_of_members(members) for name, members in cases.members.items()}
    if not forecasts:
        return _check_predictors(cases, truth, sites)
    shifts = {name: best_shift(pair_series(cases, truth, values), truth) for name, values in forecasts.items()}
    found = [judge_shift(f"source {name}", shift, step_seconds=truth.step) for name, shift in shifts.items()]
    shifted = _join_shifts([finding for finding in found if finding is not None], shifts)
    together = mean_of_members(np.stack(list(forecasts.values()), axis=-1))
    return shifted + find_swaps(pair_series(cases, truth, together), truth, sites)


def _check_predictors(cases: Cases, truth: TruthGrid, sites: list[str]) -> list[PairFinding]:
    """Shifts and swaps where the target has no forecast of its own: by the predictor that says most about it."""
    if not cases.predictors:
        return []
    plan = plan_features(cases)
    base = base_quantities(cases, plan.accumulated, plan.winds)
    told = _most_telling(base, lambda values: pair_series(cases, truth, values), truth, least=_TELLING)
    if told is None:
        # Clouds say little of an hour's sunshine, but the sun's course says when it is noon.
        course = with_course(truth)
        told = _most_telling(
            base,
            lambda values: course_series(cases, course, values),
            course,
            least=_TELLING_COURSE,
            within_seconds=_HALF_A_DAY,
        )
        if told is None:
            return []
        found = judge_shift(f"the course of feature {told[0]}", told[2], step_seconds=truth.step)
        return [] if found is None else [_weaker(found)]
    name, values, shift = told
    found = judge_shift(f"feature {name}", shift, step_seconds=truth.step)
    if found is not None and shift.gain < _CERTAIN:
        found = _weaker(found)
    swapped = [_weaker(each) for each in find_swaps(pair_series(cases, truth, values), truth, sites)]
    return ([found] if found is not None else []) + swapped


def _most_telling(
    base: Mapping[str, Floats],
    series_of: Callable[[Floats], PairSeries],
    truth: TruthGrid,
    *,
    least: float,
    within_seconds: int = 3 * 86_400,
) -> tuple[str, Floats, Shift] | None:
    """The quantity most correlated with the target at some shift, if it is at least that much."""
    told: list[tuple[float, str, Floats, Shift]] = []
    for name, values in base.items():
        series = series_of(values)
        shift = best_shift(series, truth, within_seconds=within_seconds)
        if shift is not None:
            best = max(shift.correlation, mean_correlation(series, truth))
            if least <= best < _AN_OBSERVATION:
                told.append((best, name, values, shift))
    return max(told, key=lambda each: each[0])[1:] if told else None


def _join_shifts(found: list[PairFinding], shifts: Mapping[str, Shift | None]) -> list[PairFinding]:
    """One finding where all sources are shifted alike: then it is the observations' time that is wrong."""
    steps = {shift.steps for shift in shifts.values() if shift is not None}
    if len(found) < 2 or len(found) < len(shifts) or len(steps) != 1:
        return found
    first = min(found, key=lambda finding: finding.strength != "strong")
    message = f"all {len(found)} sources agree; {first.message}"
    return [PairFinding(first.kind, first.strength, message, first.hint)]


def _weaker(finding: PairFinding) -> PairFinding:
    return PairFinding(finding.kind, "weak", finding.message, finding.hint)


def _is_regular(truth: TruthGrid) -> bool:
    """Whether most instants of the axis were observed, so that repeats follow each other in time."""
    return bool(np.isfinite(truth.observed).any(axis=1).mean() > 0.5)
