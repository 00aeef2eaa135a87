"""The raw source as an expert: its members as they came. The baseline every release must beat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.forecasts import ForecastInputs, ForecastValues, TrainingHistory
from skyproof.domain.quantiles import LEVELS
from skyproof.science.quantile_functions import ensemble_quantiles, quantile_mean
from skyproof.stages.forecast.axes import empty_quantiles, source_leads


class RawSourceModel:
    """Quantiles of a source's members."""

    def __init__(self, source_id: str) -> None:
        self.name = f"raw:{source_id}"
        self._source_id = source_id

    def fit(self, history: TrainingHistory) -> None:
        """There is nothing to learn."""

    def predict(self, inputs: ForecastInputs) -> ForecastValues:
        """Asleep where the source has no value for the valid time."""
        quantiles = empty_quantiles(inputs, len(LEVELS))
        cycle = inputs.cycles.get(self._source_id)
        if cycle is not None:
            place = source_leads(inputs, cycle)
            members = cycle.values[:, place[place >= 0]].swapaxes(1, 2)
            quantiles[:, :, place >= 0] = ensemble_quantiles(members)
        return ForecastValues(quantiles, np.asarray(quantile_mean(quantiles)))

    def state(self) -> Mapping[str, NDArray[Any]]:
        """Nothing."""
        return {}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """There is nothing to take back."""
