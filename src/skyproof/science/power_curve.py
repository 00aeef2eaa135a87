"""Power from weather: what physics says before anything was metered, and what a site's own meter teaches.

A curve maps one driving feature (wind at hub height, the physical first guess of a solar plant) to power as a share of
capacity, 0 to 1. It is monotone, because more wind or sun gives more power until a cut-out that the first guess knows; what
the feature does not explain stays as a distribution around it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from skyproof.domain.errors import InvalidValueError
from skyproof.domain.quantiles import LEVEL_ARRAY
from skyproof.science.quantile_functions import interpolate_quantiles

Floats = NDArray[Any]

#: Density of air to which power curves refer, kg/m3: IEC 61400-12-1:2017, data normalisation.
STANDARD_DENSITY = 1.225
#: Irradiance and cell temperature of rated power: standard test conditions of IEC 60904-3.
_TEST_IRRADIANCE, _TEST_TEMPERATURE = 1000.0, 25.0
_KNOTS = 40
_SPREAD_CLASSES = 10
#: Metered hours that weigh as much as the first guess.
_PRIOR = 24.0
_FEWEST = 24


def wind_power(
    speed: Floats,
    *,
    half_power_speed: float = 8.3,
    steepness: float = 1.35,
    cut_in: float = 3.0,
    cut_out: float = 25.0,
    density: Floats | float = STANDARD_DENSITY,
) -> NDArray[np.float64]:
    """Power of a typical turbine at a wind speed, as a share of capacity: the first guess.

    A logistic curve, moved to zero at the cut-in speed; none above the cut-out speed. Use it until a meter was seen.

    Args:
        speed: at hub height, m/s.
        half_power_speed: m/s at which half of the capacity is reached.
        steepness: m/s; the smaller, the steeper.
        cut_in: m/s below which the turbine stands.
        cut_out: m/s above which it is stopped.
        density: of the air, kg/m3; the speed is normalised by its cube root.

    Source:
        Logistic curves: Lydia et al. (2014), doi:10.1016/j.rser.2013.10.030, section 4; density: IEC 61400-12-1:2017, data
        normalisation.
    """
    normal = np.asarray(speed, dtype=np.float64) * np.cbrt(np.asarray(density) / STANDARD_DENSITY)

    def logistic(v: Floats | float) -> Floats:
        return np.asarray(1 / (1 + np.exp(-(np.asarray(v) - half_power_speed) / steepness)))

    start = logistic(cut_in)
    share = np.clip((logistic(normal) - start) / (1 - start), 0.0, 1.0)
    share = np.where((normal < cut_in) | (normal > cut_out), 0.0, share)
    return np.where(np.isnan(normal), np.nan, share)


def solar_power(
    radiation: Floats,
    temperature: Floats | float = 15.0,
    *,
    performance: float = 0.86,
    coefficient: float = -0.0040,
    nominal_cell: float = 45.0,
    inverter_limit: float = 1.0,
) -> NDArray[np.float64]:
    """Power of a photovoltaic plant from radiation and temperature, as a share of capacity: the first guess.

    Radiation on level ground stands for that on the modules; the tilt is learned with the site's own meter.

    Args:
        radiation: mean shortwave radiation, W/m2.
        temperature: of the air, Cel.
        performance: losses of wiring, inverter, dirt.
        coefficient: change of power with the cell's temperature, 1/K.
        nominal_cell: operating temperature of the cell at 800 W/m2 and 20 Cel (NOCT).
        inverter_limit: largest share of capacity that is let out.

    Source:
        Evans (1981), doi:10.1016/0038-092X(81)90051-7; NOCT: IEC 61215; rated conditions: IEC 60904-3.
    """
    cell = temperature + np.asarray(radiation) / 800 * (nominal_cell - 20)
    share = radiation / _TEST_IRRADIANCE * performance * (1 + coefficient * (cell - _TEST_TEMPERATURE))
    return np.clip(share, 0.0, inverter_limit)


@dataclass(frozen=True, slots=True)
class PowerCurve:
    """What was learned: ``expected`` power at ``knots`` of the feature, and around it the quantiles (class, level) of
    metered minus expected, for classes of expected power with ``centres``.
    """

    knots: NDArray[np.float64]
    expected: NDArray[np.float64]
    centres: NDArray[np.float64]
    residuals: NDArray[np.float64]
    metered: int

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """As arrays to keep."""
        return {
            "knots": self.knots, "expected": self.expected, "centres": self.centres, "residuals": self.residuals,
            "metered": np.array(self.metered),
        }  # fmt: skip

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> PowerCurve:
        """The inverse of :meth:`to_arrays`."""
        names = ("knots", "expected", "centres", "residuals")
        knots, expected, centres, residuals = (np.asarray(arrays[name], dtype=np.float64) for name in names)
        return cls(knots, expected, centres, residuals, int(arrays["metered"]))


def fit_power_curve(feature: Floats, power: Floats, first_guess: Floats | None = None) -> PowerCurve:
    """Learn a site's curve from pairs of what was forecast and what was metered.

    The feature's range is cut into up to 40 classes of equal size; the mean power of each, drawn towards the first guess by
    the weight of a day, is made monotone by isotonic regression. Pairs with the *forecast* feature give
    the curve that is best for forecasts: flatter than the turbine's own, because the forecast errs.

    Args:
        feature: (n,) driving quantity, for example wind at hub height (m/s) or :func:`solar_power`.
        power: (n,) metered power as a share of capacity; NaN where missing.
        first_guess: (n,) what physics says of the same hours; the mean of all by default.

    Raises:
        InvalidValueError: fewer than 24 pairs, or power far outside 0 to 1 (not divided by capacity).

    Source:
        Isotonic regression: Barlow et al. (1972); the method of bins (there of 0.5 m/s): IEC 61400-12-1:2017.
    """
    known = np.isfinite(feature) & np.isfinite(power)
    x, y = feature[known].astype(np.float64), power[known].astype(np.float64)
    if len(x) < _FEWEST:
        raise InvalidValueError(f"{len(x)} metered hours are too few", hint=f"give at least {_FEWEST}")
    if y.max() > 1.5 or y.min() < -0.5:
        raise InvalidValueError(
            f"power from {y.min():g} to {y.max():g} is no share of capacity", hint="divide by the capacity"
        )
    guess = np.full_like(x, y.mean()) if first_guess is None else first_guess[known].astype(np.float64)
    parts = np.array_split(np.argsort(x, kind="stable"), min(_KNOTS, len(x) // 6))
    counts = np.array([len(part) for part in parts])
    means, guessed, knots = (np.array([values[part].mean() for part in parts]) for values in (y, guess, x))
    prior = _PRIOR / len(parts)
    drawn = (counts * means + prior * guessed) / (counts + prior)
    expected = isotonic_regression(drawn, weights=counts + prior).x
    # Equal knots (a night's zeros) would leave the value between them open.
    knots, place = np.unique(knots, return_inverse=True)
    expected = np.bincount(place, expected * counts) / np.bincount(place, counts)
    fitted = np.interp(x, knots, expected)
    centres, residuals = _spread(fitted, y - fitted)
    return PowerCurve(knots, expected, centres, residuals, len(x))


def predict_power(curve: PowerCurve, feature: Floats, levels: Floats = LEVEL_ARRAY) -> NDArray[np.float64]:
    """Quantiles of power for a feature taken as known, as shares of capacity.

    Args:
        curve: what was learned.
        feature: (...), the quantity it was learned with.
        levels: (level,), each between 0 and 1.

    Returns:
        (..., level), rising, within 0 and 1; NaN where the feature is missing.
    """
    expected = np.interp(feature, curve.knots, curve.expected)
    around = _residuals_at(curve, expected)
    quantiles = expected[..., None] + interpolate_quantiles(around, levels)
    return np.asarray(np.clip(np.sort(quantiles, axis=-1), 0.0, 1.0))


def power_of_members(curve: PowerCurve, feature: Floats, chance: Floats) -> NDArray[np.float64]:
    """Power of each member of scenarios: the curve at its feature, and a draw of what the feature does not explain.

    A curve learned with forecast features has the forecast's errors in its residuals; with members that carry those errors
    already, pass 0.5 for ``chance``, or power is too uncertain.

    Args:
        curve: what was learned.
        feature: (...) of members.
        chance: (...) uniform numbers between 0 and 1.
    """
    expected = np.interp(feature, curve.knots, curve.expected)
    around = _residuals_at(curve, expected)
    place = np.clip(np.asarray(chance), LEVEL_ARRAY[0], LEVEL_ARRAY[-1])
    low = np.clip(np.searchsorted(LEVEL_ARRAY, place, side="right") - 1, 0, len(LEVEL_ARRAY) - 2)
    share = (place - LEVEL_ARRAY[low]) / (LEVEL_ARRAY[low + 1] - LEVEL_ARRAY[low])
    low = np.broadcast_to(low, expected.shape)[..., None]
    start, end = (np.take_along_axis(around, low + step, axis=-1)[..., 0] for step in (0, 1))
    return np.asarray(np.clip(expected + start + (end - start) * share, 0.0, 1.0))


def _spread(fitted: Floats, residual: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centres of classes of fitted power, and the residuals' quantiles in each: (class,), (class, level)."""
    parts = np.array_split(np.argsort(fitted, kind="stable"), max(min(_SPREAD_CLASSES, len(fitted) // 24), 1))
    centres = np.array([fitted[part].mean() for part in parts])
    quantiles = np.stack([np.quantile(residual[part], LEVEL_ARRAY, method="median_unbiased") for part in parts])
    order = np.unique(centres, return_index=True)[1]
    return centres[order], quantiles[order]


def _residuals_at(curve: PowerCurve, expected: Floats) -> NDArray[np.float64]:
    """Quantiles of the residuals at an expected power (..., level), linear between classes."""
    place = np.interp(expected, curve.centres, np.arange(len(curve.centres)))
    low = np.clip(np.nan_to_num(np.floor(place)), 0, max(len(curve.centres) - 2, 0)).astype(np.intp)
    high = np.minimum(low + 1, len(curve.centres) - 1)
    share = (place - low)[..., None]
    return np.asarray(curve.residuals[low] * (1 - share) + curve.residuals[high] * share)
