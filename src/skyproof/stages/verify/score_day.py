"""One valid day of one release: every issued value paired with its observation, and the same for every baseline.

A pair counts for a model where the product, the model and the observation are all there. Two models are compared on the
cells where both have all of the product's pairs, so every comparison is homogeneous and nobody gains by staying silent.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.archive.archive import Archive
from skyproof.archive.runs import RunReader
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
_THREADS = 2
#: Fewer values than this are done sooner than threads have taken turns.
_WORTH_THREADS = 5_000_000


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
        names, quantiles = _models(archive, run, due)
        if sums is None:
            known_until = archive.observations.newest_recorded_at(as_of=as_of, valid_day=valid_day)
            sums = _empty(release_id, valid_day, names, reader, known_until)
        _add_run(archive, sums, quantiles, valid[due], due, as_of)
    return sums


def _models(archive: Archive, run: Run, due: NDArray[np.intp]) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """The product first, then what its experts and baselines had said: (model, variable, site, lead due, level)."""
    names, experts = archive.experts.read_key(run.experts_key, leads=due)
    product = archive.runs.open(run).values(leads=due).quantiles
    return (PRODUCT, *names), np.concatenate([product[None], experts])


def _empty(
    release_id: str, valid_day: date, models: tuple[str, ...], reader: RunReader, known_until: datetime | None
) -> DayScores:
    cells = (len(models), len(reader.variables), len(reader.site_ids), len(reader.lead_hours))
    # Each statistic lies together in memory: they are filled and kept one by one.
    sums = np.moveaxis(np.zeros((len(STATISTICS), *cells), dtype=np.float32), 0, -1)
    pit = np.zeros((*cells, PIT_BINS), dtype=np.float32)
    return DayScores(
        release_id,
        valid_day,
        models,
        tuple(reader.variables),
        tuple(reader.site_ids),
        tuple(reader.lead_hours),
        sums,
        pit,
        known_until,
    )


def _add_run(
    archive: Archive, sums: DayScores, quantiles: Floats, valid: Floats, leads: NDArray[np.intp], as_of: datetime
) -> None:
    """Add one run's pairs in place. ``quantiles``: (model, variable, site, lead, level) of the leads due."""
    observed = _observed(archive, sums, valid, as_of)
    gap_free = len(leads) and leads[-1] - leads[0] + 1 == len(leads)
    place = slice(int(leads[0]), int(leads[-1]) + 1) if gap_free else leads

    def add(part: tuple[slice, int]) -> None:
        models, index = part
        seen = np.where(np.isfinite(quantiles[0, index, ..., 0]), observed[index], np.nan)
        events = find_variable(sums.variables[index]).events
        chosen = quantiles[models, index]
        sums.sums[models, index][:, :, place] += pair_statistics(chosen, seen, events)
        sums.pit[models, index][:, :, place] += pit_counts(chosen, np.broadcast_to(seen, chosen.shape[:-1]))

    variables = range(len(sums.variables))
    if quantiles.size < _WORTH_THREADS:
        for index in variables:
            add((slice(None), index))
        return
    # Every part writes cells of its own, and numpy lets go of the interpreter while it works.
    parts = [(slice(model, model + 1), index) for index in variables for model in range(len(sums.models))]
    with ThreadPoolExecutor(max_workers=_THREADS) as pool:
        list(pool.map(add, parts))


def _observed(archive: Archive, sums: DayScores, valid: Floats, as_of: datetime) -> Floats:
    """(variable, site, lead) at the valid times, as known at ``as_of``."""
    # Leads need not be evenly spaced: the axis must meet every one of them.
    step = 3600 if len(valid) < 2 else int(np.gcd.reduce(np.diff(valid).astype(np.int64)))
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
