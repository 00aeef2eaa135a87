"""What must hold of a forecast before anyone sees it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skyproof.archive.array_file import pack
from skyproof.domain.forecasts import ForecastGrid, ForecastValues
from skyproof.domain.variables import find_variable

#: Share of cells that may be missing; more and the run is no forecast of its grid.
_MOST_MISSING = 0.05


@dataclass(frozen=True, slots=True)
class CheckFailure:
    """One reason to withhold a run. ``check`` is stable: complete, finite, consistent, physical, frozen."""

    check: str
    message: str


def check_run(
    values: ForecastValues,
    grid: ForecastGrid,
    *,
    previous: ForecastValues | None = None,
    learned: NDArray[np.bool_] | None = None,
) -> tuple[CheckFailure, ...]:
    """All reasons not to publish; none if it may go out.

    Args:
        values: quantiles (variable, site, lead, level) and mean (variable, site, lead).
        grid: its cells.
        learned: (site,), those a release has learned from, which must be complete; all by default. A place that is new, or of
            which no source speaks, may lack what it lacks.
        previous: the run before on the same grid, of an earlier init time; equal values under a new label mean that
            something stopped.
    """
    found: list[CheckFailure] = []
    for index, name in enumerate(grid.variables):
        quantiles, mean = values.quantiles[index], values.mean[index]
        present = np.isfinite(mean)
        asked = present if learned is None else present[learned]
        missing = 1 - float(asked.mean()) if asked.size else 0.0
        if missing > _MOST_MISSING:
            found.append(CheckFailure("complete", f"{name}: {missing:.0%} of the cells are missing"))
        if np.isinf(quantiles).any() or np.isinf(mean).any() or not np.isfinite(quantiles[present]).all():
            found.append(CheckFailure("finite", f"{name}: a cell with a mean has no finite quantiles"))
            continue
        inside = quantiles[present]
        if (np.diff(inside, axis=-1) < 0).any():
            found.append(CheckFailure("consistent", f"{name}: quantiles cross"))
        if ((mean[present] < inside[:, 0]) | (mean[present] > inside[:, -1])).any():
            found.append(CheckFailure("consistent", f"{name}: a mean lies outside its own quantiles"))
        found.extend(_check_limits(name, inside))
    if previous is not None and _repeats(previous, values, grid):
        found.append(CheckFailure("frozen", "every value equals the run before"))
    return tuple(found)


def _repeats(before: ForecastValues, now: ForecastValues, grid: ForecastGrid) -> bool:
    """Whether nothing moved, as the values are kept: the run before was read back packed. Dry everywhere is no standstill."""
    moving = False
    for index, name in enumerate(grid.variables):
        resolution = find_variable(name).resolution
        packed, _ = pack(now.quantiles[index], resolution)
        if not np.array_equal(pack(before.quantiles[index], resolution)[0], packed):
            return False
        moving = moving or bool((packed != packed.flat[0]).any())
    return moving


def _check_limits(name: str, quantiles: NDArray[np.float32]) -> list[CheckFailure]:
    variable = find_variable(name)
    low, high = variable.plausible
    lower = low if variable.lower is None else variable.lower
    upper = high if variable.upper is None else variable.upper
    if not quantiles.size or (quantiles.min() >= lower and quantiles.max() <= upper):
        return []
    worst = quantiles.min() if quantiles.min() < lower else quantiles.max()
    return [CheckFailure("physical", f"{name}: {worst:g} {variable.unit} is outside {lower:g} to {upper:g}")]
