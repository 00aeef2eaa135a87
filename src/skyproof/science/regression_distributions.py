"""Quantiles and means of the distributions a distributional regression can fit, from its location and log scale.

Parameters broadcast against each other; ``levels`` add a last axis. The meaning of location, log scale and log shift is that
of :func:`skyproof.science.crps_kernels.crps_and_slopes`.
"""

from __future__ import annotations

import math
from functools import lru_cache
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
_MOST_LOGIT, _BETA_LOG_SCALES = 9.0, (-5.0, 1.2)
#: Where quantiles of the beta distribution are tabulated, for at most so many levels: right to 0.003 of the width between them.
_BETA_LOCATIONS = np.linspace(-_MOST_LOGIT, _MOST_LOGIT, 145)
_BETA_SCALES = np.linspace(*_BETA_LOG_SCALES, 97)
_MOST_TABULATED = 256


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
    if distribution == "beta":
        return np.asarray(lower + (upper - lower) * _beta_quantiles(location, log_scale, tuple(levels)))
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
    if distribution == "beta":
        return np.asarray(lower + (upper - lower) * special.expit(np.clip(location, -_MOST_LOGIT, _MOST_LOGIT)))
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


@lru_cache(maxsize=4)
def _beta_table(levels: tuple[float, ...]) -> Floats:
    """(location, log scale, level): logits of the quantiles on (0, 1), in which they are nearly linear."""
    quantiles = _invert_beta(_BETA_LOCATIONS[:, None], _BETA_SCALES, levels)
    return np.asarray(special.logit(np.clip(quantiles, 1e-9, 1.0 - 1e-9)))


def _invert_beta(location: Floats, log_scale: Floats, levels: tuple[float, ...]) -> Floats:
    mean, certainty = special.expit(location)[..., None], np.exp(-2.0 * log_scale)[..., None]
    return np.asarray(special.betaincinv(mean * certainty, (1.0 - mean) * certainty, np.array(levels)))


def _beta_quantiles(location: Floats, log_scale: Floats, levels: tuple[float, ...]) -> Floats:
    """Quantiles on (0, 1), (..., level), between the four nearest tabulated: twenty times faster than inverting each."""
    location, log_scale = np.clip(location, -_MOST_LOGIT, _MOST_LOGIT), np.clip(log_scale, *_BETA_LOG_SCALES)
    if len(levels) > _MOST_TABULATED:
        return _invert_beta(location, log_scale, levels)
    table = _beta_table(levels)
    weights, places = [], []
    for values, axis in ((location, _BETA_LOCATIONS), (log_scale, _BETA_SCALES)):
        place = (values - axis[0]) / (axis[1] - axis[0])
        low = np.minimum(np.nan_to_num(place), len(axis) - 1.000001).astype(np.intp)
        places.append(low)
        weights.append((place - low)[..., None])
    (i, j), (right, up) = np.broadcast_arrays(*places), weights
    left = table[i, j] * (1.0 - up) + table[i, j + 1] * up
    between = left * (1.0 - right) + (table[i + 1, j] * (1.0 - up) + table[i + 1, j + 1] * up) * right
    return np.asarray(special.expit(between))


def _normal_excess(limit: Floats) -> Floats:
    """E max(limit - Z, 0) of the standard normal."""
    return np.asarray(limit * special.ndtr(limit) + normal_density(limit))


def _logistic_excess(limit: Floats) -> Floats:
    """E max(limit - Z, 0) of the standard logistic."""
    # Not logaddexp, which warns of the NaN of a missing forecast.
    return np.asarray(np.maximum(limit, 0.0) + np.log1p(np.exp(-np.abs(limit))))
