"""The EMOS expert of one source: its mean and spread, calibrated per lead of the source itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.errors import InvalidValueError
from skyproof.domain.forecasts import ForecastInputs, ForecastValues, TrainingHistory
from skyproof.domain.quantiles import LEVELS
from skyproof.domain.variables import find_variable
from skyproof.science.calendar import harmonics
from skyproof.science.climatology import SEASONAL_DAYS
from skyproof.science.emos import EmosFamily, emos_quantiles, fit_emos
from skyproof.science.quantile_functions import clip_to_limits, quantile_mean
from skyproof.stages.forecast.axes import empty_quantiles, flatten, nest, source_leads, valid_times

#: The distribution each family of variables gets. Bounded variables are fitted as normal and clipped to their limits.
_FAMILIES: Mapping[str, EmosFamily] = {
    "gaussian": "gaussian", "bounded": "gaussian", "truncated": "truncated", "censored": "censored"
}  # fmt: skip
#: Members at or below this amount count as dry, mm.
_DRY = 0.05
_COEFFICIENTS = ("location", "shape", "site_scale", "climate")


class EmosModel:
    """Nonhomogeneous regression on one source."""

    def __init__(self, source_id: str) -> None:
        self.name = f"emos:{source_id}"
        self._source_id = source_id
        self._states: dict[str, dict[str, NDArray[Any]]] = {}

    def fit(self, history: TrainingHistory) -> None:
        """Learn every variable; one the source does not offer is left out."""
        values = history.cycles[self._source_id]
        leads = history.source_lead_hours[self._source_id]
        inits = history.source_init_times[self._source_id]
        if not len(inits):
            return
        times = inits[:, None] + np.array(leads) * np.timedelta64(3600, "s")
        observed, terms = _align(history, times), harmonics(times)
        seasonal = bool((inits[-1] - inits[0]) / np.timedelta64(1, "D") >= SEASONAL_DAYS)
        for index, name in enumerate(history.grid.variables):
            mean, spread, wet = _statistics(values[:, index])
            if not np.isfinite(mean).any():
                continue
            family = _family(name)
            fitted = fit_emos(mean, spread, observed[index], terms, family=family, wet=wet, seasonal=seasonal)
            self._states[name] = {**fitted, "leads": np.array(leads), "seasonal": np.array([seasonal])}

    def predict(self, inputs: ForecastInputs) -> ForecastValues:
        """Asleep where the source has no value, or had too few to learn from."""
        quantiles = empty_quantiles(inputs, len(LEVELS))
        cycle = inputs.cycles.get(self._source_id)
        if cycle is not None:
            place = source_leads(inputs, cycle)
            awake = place >= 0
            terms = harmonics(valid_times(inputs.init_time, inputs.grid.lead_hours)[awake])
            for index, name in enumerate(inputs.grid.variables):
                state = self._states.get(name)
                if state is not None:
                    quantiles[index][:, awake] = self._quantiles(state, name, cycle.values[index], place[awake], terms)
        return ForecastValues(quantiles, np.asarray(quantile_mean(quantiles)))

    def _quantiles(
        self,
        state: Mapping[str, NDArray[Any]],
        name: str,
        members: NDArray[Any],
        place: NDArray[Any],
        terms: NDArray[Any],
    ) -> NDArray[np.float32]:
        mean, spread, wet = _statistics(members[None, place])
        chosen = {key: state[key][place] for key in _COEFFICIENTS}
        result = emos_quantiles(
            chosen, mean[0], spread[0], terms, family=_family(name), wet=wet[0], seasonal=bool(state["seasonal"][0])
        )
        variable = find_variable(name)
        return np.asarray(clip_to_limits(result, variable.lower, variable.upper).swapaxes(0, 1))

    def state(self) -> Mapping[str, NDArray[Any]]:
        """Coefficients per variable."""
        return flatten(self._states)

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take the coefficients back."""
        self._states = nest(dict(state))


def _family(name: str) -> EmosFamily:
    family = _FAMILIES.get(find_variable(name).family)
    if family is None:
        raise InvalidValueError(f"{name} has no EMOS distribution", hint="leave it out of the setting variables")
    return family


def _statistics(members: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Mean, standard deviation and wet share over the members that arrived; NaN mean where none did."""
    count = np.isfinite(members).sum(axis=-1)
    filled = np.nan_to_num(members).astype(np.float64)
    safe = np.maximum(count, 1)
    mean = filled.sum(axis=-1) / safe
    square = np.where(np.isfinite(members), np.square(filled - mean[..., None]), 0.0).sum(axis=-1)
    spread = np.sqrt(square / np.maximum(count - 1, 1))
    wet = (filled > _DRY).sum(axis=-1) / safe
    return np.where(count > 0, mean, np.nan), spread, wet


def _align(history: TrainingHistory, times: NDArray[np.datetime64]) -> NDArray[np.float32]:
    """Observations at the valid times of a source's cycles: (variable, init, lead, site)."""
    place = np.searchsorted(history.valid_times, times)
    safe = np.minimum(place, len(history.valid_times) - 1)
    hit = history.valid_times[safe] == times
    return np.where(hit[None, ..., None], history.observations[:, safe], np.nan).astype(np.float32)
