"""What every model of the record must do; run it on your own with a record and inputs it should answer.

from skyproof.testing.record_contract import check_record_model

def test_my_model_keeps_the_contract():
    check_record_model(MyModel, record, inputs)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from skyproof.domain.forecasts import ForecastInputs, ForecastValues, ObservedRecord
from skyproof.domain.protocols import RecordModel
from skyproof.domain.quantiles import LEVELS
from skyproof.domain.sites import check_identifier


def check_record_model(make: Callable[[], RecordModel], record: ObservedRecord, inputs: ForecastInputs) -> None:
    """Check a model: form, determinism, state, and that it sleeps instead of failing when observations are gone.

    Args:
        make: makes a fresh model.
        record: what it learns from.
        inputs: what it is asked.

    Raises:
        AssertionError: what the model does that it must not, in words.
    """
    model = make()
    assert isinstance(model, RecordModel), f"{model!r} lacks methods; see domain/protocols.py"
    for part in model.name.split(":"):
        check_identifier(part, "model")
    model.fit(record)
    answer = model.predict(inputs)
    _check_values(answer, inputs)
    again = make()
    again.fit(record)
    _check_same(answer, again.predict(inputs), "fitted again on the same record, the model answers differently")
    restored = make()
    restored.restore({name: np.array(values) for name, values in model.state().items()})
    _check_same(answer, restored.predict(inputs), "restored from its state, the model answers differently")
    _check_same(answer, model.predict(inputs), "asked twice, the model answers differently")
    _check_values(model.predict(_without_observations(inputs)), inputs)


def _without_observations(inputs: ForecastInputs) -> ForecastInputs:
    nothing = np.full_like(inputs.recent.values, np.nan)
    return replace(inputs, recent=replace(inputs.recent, values=nothing))


def _check_values(values: ForecastValues, inputs: ForecastInputs) -> None:
    grid = inputs.grid
    cells = (len(grid.variables), len(grid.sites), len(grid.lead_hours))
    assert values.quantiles.shape == (*cells, len(LEVELS)), f"quantiles have shape {values.quantiles.shape}"
    assert values.mean.shape == cells, f"means have shape {values.mean.shape}, wanted {cells}"
    assert values.quantiles.dtype == values.mean.dtype == np.float32, "values must be float32"
    known = np.isfinite(values.quantiles)
    whole = known.all(axis=-1)
    assert (whole | ~known.any(axis=-1)).all(), "a cell must have all quantiles or none"
    assert not np.isinf(values.quantiles).any(), "a quantile is infinite"
    assert (np.diff(values.quantiles[whole], axis=-1) >= 0).all(), "quantiles cross"


def _check_same(first: ForecastValues, second: ForecastValues, complaint: str) -> None:
    assert np.array_equal(first.quantiles, second.quantiles, equal_nan=True), complaint
    assert np.array_equal(first.mean, second.mean, equal_nan=True), complaint
