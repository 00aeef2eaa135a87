"""Forecast cases: what was said at an issue time about one variable, and what came of it.

The learner's view of the world, whether it comes from the archive or from a table. Arrays have dims (issue, lead, site)
unless said otherwise, float32, NaN where missing. A case is one cell; its observation is known ``delay_hours`` after its
valid time and not a second earlier.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.times import Instants
from skyproof.domain.variables import Variable

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a case is. Unlike a registered site its coordinates may be unknown (NaN)."""

    place_id: str
    latitude: float = float("nan")
    longitude: float = float("nan")
    elevation_m: float = float("nan")


@dataclass(frozen=True, slots=True)
class Cases:
    """Cases of one variable, oldest issue time first.

    ``members[source]`` has dims (issue, lead, site, member): everything a source said, one member for a deterministic
    one. ``predictors[name]`` are further quantities forecast for the valid time (cloud cover for a temperature, wind for
    a power): dims (issue, lead, site), canonical or the provider's unit, which models may not care about. ``recent[name]``
    are what the last observations said at the issue time (latest value, errors of each source lately), same dims.
    ``age_hours[source]`` is how long before each issue time the source's cycle began, (issue,) float64, NaN where it had
    none; empty where the cases come from a table.

    Everything in a case but ``observed`` was known at its issue time.
    """

    variable: Variable
    issue_times: Instants
    lead_hours: tuple[int, ...]
    sites: tuple[Place, ...]
    members: Mapping[str, Floats]
    predictors: Mapping[str, Floats]
    observed: Floats
    recent: Mapping[str, Floats] = field(default_factory=dict)
    delay_hours: float = 0.0
    age_hours: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    @property
    def valid_times(self) -> Instants:
        """What the cases speak of, (issue, lead) datetime64[s]."""
        return np.asarray(self.issue_times[:, None] + np.array(self.lead_hours) * np.timedelta64(3600, "s"))

    def known(self, as_of: np.datetime64) -> NDArray[np.bool_]:
        """Cases whose observation had arrived at ``as_of``, (issue, lead, site)."""
        arrived = self.valid_times + np.timedelta64(round(self.delay_hours * 3600), "s") <= as_of
        return np.asarray(arrived[..., None] & np.isfinite(self.observed))

    def at_places(self, places: NDArray[np.intp]) -> Cases:
        """The cases of some places."""
        return replace(
            self,
            sites=tuple(self.sites[place] for place in places),
            members={name: values[:, :, places] for name, values in self.members.items()},
            predictors={name: values[:, :, places] for name, values in self.predictors.items()},
            observed=self.observed[:, :, places],
            recent={name: values[:, :, places] for name, values in self.recent.items()},
        )

    def take(self, issues: slice | NDArray[np.intp] | NDArray[np.bool_]) -> Cases:
        """The cases of some issue times."""
        return replace(
            self,
            issue_times=self.issue_times[issues],
            members={name: values[issues] for name, values in self.members.items()},
            predictors={name: values[issues] for name, values in self.predictors.items()},
            observed=self.observed[issues],
            recent={name: values[issues] for name, values in self.recent.items()},
            age_hours={name: values[issues] for name, values in self.age_hours.items()},
        )


@dataclass(frozen=True, slots=True)
class SourceHabit:
    """What a source usually brings to an issue time.

    ``age_hours``: how long before the issue time its cycle began; ``members`` of its ensemble; ``leads``: (variable, lead)
    bool, where it has values.
    """

    age_hours: float
    members: int
    leads: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class RolledForecasts:
    """Forecasts of several models over the same cases, each made with nothing but what was known at its issue time.

    ``quantiles``: (model, issue, lead, site, level) float32, NaN where a model sleeps; ``names[0]`` is the product.
    ``fit_seconds`` and ``predict_seconds`` by model.
    """

    cases: Cases
    levels: NDArray[np.float64]
    names: tuple[str, ...]
    quantiles: Floats
    fit_seconds: Mapping[str, float]
    predict_seconds: Mapping[str, float]
