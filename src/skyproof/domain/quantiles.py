"""The quantile levels every forecast is made of."""

from __future__ import annotations

import numpy as np

#: The 21 levels of every run: 0.025, 0.05, 0.1, 0.15, ... 0.95, 0.975. The outer 95 % and 90 % and the 80 % interval are exact.
LEVELS: tuple[float, ...] = (0.025, *(round(0.05 * k, 2) for k in range(1, 20)), 0.975)
LEVEL_ARRAY = np.array(LEVELS, dtype=np.float64)
LEVEL_ARRAY.setflags(write=False)

INDEX_P10 = LEVELS.index(0.1)
INDEX_MEDIAN = LEVELS.index(0.5)
INDEX_P90 = LEVELS.index(0.9)
