"""Cases as regression wants them: leads in groups that hold enough to learn from, times as days, unknown outcomes gone."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.cases import Cases, Floats
from skyproof.domain.times import Instants
from skyproof.science.calendar import harmonics
from skyproof.science.site_memory import EventTimes

#: Cases a group should hold, each site counted, up to twenty: sites share their weather.
_ENOUGH_CASES, _MOST_SITES = 800, 20
#: Leads further apart than these many are never one group.
_MOST_LEADS = 24


@dataclass(frozen=True, slots=True)
class CaseBlock:
    """The cases of a group of leads; arrays (issue, lead, site), float32, NaN where missing.

    ``observed`` holds only what had arrived; ``terms`` are the harmonics of season and hour, (issue, lead, 4);
    ``lead_hours`` (lead,); ``age_days`` of each case's valid time before the last issue, (issue, lead);
    ``places`` latitude, longitude and height in metres, (site, 3).
    """

    members: dict[str, Floats]
    predictors: dict[str, Floats]
    recent: dict[str, Floats]
    observed: Floats
    times: EventTimes
    terms: NDArray[np.float64]
    lead_hours: NDArray[np.float64]
    age_days: NDArray[np.float64]
    places: NDArray[np.float64]

    @property
    def span_days(self) -> float:
        """From the first issue time to the last."""
        return float(self.times.issued[-1] - self.times.issued[0]) if len(self.times.issued) else 0.0

    @property
    def shape(self) -> tuple[int, int, int]:
        """Issues, leads, sites."""
        issues, leads, sites = self.observed.shape
        return issues, leads, sites


def group_leads(issues: int, leads: int, sites: int) -> list[NDArray[np.intp]]:
    """Neighbouring leads in groups of equal size, as small as holds enough cases; each lead alone where it has them.

    Returns:
        Indices of the leads of every group.
    """
    each = max(issues * min(sites, _MOST_SITES), 1)
    size = min(max(math.ceil(_ENOUGH_CASES / each), 1), _MOST_LEADS, max(leads, 1))
    return [np.asarray(part, dtype=np.intp) for part in np.array_split(np.arange(leads), math.ceil(leads / size))]


def days(instants: Instants | np.datetime64) -> NDArray[np.float64]:
    """Days since 1970 with their fraction."""
    return np.asarray(np.asarray(instants, dtype="datetime64[s]").astype(np.int64) / 86_400.0)


def case_block(cases: Cases, leads: NDArray[np.intp], as_of: np.datetime64 | None) -> CaseBlock:
    """The cases of some leads; with ``as_of`` None nothing of their outcome is told."""
    valid = cases.valid_times[:, leads]
    known_at = days(valid) + cases.delay_hours / 24.0
    issued = days(cases.issue_times)
    until = float(issued[0]) if as_of is None else float(days(as_of))
    # Of what is only asked about a view will do.
    some = _as_slice(leads) if as_of is None else leads
    observed = np.asarray(cases.observed[:, some], dtype=np.float32)
    told = np.zeros(valid.shape, dtype=bool) if as_of is None else known_at <= until
    observed = np.where(told[..., None] & np.isfinite(observed), observed, np.float32(np.nan))
    return CaseBlock(
        members={name: array[:, some] for name, array in cases.members.items()},
        predictors={name: array[:, some] for name, array in cases.predictors.items()},
        recent={name: array[:, some] for name, array in cases.recent.items()},
        observed=observed,
        times=EventTimes(issued, known_at.reshape(-1), until if as_of is not None else -math.inf),
        terms=harmonics(valid),
        lead_hours=np.array(cases.lead_hours, dtype=np.float64)[leads],
        age_days=np.maximum(issued[-1] - days(valid), 0.0),
        places=np.array([(site.latitude, site.longitude, site.elevation_m) for site in cases.sites]).reshape(-1, 3),
    )


def _as_slice(places: NDArray[np.intp]) -> slice | NDArray[np.intp]:
    """The same places as a slice, where they follow each other."""
    first, last = int(places[0]), int(places[-1])
    return slice(first, last + 1) if np.array_equal(places, np.arange(first, last + 1)) else places


def spread_out(count: int, wanted: int) -> NDArray[np.intp]:
    """At most ``wanted`` of ``count`` places, scattered evenly and without a period: multiples of the golden ratio."""
    if count <= wanted:
        return np.arange(count)
    places = np.arange(1, wanted + 1) * 0.6180339887498949 % 1.0
    return np.unique((places * count).astype(np.intp))
