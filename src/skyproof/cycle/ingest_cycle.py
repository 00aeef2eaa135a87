"""Taking in what sources and stations say, from files or from any provider."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from skyproof.cycle.wiring import Product
from skyproof.domain.cycles import IntakeReport
from skyproof.domain.progress import Progress, silent
from skyproof.domain.protocols import ObservationFeed, Source
from skyproof.domain.sites import Site
from skyproof.stages.sources.cover import CoverSource
from skyproof.stages.sources.intake import take_in_cycles, take_in_observations
from skyproof.stages.sources.plan import plan_ingest


def ingest_cycle(
    product: Product, spec: Path, *, data_folder: Path, strict: bool = False, progress: Progress = silent
) -> tuple[IntakeReport, ...]:
    """Take in the files that ``spec`` describes; what was held already is counted, not stored twice."""
    now = product.clock.now()
    known = product.archive.sites.all()
    plan = plan_ingest(spec, data_folder=data_folder, ingested_at=now, strict=strict, sites=known)
    product.archive.sites.add(plan.sites)
    reports = [take_in_source(product, source, plan.sites, until=now, progress=progress) for source in plan.sources]
    if (cover := product.settings.cover) is not None:
        nodes = cover.nodes
        reports += [take_in_cover(product, source, nodes, until=now, progress=progress) for source in plan.fields]
    reports += [take_in_feed(product, feed, plan.sites, until=now, progress=progress) for feed in plan.feeds]
    return tuple(reports)


def take_in_source(
    product: Product,
    source: Source,
    sites: tuple[Site, ...],
    *,
    until: datetime,
    after: datetime | None = None,
    progress: Progress = silent,
) -> IntakeReport:
    """Register a source and take in its cycles that became available in (after, until]."""
    product.archive.sources.register(source.spec)
    return take_in_cycles(product.archive, source, sites, after=after, until=until, progress=progress)


def take_in_cover(
    product: Product,
    source: Source,
    nodes: tuple[Site, ...],
    *,
    until: datetime,
    after: datetime | None = None,
    progress: Progress = silent,
) -> IntakeReport:
    """Take in what a source says at the nodes of a cover: beside its cycles at sites, known to no register."""
    return take_in_cycles(product.archive, CoverSource(source), nodes, after=after, until=until, progress=progress)


def take_in_feed(
    product: Product,
    feed: ObservationFeed,
    sites: tuple[Site, ...],
    *,
    until: datetime,
    after: datetime | None = None,
    progress: Progress = silent,
) -> IntakeReport:
    """Take in the observations recorded in (after, until]."""
    return take_in_observations(product.archive, feed, sites, after=after, until=until, progress=progress)
