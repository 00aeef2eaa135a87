"""Closed-form CRPS of one case and its slopes, compiled: what minimum CRPS estimation evaluates millions of times.

Every distribution is told by a location, the logarithm of a scale and, for some, the logarithm of a shift. Kernels return
the CRPS and its derivatives with respect to those three. A normal or logistic distribution with finite limits is *censored*
there: what lies outside becomes probability of the limit itself. The observation must lie within the limits.

For a location-scale family censored to [l, u] the CRPS is s (g(y) - K(l) - k(u)) with g that of the whole distribution,
K(t) the integral of F^2 up to t and k(t) that of (1 - F)^2 from t on; the slopes follow term by term.

Sources:
    Gneiting et al. (2005), doi:10.1175/MWR2904.1 (normal); Jordan, Krueger and Lerch (2019), doi:10.18637/jss.v090.i12
    (logistic, censored); Thorarinsdottir and Gneiting (2010), doi:10.1111/j.1467-985X.2009.00616.x (truncated normal);
    Baran and Lerch (2015), doi:10.1002/qj.2521 (log-normal); Scheuerer and Hamill (2015), doi:10.1175/MWR-D-15-0061.1
    (censored shifted gamma); Taillardat et al. (2016), doi:10.1175/MWR-D-15-0260.1 (beta).
"""

from __future__ import annotations

import math

from numba import njit

from skyproof.science.beta_functions import beta_probability, log_beta
from skyproof.science.gamma_functions import gamma_probability

NORMAL, LOGISTIC, TRUNCATED, LOG_NORMAL, SHIFTED_GAMMA, BETA = range(6)

_SQRT_HALF = math.sqrt(0.5)
_SQRT_TWO = math.sqrt(2.0)
_SQRT_PI = math.sqrt(math.pi)
_DENSITY = 1.0 / math.sqrt(2.0 * math.pi)
#: Logarithms of scale beyond which a standardised regression is lost; there the slope is zero.
_LEAST_LOG, _MOST_LOG = -9.0, 6.0
#: Scales below the limit at which a truncated normal keeps its form while its CRPS loses digits.
_DEEPEST = -3.5
#: Logarithm of the ratio of sd to mean of a gamma distribution: between these.
_WIDEST = 3.0
#: Logit of the mean of a beta distribution, and limits of its log scale: from 22,000 cases' worth of certainty to hardly
#: anything between the limits.
_MOST_LOGIT, _LEAST_BETA, _MOST_BETA = 9.0, -5.0, 1.2


@njit(cache=True, nogil=True)
def _cdf(z: float) -> float:
    return 0.5 * math.erfc(-z * _SQRT_HALF)


@njit(cache=True, nogil=True)
def _density(z: float) -> float:
    return _DENSITY * math.exp(-0.5 * z * z)


@njit(cache=True, nogil=True)
def softplus(x: float) -> float:
    """log(1 + exp(x)) without overflow."""
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


@njit(cache=True, nogil=True)
def logistic(x: float) -> float:
    """1 / (1 + exp(-x)) without overflow."""
    e = math.exp(-abs(x))
    return (1.0 if x >= 0.0 else e) / (1.0 + e)


@njit(cache=True, nogil=True)
def _normal(y: float, location: float, scale: float, lower: float, upper: float) -> tuple[float, float, float]:
    z = (y - location) / scale
    slope = 2.0 * _cdf(z) - 1.0
    height = z * slope + 2.0 * _density(z) - 1.0 / _SQRT_PI
    by_location, by_log_scale = -slope, height - z * slope
    if lower > -math.inf:
        e = (lower - location) / scale
        below = _cdf(e)
        lost = e * below * below + 2.0 * _density(e) * below - _cdf(_SQRT_TWO * e) / _SQRT_PI
        height -= lost
        by_location += below * below
        by_log_scale -= lost - e * below * below
    if upper < math.inf:
        e = (location - upper) / scale
        above = _cdf(e)
        lost = e * above * above + 2.0 * _density(e) * above - _cdf(_SQRT_TWO * e) / _SQRT_PI
        height -= lost
        by_location -= above * above
        by_log_scale -= lost - e * above * above
    return scale * height, by_location, scale * by_log_scale


@njit(cache=True, nogil=True)
def _logistic(y: float, location: float, scale: float, lower: float, upper: float) -> tuple[float, float, float]:
    z = (y - location) / scale
    slope = 2.0 * logistic(z) - 1.0
    height = z + 2.0 * softplus(-z) - 1.0
    by_location, by_log_scale = -slope, height - z * slope
    if lower > -math.inf:
        e = (lower - location) / scale
        below = logistic(e)
        lost = softplus(e) - below
        height -= lost
        by_location += below * below
        by_log_scale -= lost - e * below * below
    if upper < math.inf:
        e = (location - upper) / scale
        above = logistic(e)
        lost = softplus(e) - above
        height -= lost
        by_location -= above * above
        by_log_scale -= lost - e * above * above
    return scale * height, by_location, scale * by_log_scale


@njit(cache=True, nogil=True)
def _truncated(y: float, location: float, scale: float, lower: float) -> tuple[float, float, float]:
    edge = (location - lower) / scale
    deep = edge < _DEEPEST
    if deep:
        edge = _DEEPEST
        location = lower + edge * scale
    z = (y - location) / scale
    mass, density = _cdf(edge), _density(edge)
    by_z = mass * (2.0 * _cdf(z) + mass - 2.0)
    by_mass = z * (2.0 * _cdf(z) + 2.0 * mass - 2.0) + 2.0 * _density(z)
    inside = z * by_z + 2.0 * _density(z) * mass - _cdf(_SQRT_TWO * edge) / _SQRT_PI
    by_edge = by_mass * density - 2.0 * density * density - 2.0 * inside * density / mass
    square = mass * mass
    by_location = (by_edge - by_z) / square
    by_scale = (inside - z * by_z - edge * by_edge) / square
    if deep:
        # The location moves with the scale.
        return scale * inside / square, 0.0, scale * (by_scale + edge * by_location)
    return scale * inside / square, by_location, scale * by_scale


@njit(cache=True, nogil=True)
def _log_normal(y: float, location: float, scale: float, lower: float) -> tuple[float, float, float]:
    amount = y - lower
    z = (math.log(amount) - location) / scale if amount > 0.0 else -40.0
    mean = math.exp(min(location + 0.5 * scale * scale, 600.0))
    rest = _cdf(z - scale) - _cdf(-scale * _SQRT_HALF)
    value = amount * (2.0 * _cdf(z) - 1.0) - 2.0 * mean * rest
    by_scale = 2.0 * amount * _density(z) - 2.0 * mean * (scale * rest + _density(scale * _SQRT_HALF) * _SQRT_HALF)
    return value, -2.0 * mean * rest, scale * by_scale


@njit(cache=True, nogil=True)
def _gamma_height(shape: float, y: float, c: float) -> tuple[float, float, float]:
    """CRPS of a gamma distribution of unit scale, shifted by c and censored, at y counted from the shifted zero.

    The second and third are the probabilities of at most y and c.
    """
    at_y, at_c = gamma_probability(shape, y), gamma_probability(shape, c)
    log_gamma = math.lgamma(shape + 1.0)
    next_y = at_y - math.exp(shape * math.log(y) - y - log_gamma) if y > 0.0 else 0.0
    next_c = at_c - math.exp(shape * math.log(c) - c - log_gamma)
    beta = _SQRT_PI * math.exp(math.lgamma(shape + 0.5) - log_gamma)
    height = y * (2.0 * at_y - 1.0) - c * at_c * at_c
    height += shape * (1.0 + 2.0 * at_c * next_c - at_c * at_c - 2.0 * next_y)
    height -= shape / math.pi * beta * (1.0 - gamma_probability(2.0 * shape, 2.0 * c))
    return height, at_y, at_c


@njit(cache=True, nogil=True)
def _shifted_gamma(
    y: float, location: float, log_scale: float, log_shift: float, lower: float
) -> tuple[float, float, float, float]:
    """The gamma distribution has mean softplus(location) and sd exp(log_scale) before it is moved down."""
    mean, mean_slope = softplus(location) + 1e-9, logistic(location)
    log_mean = math.log(mean)
    held = min(max(log_scale, log_mean - _WIDEST), log_mean + _WIDEST)
    ratio = math.exp(2.0 * (log_mean - held))
    shape, unit, shift = ratio, mean / ratio, math.exp(min(max(log_shift, -12.0), 4.0))
    top, c = (y - lower + shift) / unit, shift / unit
    height, at_y, at_c = _gamma_height(shape, top, c)
    step = 1e-4 * shape
    by_shape = _gamma_height(shape + step, top, c)[0] - _gamma_height(shape - step, top, c)[0]
    by_shape *= unit / (2.0 * step)
    by_top, by_c = 2.0 * at_y - 1.0, -at_c * at_c
    by_unit = height - top * by_top - c * by_c
    by_log_scale = 2.0 * unit * by_unit - 2.0 * shape * by_shape
    by_mean = (2.0 * shape * by_shape - unit * by_unit) / mean
    by_log_shift = (by_top + by_c) * shift if -12.0 < log_shift < 4.0 else 0.0
    if held != log_scale:
        # The sd moves with the mean.
        by_mean += by_log_scale / mean
        by_log_scale = 0.0
    return unit * height, by_mean * mean_slope, by_log_scale, by_log_shift


@njit(cache=True, nogil=True)
def _beta_height(y: float, mean: float, certainty: float) -> float:
    """CRPS at y of the beta distribution on (0, 1) whose shapes are mean and 1 - mean, times the certainty."""
    a, b = mean * certainty, (1.0 - mean) * certainty
    log_b = log_beta(a, b)
    at_y = beta_probability(a, b, y)
    next_y = at_y
    if 0.0 < y < 1.0:
        next_y -= math.exp(a * math.log(y) + b * math.log1p(-y) - log_b) / a
    rest = 2.0 / a * math.exp(log_beta(2.0 * a, 2.0 * b) - 2.0 * log_b)
    return y * (2.0 * at_y - 1.0) + mean * (1.0 - 2.0 * next_y - rest)


@njit(cache=True, nogil=True)
def _beta(y: float, location: float, log_scale: float, lower: float, upper: float) -> tuple[float, float, float]:
    """The mean is logistic(location) of the way from limit to limit, the variance that times what is left over 1 + certainty.

    The certainty is exp(-2 log scale), as of a normal distribution; the slopes are central differences.
    """
    width = upper - lower
    z = (y - lower) / width
    logit = min(max(location, -_MOST_LOGIT), _MOST_LOGIT)
    held = min(max(log_scale, _LEAST_BETA), _MOST_BETA)
    mean, certainty = logistic(logit), math.exp(-2.0 * held)
    spread = mean * (1.0 - mean)
    # A ten-thousandth of the sd, and of the certainty.
    step = 1e-4 * math.sqrt(spread / (1.0 + certainty))
    by_mean = (_beta_height(z, mean + step, certainty) - _beta_height(z, mean - step, certainty)) / (2.0 * step)
    more, less = math.exp(1e-4), math.exp(-1e-4)
    by_log = (_beta_height(z, mean, certainty * less) - _beta_height(z, mean, certainty * more)) / 1e-4
    by_location = width * by_mean * spread if logit == location else 0.0
    return width * _beta_height(z, mean, certainty), by_location, width * by_log if held == log_scale else 0.0


@njit(cache=True, nogil=True)
def crps_and_slopes(
    family: int, y: float, location: float, log_scale: float, log_shift: float, limits: tuple[float, float]
) -> tuple[float, float, float, float]:
    """CRPS of one case and its derivatives by location, log scale and log shift.

    Args:
        family: one of the constants above.
        y: the observation, within the limits.
        location: of the distribution; of its logarithm above ``lower`` for the log-normal; for the censored shifted gamma the
            mean is softplus(location), for the beta distribution logistic(location) of the way from limit to limit.
        log_scale: natural logarithm of the scale, taken as the nearest of -9 and 6 beyond them; minus half that of the
            certainty, the sum of both shapes, for the beta distribution.
        log_shift: natural logarithm of the shift; only the censored shifted gamma has one.
        limits: where a distribution is censored, truncated or begins, minus infinity for none; and where a normal or logistic
            distribution is censored from above, or a beta distribution ends, infinity for none.
    """
    lower, upper = limits
    if family == SHIFTED_GAMMA:
        return _shifted_gamma(y, location, log_scale, log_shift, lower)
    if family == BETA:
        value, by_location, by_log_scale = _beta(y, location, log_scale, lower, upper)
        return value, by_location, by_log_scale, 0.0
    held = min(max(log_scale, _LEAST_LOG), _MOST_LOG)
    scale = math.exp(held)
    if family == NORMAL:
        value, by_location, by_log_scale = _normal(y, location, scale, lower, upper)
    elif family == LOGISTIC:
        value, by_location, by_log_scale = _logistic(y, location, scale, lower, upper)
    elif family == TRUNCATED:
        value, by_location, by_log_scale = _truncated(y, location, scale, lower)
    else:
        value, by_location, by_log_scale = _log_normal(y, location, min(scale, 5.0), lower)
        if scale > 5.0:
            by_log_scale = 0.0
    return value, by_location, by_log_scale if held == log_scale else 0.0, 0.0


@njit(cache=True, nogil=True)
def curvature(
    family: int, location: float, log_scale: float, lower: float, upper: float
) -> tuple[float, float, float, float]:
    """About how much the expected CRPS curves by location, by both, by log scale and by log shift.

    Twice the integral of the product of the slopes of the distribution function; for a limited distribution that of the
    whole one, times the probability within the limits. It sets the first steps and the unit of a penalty; the minimum
    does not depend on it.
    """
    scale = math.exp(min(max(log_scale, _LEAST_LOG), _MOST_LOG))
    if family == LOG_NORMAL:
        scale = min(scale, 5.0)
        front = math.exp(min(location + 0.25 * scale * scale, 600.0)) / _SQRT_PI
        return front / scale, 0.5 * front * scale, front * scale * (0.5 + 0.25 * scale * scale), 0.0
    if family == SHIFTED_GAMMA:
        slope, mean = logistic(location), softplus(location)
        scale = min(max(scale, 0.05 * mean), 20.0 * mean)
        return slope * slope / (scale * _SQRT_PI), 0.0, 0.5 * scale / _SQRT_PI, 0.1 * scale
    if family == BETA:
        mean = logistic(min(max(location, -_MOST_LOGIT), _MOST_LOGIT))
        certainty = math.exp(-2.0 * min(max(log_scale, _LEAST_BETA), _MOST_BETA))
        spread = mean * (1.0 - mean)
        sd, share = math.sqrt(spread / (1.0 + certainty)), certainty / (1.0 + certainty)
        front = (upper - lower) / _SQRT_PI
        return front * spread * spread / sd, 0.0, front * 0.5 * sd * share * share, 0.0
    inside = 1.0
    if lower > -math.inf:
        inside -= _cdf((lower - location) / scale)
    if upper < math.inf:
        inside -= _cdf((location - upper) / scale)
    inside = max(inside, 0.02)
    if family == LOGISTIC:
        return inside / (3.0 * scale), 0.0, inside * scale * (math.pi**2 - 6.0) / 9.0, 0.0
    return inside / (scale * _SQRT_PI), 0.0, inside * 0.5 * scale / _SQRT_PI, 0.0
