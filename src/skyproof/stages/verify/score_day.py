"""One valid day of one release: every issued value paired with its observation, and the same for every baseline.

A pair counts for a model where the product, the model and the observation are all there. Two models are compared on the
cells where both have all of the product's pairs, so every comparison is homogeneous and nobody gains by staying silent.
"""

from __future__ import annotations

from collections.abc import Sequence
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
from skyproof.science.pair_sums import add_pairs

Floats = NDArray[Any]
#: How the product is called among the models.
PRODUCT = "skyproof"
#: Longest lead looked back for, in hours.
_LONGEST_LEAD = 16 * 24
_THREADS = 2
_NO_LEADS = np.empty(0, dtype=np.intp)
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
    parts = []
    for run in runs:
        reader = archive.runs.open(run)
        valid = to_datetime64(run.init_time) + np.array(reader.lead_hours) * np.timedelta64(3600, "s")
        due = np.flatnonzero((valid >= to_datetime64(start)) & (valid < to_datetime64(end)))
        if len(due):
            parts.append((run, reader, valid[due], due))
    if not parts:
        return None
    known_until = archive.observations.newest_recorded_at(as_of=as_of, valid_day=valid_day)
    names, _ = archive.experts.read_key(parts[0][0].experts_key, leads=_NO_LEADS)
    site_ids = tuple(dict.fromkeys(site_id for _, reader, _, _ in parts for site_id in reader.site_ids))
    sums = _empty(release_id, valid_day, (PRODUCT, *names), parts[0][1], site_ids, known_until)
    # What happened is read once, for all runs that spoke of the day.
    times = np.unique(np.concatenate([valid for _, _, valid, _ in parts]))
    observed = _observed(archive, sums, times, as_of)
    for run, reader, valid, due in parts:
        _add_run(archive, sums, (run, reader), observed[..., np.searchsorted(times, valid)], due)
    return sums


def _empty(
    release_id: str,
    valid_day: date,
    models: tuple[str, ...],
    reader: RunReader,
    site_ids: tuple[str, ...],
    known_until: datetime | None,
) -> DayScores:
    cells = (len(models), len(reader.variables), len(site_ids), len(reader.lead_hours))
    # Each statistic lies together in memory: they are filled and kept one by one.
    sums = np.moveaxis(np.zeros((len(STATISTICS), *cells), dtype=np.float32), 0, -1)
    pit = np.zeros((*cells, PIT_BINS), dtype=np.float32)
    return DayScores(
        release_id,
        valid_day,
        models,
        tuple(reader.variables),
        site_ids,
        tuple(reader.lead_hours),
        sums,
        pit,
        known_until,
    )


def _add_run(
    archive: Archive, sums: DayScores, spoken: tuple[Run, RunReader], observed: Floats, leads: NDArray[np.intp]
) -> None:
    """Add one run's pairs in place. ``observed``: (variable, site, lead) of the leads due."""
    run, reader = spoken
    _, experts = archive.experts.read_key(run.experts_key, leads=leads)
    product = reader.values(leads=leads).quantiles
    if reader.site_ids != sums.site_ids:
        # A run of before a site came says nothing of it.
        there = [reader.site_ids.index(site_id) if site_id in reader.site_ids else -1 for site_id in sums.site_ids]
        experts, product = _at_sites(experts, there), _at_sites(product, there)
    by_statistic = np.moveaxis(sums.sums, -1, 0)

    def add(part: tuple[int, int]) -> None:
        model, variable = part
        seen = np.where(np.isfinite(product[variable, ..., 0]), observed[variable], np.nan)
        add_pairs(
            experts[model - 1, variable] if model else product[variable],
            seen,
            find_variable(sums.variables[variable]).events,
            places=leads,
            sums=by_statistic[:, model, variable],
            pit=sums.pit[model, variable],
        )

    # Every part writes cells of its own, and lets go of the interpreter while it works.
    parts = [(model, variable) for variable in range(len(sums.variables)) for model in range(len(sums.models))]
    if experts.size < _WORTH_THREADS:
        for part in parts:
            add(part)
        return
    with ThreadPoolExecutor(max_workers=_THREADS) as pool:
        list(pool.map(add, parts))


def _at_sites(quantiles: Floats, there: Sequence[int]) -> Floats:
    """Quantiles (..., site, lead, level) in another order of sites, NaN where -1 says that one is not there."""
    ordered = quantiles[..., there, :, :]
    ordered[..., np.asarray(there) < 0, :, :] = np.nan
    return ordered


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
