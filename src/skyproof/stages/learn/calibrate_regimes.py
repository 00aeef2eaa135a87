"""How wide the intervals must be when something is missing: measured on held-out forecasts, for every loss.

Who loses an input never claims to know more: where the measured intervals of a loss are narrower than those of a smaller
loss within it (a poor source is gone), they are stretched to the same mean width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skyproof.archive.release_content import RegimeCalibration
from skyproof.domain.protocols import Blend
from skyproof.domain.quantiles import INDEX_P10, INDEX_P90, LEVEL_ARRAY
from skyproof.domain.regimes import known_losses, regime_id
from skyproof.domain.variables import Variable
from skyproof.science.coverage import coverage_80
from skyproof.science.online_regression import group_leads
from skyproof.science.quantile_functions import within_limits
from skyproof.science.spread_guard import fit_spread, stretch
from skyproof.stages.learn.hindcast import Hindcast

#: The expert that needs recent observations.
_NEEDS_OBSERVATIONS = "persistence"
_WIDENINGS = 3
#: Groups of neighbouring leads that share a factor, at most.
_LEAD_GROUPS = 4


@dataclass(frozen=True, slots=True)
class RegimeFit:
    """One variable in one regime.

    ``factors``: (lead,); ``width``: of the 80 % interval on the mean; ``covered``: share of the ``cases`` inside it.
    """

    factors: NDArray[np.float64]
    width: float
    covered: float
    cases: int


def fit_regimes(past: Hindcast, blend: Blend, source_ids: Sequence[str], *, skip: int) -> dict[str, RegimeFit]:
    """Factors of one variable in every regime.

    Args:
        past: its held-out forecasts.
        blend: joins the experts left.
        source_ids: all sources.
        skip: first issue times left out, in which the blend had hardly learned.
    """
    fits: dict[str, RegimeFit] = {}
    widths: dict[tuple[frozenset[str], bool], float] = {}
    observed = past.observed[skip:]
    for missing, observations in known_losses(source_ids):
        name = regime_id(source_ids, missing, observations=observations)
        if not observations and len(missing) < len(source_ids):
            # Persistence is heard only where no source speaks: its loss changes nothing here.
            fits[name] = fits[regime_id(source_ids, missing, observations=True)]
            continue
        usual = [name != _NEEDS_OBSERVATIONS or observations for name in past.names[: past.usual]]
        keep = np.array([*usual, *(_awake(name, missing, source_ids) for name in past.names[past.usual :])])
        blended = within_limits(past.blended_all(blend, keep, skip=skip), past.variable)
        least = max(
            (width for (gone, seen), width in widths.items() if gone <= missing and seen >= observations), default=0.0
        )
        fit = _fit_variable(past.variable, blended, observed, least)
        widths[missing, observations] = fit.width
        fits[name] = fit
    return fits


def join_regimes(fits: Sequence[Mapping[str, RegimeFit]]) -> dict[str, RegimeCalibration]:
    """The calibration of every regime, from the fits of each variable; the first regime is the one that misses nothing."""
    whole = np.array([next(iter(fit.values())).width for fit in fits])
    calibrated = {}
    for name in fits[0]:
        own = [fit[name] for fit in fits]
        cases = sum(fit.cases for fit in own)
        wider = np.array([fit.width for fit in own]) / np.maximum(whole, 1e-6)
        calibrated[name] = RegimeCalibration(
            factors=np.stack([fit.factors for fit in own]),
            widening=round(float(np.mean(wider)), 4),
            coverage=round(sum(fit.covered * fit.cases for fit in own) / cases, 4) if cases else 0.0,
            cases=cases,
        )
    return calibrated


def _fit_variable(
    variable: Variable, blended: NDArray[np.float32], observed: NDArray[np.float32], least_width: float
) -> RegimeFit:
    """Factors that make the 80 % interval cover, and no narrower than ``least_width`` on the mean."""
    groups = group_leads(observed.shape[-1], most=_LEAD_GROUPS)
    factors = fit_spread(blended.swapaxes(1, 2), observed.swapaxes(1, 2), LEVEL_ARRAY, lead_groups=groups)
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
    return RegimeFit(factors, max(width, least_width), share if count else 0.0, count)


def _stretch(variable: Variable, blended: NDArray[np.float32], factors: NDArray[np.float64]) -> NDArray[np.float32]:
    stretched = stretch(blended, factors, LEVEL_ARRAY)
    return np.asarray(within_limits(stretched, variable))


def _mean_width(quantiles: NDArray[np.float32]) -> float:
    return float(np.nanmean(quantiles[..., INDEX_P90] - quantiles[..., INDEX_P10]))


def _awake(name: str, missing: frozenset[str], source_ids: Sequence[str]) -> bool:
    """Whether an expert has anything to say: one of a single source while that is there, one of several while all are."""
    source_id = name.partition(":")[2]
    return source_id not in missing if source_id in source_ids else not missing
