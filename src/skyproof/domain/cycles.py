"""What a source says: its register row, the cycles it issues, and what we keep of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.errors import InvalidValueError
from skyproof.domain.times import Instants

Quality = Literal["ok", "partial", "frozen", "suspect"]
#: Qualities a forecast may use; the others are kept, flagged and treated as absent.
USABLE_QUALITIES: tuple[Quality, ...] = ("ok", "partial")


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """The register row of one source: what it promises, under which terms, and who stands behind it.

    Sources of one ``upstream_group`` fail together. ``latency_p50``/``latency_p95`` run from ``init_time`` to
    ``available_at``. ``units`` are those of its own variables (our names), ``lead_hours`` those it offers.
    """

    source_id: str
    title: str
    upstream_group: str
    licence: str
    attribution: str
    commercial_use: bool
    redistribution: bool
    cadence: timedelta
    latency_p50: timedelta
    latency_p95: timedelta
    members: int
    lead_hours: tuple[int, ...]
    units: Mapping[str, str]
    url: str = ""

    @property
    def variables(self) -> tuple[str, ...]:
        """The variables it offers."""
        return tuple(self.units)


@dataclass(frozen=True, slots=True)
class CycleBatch:
    """One or more cycles of one source on the same sites and leads, as the source gave them (its own units).

    ``values`` has dims (cycle, variable, lead, site, member), float32; NaN marks what was not received.
    ``units`` maps each of ``variables`` to the unit its values are *said* to be in.
    """

    source_id: str
    init_times: tuple[datetime, ...]
    available_ats: tuple[datetime, ...]
    variables: tuple[str, ...]
    units: Mapping[str, str]
    lead_hours: tuple[int, ...]
    site_ids: tuple[str, ...]
    values: NDArray[np.float32]

    def __post_init__(self) -> None:
        wanted = (len(self.init_times), len(self.variables), len(self.lead_hours), len(self.site_ids))
        if self.values.ndim != 5 or self.values.shape[:4] != wanted or len(self.available_ats) != wanted[0]:
            raise InvalidValueError(
                f"cycles of {self.source_id} have values of shape {self.values.shape}, "
                f"wanted (cycle, variable, lead, site, member) = {(*wanted, 'any')}"
            )


@dataclass(frozen=True, slots=True)
class SourceCycle:
    """The catalogue entry of one cycle we hold: where it lies, when it was known, what we think of it."""

    source_id: str
    init_time: datetime
    available_at: datetime
    recorded_at: datetime
    object_key: str
    position: int
    got: int
    expected: int
    digest: str
    quality: Quality
    reasons: tuple[str, ...] = ()

    @property
    def completeness(self) -> float:
        """Share of the promised values that arrived."""
        return self.got / self.expected if self.expected else 0.0


@dataclass(frozen=True, slots=True)
class CycleData:
    """The values of one cycle, canonical units. ``values``: (variable, lead, site, member) float32, NaN where missing."""

    cycle: SourceCycle
    variables: tuple[str, ...]
    lead_hours: tuple[int, ...]
    site_ids: tuple[str, ...]
    values: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ObservationBatch:
    """Observations in columns, as a station network or customer gave them (its own units).

    ``site_ids``, ``variables`` are string arrays; ``valid_times``, ``recorded_ats`` are ``datetime64[s]``;
    ``values`` float64, NaN where the station sent none. All have length n. An observation with a key
    (site, variable, valid_time) already held is a revision: it is kept beside the earlier one, never instead.
    """

    source_id: str
    site_ids: NDArray[np.str_]
    variables: NDArray[np.str_]
    valid_times: Instants
    recorded_ats: Instants
    values: NDArray[np.float64]
    units: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, slots=True)
class IntakeReport:
    """What became of one delivery: counts, and one line per flag (first hundred) with its reason."""

    source_id: str
    received: int
    stored: int
    duplicates: int
    flagged: int
    rejected: int
    messages: tuple[str, ...] = ()
