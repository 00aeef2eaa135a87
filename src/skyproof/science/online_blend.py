"""The online blend: Bernstein online aggregation of experts, per quantile level, with experts that come and go.

For every variable, lead and level the blend keeps how much worse each expert was than the blend itself (with the
gradient of the quantile loss), and a learning rate that follows the variance of that excess. Weights are shared by all
sites; an expert asleep at a site is skipped there and the others renormalised.

Guarantee (Wintenberger 2017, theorem 3.3, for experts always awake and no forgetting): the mean loss exceeds that of
the best expert by at most a constant times sqrt(log(K) / T). Forgetting gives up the constant for the ability to follow
change, and one absurd forecast (a unit mistaken upstream) counts no more than ten ordinary ones, so that it cannot slow
learning down for months.

Sources:
    Wintenberger (2017), Optimal learning with Bernstein online aggregation, doi:10.1007/s10994-016-5592-6.
    Berrisch and Ziel (2021), CRPS learning, doi:10.1016/j.jeconom.2021.11.008 (levels apart, smoothing, forgetting).
    Devaine et al. (2013), doi:10.1007/s10994-012-5314-7 (sleeping experts).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.quantiles import LEVEL_ARRAY

Floats = NDArray[Any]
State = Mapping[str, NDArray[Any]]
#: Weights of a cell's neighbours when weights are smoothed, first over levels, then over leads.
_KERNEL = np.array([0.25, 0.5, 0.25])
#: An excess loss counts at most this many times the root mean square of those before, once there were enough of them.
_LARGEST_EXCESS = 10.0
_ENOUGH_UPDATES = 10.0


class BernsteinBlend:
    """Implements :class:`skyproof.domain.protocols.Blend`.

    Args:
        forgetting: share of what was learned that fades with each issue time; 0.01 is a memory of about 100.
        smoothing: how often weights are smoothed over neighbouring levels and leads.
    """

    def __init__(self, *, forgetting: float = 0.01, smoothing: int = 2) -> None:
        self._forgetting = forgetting
        self._smoothing = smoothing

    def initial_state(self, experts: int, variables: int, leads: int) -> State:
        """Nothing seen: all experts weigh the same."""
        shape = (experts, variables, leads, len(LEVEL_ARRAY))
        return {
            "excess": np.zeros(shape),
            "variance": np.zeros(shape),
            "range": np.full(shape[1:], 1e-12),
            "updates": np.zeros((variables, leads, 1)),
        }

    def combine(self, state: State, experts: NDArray[np.float32]) -> NDArray[np.float32]:
        """Blended quantiles (variable, site, lead, level), sorted; NaN where every expert sleeps."""
        return np.sort(_mix(self._level_weights(state), experts)[0], axis=-1)

    def update(self, state: State, experts: NDArray[np.float32], observed: NDArray[np.float32]) -> State:
        """The state after the observations of one issue time were seen. Leads without any keep theirs, and cost nothing."""
        leads = np.flatnonzero(np.isfinite(observed).any(axis=(0, 1)))
        if len(leads) == observed.shape[-1]:
            return self._update_leads(state, experts, observed, leads)
        changed = self._update_leads(state, experts[:, :, :, leads], observed[..., leads], leads)
        after = {name: values.copy() for name, values in state.items()}
        for name, values in changed.items():
            after[name][..., leads, :] = values
        return after

    def _update_leads(
        self, whole: State, experts: NDArray[np.float32], observed: NDArray[np.float32], leads: NDArray[np.intp]
    ) -> State:
        """The new state of some leads, from experts and observations of them alone."""
        state = {name: values[..., leads, :] for name, values in whole.items()}
        blended, awake = _mix(self._level_weights(whole)[..., leads, :], experts)
        known = np.isfinite(observed) & np.isfinite(blended[..., 0])
        slope: Floats = (observed[..., None] < blended) - LEVEL_ARRAY.astype(np.float32)
        counted = awake[..., 0] & known
        # Excess loss of each expert, linearised at the blend, averaged over the sites where both spoke.
        gap = np.where(counted[..., None], experts - blended, np.float32(0))
        total = np.einsum("vslp,kvslp->kvlp", slope, gap, optimize=True)
        count = counted.sum(axis=2)
        excess = total / np.maximum(count, 1)[..., None]
        seen = (count > 0)[..., None]
        keep = 1 - self._forgetting * seen.any(axis=0)
        excess = _without_absurd(excess, state)
        spread = np.maximum(state["range"] * keep, np.abs(excess).max(axis=0))
        # Who sleeps gathers the variance of the others: waking up must not look like being surer than they are.
        usual = np.square(excess).sum(axis=0) / np.maximum(seen.sum(axis=0), 1)
        variance = state["variance"] * keep + np.where(seen, np.square(excess), usual)
        rate = _learning_rate(spread, variance)
        surrogate = excess * (1 + rate * excess)
        updates = state["updates"] * keep + seen.any(axis=0)
        return {"excess": state["excess"] * keep + surrogate, "variance": variance, "range": spread, "updates": updates}

    def weights(self, state: State, awake: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Mean weights over levels (expert, variable, lead) when the experts of mask ``awake`` (expert,) are present."""
        weights = self._level_weights(state).mean(axis=-1) * awake[:, None, None]
        return np.asarray(weights / np.maximum(weights.sum(axis=0), 1e-300))

    def _level_weights(self, state: State) -> Floats:
        """Weights (expert, variable, lead, level), smoothed, each sum over experts 1."""
        rate = _learning_rate(state["range"], state["variance"])
        score = np.log(rate) - rate * state["excess"]
        weights = np.exp(score - score.max(axis=0))
        # A floor keeps every expert able to come back, and a lone survivor of an outage able to speak.
        weights = weights / weights.sum(axis=0) + 1e-4
        for axis in (3, 2):
            for _ in range(self._smoothing):
                weights = _smooth(weights, axis)
        return np.asarray(weights / weights.sum(axis=0))


def _mix(weights: Floats, experts: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Weighted mean of the experts awake, and who is awake in which cell."""
    # A forecast with a hole in it is no forecast: the sum over levels is finite only when every level is.
    awake = np.isfinite(experts.sum(axis=-1, keepdims=True))
    share = weights.astype(np.float32)[:, :, None] * awake
    with np.errstate(invalid="ignore"):
        mixed = np.einsum("kvslp,kvslp->vslp", share, np.where(awake, experts, np.float32(0))) / share.sum(axis=0)
    return mixed, awake


def _without_absurd(excess: Floats, state: State) -> Floats:
    updates = state["updates"]
    usual = np.sqrt(state["variance"].mean(axis=0) / np.maximum(updates, 1.0))
    limit = np.where((updates >= _ENOUGH_UPDATES) & (usual > 0), _LARGEST_EXCESS * usual, np.inf)
    return np.clip(excess, -limit, limit)


def _learning_rate(spread: Floats, variance: Floats) -> Floats:
    """Adaptive rate of every expert: sqrt(log K / variance), at most half the inverse range of its losses."""
    experts = variance.shape[0]
    return np.asarray(np.minimum(0.5 / spread, np.sqrt(np.log(max(experts, 2)) / np.maximum(variance, 1e-24))))


def _smooth(values: Floats, axis: int) -> Floats:
    widths = [(1, 1) if index == axis else (0, 0) for index in range(values.ndim)]
    padded = np.pad(values, widths, mode="edge")
    count = values.shape[axis]
    parts = (weight * np.take(padded, range(k, k + count), axis=axis) for k, weight in enumerate(_KERNEL))
    return np.asarray(sum(parts))
