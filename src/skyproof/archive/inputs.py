"""What a model is given: everything known at an instant, and nothing later. The one path of live run, backtest, training."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from skyproof.archive.case_inputs import gather_cases
from skyproof.archive.cycles import Cycles
from skyproof.archive.observations import Observations
from skyproof.domain.cases import Cases
from skyproof.domain.forecasts import ForecastGrid, ForecastInputs, RecentObservations, TrainingHistory
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
    ) -> ForecastInputs:
        """The inputs of one run.

        Args:
            grid: the cells to fill.
            source_ids: the sources to look for.
            issue_time: what is known later does not exist.
            max_age: cycles whose init time is further back count as absent.
            recent_hours: how far back from the init time the recent observations reach.
        """
        init_time = floor_to_hours(issue_time, grid.step_hours)
        newest = {
            source_id: self._cycles.newest(source_id, as_of=issue_time, max_age=max_age) for source_id in source_ids
        }
        data = {
            source_id: None
            if cycle is None
            else self._cycles.read(cycle, site_ids=grid.site_ids, variables=grid.variables)
            for source_id, cycle in newest.items()
        }
        valid_times, values = self._observations.grid(
            variables=grid.variables,
            site_ids=grid.site_ids,
            valid_from=floor_to_hours(init_time - hours(recent_hours), grid.step_hours),
            valid_until=init_time,
            step_hours=grid.step_hours,
            as_of=issue_time,
        )
        recent = RecentObservations(grid.variables, valid_times, grid.site_ids, values)
        return ForecastInputs(issue_time, init_time, grid, data, recent)

    def cases(
        self,
        grid: ForecastGrid,
        source_ids: Sequence[str],
        issue_times: Sequence[datetime],
        *,
        as_of: datetime,
        max_age: timedelta = timedelta(hours=60),
    ) -> tuple[Cases, ...]:
        """The cases of each variable: what was known at each issue time, and what came of it as known at ``as_of``."""
        return gather_cases(
            self._cycles, self._observations, grid, source_ids, issue_times, max_age=max_age, as_of=as_of
        )

    def history(
        self, grid: ForecastGrid, source_ids: Sequence[str], *, since: datetime, as_of: datetime
    ) -> TrainingHistory:
        """Cycles started and observations valid since ``since``, as they were known at ``as_of``."""
        held = {
            source_id: self._cycles.history(
                source_id,
                as_of=as_of,
                init_from=since,
                init_until=as_of,
                site_ids=grid.site_ids,
                variables=grid.variables,
            )
            for source_id in source_ids
        }
        valid_times, observations = self._observations.grid(
            variables=grid.variables,
            site_ids=grid.site_ids,
            valid_from=floor_to_hours(since, grid.step_hours),
            valid_until=floor_to_hours(as_of, grid.step_hours),
            step_hours=grid.step_hours,
            as_of=as_of,
        )
        return TrainingHistory(
            as_of=as_of,
            grid=grid,
            source_init_times={source_id: history[0] for source_id, history in held.items()},
            source_lead_hours={source_id: history[1] for source_id, history in held.items()},
            cycles={source_id: history[2] for source_id, history in held.items()},
            valid_times=valid_times,
            observations=observations,
        )
