"""The runs of a past period: the forecast cycle at each nominal issue time, each knowing only what was known then."""

from __future__ import annotations

from datetime import datetime

from skyproof.cycle.forecast_cycle import forecast_cycle
from skyproof.cycle.wiring import Product
from skyproof.domain.forecasts import Run
from skyproof.domain.progress import Progress, silent
from skyproof.domain.times import schedule


def backtest_cycle(
    product: Product, start: datetime, end: datetime, *, release_id: str | None = None, progress: Progress = silent
) -> tuple[Run, ...]:
    """Every run with a nominal issue time in [start, end]; those already published are not made again."""
    settings, archive = product.settings, product.archive
    issue_times = list(schedule(start, end, settings.issue_every_hours, settings.issue_hour_utc))
    runs: list[Run] = []
    for done, issue_time in enumerate(issue_times):
        progress("backtest", done, len(issue_times))
        known = archive.releases.find(release_id) if release_id else archive.releases.newest(as_of=issue_time)
        made = archive.runs.between(
            issue_from=issue_time, issue_until=issue_time, as_of=issue_time, release_id=known.release_id
        )
        runs.append(made[-1] if made else forecast_cycle(product, issue_time, release_id=known.release_id))
    progress("backtest", len(issue_times), len(issue_times))
    return tuple(runs)
