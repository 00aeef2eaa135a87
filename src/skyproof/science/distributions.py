"""The predictive distributions of EMOS: normal, normal truncated at zero, censored shifted gamma.

Parameters broadcast against each other; ``levels`` add a last axis. Closed forms of the CRPS are those of the papers
named at each function.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[Any]
_SQRT_PI = np.sqrt(np.pi)
_SQRT_2PI = np.sqrt(2 * np.pi)


def normal_density(x: Floats) -> Floats:
    """Density of the standard normal distribution."""
    return np.asarray(np.exp(-0.5 * np.square(x)) / _SQRT_2PI)


def gaussian_quantiles(location: Floats, scale: Floats, levels: Floats) -> Floats:
    """Quantiles of a normal distribution, (..., level)."""
    return np.asarray(location[..., None] + scale[..., None] * special.ndtri(levels))


def gaussian_cdf(x: Floats, location: Floats, scale: Floats) -> Floats:
    """Probability of at most ``x`` under a normal distribution."""
    return np.asarray(special.ndtr((x - location) / scale))


def gaussian_crps(observed: Floats, location: Floats, scale: Floats) -> Floats:
    """CRPS of a normal distribution. Source: Gneiting et al. (2005), doi:10.1175/MWR2904.1, equation 5."""
    z = (observed - location) / scale
    return np.asarray(scale * (z * (2 * special.ndtr(z) - 1) + 2 * normal_density(z) - 1 / _SQRT_PI))


def truncated_quantiles(location: Floats, scale: Floats, levels: Floats) -> Floats:
    """Quantiles of a normal distribution truncated below at zero, (..., level)."""
    # Upper-tail form: 1 - F = (1 - p) * Phi(location / scale) keeps digits where the truncation takes nearly all mass.
    above = (1 - levels) * special.ndtr(location / scale)[..., None]
    return np.asarray(np.maximum(location[..., None] - scale[..., None] * special.ndtri(above), 0.0))


def truncated_cdf(x: Floats, location: Floats, scale: Floats) -> Floats:
    """Probability of at most ``x`` under a normal distribution truncated below at zero."""
    # One minus a ratio of upper tails: both keep their digits where the truncation takes nearly all mass.
    above = special.ndtr((location - x) / scale) / special.ndtr(location / scale)
    return np.where(x < 0, 0.0, 1 - above)


def truncated_crps(observed: Floats, location: Floats, scale: Floats) -> Floats:
    """CRPS of a normal distribution truncated below at zero.

    Source:
        Thorarinsdottir and Gneiting (2010), doi:10.1111/j.1467-985X.2009.00616.x, equation 3. Digits cancel when the
        location lies more than four scales below zero; keep it above.
    """
    z, edge = (observed - location) / scale, location / scale
    mass = np.maximum(special.ndtr(edge), 1e-12)
    inside = (
        z * mass * (2 * special.ndtr(z) + mass - 2)
        + 2 * normal_density(z) * mass
        - special.ndtr(np.sqrt(2) * edge) / _SQRT_PI
    )
    return np.asarray(scale / np.square(mass) * inside)


def shifted_gamma_quantiles(mean: Floats, sd: Floats, shift: Floats, levels: Floats) -> Floats:
    """Quantiles of a gamma distribution of given mean and sd, moved down by ``shift`` and censored at zero, (..., level).

    An sd below a hundredth or above a hundred times the mean is taken as that.
    """
    log_shape = np.clip(2 * np.log(mean / sd), _LOG_SHAPES[0], _LOG_SHAPES[-1])
    raw = np.exp(_log_gamma_quantiles(log_shape, tuple(levels))) * (mean / np.exp(log_shape))[..., None]
    return np.asarray(np.maximum(raw - shift[..., None], 0.0))


def shifted_gamma_cdf(x: Floats, mean: Floats, sd: Floats, shift: Floats) -> Floats:
    """Probability of at most ``x`` under the censored shifted gamma distribution; at zero the probability of none."""
    raw = special.gammainc(np.square(mean / sd), np.maximum(x + shift, 0.0) * mean / np.square(sd))
    return np.where(x < 0, 0.0, raw)


#: Natural logarithms of the gamma shapes tabulated: from 0.0001 to 10,000. Linear interpolation in it is right to 1e-4.
_LOG_SHAPES = np.linspace(np.log(1e-4), np.log(1e4), 2049)


@lru_cache(maxsize=4)
def _gamma_table(levels: tuple[float, ...]) -> Floats:
    quantiles = special.gammaincinv(np.exp(_LOG_SHAPES)[:, None], np.array(levels))
    return np.asarray(np.log(np.maximum(quantiles, 1e-300)))


def _log_gamma_quantiles(log_shape: Floats, levels: tuple[float, ...]) -> Floats:
    """Logarithms of unit-scale gamma quantiles from a table: 30 times faster than inverting the function each time."""
    table = _gamma_table(levels)
    place = (log_shape - _LOG_SHAPES[0]) / (_LOG_SHAPES[1] - _LOG_SHAPES[0])
    # A missing shape is looked up anywhere; its scale, missing too, makes the result missing.
    place = np.clip(np.nan_to_num(place), 0, len(_LOG_SHAPES) - 1.000001)
    low = place.astype(np.intp)
    weight = (place - low)[..., None]
    return np.asarray(table[low] * (1 - weight) + table[low + 1] * weight)


def shifted_gamma_crps(observed: Floats, mean: Floats, sd: Floats, shift: Floats) -> Floats:
    """CRPS of the censored shifted gamma distribution.

    Args:
        observed: at least 0.
        mean: mean of the gamma distribution before the shift, above 0.
        sd: its standard deviation, above 0.
        shift: how far it is moved down, at least 0; what falls below zero is the probability of none.

    Source:
        Scheuerer and Hamill (2015), doi:10.1175/MWR-D-15-0061.1, equation 10, with a shift counted positive downwards.
    """
    k, theta = np.square(mean / sd), np.square(sd) / mean
    c, y = shift / theta, (observed + shift) / theta
    cdf_y, cdf_c = special.gammainc(k, y), special.gammainc(k, c)
    cdf_y1, cdf_c1 = special.gammainc(k + 1, y), special.gammainc(k + 1, c)
    beta = np.exp(special.betaln(0.5, k + 0.5))
    result = (
        y * (2 * cdf_y - 1)
        - c * np.square(cdf_c)
        + k * (1 + 2 * cdf_c * cdf_c1 - np.square(cdf_c) - 2 * cdf_y1)
        - k / np.pi * beta * (1 - special.gammainc(2 * k, 2 * c))
    )
    return np.asarray(theta * result)
