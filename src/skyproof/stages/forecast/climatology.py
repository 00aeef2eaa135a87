"""The climatology expert: always awake."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.forecasts import ForecastInputs, ForecastValues, ObservedRecord
from skyproof.domain.variables import find_variable
from skyproof.science.climatology import climatology_quantiles, fit_climatology
from skyproof.science.quantile_functions import quantile_mean
from skyproof.stages.forecast.axes import flatten, nest, valid_times


class ClimatologyModel:
    """What is usual at the site, season and hour."""

    name = "climatology"

    def __init__(self) -> None:
        self._states: dict[str, dict[str, NDArray[Any]]] = {}

    def fit(self, record: ObservedRecord) -> None:
        """Learn every variable's climatology."""
        for index, name in enumerate(record.grid.variables):
            zero_inflated = find_variable(name).family == "censored"
            self._states[name] = fit_climatology(
                record.observations[index], record.valid_times, zero_inflated=zero_inflated
            )

    def predict(self, inputs: ForecastInputs) -> ForecastValues:
        """The same for every run with the same valid times."""
        times = valid_times(inputs.init_time, inputs.grid.lead_hours)
        parts = [climatology_quantiles(self._states[name], times).swapaxes(0, 1) for name in inputs.grid.variables]
        quantiles = np.stack(parts)
        return ForecastValues(quantiles, quantile_mean(quantiles))

    def state(self) -> Mapping[str, NDArray[Any]]:
        """Tables per variable."""
        return flatten(self._states)

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take the tables back."""
        self._states = nest(dict(state))
