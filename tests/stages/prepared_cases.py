"""Cases with a first guess, small enough to grow trees on in a moment."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from skyproof.domain.cases import Cases
from skyproof.science.first_guess import with_first_guess
from tests.science.engine_cases import make_cases

ISSUES, LEADS = 60, (24, 48)


def two_sources(
    *, issues: int = ISSUES, sites: int = 3, delay_hours: float = 0.0, variable: str = "temperature_2m", seed: int = 1
) -> Cases:
    """An ensemble and a single forecast, each with a bias, and a cloud cover that tells of the ensemble's.

    Rain is zero on six days of ten, for sources and gauges; humidity lies within its limits, often on the upper one.
    """
    chance = np.random.default_rng(seed)
    shape = (issues, len(LEADS), sites)
    truth = chance.normal(0, 1, shape) + np.array([0.0, 0.3, 0.6])[np.arange(sites) % 3]
    cloud = chance.random(shape)
    noise = chance.normal(0, 0.4, (*shape, 5))
    alba, corvus = truth[..., None] + 0.3 + 0.5 * cloud[..., None] + noise, truth - 0.2 + noise[..., 0]
    shapes = {
        "temperature_2m": lambda x: 10 + 4 * x,
        "wind_speed_10m": lambda x: np.abs(5 + 2 * x),
        "precipitation": lambda x: np.maximum(3 * (x - 0.4), 0),
        "relative_humidity_2m": lambda x: np.clip(85 + 15 * x, 0, 100),
    }
    of = shapes[variable]
    return make_cases(
        of(truth),
        leads=LEADS,
        members={"alba": of(alba), "corvus": of(corvus)},
        predictors={"cloud_cover": cloud},
        delay_hours=delay_hours,
        variable=variable,
    )


def prepared(cases: Cases, settled: int = 10) -> Cases:
    """The cases as a rolling evaluation shows them to experts."""
    return with_first_guess(cases, settled=settled)[0]


def power_like(*, issues: int = 80, sites: int = 2) -> Cases:
    """A share of what is installed, between 0 and 100, often at a limit; only winds are forecast."""
    chance = np.random.default_rng(2)
    east, north = chance.normal(0, 6, (2, issues, 2, sites))
    power = np.clip((np.hypot(east, north) - 4) / 8, 0, 1) * 100
    seen = np.clip(power + chance.normal(0, 3, power.shape), 0, 100)
    return make_cases(seen, leads=LEADS, predictors={"u10": east, "v10": north}, variable="relative_humidity_2m")


def without(cases: Cases, source: str, issues: slice) -> Cases:
    """The cases with a source missing at some issue times."""
    members = cases.members[source].copy()
    members[issues] = np.nan
    return replace(cases, members={**cases.members, source: members})
