"""Quantiles and means of the distributions a distributional regression can fit, from its location and log scale.

Parameters broadcast against each other; ``levels`` add a last axis. The meaning of location, log scale and log shift is that
of :func:`skyproof.science.crps_kernels.crps_and_slopes`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from skyproof.science.distributional_regression import Distribution
from skyproof.science.distributions import normal_density, shifted_gamma_quantiles, truncated_quantiles

Floats = NDArray[Any]

#: As in the kernels: limits of the log scale, of the depth of a truncated location, of the ratio of sd to mean of a gamma.
_LOG_SCALES = (-9.0, 6.0)
_DEEPEST = -3.5
_LOG_RATIOS = 3.0


def regression_quantiles(
    distribution: Distribution,
    location: Floats,
    log_scale: Floats,
    levels: Floats,
    *,
    log_shift: Floats | float = 0.0,
    lower: float = -math.inf,
    upper: float = math.inf,
) -> Floats:
    """Quantiles of the fitted distributions.

    Args:
        distribution: as fitted.
        location: (...), NaN where missing.
        log_scale: same shape.
        levels: probabilities between 0 and 1, (level,).
        log_shift: for the censored shifted gamma.
        lower: as fitted.
        upper: as fitted.

    Returns:
        (..., level), rising along the levels; NaN where a parameter is.
    """
    scale = np.exp(np.clip(log_scale, *_LOG_SCALES))
    if distribution == "shifted_gamma":
        mean, sd = _gamma_moments(location, log_scale)
        shift = np.broadcast_to(np.exp(np.clip(log_shift, -12.0, 4.0)), mean.shape)
        return np.asarray(lower + shifted_gamma_quantiles(mean, sd, shift, levels))
    if distribution == "truncated":
        edge = np.maximum(location - lower, _DEEPEST * scale)
        return np.asarray(lower + truncated_quantiles(edge, scale, levels))
    if distribution == "log_normal":
        scores = special.ndtri(levels)
        return np.asarray(lower + np.exp(location[..., None] + np.minimum(scale, 5.0)[..., None] * scores))
    scores = special.ndtri(levels) if distribution == "normal" else special.logit(levels)
    return np.asarray(np.clip(location[..., None] + scale[..., None] * scores, lower, upper))


def regression_mean(
    distribution: Distribution,
    location: Floats,
    log_scale: Floats,
    *,
    log_shift: Floats | float = 0.0,
    lower: float = -math.inf,
    upper: float = math.inf,
) -> Floats:
    """Expectations of the fitted distributions, limits included; arguments as for :func:`regression_quantiles`.

    The shifted gamma: E max(G - d, 0) = mean (1 - P(k + 1, c)) - d (1 - P(k, c)), with c the shift in units of the gamma's scale.
    """
    scale = np.exp(np.clip(log_scale, *_LOG_SCALES))
    if distribution == "shifted_gamma":
        mean, sd = _gamma_moments(location, log_scale)
        shape, shift = np.square(mean / sd), np.exp(np.clip(log_shift, -12.0, 4.0))
        c = shift * mean / np.square(sd)
        return np.asarray(lower + mean * special.gammaincc(shape + 1, c) - shift * special.gammaincc(shape, c))
    if distribution == "truncated":
        edge = np.maximum((location - lower) / scale, _DEEPEST)
        return np.asarray(lower + scale * (edge + normal_density(edge) / special.ndtr(edge)))
    if distribution == "log_normal":
        return np.asarray(lower + np.exp(location + 0.5 * np.square(np.minimum(scale, 5.0))))
    beyond = _normal_excess if distribution == "normal" else _logistic_excess
    result = np.asarray(location, dtype=np.float64)
    if lower > -math.inf:
        result = result + scale * beyond((lower - location) / scale)
    if upper < math.inf:
        result = result - scale * beyond((location - upper) / scale)
    return result


def _gamma_moments(location: Floats, log_scale: Floats) -> tuple[Floats, Floats]:
    mean = np.maximum(location, 0.0) + np.log1p(np.exp(-np.abs(location))) + 1e-9
    log_mean = np.log(mean)
    return mean, np.exp(np.clip(log_scale, log_mean - _LOG_RATIOS, log_mean + _LOG_RATIOS))


def _normal_excess(limit: Floats) -> Floats:
    """E max(limit - Z, 0) of the standard normal."""
    return np.asarray(limit * special.ndtr(limit) + normal_density(limit))


def _logistic_excess(limit: Floats) -> Floats:
    """E max(limit - Z, 0) of the standard logistic."""
    return np.asarray(np.logaddexp(0.0, limit))
