"""What a site can learn from those around it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.science.compiled import compiled, plain_array
from skyproof.science.sphere import unit_vectors

Floats = NDArray[Any]

_EARTH_RADIUS_KM = 6371.0
_NEGLIGIBLE = 1e-3


def nearness(to: Floats, at: Floats, *, length_km: float, length_m: float) -> NDArray[np.float32]:
    """How much each place counts for another: a Gaussian of distance and of difference in height.

    Args:
        to: latitude and longitude in degrees and height in metres, (place, 3); NaN where unknown.
        at: the same for the places that are looked at.
        length_km: distance at which a place counts 0.61.
        length_m: difference in height at which it does; where a height is unknown it does not matter.

    Returns:
        (to, at), 0 to 1; 0 where coordinates are unknown, and below a thousandth: who is so far away is no neighbour.
    """
    first, second = (unit_vectors(part[:, 0], part[:, 1]) for part in (to, at))
    chord = np.sqrt(np.maximum(2.0 - 2.0 * np.nan_to_num(first @ second.T), 0.0))
    distance_km = 2 * _EARTH_RADIUS_KM * np.arcsin(np.minimum(chord / 2, 1.0))
    rise_m = np.nan_to_num(to[:, None, 2] - at[None, :, 2])
    result = np.exp(-0.5 * (np.square(distance_km / length_km) + np.square(rise_m / length_m)))
    to_known, at_known = (np.asarray(np.isfinite(part[:, :2]).all(axis=1)) for part in (to, at))
    near = to_known[:, None] & at_known & (result >= _NEGLIGIBLE)
    return np.where(near, result, 0.0).astype(np.float32)


def neighbour_offsets(weights: Floats, sums: Floats, counts: Floats, *, pseudo_cases: float) -> NDArray[np.float32]:
    """Mean error around each place, held at zero by pseudo-cases.

    Args:
        weights: (to, at); zero where a place must not count for another, for example for itself.
        sums: summed errors, (at, issue).
        counts: their number, (at, issue).
        pseudo_cases: of error zero.

    Returns:
        (to, issue).
    """
    return _weighted_means(
        plain_array(weights),
        plain_array(np.where(np.isnan(sums), 0.0, sums)),
        plain_array(np.where(np.isnan(counts), 0.0, counts)),
        np.float32(pseudo_cases),
    )


@compiled
def _weighted_means(weights: Floats, sums: Floats, counts: Floats, pseudo_cases: np.float32) -> NDArray[np.float32]:
    # Not a matrix product of a library: its threads get in the way of those that call this one.
    places, issues = len(weights), sums.shape[1]
    result = np.zeros((places, issues), dtype=np.float32)
    count = np.empty(issues, dtype=np.float32)
    for place in range(places):
        count[:] = pseudo_cases
        for other in range(len(sums)):
            weight = weights[place, other]
            if weight != 0.0:
                for issue in range(issues):
                    result[place, issue] += weight * sums[other, issue]
                    count[issue] += weight * counts[other, issue]
        for issue in range(issues):
            result[place, issue] /= count[issue]
    return result
