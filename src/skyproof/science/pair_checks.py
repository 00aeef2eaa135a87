"""Whether forecasts and observations belong together: every check on the cases of a table, and what they found.

The evidence is correlation of departures from season and hour, so that July and noon prove nothing. A strong finding
is meant to be certain; thresholds are such that none of the real sets of the benchmarks raises one, and that faults
planted into them are found where their length allows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.bench import PairFinding
from skyproof.domain.cases import Cases
from skyproof.science.pair_columns import check_columns, find_frozen
from skyproof.science.pair_matches import Shift, best_shift, find_swaps, judge_shift, mean_correlation
from skyproof.science.pair_series import TruthGrid, mean_of_members, pair_series, truth_grid

Floats = NDArray[Any]
#: A predictor stands for the target where departures of both are at least this correlated at some shift (wind and power).
_TELLING = 0.6
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
    told: list[tuple[float, str, Floats, Shift]] = []
    for name, values in _telling(cases.predictors).items():
        series = pair_series(cases, truth, values)
        shift = best_shift(series, truth)
        if shift is not None:
            best = max(shift.correlation, mean_correlation(series, truth))
            if _TELLING <= best < _AN_OBSERVATION:
                told.append((best, name, values, shift))
    if not told:
        return []
    _, name, values, shift = max(told, key=lambda each: each[0])
    found = judge_shift(f"feature {name}", shift, step_seconds=truth.step)
    if found is not None and shift.gain < _CERTAIN:
        found = _weaker(found)
    swapped = [_weaker(each) for each in find_swaps(pair_series(cases, truth, values), truth, sites)]
    return ([found] if found is not None else []) + swapped


def _telling(predictors: Mapping[str, Floats]) -> dict[str, Floats]:
    """Predictors, and the speed of every pair of wind components."""
    found = dict(predictors)
    for name, values in predictors.items():
        if name.lower().startswith("u") and (v := name.replace("u", "v", 1).replace("U", "V", 1)) in predictors:
            found[f"speed of {name} and {v}"] = np.hypot(values, predictors[v])
    return found


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
