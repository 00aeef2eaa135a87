"""One regression for all cells of a block, pulled gently towards what one would assume without data."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.science.distributional_regression import Distribution, Rows, coefficient_count, fit_regressions
from skyproof.stages.forecast.case_blocks import CaseBlock, spread_out
from skyproof.stages.forecast.emos_scales import Scale

Floats = NDArray[Any]
Columns = list[Floats]

#: Rows a pooled regression is found from; more change the third digit and cost time in proportion.
_MOST_ROWS = {"shifted_gamma": 6_000, "beta": 6_000}
_ROWS = 20_000
#: Pseudo-cases that hold coefficients at what one would assume without any data.
_PSEUDO_CASES = 20.0
#: Sites count as this many independent ones at most: they share their weather.
_INDEPENDENT_SITES = 10


def regress(
    distribution: Distribution,
    block_weight: Floats,
    y: Floats,
    columns: tuple[Columns, Columns],
    priors: tuple[list[float], list[float]],
    *,
    scale: Scale,
    start: Floats | None = None,
    penalty_factor: Floats | None = None,
) -> NDArray[np.float64]:
    """Coefficients over the known cells of a block.

    Args:
        distribution: what to fit.
        block_weight: (issue, lead), by age.
        y: observed at unit size, (issue, lead, site), NaN unknown.
        columns: regressors of location and log scale, each broadcasting to y.
        priors: coefficients expected without data; those of the constants are left free.
        scale: for the limits.
        start: coefficients to begin from; the priors if not given.
        penalty_factor: multiplies the ridge of each coefficient.

    Returns:
        (coefficient,); the priors, with the spread of y as scale, where fewer than ten cells are known.
    """
    everywhere = np.isfinite(y)
    for column in columns[0] + columns[1]:
        everywhere = everywhere & np.isfinite(column)
    cells = np.flatnonzero(everywhere)
    chosen = cells[spread_out(len(cells), _MOST_ROWS.get(distribution, _ROWS))]
    place = np.unravel_index(chosen, y.shape)
    p, q = len(columns[0]), len(columns[1])
    prior = np.zeros(coefficient_count(distribution, p, q))
    prior[: p + q] = priors[0] + priors[1]
    if distribution == "shifted_gamma":
        prior[-1] = -1.5
    if len(chosen) < 10:
        return prior
    x, z = (_stack(part, y.shape, place) for part in columns)
    target = y[place]
    linked = logit_share(target, scale) if distribution == "beta" else target
    error = float(np.sqrt(np.mean(np.square(np.clip(linked - x @ prior[:p], -5, 5))))) + 1e-3
    if distribution not in {"shifted_gamma", "log_normal", "beta"}:
        prior[p] += np.log(0.7 * error) - float(np.mean(z @ prior[p : p + q]))
    weight = np.broadcast_to(block_weight[..., None], y.shape)[place]
    independent = len(cells) * min(y.shape[2], _INDEPENDENT_SITES) / max(y.shape[2], 1)
    strength = _PSEUDO_CASES / max(independent * float(weight.mean()), 1.0)
    ridge = np.full(len(prior), strength)
    ridge[:p] *= 0.56 / error * np.mean(np.square(x), axis=0)
    ridge[p : p + q] *= 0.28 * error * np.mean(np.square(z), axis=0)
    ridge[p + q :] *= 0.1 * error
    ridge[[0, p]] = 0.0
    if penalty_factor is not None:
        ridge *= penalty_factor
    first = prior if start is None or len(start) != len(prior) else start
    fit = fit_regressions(
        distribution,
        Rows.one_problem(target, x, z, weight),
        first,
        lower=scale.low,
        upper=scale.high,
        prior=prior,
        penalty=ridge,
        tolerance=1e-7,
        threads=1,
    )
    return np.asarray(fit.coefficients[0])


def combine(columns: Columns, coefficients: Floats) -> Floats:
    """The linear predictor, without a table of all columns."""
    total: Floats = np.asarray(columns[0] * coefficients[0])
    for column, coefficient in zip(columns[1:], coefficients[1:], strict=True):
        total = total + column * coefficient
    return total


def logit_share(values: Floats, scale: Scale) -> Floats:
    """Where values at unit size lie between both limits, as the logit of the share of the way; a fiftieth from either at most."""
    share = np.clip((values - scale.low) / (scale.high - scale.low), 0.02, 0.98)
    return np.asarray(np.log(share / (1.0 - share)))


def case_weights(block: CaseBlock, half_life_days: float) -> Floats:
    """Weights (issue, lead) by age."""
    return np.asarray(0.5 ** (block.age_days / half_life_days))


def _stack(columns: Columns, shape: tuple[int, ...], place: tuple[NDArray[np.intp], ...]) -> NDArray[np.float64]:
    return np.stack([np.broadcast_to(column, shape)[place] for column in columns], axis=1).astype(np.float64)
