"""Committing a run, or withholding it and saying why."""

from __future__ import annotations

from skyproof.archive.archive import Archive
from skyproof.archive.runs import RunDraft
from skyproof.domain.errors import NoRunError, RunWithheldError
from skyproof.domain.forecasts import ForecastValues, Run
from skyproof.domain.times import format_instant
from skyproof.stages.publish.checks import check_run


def publish_run(archive: Archive, draft: RunDraft) -> Run:
    """Check a draft and commit it; readers see the whole run or the one before.

    Raises:
        RunWithheldError: a check failed; the ledger holds the reasons, and the run before stays the newest.
    """
    failures = check_run(draft.values, draft.grid, previous=_previous(archive, draft), learned=draft.learned)
    if failures:
        reasons = [f"{failure.check}: {failure.message}" for failure in failures]
        archive.events.add(
            "run.withheld",
            {"release_id": draft.release_id, "issue_time": format_instant(draft.issue_time), "reasons": reasons},
            recorded_at=draft.published_at,
        )
        raise RunWithheldError(
            f"the run of {format_instant(draft.issue_time)} was withheld: {'; '.join(reasons)}",
            hint="the run before stays in service; look at its inputs with skyproof source list",
        )
    run = archive.runs.publish(draft)
    archive.events.add(
        "run.published",
        {"run_id": run.run_id, "issue_time": format_instant(run.issue_time), "regime": run.regime.regime_id},
        recorded_at=run.published_at,
    )
    return run


def _previous(archive: Archive, draft: RunDraft) -> ForecastValues | None:
    """The newest run before this one on the same cells, if its init time is an earlier one; else None.

    A second run of one init time may well equal the first: nothing new had come.
    """
    try:
        before = archive.runs.newest(as_of=draft.published_at, release_id=draft.release_id)
    except NoRunError:
        return None
    if before.init_time >= draft.init_time:
        return None
    values = archive.runs.open(before).values()
    return values if values.quantiles.shape == draft.values.quantiles.shape else None
