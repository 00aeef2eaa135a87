"""How the product's errors hang together over variables, sites and leads: learned from held-out forecasts, for scenarios."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.protocols import Blend
from skyproof.domain.quantiles import LEVEL_ARRAY
from skyproof.science.gaussian_copula import fit_gaussian_copula, normal_scores
from skyproof.science.quantile_functions import clip_to_limits, drop_traces
from skyproof.science.spread_guard import stretch
from skyproof.stages.learn.calibrate_regimes import RegimeFit
from skyproof.stages.learn.hindcast import Hindcast
from skyproof.stages.learn.outcomes import Outcomes


def score_outcomes(
    past: Hindcast, blend: Blend, full: RegimeFit, outcomes: Outcomes, *, skip: int
) -> NDArray[np.float32]:
    """Normal scores of one variable's outcomes in its held-out forecasts, (issue, site, lead).

    Args:
        past: held-out forecasts and what was observed.
        blend: joins the experts.
        full: calibration of the regime in which nothing is missing.
        outcomes: they say when the forecasts were issued.
        skip: first issue times left out, in which the blend had hardly learned.
    """
    variable = past.variable
    scores = np.empty((len(past.states) - skip, *past.observed.shape[1:]), dtype=np.float32)
    for number in range(skip, len(past.states)):
        stretched = stretch(past.blended(blend, number), full.factors, LEVEL_ARRAY)
        limited = clip_to_limits(stretched, variable.lower, variable.upper)
        quantiles = np.sort(drop_traces(limited, variable.smallest), axis=-1)
        seed = f"{variable.name} {outcomes.issue_times[number]:%Y%m%d%H%M}"
        scores[number - skip] = normal_scores(quantiles, past.observed[number], seed=seed)
    return scores


def learn_dependence(scores: list[NDArray[np.float32]]) -> dict[str, NDArray[Any]]:
    """The Gaussian copula of the held-out forecasts, as arrays, from the scores of every variable."""
    return fit_gaussian_copula(np.stack(scores, axis=1)).to_arrays()
