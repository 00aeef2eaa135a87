"""Places on the Earth as vectors: what lies near whom, without trouble at the poles or the 180th meridian."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Mean radius of the Earth, km (IUGG 1980, R1).
EARTH_RADIUS_KM = 6371.0088


def unit_vectors(latitudes: NDArray[Any], longitudes: NDArray[Any]) -> NDArray[np.float64]:
    """Unit vectors (..., 3) of places given in degrees (...)."""
    lat, lon = np.radians(latitudes), np.radians(longitudes)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)
