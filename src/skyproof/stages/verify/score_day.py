"""One valid day of one release: every issued value paired with its observation, and the same for every baseline.

A pair counts for a model where the product, the model and the observation are all there. Two models are compared on the
cells where both have all of the product's pairs, so every comparison is homogeneous and nobody gains by staying silent.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.archive.archive import Archive
from skyproof.domain.forecasts import Run
from skyproof.domain.scores import PIT_BINS, STATISTICS, DayScores
from skyproof.domain.times import hours, to_datetime64
from skyproof.domain.variables import find_variable
from skyproof.science.scores import pair_statistics, pit_counts

Floats = NDArray[Any]
#: How the product is called among the models.
PRODUCT = "skyproof"
#: Longest lead looked back for, in hours.
_LONGEST_LEAD = 16 * 24


def score_day(archive: Archive, release_id: str, valid_day: date, *, as_of: datetime) -> DayScores | None:
    """Sums of everything issued for a day by one release; None if nothing was."""
    start = datetime.combine(valid_day, time(), UTC)
    end = start + timedelta(days=1)
    runs = archive.runs.between(
        issue_from=start - hours(_LONGEST_LEAD), issue_until=end, as_of=as_of, release_id=release_id
    )
    if not runs:
        return None
    sums: DayScores | None = None
    for run in runs:
        reader = archive.runs.open(run)
        valid = to_datetime64(run.init_time) + np.array(reader.lead_hours) * np.timedelta64(3600, "s")
        due = np.flatnonzero((valid >= to_datetime64(start)) & (valid < to_datetime64(end)))
        if not len(due):
            continue
        names, quantiles = _models(archive, run)
        if sums is None:
            sums = _empty(release_id, valid_day, names, reader.variables, reader.site_ids, reader.lead_hours)
        _add_run(archive, sums, quantiles[..., due, :], valid[due], due, as_of)
    return sums


def _models(archive: Archive, run: Run) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """The product first, then what its experts and baselines had said: (model, variable, site, lead, level)."""
    names, experts = archive.experts.read_key(run.experts_key)
    product = archive.runs.open(run).values().quantiles
    return (PRODUCT, *names), np.concatenate([product[None], experts])


def _empty(
    release_id: str,
    valid_day: date,
    models: tuple[str, ...],
    variables: tuple[str, ...],
    site_ids: tuple[str, ...],
    lead_hours: tuple[int, ...],
) -> DayScores:
    cells = (len(models), len(variables), len(site_ids), len(lead_hours))
    return DayScores(
        release_id, valid_day, models, tuple(variables), tuple(site_ids), tuple(lead_hours),
        np.zeros((*cells, len(STATISTICS))), np.zeros((*cells, PIT_BINS)), None,
    )  # fmt: skip


def _add_run(
    archive: Archive, sums: DayScores, quantiles: Floats, valid: Floats, leads: Floats, as_of: datetime
) -> None:
    """Add one run's pairs in place. ``quantiles``: (model, variable, site, lead, level) of the leads due."""
    observed = _observed(archive, sums, valid, as_of)
    silent = ~np.isfinite(quantiles[:1, ..., 0])
    for index, name in enumerate(sums.variables):
        seen = np.where(silent[0, index], np.nan, observed[index])
        sums.sums[:, index][:, :, leads] += pair_statistics(quantiles[:, index], seen, find_variable(name).events)
        sums.pit[:, index][:, :, leads] += pit_counts(
            quantiles[:, index], np.broadcast_to(seen, quantiles.shape[:1] + seen.shape)
        )


def _observed(archive: Archive, sums: DayScores, valid: Floats, as_of: datetime) -> Floats:
    """(variable, site, lead) at the valid times, as known at ``as_of``."""
    step = 3600 if len(valid) < 2 else int(np.diff(valid).min().astype(np.int64))
    first, last = (
        datetime.fromtimestamp(int(v.astype("datetime64[s]").astype(np.int64)), UTC) for v in (valid[0], valid[-1])
    )
    times, values = archive.observations.grid(
        variables=sums.variables,
        site_ids=sums.site_ids,
        valid_from=first,
        valid_until=last,
        step_hours=max(step // 3600, 1),
        as_of=as_of,
    )
    return values[:, np.searchsorted(times, valid)].swapaxes(1, 2)
