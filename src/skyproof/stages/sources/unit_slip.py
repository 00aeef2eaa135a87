"""Whether values are in another unit than the one said: kelvin for degrees Celsius, knots for metres per second.

Two witnesses: what is plausible at all, and what the source's own earlier cycles looked like. The second needs the
low, middle and high end of the values to have moved alike, since a storm lifts the high end but not the calm sites.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.units import UNITS, conversion, find_unit
from skyproof.domain.variables import Variable

#: Low end, middle and high end of the values of one cycle.
PROFILE_LEVELS = (0.1, 0.5, 0.9)
#: Earlier cycles needed before their spread means something.
FEWEST_CYCLES = 8
#: How far a cycle must be from the earlier ones, and how near in the other unit, in spreads of the earlier ones.
_FAR, _NEAR = 3.5, 2.5
# A spread below these is luck: 1 for differences (K, hPa, %), 10 % for ratios.
_LEAST_SPREAD, _LEAST_LOG_SPREAD = 1.0, 0.1
_MOST_SAMPLES = 4096


@dataclass(frozen=True, slots=True)
class UnitSlip:
    """The unit that values look like, and why."""

    unit: str
    reason: str


def profiles(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """The three levels of every cycle.

    Args:
        values: dims (cycle, ...), NaN where missing. Large cycles are sampled evenly.

    Returns:
        dims (cycle, level), NaN where a cycle holds nothing.
    """
    flat = values.reshape(len(values), -1)
    # A stride without small factors does not fall in step with leads, sites or members.
    stride = max(flat.shape[1] // _MOST_SAMPLES, 1) | 1
    ordered = np.sort(flat[:, ::stride], axis=1)
    counts = np.count_nonzero(~np.isnan(ordered), axis=1)
    index = np.rint(np.outer(np.maximum(counts - 1, 0), PROFILE_LEVELS)).astype(np.int64)
    result = np.take_along_axis(ordered, index, axis=1).astype(np.float64)
    result[counts == 0] = np.nan
    return result


def find_slip(
    variable: Variable, said: str, profile: NDArray[np.float64], earlier: NDArray[np.float64]
) -> UnitSlip | None:
    """The unit that a cycle's values are likely in, if it is not the one said.

    Args:
        variable: what the values are.
        said: the unit they were said to be in.
        profile: levels of the cycle (level,), in the canonical unit if ``said`` is true.
        earlier: the same of earlier cycles (cycle, level); may be empty.
    """
    if np.isnan(profile).any():
        return None
    dimension = find_unit(said).dimension
    others = {
        unit.code: _as_if(profile, said, unit.code, variable.unit) for unit in UNITS if unit.dimension == dimension
    }
    others.pop(find_unit(said).code)
    middle, low, high = profile[1], *variable.plausible
    enough = len(earlier) >= FEWEST_CYCLES
    if not low <= middle <= high:
        fitting = {code: p for code, p in others.items() if low <= p[1] <= high}
        if not fitting:
            return None
        distances = {code: _distance(p, earlier, variable) if enough else 0.0 for code, p in fitting.items()}
        likely = min(fitting, key=lambda code: distances[code])
        return UnitSlip(
            likely,
            f"{variable.name}: median {middle:.4g} {variable.unit} is outside {low:g} to {high:g}; "
            f"the values look like {likely}, said was {said}",
        )
    if not enough or _nearest_level(profile, earlier, variable) < _FAR:
        return None
    distances = {code: _distance(p, earlier, variable) for code, p in others.items()}
    # Knots and miles an hour are 15 % apart, less than one day from the next: whatever fits is named, the best first.
    fitting_units = sorted((distance, code) for code, distance in distances.items() if distance <= _NEAR)
    if not fitting_units:
        return None
    likely = fitting_units[0][1]
    usual = float(np.median(earlier[:, 1]))
    return UnitSlip(
        likely,
        f"{variable.name}: median {middle:.4g} {variable.unit}, the {len(earlier)} cycles before had {usual:.4g}; "
        f"the values look like {' or '.join(code for _, code in fitting_units)}, said was {said}",
    )


def _as_if(profile: NDArray[np.float64], said: str, truly: str, canonical: str) -> NDArray[np.float64]:
    """The profile if the numbers were in ``truly`` instead of ``said``."""
    scale, offset = conversion(canonical, said)
    numbers = profile * scale + offset
    scale, offset = conversion(truly, canonical)
    return np.asarray(numbers * scale + offset)


def _distances(profile: NDArray[np.float64], earlier: NDArray[np.float64], variable: Variable) -> NDArray[np.float64]:
    """How far each level is from its usual value, in spreads of the earlier cycles."""
    ratios = variable.lower == 0.0
    least = _LEAST_LOG_SPREAD if ratios else _LEAST_SPREAD
    floor = variable.resolution
    now = np.log(np.maximum(profile, floor)) if ratios else profile
    then = np.log(np.maximum(earlier, floor)) if ratios else earlier
    centre = np.median(then, axis=0)
    # 1.4826 makes the median absolute deviation of normal values their standard deviation.
    spread = np.maximum(1.4826 * np.median(np.abs(then - centre), axis=0), least)
    return np.asarray(np.abs(now - centre) / spread)


def _distance(profile: NDArray[np.float64], earlier: NDArray[np.float64], variable: Variable) -> float:
    return float(_distances(profile, earlier, variable).max())


def _nearest_level(profile: NDArray[np.float64], earlier: NDArray[np.float64], variable: Variable) -> float:
    return float(_distances(profile, earlier, variable).min())
