"""Learning a release from what was known at an instant."""

from __future__ import annotations

from datetime import datetime, timedelta

from skyproof.cycle.experts import kinds_to_learn, source_experts
from skyproof.cycle.wiring import Product
from skyproof.domain.errors import NotAvailableError
from skyproof.domain.forecasts import Release
from skyproof.domain.progress import Progress, silent
from skyproof.domain.times import schedule
from skyproof.stages.learn.learn_release import learn_release


def learn_cycle(
    product: Product, *, as_of: datetime, since: datetime | None = None, progress: Progress = silent
) -> Release:
    """Learn a release and make it the stable one from ``as_of`` on.

    Where the settings name no kinds of experts, it is made of all, or of those that learn so large a history within minutes.

    Raises:
        NotAvailableError: there are no observations to learn from.
    """
    settings, archive = product.settings, product.archive
    if archive.observations.newest_recorded_at(as_of=as_of) is None:
        raise NotAvailableError("no observation was known by then", hint="skyproof ingest brings observations in")
    grid, since = product.grid(), since or as_of - timedelta(days=settings.learn_days)
    issues = len(list(schedule(since, as_of, settings.issue_every_hours, settings.issue_hour_utc)))
    kinds = kinds_to_learn(settings.experts, issues * len(grid.lead_hours) * len(grid.sites))
    return learn_release(
        archive,
        grid=grid,
        usual_models=product.usual_models,
        make_experts=source_experts(kinds),
        blend=product.blend(),
        source_ids=product.source_ids(),
        as_of=as_of,
        since=since,
        tail_days=settings.tail_days,
        serve_days=settings.serve_days,
        issue_every_hours=settings.issue_every_hours,
        issue_hour_utc=settings.issue_hour_utc,
        max_cycle_age_hours=settings.max_cycle_age_hours,
        progress=progress,
    )
