"""Wind where turbines and cranes are: at other heights than 10 m, and in gusts.

Speeds are in m/s at any shape, NaN where missing; heights in m above ground. All functions work on members of scenarios; they
are monotone in the speed, so that they may be used on quantiles as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]

#: Exponent of the normal wind profile over land: IEC 61400-1:2019; offshore 0.14: IEC 61400-3-1:2019.
ONSHORE_EXPONENT, OFFSHORE_EXPONENT = 0.2, 0.14
#: Exponents outside are calms and low-level jets that one number does not describe.
_EXPONENT_RANGE = (-0.1, 0.6)
#: Below it (m/s) a ratio of speeds is noise.
_CALM = 0.5
_HOUR_CLASSES, _SPEED_CLASSES = 8, 3
#: Pairs that hold a class at the mean of all.
_SHRINKAGE = 50.0
#: Gust of 3 s to mean of 10 min, open country inland: Harper et al. (2010), WMO/TD-No. 1555, table 1.1.
INLAND_GUST_FACTOR = 1.66
#: Scatter of the logarithm of the factor where nothing was learned: turbulence of 20 %, about one gust cycle.
_DEFAULT_SCATTER = 0.12
_GUST_CLASSES = 8


def power_law(speed: Floats, *, from_m: float, to_m: float, exponent: float | Floats) -> NDArray[np.float64]:
    """Speed at another height by the power law.

    Args:
        speed: at ``from_m``.
        from_m: height of the given speed.
        to_m: height wanted.
        exponent: 0.2 over land, 0.14 at sea where nothing better is known; or what :class:`ShearModel` says.

    Source:
        IEC 61400-1:2019, normal wind profile model.
    """
    return np.asarray(speed * (to_m / from_m) ** np.asarray(exponent, dtype=np.float64))


def log_profile(
    speed: Floats, *, from_m: float, to_m: float, roughness_m: float, displacement_m: float = 0.0
) -> NDArray[np.float64]:
    """Speed at another height by the logarithmic profile of neutral air; use it up to about 100 m, in strong wind.

    Args:
        speed: at ``from_m``.
        from_m: height of the given speed, above displacement and roughness.
        to_m: height wanted.
        roughness_m: 0.0002 at sea, 0.03 grass, 0.1 farmland, 1 forest or town.
        displacement_m: about two thirds of the height of a forest or town.

    Source:
        Stull (1988), An Introduction to Boundary Layer Meteorology, equation 9.7.1d; roughness from its figure 9.6.
    """
    above = np.log((to_m - displacement_m) / roughness_m)
    return np.asarray(speed * (above / np.log((from_m - displacement_m) / roughness_m)))


def shear_exponent(
    lower: Floats, upper: Floats, *, lower_m: float = 10.0, upper_m: float = 100.0
) -> NDArray[np.float64]:
    """Exponent of the power law through two heights, held in -0.1 to 0.6; NaN in calm air, where it says nothing."""
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.log(upper / lower) / np.log(upper_m / lower_m)
    return np.where((lower >= _CALM) & (upper >= _CALM), np.clip(found, *_EXPONENT_RANGE), np.nan)


def wind_between(
    lower: Floats, upper: Floats, *, height_m: float, lower_m: float = 10.0, upper_m: float = 100.0
) -> NDArray[np.float64]:
    """Speed at a height from the speeds at two others, member by member: the profile of that very hour.

    In calm air the onshore exponent takes the place of the one between them.
    """
    exponent = shear_exponent(lower, upper, lower_m=lower_m, upper_m=upper_m)
    exponent = np.where(np.isnan(exponent) & np.isfinite(upper - lower), ONSHORE_EXPONENT, exponent)
    return power_law(upper, from_m=upper_m, to_m=height_m, exponent=exponent)


@dataclass(frozen=True, slots=True)
class ShearModel:
    """The exponent by time of day and speed: at night, in light wind, air is stable and the wind grows faster with height.

    ``speed_edges``: (2,) m/s between light, moderate and strong; ``exponents``: (hour class of 3 h, speed class).
    """

    speed_edges: NDArray[np.float64]
    exponents: NDArray[np.float64]

    def exponent(self, speed: Floats, hour: Floats) -> NDArray[np.float64]:
        """The exponent for a speed at the lower height and an hour of the day (0 to 24, the zone of the fit)."""
        row = (np.asarray(hour) // (24 / _HOUR_CLASSES)).astype(np.intp) % _HOUR_CLASSES
        return np.asarray(self.exponents[row, np.searchsorted(self.speed_edges, speed, side="right")])


def fit_shear_model(
    lower: Floats, upper: Floats, hour: Floats, *, lower_m: float = 10.0, upper_m: float = 100.0
) -> ShearModel:
    """Learn how the exponent depends on hour and speed, the two signs of stability that every site has.

    Of each class the exponent is that of the mean speeds, so that mean energy is not lost to the noise of single ratios; a class
    with few pairs is drawn towards the mean of all.

    Args:
        lower: (n,) speed at ``lower_m``.
        upper: (n,) speed at ``upper_m``.
        hour: (n,) hour of the day, 0 to 24, in any one zone.
        lower_m: the lower height.
        upper_m: the upper height.

    Source:
        Power law of IEC 61400-1:2019; that stability follows hour and speed: Stull (1988), chapter 1; the classes are ours.
    """
    known = np.isfinite(lower) & np.isfinite(upper) & np.isfinite(hour)
    low, high, row = lower[known], upper[known], (hour[known] // (24 / _HOUR_CLASSES)).astype(np.intp) % _HOUR_CLASSES
    edges = np.quantile(low, [1 / 3, 2 / 3]) if len(low) else np.array([3.0, 6.0])
    ratio = np.log(upper_m / lower_m)
    if not len(low) or low.sum() <= 0 or high.sum() <= 0:
        return ShearModel(edges, np.full((_HOUR_CLASSES, _SPEED_CLASSES), ONSHORE_EXPONENT))
    overall = np.log(high.sum() / low.sum()) / ratio
    place = row * _SPEED_CLASSES + np.searchsorted(edges, low, side="right")
    count, below, above = (
        np.bincount(place, weights, minlength=_HOUR_CLASSES * _SPEED_CLASSES) for weights in (None, low, high)
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        own = np.where((below > 0) & (above > 0), np.log(above / below) / ratio, overall)
    drawn = (count * own + _SHRINKAGE * overall) / (count + _SHRINKAGE)
    return ShearModel(edges, np.clip(drawn, *_EXPONENT_RANGE).reshape(_HOUR_CLASSES, _SPEED_CLASSES))


@dataclass(frozen=True, slots=True)
class GustModel:
    """Gust over mean wind by speed. ``factors`` at ``speeds`` (m/s), linear between; ``scatter`` of the logarithm."""

    speeds: NDArray[np.float64]
    factors: NDArray[np.float64]
    scatter: float

    def gusts(self, speed: Floats, noise: Floats | float = 0.0) -> NDArray[np.float64]:
        """Gusts of mean winds.

        Args:
            speed: mean wind, m/s.
            noise: standard normal numbers of the same shape for members; 0 for the typical gust.

        Returns:
            m/s, never below the mean wind.
        """
        typical = np.interp(speed, self.speeds, self.factors)
        return np.asarray(speed * np.maximum(typical * np.exp(self.scatter * np.asarray(noise)), 1.0))

    def to_arrays(self) -> Mapping[str, NDArray[Any]]:
        """As arrays to keep."""
        return {"speeds": self.speeds, "factors": self.factors, "scatter": np.array(self.scatter)}


#: What is used where no gust was ever measured.
LITERATURE_GUSTS = GustModel(np.array([0.0]), np.array([INLAND_GUST_FACTOR]), _DEFAULT_SCATTER)


def fit_gust_model(mean: Floats, gust: Floats) -> GustModel:
    """Learn the gust factor of a site from its own measurements; in light wind it is larger, and scatters more.

    Args:
        mean: (n,) mean wind, m/s.
        gust: (n,) gust of the same interval, m/s.

    Returns:
        The median factor in eight classes of speed, drawn towards the literature's 1.66 where pairs are few.

    Source:
        Factor by speed and its scatter: Harper et al. (2010), WMO/TD-No. 1555, chapter 2.
    """
    known = np.isfinite(mean) & np.isfinite(gust) & (mean >= _CALM) & (gust >= mean)
    u, factor = mean[known], gust[known] / mean[known]
    if len(u) < _GUST_CLASSES:
        return LITERATURE_GUSTS
    parts = np.array_split(np.argsort(u, kind="stable"), _GUST_CLASSES)
    speeds = np.array([u[part].mean() for part in parts])
    weight = np.array([len(part) for part in parts]) / (np.array([len(part) for part in parts]) + _SHRINKAGE / 10)
    medians = np.array([np.median(factor[part]) for part in parts])
    factors = weight * medians + (1 - weight) * INLAND_GUST_FACTOR
    residual = np.log(factor / np.interp(u, speeds, factors))
    # Half the distance of the quantiles at one standard deviation: a wild report does not count.
    low, high = np.quantile(residual, [0.159, 0.841])
    share = len(u) / (len(u) + _SHRINKAGE)
    return GustModel(speeds, factors, float(share * (high - low) / 2 + (1 - share) * _DEFAULT_SCATTER))
