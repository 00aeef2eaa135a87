"""A source and a feed that say nothing: copy them to begin your own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from skyproof.domain.cycles import CycleBatch, ObservationBatch, SourceSpec
from skyproof.domain.sites import Site

SPEC = SourceSpec(
    source_id="null",
    title="Says nothing",
    upstream_group="null",
    licence="Apache-2.0",
    attribution="",
    commercial_use=True,
    redistribution=True,
    cadence=timedelta(hours=24),
    latency_p50=timedelta(hours=6),
    latency_p95=timedelta(hours=8),
    members=1,
    lead_hours=(6, 12),
    units={"temperature_2m": "Cel"},
)


class NullSource:
    """A provider that never issues a cycle."""

    @property
    def spec(self) -> SourceSpec:
        """Its register row."""
        return SPEC

    def cycles(self, sites: tuple[Site, ...], after: datetime, until: datetime) -> Iterator[CycleBatch]:  # noqa: ARG002
        """Nothing became available in (after, until]."""
        return iter(())


class NullObservationFeed:
    """A network without stations."""

    @property
    def source_id(self) -> str:
        """Its name in the register."""
        return "null"

    def observations(
        self,
        sites: tuple[Site, ...],  # noqa: ARG002
        after: datetime,  # noqa: ARG002
        until: datetime,  # noqa: ARG002
    ) -> Iterator[ObservationBatch]:
        """Nothing was recorded in (after, until]."""
        return iter(())
