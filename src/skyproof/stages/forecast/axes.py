"""Valid times of a run, and states of experts as flat or nested mappings."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.times import Instants, to_datetime64


def valid_times(init_time: datetime, lead_hours: Sequence[int]) -> Instants:
    """Valid times of the leads, (lead,) datetime64[s]."""
    return np.asarray(to_datetime64(init_time) + np.array(lead_hours) * np.timedelta64(3600, "s"))


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
