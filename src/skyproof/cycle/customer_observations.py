"""Taking in what a customer measured at one of its own places: checked like a station's, with a verdict for each row.

Sending the same rows again changes nothing. A value that differs from what was sent before is a revision, kept beside it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import numpy as np

from skyproof.archive.archive import Archive
from skyproof.archive.writes import Outcome, Transaction
from skyproof.domain.accounts import AuditEntry
from skyproof.domain.cycles import ObservationBatch
from skyproof.domain.deliveries import ApiKey
from skyproof.domain.times import to_datetime64
from skyproof.domain.units import conversion
from skyproof.domain.variables import find_variable
from skyproof.stages.deliver.observation_rows import ObservationRow, RefusedRow
from skyproof.stages.deliver.place_changes import own_site
from skyproof.stages.sources.observation_checks import check_observations
from skyproof.stages.sources.problems import Problems

T = TypeVar("T")

VERDICTS = ("accepted", "flagged", "revised", "duplicate", "rejected")
#: Two values closer than this share of themselves are one: conversion of units rounds.
_SAME = 1e-9
_REASONS = {
    "future": "it lies in the future",
    "fill": "it is a number that stands for no value",
    "negative": "it is negative, which this cannot be",
    "range": "it lies outside what is plausible; is it in the unit you say?",
    "missing": "nothing was measured",
}


def source_of(customer_id: str) -> str:
    """The name under which a customer's observations are kept."""
    return f"customer.{customer_id}"


def prepare_names(archive: Archive, customer_id: str, site_id: str, rows: Sequence[ObservationRow]) -> None:
    """What has to be done before the transaction of :func:`take_in_rows`."""
    if rows:
        archive.observations.prepare_names(_batch(customer_id, site_id, rows, rows[0].valid_time))


def take_in_rows(
    archive: Archive,
    transaction: Transaction,
    by: ApiKey,
    site_id: str,
    rows: Sequence[ObservationRow],
    refused: Sequence[RefusedRow],
    *,
    now: datetime,
    afterwards: list[Callable[[], None]],
) -> Outcome:
    """Keep the rows of one request, and say of each what became of it.

    Args:
        archive: takes the rows; :func:`prepare_names` was called.
        transaction: in which they are kept.
        by: whose place it is.
        site_id: the place.
        rows: what could be read.
        refused: what could not.
        now: the present.
        afterwards: takes what is left to do once the transaction is committed.

    Raises:
        NotFoundError: there is no such site, or it is another's.
        PermissionDeniedError: everyone sees it.
    """
    own_site(archive, transaction, by.customer_id, site_id)
    verdicts: dict[int, dict[str, Any]] = {
        row.number: {"row": row.number, "verdict": "rejected", "reason": row.reason} for row in refused
    }
    new, recorded_at = [], now
    before = _held(archive, transaction, by.customer_id, site_id, rows)
    for row in rows:
        held = before.get((row.variable, row.valid_time))
        is_same = held is not None and _is_same(held[1], _canonical(row))
        verdict = "duplicate" if is_same else "revised" if held is not None else "accepted"
        verdicts[row.number] = {"row": row.number, "verdict": verdict, "reason": ""}
        if not is_same:
            new.append(row)
            if held is not None:
                # Later than what it revises, also within one second: the later statement counts.
                recorded_at = max(recorded_at, held[0] + timedelta(seconds=1))
    checked = [
        check_observations(
            _batch(by.customer_id, site_id, group, recorded_at),
            site_ids=frozenset({site_id}),
            until=now,
            problems=Problems(),
        )
        for group in _by_unit(new)
    ]
    for row, flag in zip(_flat(_by_unit(new)), _flat(part.flags.tolist() for part in checked), strict=True):
        if flag:
            verdict = verdicts[row.number]["verdict"] if flag == "missing" else "flagged"
            verdicts[row.number] |= {"verdict": verdict, "reason": _REASONS[flag], "flag": flag}
    if checked:
        kept = _joined([part.batch for part in checked])
        flags = np.concatenate([part.flags for part in checked])
        _, dropped = archive.observations.append_within(transaction, kept, flags)
        afterwards.append(partial(archive.observations.delete_dropped, dropped))
    counts = Counter(verdict["verdict"] for verdict in verdicts.values())
    answer = {
        "site": site_id,
        "received": len(verdicts),
        **{name: counts[name] for name in VERDICTS},
        "rows": [verdicts[number] for number in sorted(verdicts)],
    }
    detail = {name: counts[name] for name in VERDICTS if counts[name]}
    return Outcome(200, answer, AuditEntry(now, by.customer_id, by.key_id, "observations.sent", site_id, detail))


def _held(
    archive: Archive, transaction: Transaction, customer_id: str, site_id: str, rows: Sequence[ObservationRow]
) -> dict[tuple[str, datetime], tuple[datetime, float]]:
    held = {}
    for variable in {row.variable for row in rows}:
        times = [row.valid_time for row in rows if row.variable == variable]
        found = archive.observations.newest_within(transaction, source_of(customer_id), site_id, variable, times)
        held.update({(variable, valid_time): kept for valid_time, kept in found.items()})
    return held


def _by_unit(rows: Sequence[ObservationRow]) -> list[list[ObservationRow]]:
    """The rows in groups within which each variable has one unit."""
    order: dict[str, list[str]] = {}
    groups: dict[int, list[ObservationRow]] = {}
    for row in rows:
        units = order.setdefault(row.variable, [])
        if row.unit not in units:
            units.append(row.unit)
        groups.setdefault(units.index(row.unit), []).append(row)
    return list(groups.values())


def _batch(customer_id: str, site_id: str, rows: Sequence[ObservationRow], recorded_at: datetime) -> ObservationBatch:
    return ObservationBatch(
        source_id=source_of(customer_id),
        site_ids=np.full(len(rows), site_id),
        variables=np.array([row.variable for row in rows]),
        valid_times=np.array([to_datetime64(row.valid_time) for row in rows]),
        recorded_ats=np.full(len(rows), to_datetime64(recorded_at)),
        values=np.array([row.value for row in rows], dtype=np.float64),
        units={row.variable: row.unit for row in rows},
    )


def _joined(batches: Sequence[ObservationBatch]) -> ObservationBatch:
    """Batches in canonical units as one."""
    return ObservationBatch(
        source_id=batches[0].source_id,
        site_ids=np.concatenate([batch.site_ids for batch in batches]),
        variables=np.concatenate([batch.variables for batch in batches]),
        valid_times=np.concatenate([batch.valid_times for batch in batches]),
        recorded_ats=np.concatenate([batch.recorded_ats for batch in batches]),
        values=np.concatenate([batch.values for batch in batches]),
    )


def _flat(parts: Iterable[Iterable[T]]) -> list[T]:
    return [item for part in parts for item in part]


def _canonical(row: ObservationRow) -> float:
    scale, offset = conversion(row.unit, find_variable(row.variable).unit)
    return row.value * scale + offset


def _is_same(held: float, sent: float) -> bool:
    if np.isnan(held) or np.isnan(sent):
        return bool(np.isnan(held) and np.isnan(sent))
    return bool(abs(held - sent) <= _SAME * max(abs(held), abs(sent), 1.0))
