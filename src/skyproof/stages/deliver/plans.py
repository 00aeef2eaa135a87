"""The columns of an answer's blocks, hourly and daily."""

from __future__ import annotations

from dataclasses import dataclass

from skyproof.archive.runs import RunReader
from skyproof.stages.deliver.columns import ColumnPlan, plan_columns
from skyproof.stages.deliver.days import DayPlan, plan_days
from skyproof.stages.deliver.questions import ForecastRequest


@dataclass(frozen=True, slots=True)
class Plan:
    """The columns of both blocks; None for a block that is not asked for."""

    hourly: ColumnPlan | None
    daily: DayPlan | None

    @property
    def count(self) -> int:
        """Columns in all."""
        return sum(len(part.heads.names) for part in (self.hourly, self.daily) if part is not None)


def make_plan(reader: RunReader, step_hours: int, request: ForecastRequest) -> Plan:
    """The columns of a request to a run.

    Raises:
        UnknownNameError: the run has no such variable.
    """
    names, reasons = reader.variables, reader.reason_names
    return Plan(
        plan_columns(names, reasons, request) if request.variables else None,
        plan_days(names, reasons, step_hours, request) if request.daily else None,
    )
