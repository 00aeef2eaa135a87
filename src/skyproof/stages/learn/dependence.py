"""How the product's errors hang together over variables, sites and leads: learned from held-out forecasts, for scenarios."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.archive.release_content import RegimeCalibration
from skyproof.domain.protocols import Blend
from skyproof.domain.variables import find_variable
from skyproof.science.coverage import apply_spread_factors
from skyproof.science.gaussian_copula import fit_gaussian_copula, normal_scores
from skyproof.science.quantile_functions import clip_to_limits, drop_traces
from skyproof.stages.learn.hindcast import Hindcast


def learn_dependence(
    past: Hindcast, blend: Blend, full: RegimeCalibration, variables: Sequence[str], *, skip: int
) -> dict[str, NDArray[Any]]:
    """The Gaussian copula of the held-out forecasts, as arrays.

    Args:
        past: held-out forecasts and what was observed.
        blend: joins the experts.
        full: calibration of the regime in which nothing is missing.
        variables: one per variable of ``past``.
        skip: first issue times left out, in which the blend had hardly learned.
    """
    scores = np.empty((len(past.states) - skip, *past.observed.shape[1:]), dtype=np.float32)
    for number, (experts, state) in enumerate(zip(past.experts[skip:], past.states[skip:], strict=True)):
        blended = blend.combine(state, experts)
        for index, name in enumerate(variables):
            variable = find_variable(name)
            stretched = apply_spread_factors(blended[index], full.factors[index].astype(np.float32))
            limited = clip_to_limits(stretched, variable.lower, variable.upper)
            quantiles = np.sort(drop_traces(limited, variable.smallest), axis=-1)
            seed = f"{name} {past.issue_times[skip + number]:%Y%m%d%H%M}"
            scores[number, index] = normal_scores(quantiles, past.observed[skip + number, index], seed=seed)
    return fit_gaussian_copula(scores).to_arrays()
