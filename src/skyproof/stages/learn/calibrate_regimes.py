"""How wide the intervals must be when something is missing: measured on held-out forecasts, for every loss.

Who loses an input never claims to know more: where the measured intervals of a loss are narrower than those of a smaller
loss within it (a poor source is gone), they are stretched to the same mean width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skyproof.archive.release_content import RegimeCalibration
from skyproof.domain.progress import Progress, silent
from skyproof.domain.protocols import Blend
from skyproof.domain.quantiles import INDEX_P10, INDEX_P90
from skyproof.domain.regimes import known_losses, regime_id
from skyproof.domain.variables import Variable, find_variable
from skyproof.science.coverage import apply_spread_factors, coverage_80, fit_spread_factors
from skyproof.science.quantile_functions import clip_to_limits, drop_traces
from skyproof.stages.learn.hindcast import Hindcast

#: The expert that needs recent observations.
_NEEDS_OBSERVATIONS = "persistence"
_WIDENINGS = 3


def calibrate_regimes(
    past: Hindcast,
    blend: Blend,
    expert_names: Sequence[str],
    source_ids: Sequence[str],
    variables: Sequence[str],
    *,
    skip: int,
    progress: Progress = silent,
) -> dict[str, RegimeCalibration]:
    """Factors, coverage and widening of every regime.

    Args:
        past: held-out forecasts.
        blend: joins the experts left.
        expert_names: one per expert of ``past``.
        source_ids: all sources.
        variables: one per variable of ``past``.
        skip: first issue times left out, in which the blend had hardly learned.
        progress: told after each regime.
    """
    losses = known_losses(source_ids)
    calibrated: dict[str, RegimeCalibration] = {}
    widths: dict[tuple[frozenset[str], bool], NDArray[np.float64]] = {}
    observed = past.observed[skip:].transpose(1, 0, 2, 3)
    for done, (missing, observations) in enumerate(losses):
        progress("calibrate regimes", done, len(losses))
        keep = np.array([_awake(name, missing, observations=observations) for name in expert_names])
        blended = _blend_without(past, blend, keep, skip)
        smaller = [width for (gone, seen), width in widths.items() if gone <= missing and seen >= observations]
        least = np.max(smaller, axis=0) if smaller else np.zeros(len(variables))
        fits = [
            _fit_variable(find_variable(name), blended[index], observed[index], least[index])
            for index, name in enumerate(variables)
        ]
        widths[missing, observations] = np.array([fit.width for fit in fits])
        cases = sum(fit.cases for fit in fits)
        calibrated[regime_id(source_ids, missing, observations=observations)] = RegimeCalibration(
            factors=np.stack([fit.factors for fit in fits]),
            widening=round(float(np.mean(widths[missing, observations] / np.maximum(widths[losses[0]], 1e-6))), 4),
            coverage=round(sum(fit.covered * fit.cases for fit in fits) / cases, 4) if cases else 0.0,
            cases=cases,
        )
    progress("calibrate regimes", len(losses), len(losses))
    return calibrated


@dataclass(frozen=True, slots=True)
class _Fit:
    """One variable in one regime. ``width``: of the 80 % interval on the mean; ``covered``: share inside it."""

    factors: NDArray[np.float64]
    width: float
    covered: float
    cases: int


def _fit_variable(
    variable: Variable, blended: NDArray[np.float32], observed: NDArray[np.float32], least_width: float
) -> _Fit:
    """Factors that make the 80 % interval cover, and no narrower than ``least_width`` on the mean."""
    factors = fit_spread_factors(blended, observed)
    stretched = _stretch(variable, blended, factors)
    width = _mean_width(stretched)
    for _ in range(_WIDENINGS):
        if not 0 < width < least_width:
            break
        # Again, because what is cut off at a limit (no rain below zero) does not grow with the factors.
        factors = factors * (least_width / width)
        stretched = _stretch(variable, blended, factors)
        width = _mean_width(stretched)
    share, count = coverage_80(stretched, observed)
    return _Fit(factors, max(width, least_width), share if count else 0.0, count)


def _stretch(variable: Variable, blended: NDArray[np.float32], factors: NDArray[np.float64]) -> NDArray[np.float32]:
    stretched = apply_spread_factors(blended, factors.astype(np.float32))
    return drop_traces(clip_to_limits(stretched, variable.lower, variable.upper), variable.smallest)


def _mean_width(quantiles: NDArray[np.float32]) -> float:
    return float(np.nanmean(quantiles[..., INDEX_P90] - quantiles[..., INDEX_P10]))


def _awake(name: str, missing: frozenset[str], *, observations: bool) -> bool:
    if name == _NEEDS_OBSERVATIONS:
        return observations
    return name.partition(":")[2] not in missing or ":" not in name


def _blend_without(past: Hindcast, blend: Blend, keep: NDArray[np.bool_], skip: int) -> NDArray[np.float32]:
    """Blended quantiles (variable, issue, site, lead, level) with only the experts to keep."""
    parts = []
    for experts, state in zip(past.experts[skip:], past.states[skip:], strict=True):
        masked = experts.copy()
        masked[~keep] = np.nan
        parts.append(blend.combine(state, masked))
    return np.stack(parts, axis=1)
