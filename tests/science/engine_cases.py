"""Small cases for tests of the engine: what is not said is one site, daily issue times, one source that says nothing new."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.cases import Cases, Place
from skyproof.domain.variables import find_variable

START = np.datetime64("2024-01-01T00:00:00", "s")
HOUR = np.timedelta64(3600, "s")
DAY = 24 * HOUR


def make_cases(
    observed: NDArray[Any],
    *,
    leads: Sequence[int] = (24,),
    members: Mapping[str, NDArray[Any]] | None = None,
    predictors: Mapping[str, NDArray[Any]] | None = None,
    issue_times: NDArray[np.datetime64] | None = None,
    delay_hours: float = 0.0,
    variable: str = "temperature_2m",
) -> Cases:
    """Cases around observations (issue, lead, site); members and predictors may lack trailing axes."""
    observed = np.asarray(observed, dtype=np.float32)
    issues = START + np.arange(len(observed)) * DAY if issue_times is None else issue_times
    return Cases(
        find_variable(variable),
        issues,
        tuple(leads),
        tuple(Place(f"s{number}", 47.0 + number, 8.0, 400.0) for number in range(observed.shape[2])),
        {
            name: np.asarray(values if values.ndim == 4 else values[..., None], dtype=np.float32)
            for name, values in (members or {}).items()
        },
        {name: np.asarray(values, dtype=np.float32) for name, values in (predictors or {}).items()},
        observed,
        delay_hours=delay_hours,
    )


def truth_by_valid_time(
    chance: np.random.Generator, issues: NDArray[np.datetime64], leads: Sequence[int], sites: int
) -> NDArray[np.float32]:
    """Observations (issue, lead, site) that agree wherever two issue times speak of the same valid time."""
    valid = issues[:, None] + np.array(leads) * HOUR
    axis, place = np.unique(valid, return_inverse=True)
    return chance.normal(10, 3, (len(axis), sites)).astype(np.float32)[place.reshape(valid.shape)]
