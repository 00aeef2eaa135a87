"""What a model is given: everything known at an instant, and nothing later. The one path of live run, backtest, training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np

from skyproof.archive.case_inputs import CaseReader
from skyproof.archive.cycles import Cycles
from skyproof.archive.observations import Observations
from skyproof.domain.forecasts import ForecastGrid, ForecastInputs, ObservedRecord, RecentObservations, Run
from skyproof.domain.sites import Site
from skyproof.domain.times import floor_to_hours, hours


class Inputs:
    """Gathers cycles and observations as of an instant."""

    def __init__(self, cycles: Cycles, observations: Observations) -> None:
        self._cycles = cycles
        self._observations = observations

    def gather(
        self,
        grid: ForecastGrid,
        source_ids: Sequence[str],
        *,
        issue_time: datetime,
        max_age: timedelta = timedelta(hours=60),
        recent_hours: int = 48,
        earlier: Sequence[datetime] = (),
    ) -> ForecastInputs:
        """The inputs of one run.

        Args:
            grid: the cells to fill.
            source_ids: the sources to look for.
            issue_time: what is known later does not exist.
            max_age: cycles whose init time is further back count as absent.
            recent_hours: how far back from the init time the recent observations reach.
            earlier: issue times before this one whose cases come first, increasing.
        """
        init_time = floor_to_hours(issue_time, grid.step_hours)
        newest = {
            source_id: self._cycles.newest(source_id, as_of=issue_time, max_age=max_age) for source_id in source_ids
        }
        held = {
            source_id: [
                *(self._cycles.newest(source_id, as_of=before, max_age=max_age) for before in earlier),
                cycle,
            ]
            for source_id, cycle in newest.items()
        }
        cases = tuple(
            CaseReader(self._cycles, self._observations, grid, held, [*earlier, issue_time], as_of=issue_time)
        )
        recent = self.recent(grid, issue_time=issue_time, recent_hours=recent_hours)
        return ForecastInputs(issue_time, init_time, grid, newest, cases, recent)

    def behind(self, run: Run, grid: ForecastGrid) -> ForecastInputs:
        """The cycles that a run was made from, as its lineage names them; no cases yet.

        Raises:
            UnknownNameError: one is not kept any more.
        """
        cycles = {
            entry.source_id: None
            if entry.init_time is None
            else self._cycles.find(entry.source_id, entry.init_time, entry.digest)
            for entry in run.inputs
        }
        nothing = RecentObservations(
            grid.variables, np.empty(0, dtype="datetime64[s]"), (), np.empty((len(grid.variables), 0, 0), np.float32)
        )
        return ForecastInputs(run.issue_time, run.init_time, grid, cycles, (), nothing)

    def elsewhere(self, inputs: ForecastInputs, sites: Sequence[Site]) -> ForecastInputs:
        """What the same cycles say of other places, themselves or their cover, and what was observed there, as known then."""
        grid = replace(inputs.grid, sites=tuple(sites))
        held = {source_id: [cycle] for source_id, cycle in inputs.cycles.items()}
        cases = tuple(
            CaseReader(
                self._cycles,
                self._observations,
                grid,
                held,
                [inputs.issue_time],
                as_of=inputs.issue_time,
                between=True,
            )
        )
        recent = self.recent(grid, issue_time=inputs.issue_time)
        return replace(inputs, grid=grid, cases=cases, recent=recent)

    def recent(self, grid: ForecastGrid, *, issue_time: datetime, recent_hours: int = 48) -> RecentObservations:
        """The last observations known at an issue time, as far back from its init time as ``recent_hours``."""
        init_time = floor_to_hours(issue_time, grid.step_hours)
        valid_times, values = self._observations.grid(
            variables=grid.variables,
            site_ids=grid.site_ids,
            valid_from=floor_to_hours(init_time - hours(recent_hours), grid.step_hours),
            valid_until=init_time,
            step_hours=grid.step_hours,
            as_of=issue_time,
        )
        return RecentObservations(grid.variables, valid_times, grid.site_ids, values)

    def cases(
        self,
        grid: ForecastGrid,
        source_ids: Sequence[str],
        issue_times: Sequence[datetime],
        *,
        as_of: datetime,
        max_age: timedelta = timedelta(hours=60),
    ) -> CaseReader:
        """Reads the cases of each variable: what was known at each issue time, and what came of it as known at ``as_of``.

        Args:
            grid: sites, variables and leads.
            source_ids: the sources looked for.
            issue_times: increasing.
            as_of: observations recorded later do not exist.
            max_age: cycles whose init time is further back than this from the issue time count as absent.
        """
        newest = {
            source_id: [self._cycles.newest(source_id, as_of=issue, max_age=max_age) for issue in issue_times]
            for source_id in source_ids
        }
        return CaseReader(self._cycles, self._observations, grid, newest, issue_times, as_of=as_of)

    def record(self, grid: ForecastGrid, *, since: datetime, as_of: datetime) -> ObservedRecord:
        """Observations valid since ``since``, as they were known at ``as_of``."""
        valid_times, observations = self._observations.grid(
            variables=grid.variables,
            site_ids=grid.site_ids,
            valid_from=floor_to_hours(since, grid.step_hours),
            valid_until=floor_to_hours(as_of, grid.step_hours),
            step_hours=grid.step_hours,
            as_of=as_of,
        )
        return ObservedRecord(as_of, grid, valid_times, observations)
