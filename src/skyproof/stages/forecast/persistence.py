"""The persistence expert: awake where an observation arrived lately."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.forecasts import ForecastInputs, ForecastValues, ObservedRecord
from skyproof.domain.variables import find_variable
from skyproof.science.climatology import climatology_mean, fit_climatology
from skyproof.science.persistence import (
    fit_persistence,
    fit_wet_persistence,
    persistence_quantiles,
    wet_persistence_quantiles,
)
from skyproof.science.quantile_functions import quantile_mean
from skyproof.stages.forecast.axes import flatten, nest, valid_times

#: An observation older than this says nothing that climatology does not, in hours.
_OLDEST_HOURS = 24


class PersistenceModel:
    """The latest departure from what is usual, damped with lead."""

    name = "persistence"

    def __init__(self) -> None:
        self._states: dict[str, dict[str, NDArray[Any]]] = {}

    def fit(self, record: ObservedRecord) -> None:
        """Learn damping and errors of every variable."""
        steps = [lead // record.grid.step_hours for lead in record.grid.lead_hours]
        for index, name in enumerate(record.grid.variables):
            observed = record.observations[index]
            if find_variable(name).family == "censored":
                self._states[name] = fit_wet_persistence(observed, steps)
                continue
            climate = fit_climatology(observed, record.valid_times, zero_inflated=False)
            departure = observed - climatology_mean(climate, record.valid_times)
            self._states[name] = {**fit_persistence(departure, steps), "mean": climate["mean"]}

    def predict(self, inputs: ForecastInputs) -> ForecastValues:
        """Asleep at sites that sent nothing for a day."""
        times = valid_times(inputs.init_time, inputs.grid.lead_hours)
        recent = inputs.recent
        young = np.asarray(recent.valid_times >= valid_times(inputs.init_time, [-_OLDEST_HOURS])[0])
        parts = []
        for index, name in enumerate(inputs.grid.variables):
            state = self._states[name]
            values = recent.values[index][young]
            if find_variable(name).family == "censored":
                parts.append(wet_persistence_quantiles(state, _latest(values)))
                continue
            departure = values - climatology_mean(state, recent.valid_times[young])
            parts.append(persistence_quantiles(state, _latest(departure), climatology_mean(state, times)))
        quantiles = np.stack([part.swapaxes(0, 1) for part in parts])
        return ForecastValues(quantiles, quantile_mean(quantiles))

    def state(self) -> Mapping[str, NDArray[Any]]:
        """Damping, errors and means per variable."""
        return flatten(self._states)

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take them back."""
        self._states = nest(dict(state))


def _latest(values: NDArray[Any]) -> NDArray[Any]:
    """The last finite value of each column, (site,); NaN where there is none."""
    result = np.full(values.shape[1], np.nan)
    for row in values:
        result = np.where(np.isfinite(row), row, result)
    return result
