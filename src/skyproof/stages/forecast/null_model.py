"""The model to copy when writing another: it fits the protocol and always sleeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from skyproof.domain.forecasts import ForecastInputs, ForecastValues, TrainingHistory
from skyproof.domain.quantiles import LEVELS
from skyproof.stages.forecast.axes import empty_quantiles


class NullModel:
    """Learns nothing, says nothing."""

    name = "null"

    def fit(self, history: TrainingHistory) -> None:
        """Learn nothing."""

    def predict(self, inputs: ForecastInputs) -> ForecastValues:
        """Sleep everywhere."""
        quantiles = empty_quantiles(inputs, len(LEVELS))
        return ForecastValues(quantiles, quantiles[..., 0])

    def state(self) -> Mapping[str, NDArray[Any]]:
        """Nothing."""
        return {}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take nothing back."""
