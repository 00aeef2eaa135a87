"""Files as a source and as an observation feed: what readers found, behind the same protocols as any provider."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.cycles import CycleBatch, ObservationBatch, SourceSpec
from skyproof.domain.errors import ContractError
from skyproof.domain.sites import Site
from skyproof.domain.times import to_datetime64
from skyproof.stages.sources.points import ForecastPoints, assemble, axes_of, join_points, only_known_sites
from skyproof.stages.sources.problems import Problems
from skyproof.stages.sources.register import RegisterRow

#: Reads the values of files at some places.
PointReader = Callable[[tuple[Site, ...], Problems], Sequence[ForecastPoints]]
#: Observations handed on at once.
BATCH_ROWS = 100_000


class FileSource:
    """Forecasts in files.

    Tables are read once; fields are read at the places asked for, and read again only for other places.
    """

    def __init__(
        self,
        source_id: str,
        reader: PointReader,
        row: RegisterRow,
        *,
        sites: tuple[Site, ...],
        accumulated: frozenset[str] = frozenset(),
        said: Problems | None = None,
    ) -> None:
        self._said = said or Problems()
        self.problems = self._said
        self._source_id = source_id
        self._reader = reader
        self._accumulated = accumulated
        self._offered: tuple[object, NDArray[np.bool_]] | None = None
        self._promises_leads = row.lead_hours is not None
        self._sites = sites
        self._parts = self._read(sites)
        axes = axes_of(self._parts)
        self._spec = row.to_spec(source_id, members=axes.members, lead_hours=axes.lead_hours, units=axes.units)

    @property
    def spec(self) -> SourceSpec:
        """The register row; what it left open is as the files show it."""
        return self._spec

    def cycles(self, sites: tuple[Site, ...], after: datetime, until: datetime) -> Iterator[CycleBatch]:
        """Cycles that became available in (after, until], oldest first, at the given sites."""
        if sites != self._sites:
            self._parts, self._sites = self._read(sites), sites
        yield from assemble(
            self._source_id,
            self._parts,
            axes_of(self._parts),
            tuple(site.site_id for site in sites),
            after=after,
            until=until,
            accumulated=self._accumulated,
        )

    def offered_cells(self, batch: CycleBatch) -> NDArray[np.bool_] | None:
        """The cells that any row of the files fills, unless the register promises leads: then those count."""
        if self._promises_leads:
            return None
        axes = (batch.variables, batch.lead_hours, batch.site_ids)
        if self._offered is None or self._offered[0] != axes:
            self._offered = (axes, _filled_cells(self._parts, batch, self._accumulated))
        return self._offered[1]

    def _read(self, sites: tuple[Site, ...]) -> tuple[ForecastPoints, ...]:
        problems = Problems()
        problems.add(self._said)
        known = frozenset(site.site_id for site in sites)
        parts = [only_known_sites(part, known, problems) for part in self._reader(sites, problems)]
        self.problems = problems
        return join_points(parts, problems)


class FileObservations:
    """Observations in files. Equal rows are handed on once; the others in the order in which they were recorded."""

    def __init__(self, source_id: str, batches: Sequence[ObservationBatch], *, said: Problems | None = None) -> None:
        self.problems = said or Problems()
        self._source_id = source_id
        self._rows = _join(source_id, batches)
        self._drop_repeated()

    @property
    def source_id(self) -> str:
        """Name of the station network."""
        return self._source_id

    def observations(
        self,
        sites: tuple[Site, ...],  # noqa: ARG002 - whoever takes rows of other places in says what became of them
        after: datetime,
        until: datetime,
    ) -> Iterator[ObservationBatch]:
        """Observations and revisions recorded in (after, until], oldest first."""
        recorded = self._rows.recorded_ats
        wanted = np.flatnonzero((recorded > to_datetime64(after)) & (recorded <= to_datetime64(until)))
        for start in range(0, len(wanted), BATCH_ROWS):
            yield _take(self._rows, wanted[start : start + BATCH_ROWS])

    def _drop_repeated(self) -> None:
        rows = self._rows
        if not len(rows):
            return
        columns = (rows.values, rows.recorded_ats, rows.valid_times, rows.variables, rows.site_ids)
        codes = [np.unique(column, return_inverse=True, equal_nan=True)[1] for column in columns]
        order = np.lexsort([*codes[2:], codes[0], codes[1]])
        again = np.zeros(len(order), dtype=bool)
        again[1:] = np.all([code[order][1:] == code[order][:-1] for code in codes], axis=0)
        self.problems.repeat(f"{int(again.sum())} rows repeat an earlier row", count=int(again.sum()))
        self._rows = _take(rows, order[~again])


def _filled_cells(parts: Sequence[ForecastPoints], batch: CycleBatch, accumulated: frozenset[str]) -> NDArray[np.bool_]:
    cells = np.zeros((len(batch.variables), len(batch.lead_hours), len(batch.site_ids)), dtype=bool)
    places = {site_id: index for index, site_id in enumerate(batch.site_ids)}
    for part in parts:
        if part.variable not in batch.variables:
            continue
        distinct, inverse = np.unique(part.site_ids, return_inverse=True)
        sites = np.array([places.get(str(name), -1) for name in distinct], dtype=np.int64)[inverse]
        leads = np.searchsorted(np.array(batch.lead_hours), part.lead_hours)
        known = sites >= 0
        cells[batch.variables.index(part.variable), leads[known], sites[known]] = True
        if part.variable in accumulated and 0 in batch.lead_hours:
            cells[batch.variables.index(part.variable), batch.lead_hours.index(0)] = False
    return cells


def _join(source_id: str, batches: Sequence[ObservationBatch]) -> ObservationBatch:
    if not batches:
        nothing, never = np.array([], dtype=str), np.array([], dtype="datetime64[s]")
        return ObservationBatch(source_id, nothing, nothing, never, never, np.array([]), {})
    fields = ("site_ids", "variables", "valid_times", "recorded_ats", "values")
    columns = {field: np.concatenate([getattr(batch, field) for batch in batches]) for field in fields}
    units: dict[str, str] = {}
    for variable, unit in (pair for batch in batches for pair in batch.units.items()):
        if units.setdefault(variable, unit) != unit:
            raise ContractError(
                f"{variable} of {source_id} comes in {units[variable]} and in {unit}",
                hint="give both as networks of their own",
            )
    return ObservationBatch(source_id=source_id, units=units, **columns)


def _take(rows: ObservationBatch, index: NDArray[np.int64]) -> ObservationBatch:
    return ObservationBatch(
        rows.source_id, rows.site_ids[index], rows.variables[index], rows.valid_times[index],
        rows.recorded_ats[index], rows.values[index], rows.units,
    )  # fmt: skip
