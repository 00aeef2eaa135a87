"""Adding up the sums of many days, once, into the series every picture and verdict needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.archive.archive import Archive
from skyproof.domain.errors import NotAvailableError
from skyproof.domain.scores import PIT_BINS, STATISTICS, DayScores

Floats = NDArray[Any]
N, CRPS = STATISTICS.index("n"), STATISTICS.index("crps")


@dataclass(frozen=True, slots=True)
class CollectedScores:
    """Sums over sites of a period. The product is model 0.

    ``totals``: (model, variable, lead, statistic) over all days; ``pit``: (model, variable, bin);
    ``own``, ``shared``: (day, model, variable, lead), CRPS sums of the model and of the product on the cells where both
    have all of the product's pairs; ``pairs``: their number.
    """

    release_id: str
    days: tuple[date, ...]
    models: tuple[str, ...]
    variables: tuple[str, ...]
    site_ids: tuple[str, ...]
    lead_hours: tuple[int, ...]
    totals: Floats
    pit: Floats
    own: Floats
    shared: Floats
    pairs: Floats


def collect_scores(
    archive: Archive,
    release_id: str,
    *,
    as_of: datetime,
    day_from: date | None = None,
    day_until: date | None = None,
) -> CollectedScores:
    """Collect what was scored of a release.

    Raises:
        NotAvailableError: nothing was scored yet.
    """
    entries = archive.scores.days(release_id, as_of=as_of, day_from=day_from, day_until=day_until)
    if not entries:
        raise NotAvailableError(f"nothing of release {release_id} was scored yet", hint="skyproof verify scores it")
    first = archive.scores.read(entries[0])
    shape = (len(first.models), len(first.variables), len(first.lead_hours))
    totals = np.zeros((*shape, len(STATISTICS)))
    pit = np.zeros((*shape[:2], PIT_BINS))
    own, shared, pairs = (np.zeros((len(entries), *shape)) for _ in range(3))
    site_ids = dict.fromkeys(first.site_ids)
    for index, entry in enumerate(entries):
        day = first if index == 0 else archive.scores.read(entry)
        site_ids |= dict.fromkeys(day.site_ids)
        sums = _in_order(day, first.models)
        totals += sums.sum(axis=2)
        pit += _in_order_pit(day, first.models).sum(axis=(2, 3))
        # A model stands beside the product only in cells where it has every pair the product has.
        both = (sums[..., N] == sums[:1, ..., N]) & (sums[:1, ..., N] > 0)
        own[index] = np.where(both, sums[..., CRPS], 0.0).sum(axis=2)
        shared[index] = np.where(both, sums[:1, ..., CRPS], 0.0).sum(axis=2)
        pairs[index] = np.where(both, sums[..., N], 0.0).sum(axis=2)
    return CollectedScores(
        release_id, tuple(entry.valid_day for entry in entries), first.models, first.variables, tuple(site_ids),
        first.lead_hours, totals, pit, own, shared, pairs,
    )  # fmt: skip


def _in_order(day: DayScores, models: Sequence[str]) -> Floats:
    return day.sums if tuple(day.models) == tuple(models) else day.sums[[day.models.index(name) for name in models]]


def _in_order_pit(day: DayScores, models: Sequence[str]) -> Floats:
    return day.pit if tuple(day.models) == tuple(models) else day.pit[[day.models.index(name) for name in models]]
