"""The model to copy when writing another: it fits the protocol and always sleeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.forecasts import ForecastInputs, ForecastValues, ObservedRecord
from skyproof.domain.quantiles import LEVELS


class NullRecordModel:
    """Learns nothing, says nothing."""

    name = "null"

    def fit(self, record: ObservedRecord) -> None:
        """Learn nothing."""

    def predict(self, inputs: ForecastInputs) -> ForecastValues:
        """Sleep everywhere."""
        grid = inputs.grid
        shape = (len(grid.variables), len(grid.sites), len(grid.lead_hours), len(LEVELS))
        quantiles = np.full(shape, np.nan, dtype=np.float32)
        return ForecastValues(quantiles, quantiles[..., 0])

    def state(self) -> Mapping[str, NDArray[Any]]:
        """Nothing."""
        return {}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take nothing back."""
