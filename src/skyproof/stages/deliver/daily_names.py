"""The statistics of a day that can be asked for, in Open-Meteo's names: ``temperature_2m_max``, ``precipitation_sum``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from skyproof.domain.variables import VARIABLES, Variable

How = Literal["maximum", "minimum", "mean", "sum"]

_SUFFIX: dict[How, str] = {"maximum": "max", "minimum": "min", "mean": "mean", "sum": "sum"}
#: Mean W/m2 over hours to MJ/m2: 3600 s an hour, 1e6 J a MJ.
_MEGAJOULES_PER_WATT_HOUR = 0.0036


@dataclass(frozen=True, slots=True)
class DailyStatistic:
    """One statistic of the values in a local day.

    ``unit`` is the UCUM code it is computed in. ``per_hour`` is what a value counts for each hour it stands for, where a mean
    rate is added up; zero for all else.
    """

    name: str
    variable: Variable
    how: How
    unit: str
    decimals: int
    per_hour: float = 0.0

    @property
    def cell_method(self) -> str:
        """In words: a day's extreme is that of the values at the run's steps."""
        return f"{self.how} within days"


def _of(variable: Variable) -> list[DailyStatistic]:
    if variable.family == "circular":
        return []  # a day's mean of directions needs the speeds too
    if variable.cell_method == "preceding sum":
        return [DailyStatistic(f"{variable.name}_sum", variable, "sum", variable.unit, variable.decimals)]
    if variable.unit == "W/m2":
        return [DailyStatistic(f"{variable.name}_sum", variable, "sum", "MJ/m2", 2, _MEGAJOULES_PER_WATT_HOUR)]
    ways: tuple[How, ...] = ("maximum", "minimum", "mean")
    return [
        DailyStatistic(f"{variable.name}_{_SUFFIX[how]}", variable, how, variable.unit, variable.decimals)
        for how in ways
    ]


DAILY: dict[str, DailyStatistic] = {statistic.name: statistic for variable in VARIABLES for statistic in _of(variable)}
