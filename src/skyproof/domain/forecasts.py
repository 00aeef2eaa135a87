"""What a model is given, what it answers, and what is published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.cases import Cases
from skyproof.domain.cycles import SourceCycle
from skyproof.domain.sites import Site
from skyproof.domain.times import Instants


@dataclass(frozen=True, slots=True)
class ForecastGrid:
    """The cells a run must fill: sites x variables x leads. Leads count from the run's ``init_time``."""

    sites: tuple[Site, ...]
    variables: tuple[str, ...]
    lead_hours: tuple[int, ...]
    step_hours: int

    @property
    def site_ids(self) -> tuple[str, ...]:
        """Identifiers of the sites, in order."""
        return tuple(site.site_id for site in self.sites)


@dataclass(frozen=True, slots=True)
class RecentObservations:
    """The last observations of every site. ``values``: (variable, valid_time, site) float32, NaN where none had arrived."""

    variables: tuple[str, ...]
    valid_times: Instants
    site_ids: tuple[str, ...]
    values: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ForecastInputs:
    """Everything known at ``issue_time``, and nothing later.

    ``init_time`` is the issue time rounded down to the grid's step. ``cycles`` names the newest usable cycle of
    each source, None where none is young enough; ``cases`` holds what they say, for each variable of the grid the cases of
    this issue time, last, and of those before it that were asked for.
    """

    issue_time: datetime
    init_time: datetime
    grid: ForecastGrid
    cycles: Mapping[str, SourceCycle | None]
    cases: tuple[Cases, ...]
    recent: RecentObservations

    def at_places(self, places: NDArray[np.intp]) -> ForecastInputs:
        """What is known of some places of the grid."""
        sites, recent = tuple(self.grid.sites[place] for place in places), self.recent
        return replace(
            self,
            grid=replace(self.grid, sites=sites),
            cases=tuple(cases.at_places(places) for cases in self.cases),
            recent=replace(recent, site_ids=tuple(s.site_id for s in sites), values=recent.values[:, :, places]),
        )


@dataclass(frozen=True, slots=True)
class ObservedRecord:
    """What was observed, as it was known at ``as_of``.

    ``observations``: (variable, valid_time, site) float32 on a regular axis of ``step_hours``, NaN where missing.
    """

    as_of: datetime
    grid: ForecastGrid
    valid_times: Instants
    observations: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ForecastValues:
    """Quantile forecasts. ``quantiles``: (variable, site, lead, level) and ``mean``: (variable, site, lead), float32.

    A model leaves NaN where it has nothing to say (it *sleeps* there).
    """

    quantiles: NDArray[np.float32]
    mean: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class RunInput:
    """The lineage of one input of a run. ``weight`` is its mean share in the blend; ``age_hours`` counts from init to issue."""

    source_id: str
    init_time: datetime | None
    available_at: datetime | None
    age_hours: float | None
    missed_cycles: int
    quality: str
    weight: float
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Regime:
    """How degraded a run is. ``regime_id`` names what is missing (``full``, ``without-alba``, ``climatology-only``...).

    ``widening`` is the mean width of the 80 % interval relative to the full regime, as measured when the release was made;
    ``coverage`` is the measured coverage of that interval in this regime and ``cases`` the number of pairs behind it.
    """

    regime_id: str
    missing: tuple[str, ...]
    late: tuple[str, ...]
    widening: float
    coverage: float | None
    cases: int


@dataclass(frozen=True, slots=True)
class Release:
    """A learned artefact: immutable and named by its content (``rel_`` and 16 characters of its digest)."""

    release_id: str
    created_at: datetime
    trained_from: datetime
    trained_until: datetime
    sources: tuple[str, ...]
    state: str
    object_key: str
    card: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Run:
    """The catalogue entry of one published forecast (``run_`` and 16 characters of its file's digest)."""

    run_id: str
    release_id: str
    issue_time: datetime
    init_time: datetime
    published_at: datetime
    regime: Regime
    inputs: tuple[RunInput, ...]
    object_key: str
    experts_key: str
    digest: str
    generation_ms: float
    warnings: tuple[str, ...] = ()
