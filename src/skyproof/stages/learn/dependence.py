"""How the product's errors hang together over variables, sites and leads: learned from held-out forecasts, for scenarios."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.variables import Variable
from skyproof.science.gaussian_copula import fit_gaussian_copula, normal_scores


def score_outcomes(
    variable: Variable,
    issue_times: Sequence[datetime],
    quantiles: NDArray[np.float32],
    observed: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Normal scores of one variable's outcomes in its held-out forecasts, (issue, site, lead).

    Args:
        variable: the one forecast.
        issue_times: when.
        quantiles: (issue, site, lead, level).
        observed: (issue, site, lead).
    """
    scores = np.empty(observed.shape, dtype=np.float32)
    for number, issued in enumerate(issue_times):
        seed = f"{variable.name} {issued:%Y%m%d%H%M}"
        scores[number] = normal_scores(quantiles[number], observed[number], seed=seed)
    return scores


def learn_dependence(scores: list[NDArray[np.float32]]) -> dict[str, NDArray[Any]]:
    """The Gaussian copula of the held-out forecasts, as arrays, from the scores of every variable."""
    return fit_gaussian_copula(np.stack(scores, axis=1)).to_arrays()
