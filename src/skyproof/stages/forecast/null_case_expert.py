"""The expert over cases to copy when writing another: it fits the protocol and always sleeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.cases import Cases


class NullCaseExpert:
    """Learns nothing, says nothing."""

    name = "null"

    def fit(self, cases: Cases, as_of: np.datetime64) -> None:
        """Learn nothing."""

    def predict(self, cases: Cases, levels: NDArray[np.float64]) -> NDArray[np.float32]:
        """Sleep everywhere."""
        return np.full((*cases.observed.shape, len(levels)), np.nan, dtype=np.float32)

    def state(self) -> Mapping[str, NDArray[Any]]:
        """Nothing."""
        return {}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take nothing back."""
