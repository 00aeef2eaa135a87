"""Learning a release from what was known at an instant."""

from __future__ import annotations

from datetime import datetime, timedelta

from skyproof.cycle.wiring import Product
from skyproof.domain.errors import NotAvailableError
from skyproof.domain.forecasts import Release
from skyproof.domain.progress import Progress, silent
from skyproof.stages.learn.learn_release import learn_release


def learn_cycle(
    product: Product, *, as_of: datetime, since: datetime | None = None, progress: Progress = silent
) -> Release:
    """Learn a release and make it the stable one from ``as_of`` on.

    Raises:
        NotAvailableError: there are no observations to learn from.
    """
    settings, archive = product.settings, product.archive
    if archive.observations.newest_recorded_at(as_of=as_of) is None:
        raise NotAvailableError("no observation was known by then", hint="skyproof ingest brings observations in")
    return learn_release(
        archive,
        grid=product.grid(),
        usual_models=product.usual_models,
        make_experts=product.make_experts,
        blend=product.blend(),
        source_ids=product.source_ids(),
        as_of=as_of,
        since=since or as_of - timedelta(days=settings.learn_days),
        tail_days=settings.tail_days,
        serve_days=settings.serve_days,
        issue_every_hours=settings.issue_every_hours,
        issue_hour_utc=settings.issue_hour_utc,
        max_cycle_age_hours=settings.max_cycle_age_hours,
        progress=progress,
    )
