"""The blend that learns nothing: the mean of the quantiles of all experts awake. Copy it to begin your own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


class EqualBlend:
    """Implements :class:`skyproof.domain.protocols.Blend` with equal weights, whatever happens."""

    def initial_state(self, experts: int, variables: int, leads: int) -> Mapping[str, NDArray[Any]]:
        """Only the shape of the problem."""
        return {"shape": np.array([experts, variables, leads])}

    def combine(self, state: Mapping[str, NDArray[Any]], experts: NDArray[np.float32]) -> NDArray[np.float32]:  # noqa: ARG002
        """Mean of the quantiles of the experts awake in a cell; NaN where every one sleeps."""
        awake = np.isfinite(experts).all(axis=-1, keepdims=True)
        total = np.where(awake, experts, 0).sum(axis=0)
        count = awake.sum(axis=0)
        mean = np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)
        return np.asarray(np.sort(mean, axis=-1))

    def update(
        self,
        state: Mapping[str, NDArray[Any]],
        experts: NDArray[np.float32],  # noqa: ARG002
        observed: NDArray[np.float32],  # noqa: ARG002
    ) -> Mapping[str, NDArray[Any]]:
        """The same state."""
        return state

    def weights(self, state: Mapping[str, NDArray[Any]], awake: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Equal shares of those awake: (expert, variable, lead)."""
        _, variables, leads = state["shape"]
        share = awake / max(int(awake.sum()), 1)
        return np.asarray(np.broadcast_to(share[:, None, None], (len(awake), variables, leads)), dtype=np.float64)
