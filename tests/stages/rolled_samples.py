"""A stand-in for the engine: forecasts from the past alone, with the protocol of the real one."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from skyproof.domain.cases import Cases, RolledForecasts
from skyproof.domain.progress import silent
from skyproof.science.pair_series import mean_of_members


def roll_past(
    cases: Cases, experts, /, *, levels, evaluate_from, refit, progress=silent, memory: Path | None = None
) -> RolledForecasts:
    """The product dresses the mean of all sources with the errors known at each issue time; climatology uses no source."""
    assert experts is not None
    first = int(np.searchsorted(cases.issue_times, evaluate_from))
    names = ("skyproof", *(f"raw:{source}" for source in cases.members), "climatology")
    shape = (len(names), len(cases.issue_times) - first, *cases.observed.shape[1:], len(levels))
    quantiles = np.full(shape, np.nan, np.float32)
    means = {source: mean_of_members(members) for source, members in cases.members.items()}
    centre = mean_of_members(np.stack(list(means.values()), axis=-1))
    for issue in range(first, len(cases.issue_times)):
        known = cases.known(cases.issue_times[issue])
        progress("learn and forecast", issue - first, len(cases.issue_times) - first)
        past = cases.observed[known]
        errors = (cases.observed - centre)[known]
        errors = errors[np.isfinite(errors)]
        quantiles[0, issue - first] = centre[issue][..., None] + np.quantile(errors, levels)
        quantiles[-1, issue - first] = np.quantile(past, levels)
        for k, mean in enumerate(means.values(), 1):
            quantiles[k, issue - first] = mean[issue][..., None]
    seconds = dict.fromkeys(names, 0.25)
    return RolledForecasts(cases.take(slice(first, None)), levels, names, quantiles, seconds, seconds)
