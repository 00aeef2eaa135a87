"""A source at the nodes of a cover, as a source beside it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.cover import cover_of
from skyproof.domain.cycles import CycleBatch, SourceSpec
from skyproof.domain.protocols import Source
from skyproof.domain.sites import Site
from skyproof.stages.sources.contract import OffersCells


class CoverSource:
    """What a source says at nodes, under the name the archive keeps it by, and judged like any source's cycles."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._spec = replace(source.spec, source_id=cover_of(source.spec.source_id))

    @property
    def spec(self) -> SourceSpec:
        """The source's, under the other name."""
        return self._spec

    def cycles(self, sites: tuple[Site, ...], after: datetime, until: datetime) -> Iterator[CycleBatch]:
        """Cycles at the nodes that became available in (after, until], oldest first; of some that have values only."""
        for batch in self._source.cycles(sites, after, until):
            there = np.asarray(np.isfinite(batch.values).any(axis=(1, 2, 3, 4)))
            if there.any() and batch.site_ids:
                yield _only(batch, there, self._spec.source_id)

    def offered_cells(self, batch: CycleBatch) -> NDArray[np.bool_] | None:
        """As the source says."""
        if not isinstance(self._source, OffersCells):
            return None
        return self._source.offered_cells(replace(batch, source_id=self._source.spec.source_id))


def _only(batch: CycleBatch, there: NDArray[np.bool_], source_id: str) -> CycleBatch:
    chosen = np.flatnonzero(there)
    return replace(
        batch,
        source_id=source_id,
        init_times=tuple(batch.init_times[index] for index in chosen),
        available_ats=tuple(batch.available_ats[index] for index in chosen),
        values=batch.values[chosen],
    )
