"""Every extension point, on one page.

Experts are found through the entry point group ``skyproof.experts``, our own through the same door. For each protocol there
is a null implementation to copy and a contract test to run (``skyproof.testing``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.cases import Cases
from skyproof.domain.cycles import CycleBatch, ObservationBatch, SourceSpec
from skyproof.domain.forecasts import ForecastInputs, ForecastValues, ObservedRecord
from skyproof.domain.sites import Site


# [clock]
@runtime_checkable
class Clock(Protocol):
    """Says what time it is; only ``cycle/`` and ``surfaces/`` hold one."""

    def now(self) -> datetime:
        """The present instant, aware UTC."""
        ...


# [source]
@runtime_checkable
class Source(Protocol):
    """A provider of forecasts: one file in ``stages/sources/``."""

    @property
    def spec(self) -> SourceSpec:
        """Its register row."""
        ...

    def cycles(self, sites: tuple[Site, ...], after: datetime, until: datetime) -> Iterator[CycleBatch]:
        """Cycles that became available in (after, until], oldest first, at the given sites.

        Raises:
            UnreadableFileError: the provider sent something that is not what it should be.
        """
        ...


# [observation-feed]
@runtime_checkable
class ObservationFeed(Protocol):
    """A provider of observations."""

    @property
    def source_id(self) -> str:
        """Its name in the register."""
        ...

    def observations(self, sites: tuple[Site, ...], after: datetime, until: datetime) -> Iterator[ObservationBatch]:
        """Observations and revisions recorded in (after, until], oldest first."""
        ...


# [record-model]
@runtime_checkable
class RecordModel(Protocol):
    """A forecast that needs no source: learns from the record of observations, sleeps (NaN) where it has nothing to say.

    The blend hears it where no source speaks; it is the baseline everywhere.
    """

    @property
    def name(self) -> str:
        """Its name in releases, weights and scorecards, for example ``climatology``."""
        ...

    def fit(self, record: ObservedRecord) -> None:
        """Learn. Same record, same result to the bit."""
        ...

    def predict(self, inputs: ForecastInputs) -> ForecastValues:
        """Quantiles for every cell of ``inputs.grid``; NaN where it sleeps."""
        ...

    def state(self) -> Mapping[str, NDArray[Any]]:
        """What it learned, as arrays; goes into the release."""
        ...

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Become what :meth:`state` described."""
        ...


# [case-expert]
@runtime_checkable
class CaseExpert(Protocol):
    """An expert that learns from :class:`~skyproof.domain.cases.Cases` of one variable; the one form of all our models.

    Two attributes may be left out. ``growth``: over a table it learns again when its record has grown by this share (0, at every
    block). ``needs_recent`` (False): it wants ``recent`` filled in and the first guess there, as
    :func:`skyproof.science.first_guess.with_first_guess` does; over a table they always are.
    """

    @property
    def name(self) -> str:
        """Its name in weights and scorecards, for example ``emos:alba``."""
        ...

    def fit(self, cases: Cases, as_of: np.datetime64) -> None:
        """Learn from the cases whose observations had arrived at ``as_of``; same cases, same result to the bit."""
        ...

    def predict(self, cases: Cases, levels: NDArray[np.float64]) -> NDArray[np.float32]:
        """Quantiles (issue, lead, site, level), increasing, of every case; NaN where it sleeps. Never looks at ``observed``."""
        ...

    def state(self) -> Mapping[str, NDArray[Any]]:
        """What it learned, as arrays; goes into the release."""
        ...

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Become what :meth:`state` described."""
        ...


# [blend]
@runtime_checkable
class Blend(Protocol):
    """Joins the experts that are awake into one forecast, and learns from what arrives.

    Arrays: ``experts`` (expert, variable, site, lead, level), NaN where asleep; ``observed`` (variable, site, lead),
    NaN where not yet known. The state is a plain mapping of arrays, so that it can be kept in the archive.
    """

    def initial_state(self, experts: int, variables: int, leads: int) -> Mapping[str, NDArray[Any]]:
        """The state before anything was seen."""
        ...

    def combine(self, state: Mapping[str, NDArray[Any]], experts: NDArray[np.float32]) -> NDArray[np.float32]:
        """Blended quantiles (variable, site, lead, level), non-decreasing along the levels."""
        ...

    def update(
        self, state: Mapping[str, NDArray[Any]], experts: NDArray[np.float32], observed: NDArray[np.float32]
    ) -> Mapping[str, NDArray[Any]]:
        """The state after the observations of one issue time (those that newly arrived) were seen."""
        ...

    def weights(self, state: Mapping[str, NDArray[Any]], awake: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Mean weights over levels (expert, variable, lead) when the experts of mask ``awake`` are present; sum to 1."""
        ...


# [object-store]
@runtime_checkable
class ObjectStore(Protocol):
    """Immutable objects by key. A key is written once: whole, durable, or not at all."""

    def put(self, key: str, data: bytes) -> None:
        """Keep ``data``; durable on return. The same key with the same bytes is no error, with other bytes it is."""
        ...

    def get(self, key: str) -> bytes:
        """The bytes of ``key``.

        Raises:
            IntegrityError: there is no such object.
        """
        ...

    def local_path(self, key: str) -> AbstractContextManager[Path]:
        """A file on this machine holding the object, for readers that map it."""
        ...

    def exists(self, key: str) -> bool:
        """Whether the object is there."""
        ...

    def delete(self, key: str) -> None:
        """Remove an object that no catalogue row names; no error if it is gone."""
        ...

    def keys(self, prefix: str = "") -> Iterator[str]:
        """All keys that begin with ``prefix``, sorted."""
        ...
