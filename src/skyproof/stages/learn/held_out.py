"""How good a release was on the weeks held out while it was learned: what its card says, with intervals."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.protocols import Blend
from skyproof.domain.quantiles import LEVEL_ARRAY
from skyproof.science.quantile_functions import within_limits
from skyproof.science.scores import crps_from_quantiles
from skyproof.science.significance import Estimate, mean_with_interval, skill_with_interval
from skyproof.science.spread_guard import stretch
from skyproof.science.threads import in_threads
from skyproof.stages.learn.calibrate_regimes import RegimeFit
from skyproof.stages.learn.hindcast import Hindcast

Scores = dict[str, object]


def forecast_held_out(past: Hindcast, blend: Blend, full: RegimeFit, *, skip: int) -> NDArray[np.float32]:
    """The product's quantiles of the held-out issue times, (issue, site, lead, level).

    Args:
        past: what the experts said and what was observed.
        blend: joins the experts.
        full: calibration of the regime in which nothing is missing.
        skip: first issue times left out, in which the blend had hardly learned.
    """
    variable = past.variable
    made = stretch(past.blended_all(blend, skip=skip), full.factors, LEVEL_ARRAY)
    limited = within_limits(made, variable)
    return np.sort(limited, axis=-1).astype(np.float32)


def score_held_out(past: Hindcast, quantiles: NDArray[np.float32], *, skip: int) -> Scores:
    """CRPS of one variable on the held-out issue times, and how much smaller it is than that of single experts.

    Args:
        past: what the experts said and what was observed.
        quantiles: of :func:`forecast_held_out`.
        skip: as there.

    Returns:
        ``crps`` with its 95 % interval; ``skill`` beside climatology and beside the best single expert, in percent with
        intervals, on the same pairs. Experts that sleep on more than a tenth of the issue times are no rivals.
    """
    observed = past.observed[skip:]
    own = _series(quantiles, observed)
    series = in_threads(
        lambda number: _series(past.experts[skip:, number], observed), len(past.names), cells=past.experts.size
    )
    single = dict(zip(past.names, series, strict=True))
    awake = {name: series for name, series in single.items() if np.isfinite(series).mean() >= 0.9}
    scores: Scores = {"crps": _told(mean_with_interval(own), digits=4)}
    if not awake:
        return scores
    best = min(awake, key=lambda name: float(np.nanmean(awake[name])))
    skill = {
        name: _told(skill_with_interval(own, single[name]), digits=1, factor=100.0)
        for name in {"climatology", best} & set(single)
    }
    return scores | {"best_expert": best, "skill_percent": dict(sorted(skill.items()))}


def _series(quantiles: NDArray[np.float32], observed: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean CRPS of each issue time, NaN where nothing was forecast or observed."""
    crps = crps_from_quantiles(quantiles, observed)
    known = np.isfinite(crps)
    count = known.sum(axis=(1, 2))
    total = np.where(known, crps, 0.0).sum(axis=(1, 2))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _told(estimate: Estimate, *, digits: int, factor: float = 1.0) -> list[float | None]:
    """Value, lower and upper bound, rounded; None for what cannot be told."""
    values = (estimate.value, estimate.low, estimate.high)
    return [round(factor * value, digits) if np.isfinite(value) else None for value in values]
