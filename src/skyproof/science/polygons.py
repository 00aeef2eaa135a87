"""Whether places lie in areas of the globe, taken as plane in longitude and latitude, as WKT and GeoJSON have it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]


def inside_rings(x: Floats, y: Floats, rings: Sequence[Floats]) -> NDArray[np.bool_]:
    """Whether points lie inside an odd number of rings: in a polygon and not in its holes.

    Use it to choose registered places; an area across the date line has to be given in two parts.

    Args:
        x: (n,) longitudes.
        y: (n,) latitudes.
        rings: each (vertex, 2), closed or not. A point on an edge is inside on one side of the polygon, so that two areas side by
            side share none.

    Returns:
        (n,)

    Source:
        Shimrat (1962), Algorithm 112, doi:10.1145/368637.368653, with the correction by Hacker (1962).
    """
    within = np.zeros(len(x), dtype=bool)
    for ring in rings:
        for (x1, y1), (x2, y2) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
            between = (y1 > y) != (y2 > y)
            if between.any():
                # Only edges that are not level are met here.
                within ^= between & (x < (x2 - x1) * (y - y1) / (y2 - y1 if y2 != y1 else 1.0) + x1)
    return within
