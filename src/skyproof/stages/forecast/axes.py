"""Axes every expert needs: valid times of a run, and where a source's leads meet them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.cycles import CycleData
from skyproof.domain.forecasts import ForecastInputs
from skyproof.domain.times import Instants, to_datetime64


def valid_times(init_time: datetime, lead_hours: Sequence[int]) -> Instants:
    """Valid times of the leads, (lead,) datetime64[s]."""
    return np.asarray(to_datetime64(init_time) + np.array(lead_hours) * np.timedelta64(3600, "s"))


def source_leads(inputs: ForecastInputs, cycle: CycleData) -> NDArray[np.intp]:
    """For each lead of the run the position of the source's lead with the same valid time; -1 where it has none.

    An older cycle is simply asked for a longer lead.
    """
    wanted = valid_times(inputs.init_time, inputs.grid.lead_hours)
    held = valid_times(cycle.cycle.init_time, cycle.lead_hours)
    if not len(held):
        return np.full(len(wanted), -1, dtype=np.intp)
    place = np.clip(np.searchsorted(held, wanted), 0, len(held) - 1)
    return np.where(held[place] == wanted, place, -1).astype(np.intp)


def empty_quantiles(inputs: ForecastInputs, levels: int) -> NDArray[np.float32]:
    """NaN everywhere: (variable, site, lead, level)."""
    grid = inputs.grid
    return np.full((len(grid.variables), len(grid.sites), len(grid.lead_hours), levels), np.nan, dtype=np.float32)


def nest(flat: dict[str, NDArray[Any]]) -> dict[str, dict[str, NDArray[Any]]]:
    """Arrays named ``variable/key`` as one mapping per variable."""
    nested: dict[str, dict[str, NDArray[Any]]] = {}
    for name, value in flat.items():
        variable, _, key = name.partition("/")
        nested.setdefault(variable, {})[key] = value
    return nested


def flatten(nested: dict[str, dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """The inverse of :func:`nest`."""
    return {f"{variable}/{key}": value for variable, state in nested.items() for key, value in state.items()}
