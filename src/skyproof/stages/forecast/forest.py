"""The forest expert: alike cases of the past, found by trees over all that was said, give the distribution."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

from skyproof.domain.cases import Cases
from skyproof.science.case_features import FeaturePlan, case_features, plan_features
from skyproof.science.leaf_histograms import fill_leaves, histogram_edges, leaf_quantiles
from skyproof.stages.forecast.trees import (
    TREE_PARAMETERS,
    back_to_quantity,
    day_marks,
    model_from_array,
    model_to_array,
    training_rows,
)

_TREES = 120
#: Fewer rows say nothing.
_FEWEST_ROWS = 60
_PARAMETERS = TREE_PARAMETERS | {
    "objective": "l2",
    "boosting": "rf",
    "feature_fraction_bynode": 0.3,
    "max_bin": 127,
}


class ForestExpert:
    """Quantile regression forest over all sources, predictors and recent errors; implements ``CaseExpert``.

    Args:
        errors: learn the standardised errors of the first guess, not the quantity.
    """

    #: Learns again when its record has grown by this share.
    growth = 0.12
    needs_recent = True

    def __init__(self, *, errors: bool) -> None:
        self.name = "error_forest" if errors else "forest"
        self._errors = errors
        self._plan: FeaturePlan | None = None
        self._model: lightgbm.Booster | None = None
        self._edges: NDArray[np.float64] = np.empty(0)
        self._shares: NDArray[np.float32] = np.empty(0, dtype=np.float32)
        self._left_out = np.empty(0, dtype=np.intp)

    def fit(self, cases: Cases, as_of: np.datetime64) -> None:
        """Grow the trees; with fewer than 60 rows the forest stays asleep."""
        self._plan = plan_features(cases)
        rows = training_rows(cases, as_of, self._plan, errors=self._errors)
        if len(rows.target) < _FEWEST_ROWS:
            self._model = None
            return
        self._left_out = day_marks(rows)
        rows.features[:, self._left_out] = 0.0
        # An error that was standardised has little left to explain: larger leaves. A quantity itself has much.
        smallest = max(len(rows.target) // 2000, 12 if self._errors else 8)
        leaves = int(np.clip(len(rows.target) // (2 * smallest), 8, 511))
        parameters = _PARAMETERS | {"num_leaves": leaves, "min_data_in_leaf": smallest}
        data = lightgbm.Dataset(rows.features, rows.target, params={"verbosity": -1, "max_bin": 127})
        self._model = lightgbm.train(parameters, data, _TREES)
        self._edges = histogram_edges(rows.target)
        self._shares = fill_leaves(self._leaves(rows.features), rows.target, self._edges)

    def predict(self, cases: Cases, levels: NDArray[np.float64]) -> NDArray[np.float32]:
        """Quantiles of every case that has a first guess."""
        shape = (*cases.observed.shape, len(levels))
        if self._model is None or self._plan is None:
            return np.full(shape, np.nan, dtype=np.float32)
        _, features = case_features(cases, self._plan)
        features[..., self._left_out] = 0.0
        leaves = self._leaves(features.reshape(-1, features.shape[-1]))
        quantiles = leaf_quantiles(leaves, self._shares, self._edges, np.asarray(levels, dtype=np.float64))
        return back_to_quantity(cases, quantiles.reshape(shape), errors=self._errors)

    def _leaves(self, features: NDArray[np.float32]) -> NDArray[np.int32]:
        assert self._model is not None
        return np.asarray(self._model.predict(features, pred_leaf=True)).astype(np.int32)

    def state(self) -> Mapping[str, NDArray[Any]]:
        """Trees, leaves and the plan of features."""
        if self._model is None or self._plan is None:
            return {}
        return {
            "model": model_to_array(self._model),
            "edges": self._edges,
            "shares": self._shares,
            "left_out": self._left_out,
            **self._plan.to_arrays(),
        }

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take them back."""
        if not state:
            self._model = None
            return
        self._model = model_from_array(state["model"])
        self._edges, self._shares = state["edges"], state["shares"]
        self._left_out = state["left_out"]
        self._plan = FeaturePlan.from_arrays(state)
