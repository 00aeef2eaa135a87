"""The boosting expert: gradient-boosted trees for quantiles of the quantity or of the first guess's error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray
from scipy import stats

from skyproof.domain.cases import Cases
from skyproof.domain.protocols import CaseExpert
from skyproof.science.case_features import FeaturePlan, case_features, plan_features
from skyproof.stages.forecast.forest import ForestExpert
from skyproof.stages.forecast.trees import (
    TREE_PARAMETERS,
    Rows,
    back_to_quantity,
    day_marks,
    model_from_array,
    model_to_array,
    training_rows,
)

#: Levels grown; those between are interpolated on the normal scale.
GROWN_LEVELS = np.array([0.03, 0.15, 0.3, 0.5, 0.7, 0.85, 0.97])
_FEWEST_ROWS, _FEWEST_ISSUES = 300, 12
#: Last part of the training issue times on which the number of rounds is chosen, and the most rounds.
_VALIDATION, _MOST_ROUNDS, _PATIENCE = 0.2, 160, 25
_PARAMETERS = TREE_PARAMETERS | {
    "objective": "quantile",
    "learning_rate": 0.1,
    "feature_fraction_bynode": 0.25,
    "max_bin": 63,
}


class BoostingExpert:
    """One boosted model per grown level, all of the same length; implements ``CaseExpert``.

    Args:
        errors: learn the standardised errors of the first guess, not the quantity.

    Source:
        Ke et al. (2017), LightGBM, Advances in Neural Information Processing Systems 30.
    """

    #: Learns again when its record has grown by this share: it is dear, and half a season changes it little.
    growth = 0.25
    needs_recent = True

    def __init__(self, *, errors: bool) -> None:
        self.name = "error_boosting" if errors else "boosting"
        self._errors = errors
        self._plan: FeaturePlan | None = None
        self._models: list[lightgbm.Booster] = []
        self._left_out: NDArray[np.intp] = np.empty(0, dtype=np.intp)

    def fit(self, cases: Cases, as_of: np.datetime64) -> None:
        """Grow the models; with too few rows, or where no round helps on later issue times, it stays asleep."""
        self._plan = plan_features(cases)
        self._models = []
        rows = training_rows(cases, as_of, self._plan, errors=self._errors)
        if len(rows.target) < _FEWEST_ROWS or len(np.unique(rows.issue)) < _FEWEST_ISSUES:
            return
        self._left_out = day_marks(rows)
        rows.features[:, self._left_out] = 0.0
        parameters = _PARAMETERS | {
            "num_leaves": 31 if len(rows.target) > 20_000 else 15,
            "min_data_in_leaf": int(np.clip(len(rows.target) // 500, 20, 100)),
        }
        rounds = _choose_rounds(rows, parameters)
        if rounds:
            data = _dataset(rows.features, rows.target)
            self._models = [
                lightgbm.train(parameters | {"alpha": float(level)}, data, rounds) for level in GROWN_LEVELS
            ]

    def predict(self, cases: Cases, levels: NDArray[np.float64]) -> NDArray[np.float32]:
        """Quantiles of every case that has a first guess."""
        shape = (*cases.observed.shape, len(levels))
        if not self._models or self._plan is None:
            return np.full(shape, np.nan, dtype=np.float32)
        _, features = case_features(cases, self._plan)
        features[..., self._left_out] = 0.0
        flat = features.reshape(-1, features.shape[-1])
        grown = np.stack([np.asarray(model.predict(flat)) for model in self._models], axis=1)
        grown.sort(axis=1)
        return back_to_quantity(cases, between_levels(grown, GROWN_LEVELS, levels).reshape(shape), errors=self._errors)

    def state(self) -> Mapping[str, NDArray[Any]]:
        """The models and the plan of features."""
        if not self._models or self._plan is None:
            return {}
        models = {f"model{number}": model_to_array(model) for number, model in enumerate(self._models)}
        return {**models, "left_out": self._left_out, **self._plan.to_arrays()}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take them back."""
        self._models = [model_from_array(state[f"model{k}"]) for k in range(len(GROWN_LEVELS))] if state else []
        self._plan = FeaturePlan.from_arrays(state) if state else None
        if state:
            self._left_out = state["left_out"]


def tree_experts(cases: Cases) -> tuple[CaseExpert, ...]:
    """Forests and boosted trees on the quantity itself and on the first guess's error."""
    # Without a source of the quantity the guess is made of the same features; its errors have little to boost.
    boosted = (
        (BoostingExpert(errors=False), BoostingExpert(errors=True))
        if cases.members
        else (BoostingExpert(errors=False),)
    )
    return (ForestExpert(errors=False), ForestExpert(errors=True), *boosted)


def between_levels(grown: NDArray[Any], at: NDArray[np.float64], levels: NDArray[np.float64]) -> NDArray[np.float32]:
    """Quantiles at any levels from those at some, linear on the scale of normal quantiles, also beyond the outermost."""
    known, wanted = stats.norm.ppf(at), stats.norm.ppf(levels)
    place = np.clip(np.searchsorted(known, wanted) - 1, 0, len(known) - 2)
    share = (wanted - known[place]) / (known[place + 1] - known[place])
    return np.asarray(grown[:, place] * (1 - share) + grown[:, place + 1] * share, dtype=np.float32)


def _choose_rounds(rows: Rows, parameters: Mapping[str, Any]) -> int:
    """Rounds that did best for the median of later issue times; 0 where none was better than a constant."""
    issues = np.unique(rows.issue)
    border = issues[int(len(issues) * (1 - _VALIDATION))]
    early, late = rows.issue < border, rows.issue >= border
    data = _dataset(rows.features[early], rows.target[early])
    held_out = lightgbm.Dataset(rows.features[late], rows.target[late], reference=data)
    record: dict[str, Any] = {}
    model = lightgbm.train(
        {**parameters, "alpha": 0.5},
        data,
        _MOST_ROUNDS,
        valid_sets=[held_out],
        callbacks=[lightgbm.early_stopping(_PATIENCE, verbose=False), lightgbm.record_evaluation(record)],
    )
    constant = float(np.abs(rows.target[late] - np.median(rows.target[early])).mean()) / 2
    best = float(np.min(record["valid_0"]["quantile"]))
    return int(model.best_iteration) if best < constant else 0


def _dataset(features: NDArray[np.float32], target: NDArray[np.float32]) -> lightgbm.Dataset:
    return lightgbm.Dataset(features, target, params={"verbosity": -1, "max_bin": 63}, free_raw_data=False)
