"""Forecast values at places, as readers hand them over, and how they become cycles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.cycles import CycleBatch
from skyproof.domain.errors import ContractError
from skyproof.domain.times import Instants, from_datetime64, to_datetime64
from skyproof.stages.sources.problems import Problems

#: Cycles of one batch: about a month of daily runs, one object of the archive.
BATCH_CYCLES = 31


@dataclass(frozen=True, slots=True)
class ForecastPoints:
    """Values of one variable of one source, n rows of m members each.

    ``init_times`` and ``available_ats`` are ``datetime64[s]``, ``lead_hours`` whole hours, ``values`` (n, m) float32
    in ``unit``, NaN where missing. ``first_members`` is the position of a row's first member among all members.
    ``origins`` says for every row where it came from, for messages.
    """

    variable: str
    unit: str
    init_times: Instants
    available_ats: Instants
    lead_hours: NDArray[np.int64]
    site_ids: NDArray[np.str_]
    first_members: NDArray[np.int64]
    values: NDArray[np.float32]
    origins: NDArray[np.str_]

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> ForecastPoints:
        """Only some rows."""
        return ForecastPoints(
            self.variable, self.unit, self.init_times[rows], self.available_ats[rows], self.lead_hours[rows],
            self.site_ids[rows], self.first_members[rows], self.values[rows], self.origins[rows],
        )  # fmt: skip


def join_points(parts: Sequence[ForecastPoints], problems: Problems) -> tuple[ForecastPoints, ...]:
    """One part per variable; of rows that speak of the same cell the first counts.

    A row that repeats an earlier one is counted as a duplicate, one that contradicts it is refused.

    Raises:
        ContractError: the same variable in two units, or with members given in two ways.
    """
    joined = []
    for variable in dict.fromkeys(part.variable for part in parts):
        same = [part for part in parts if part.variable == variable]
        shapes = {(part.unit, part.values.shape[1]) for part in same}
        if len(shapes) > 1:
            raise ContractError(
                f"{variable} comes as {sorted(shapes)} (unit, columns of members)",
                hint="give all files of one source the same way",
            )
        fields = ("init_times", "available_ats", "lead_hours", "site_ids", "first_members", "values", "origins")
        columns = [np.concatenate([getattr(part, field) for part in same]) for field in fields]
        joined.append(_drop_repeated(ForecastPoints(variable, same[0].unit, *columns), problems))
    return tuple(joined)


def only_known_sites(points: ForecastPoints, known: frozenset[str], problems: Problems) -> ForecastPoints:
    """The rows of known places; the others are refused."""
    distinct, inverse = np.unique(points.site_ids, return_inverse=True)
    unknown = np.array([str(name) not in known for name in distinct], dtype=bool)[inverse]
    if not unknown.any():
        return points
    for row in np.flatnonzero(unknown):
        problems.reject(
            f"{points.origins[row]}: site {points.site_ids[row]} is not known; register it, or list it under sites"
        )
    return points.take(~unknown)


def _drop_repeated(points: ForecastPoints, problems: Problems) -> ForecastPoints:
    keys = [points.first_members, points.lead_hours, _codes(points.site_ids), points.init_times.astype(np.int64)]
    order = np.lexsort(keys)
    again = np.ones(len(order), dtype=bool)
    again[:1] = False
    for key in keys:
        again[1:] &= key[order][1:] == key[order][:-1]
    if not again.any():
        return points
    # ``lexsort`` is stable: the first of each group is the row that came first.
    first = order[np.maximum.accumulate(np.where(again, 0, np.arange(len(order))))]
    repeated, original = order[again], first[again]
    same = ((points.values[repeated] == points.values[original]) | np.isnan(points.values[repeated])).all(axis=1)
    problems.repeat(f"{int(same.sum())} rows of {points.variable} repeat an earlier row", count=int(same.sum()))
    for row, earlier in zip(repeated[~same], original[~same], strict=True):
        problems.reject(
            f"{points.origins[row]}: another value of {points.variable} than {points.origins[earlier]} for the same "
            f"site {points.site_ids[row]}, init time {points.init_times[row]} and lead {points.lead_hours[row]} h; "
            "the first counts"
        )
    keep = np.ones(len(order), dtype=bool)
    keep[repeated] = False
    return points.take(keep)


@dataclass(frozen=True, slots=True)
class CycleAxes:
    """The axes that all cycles of a source share."""

    variables: tuple[str, ...]
    units: dict[str, str]
    lead_hours: tuple[int, ...]
    members: int


def axes_of(parts: Sequence[ForecastPoints]) -> CycleAxes:
    """The axes that hold every row of ``parts``."""
    leads = sorted({int(lead) for part in parts for lead in np.unique(part.lead_hours)})
    members = max(
        (int(part.first_members.max()) + part.values.shape[1] for part in parts if len(part.origins)), default=0
    )
    units = {part.variable: part.unit for part in parts}
    return CycleAxes(tuple(units), units, tuple(leads), members)


def assemble(
    source_id: str,
    parts: Sequence[ForecastPoints],
    axes: CycleAxes,
    site_ids: tuple[str, ...],
    *,
    after: datetime,
    until: datetime,
    accumulated: frozenset[str] = frozenset(),
) -> Iterator[CycleBatch]:
    """The cycles that became available in (after, until], oldest first, a month at a time.

    A cycle is available when the last of its rows is. Variables in ``accumulated`` are sums since the init time and
    become sums over the interval between two leads.
    """
    init_times, available = _cycle_times(parts)
    wanted = (available > to_datetime64(after)) & (available <= to_datetime64(until))
    order = np.flatnonzero(wanted)[np.lexsort((init_times[wanted], available[wanted]))]
    site_code = {site_id: index for index, site_id in enumerate(site_ids)}
    places = [_Places(part, init_times, axes, site_code) for part in parts]
    for start in range(0, len(order), BATCH_CYCLES):
        chosen = order[start : start + BATCH_CYCLES]
        shape = (len(chosen), len(axes.variables), len(axes.lead_hours), len(site_ids), axes.members)
        values = np.full(shape, np.nan, dtype=np.float32)
        for part, place in zip(parts, places, strict=True):
            place.fill(values[:, axes.variables.index(part.variable)], part.values, chosen)
        for name in accumulated & set(axes.variables):
            index = axes.variables.index(name)
            values[:, index] = preceding_sums(values[:, index], axes.lead_hours)
        yield CycleBatch(
            source_id=source_id,
            init_times=tuple(from_datetime64(init_times[index]) for index in chosen),
            available_ats=tuple(from_datetime64(available[index]) for index in chosen),
            variables=axes.variables,
            units=axes.units,
            lead_hours=axes.lead_hours,
            site_ids=site_ids,
            values=values,
        )


def preceding_sums(values: NDArray[np.float32], lead_hours: tuple[int, ...]) -> NDArray[np.float32]:
    """Sums since the init time as sums since the lead before.

    Args:
        values: dims (cycle, lead, site, member); sums from lead 0.
        lead_hours: the leads, increasing.

    Returns:
        The same dims. The first lead after 0 keeps its sum; lead 0 has no preceding interval and is missing. Packed
        sums may shrink by a rounding step; such tiny negative differences are 0.
    """
    before = np.concatenate([np.zeros_like(values[:, :1]), values[:, :-1]], axis=1)
    if lead_hours and lead_hours[0] == 0:
        before[:, 1:2] = 0.0
    steps: NDArray[np.float32] = values - before
    tiny = (steps < 0) & (steps > -1e-3 * np.maximum(np.abs(values), 1e-6))
    steps[tiny] = 0.0
    if lead_hours and lead_hours[0] == 0:
        steps[:, 0] = np.nan
    return steps


class _Places:
    """Where the rows of one part go: sorted by cycle, so that a batch is one slice."""

    def __init__(self, part: ForecastPoints, init_times: Instants, axes: CycleAxes, site_code: dict[str, int]) -> None:
        distinct, inverse = np.unique(part.site_ids, return_inverse=True)
        sites = np.array([site_code.get(str(name), -1) for name in distinct], dtype=np.int64)[inverse]
        cycles = np.searchsorted(init_times, part.init_times)
        self._order = np.argsort(cycles, kind="stable")
        self._order = self._order[sites[self._order] >= 0]
        self._cycles = cycles[self._order]
        self._leads = np.searchsorted(np.array(axes.lead_hours), part.lead_hours)[self._order]
        self._sites = sites[self._order]
        self._members = part.first_members[self._order]

    def fill(self, out: NDArray[np.float32], values: NDArray[np.float32], chosen: NDArray[np.int64]) -> None:
        """Write the rows of the cycles ``chosen`` into ``out`` (cycle, lead, site, member)."""
        starts = np.searchsorted(self._cycles, chosen, side="left")
        stops = np.searchsorted(self._cycles, chosen, side="right")
        width = np.arange(values.shape[1])
        for cycle, (start, stop) in enumerate(zip(starts, stops, strict=True)):
            rows = slice(start, stop)
            members = self._members[rows, None] + width
            out[cycle, self._leads[rows, None], self._sites[rows, None], members] = values[self._order[rows]]


def _cycle_times(parts: Sequence[ForecastPoints]) -> tuple[Instants, Instants]:
    """Distinct init times, sorted, and when the last row of each became available."""
    if not parts:
        return np.array([], dtype="datetime64[s]"), np.array([], dtype="datetime64[s]")
    inits = np.concatenate([part.init_times for part in parts])
    available = np.concatenate([part.available_ats for part in parts])
    distinct, inverse = np.unique(inits, return_inverse=True)
    newest = np.full(len(distinct), np.iinfo(np.int64).min, dtype=np.int64)
    np.maximum.at(newest, inverse, available.astype("datetime64[s]").astype(np.int64))
    return distinct.astype("datetime64[s]"), newest.astype("datetime64[s]")


def _codes(names: NDArray[np.str_]) -> NDArray[np.int64]:
    return np.unique(names, return_inverse=True)[1].astype(np.int64)
