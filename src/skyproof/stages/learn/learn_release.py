"""Making a release: fit, hold out, calibrate, fit again, pack."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from skyproof import __version__
from skyproof.archive.archive import Archive
from skyproof.archive.release_content import ReleaseContent
from skyproof.domain.errors import NotAvailableError
from skyproof.domain.forecasts import ForecastGrid, Release, TrainingHistory
from skyproof.domain.progress import Progress, silent
from skyproof.domain.protocols import Blend, ForecastModel
from skyproof.domain.regimes import FULL
from skyproof.domain.times import format_instant, hours, schedule
from skyproof.stages.learn.calibrate_regimes import calibrate_regimes
from skyproof.stages.learn.dependence import learn_dependence
from skyproof.stages.learn.hindcast import hindcast

#: Shortest history to learn from, in days: below it nothing can be held out.
_SHORTEST_DAYS = 20


def learn_release(
    archive: Archive,
    *,
    grid: ForecastGrid,
    make_models: Callable[[], Sequence[ForecastModel]],
    blend: Blend,
    source_ids: Sequence[str],
    as_of: datetime,
    since: datetime,
    tail_days: int = 60,
    issue_every_hours: int = 24,
    issue_hour_utc: int = 12,
    max_cycle_age_hours: int = 60,
    workers: int = 1,
    progress: Progress = silent,
) -> Release:
    """Learn from what was known at ``as_of`` and keep the release.

    The experts are fitted on all but the last ``tail_days``; on those the blend learns and the regimes are calibrated,
    out of sample; then the experts are fitted again on everything.

    Raises:
        NotAvailableError: fewer than 20 days of observations.
    """
    history = archive.inputs.history(grid, source_ids, since=since, as_of=as_of)
    first = _first_observed(history)
    if (as_of - first).days < _SHORTEST_DAYS:
        raise NotAvailableError(
            f"{(as_of - first).days} days of observations are too few to learn from",
            hint=f"take in at least {_SHORTEST_DAYS} days",
        )
    tail_start = as_of - min(timedelta(days=tail_days), (as_of - first) / 3)
    early = make_models()
    fit_models(early, _until(history, tail_start), workers=workers, progress=progress, what="fit on the first part")
    issue_times = list(schedule(tail_start, as_of - hours(grid.step_hours), issue_every_hours, issue_hour_utc))
    past = hindcast(
        archive, early, blend, grid, source_ids, issue_times,
        max_age_hours=max_cycle_age_hours, as_of=as_of, progress=progress,
    )  # fmt: skip
    names = tuple(model.name for model in early)
    regimes = calibrate_regimes(
        past, blend, names, source_ids, grid.variables, skip=len(issue_times) // 4, progress=progress
    )
    models = make_models()
    fit_models(models, history, workers=workers, progress=progress, what="fit on everything")
    content = ReleaseContent(
        code_version=__version__,
        learned_at=as_of,
        trained_from=first,
        grid=grid,
        source_ids=tuple(source_ids),
        issue_every_hours=issue_every_hours,
        issue_hour_utc=issue_hour_utc,
        max_cycle_age_hours=max_cycle_age_hours,
        expert_names=names,
        models={model.name: model.state() for model in models},
        blend_state=past.final,
        regimes=regimes,
        dependence=learn_dependence(past, blend, regimes[FULL], grid.variables, skip=len(issue_times) // 4),
    )
    return archive.releases.add(
        content.to_bytes(),
        created_at=as_of,
        trained_from=first,
        trained_until=as_of,
        sources=tuple(source_ids),
        card=_card(content, history, len(issue_times)),
    )


def fit_models(
    models: Sequence[ForecastModel], history: TrainingHistory, *, workers: int, progress: Progress, what: str
) -> None:
    """Fit every model; each depends on the history alone, so the order of finishing does not matter."""
    with ThreadPoolExecutor(max_workers=workers) as pool:
        for done, _ in enumerate(pool.map(lambda model: model.fit(history), models)):
            progress(what, done + 1, len(models))


def _first_observed(history: TrainingHistory) -> datetime:
    seen = np.isfinite(history.observations).any(axis=(0, 2))
    if not seen.any():
        raise NotAvailableError("no usable observation was known by then", hint="skyproof ingest brings them in")
    seconds = history.valid_times[int(np.argmax(seen))].astype("datetime64[s]").astype(int)
    return datetime.fromtimestamp(int(seconds), history.as_of.tzinfo)


def _until(history: TrainingHistory, end: datetime) -> TrainingHistory:
    """The part of a history whose cycles started and whose observations were valid before ``end``."""
    limit = np.datetime64(int(end.timestamp()), "s")
    keep = {source_id: times < limit for source_id, times in history.source_init_times.items()}
    early = history.valid_times < limit
    return TrainingHistory(
        as_of=end,
        grid=history.grid,
        source_init_times={source_id: history.source_init_times[source_id][keep[source_id]] for source_id in keep},
        source_lead_hours=history.source_lead_hours,
        cycles={source_id: history.cycles[source_id][keep[source_id]] for source_id in keep},
        valid_times=history.valid_times[early],
        observations=history.observations[:, early],
    )


def _card(content: ReleaseContent, history: TrainingHistory, held_out: int) -> dict[str, Any]:
    counts = {
        name: int(np.isfinite(history.observations[index]).sum()) for index, name in enumerate(history.grid.variables)
    }
    return {
        "learned_at": format_instant(content.learned_at),
        "data": f"{format_instant(content.trained_from)} to {format_instant(content.learned_at)}",
        "sites": len(content.grid.sites),
        "variables": ", ".join(content.grid.variables),
        "leads": f"{min(content.grid.lead_hours)} to {max(content.grid.lead_hours)} h",
        "sources": ", ".join(content.source_ids),
        "experts": ", ".join(content.expert_names),
        "observations": counts,
        "held_out_issue_times": held_out,
        "coverage_80_by_regime": {name: known.coverage for name, known in content.regimes.items()},
        "widening_by_regime": {name: known.widening for name, known in content.regimes.items()},
        "limitations": "No forecast for sites that were not registered when it was learned; "
        "coverage by regime was measured on the held-out part of the history.",
    }
