"""Asking every expert the same question."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from skyproof.archive.release_content import ReleaseContent
from skyproof.domain.errors import IntegrityError
from skyproof.domain.forecasts import ForecastInputs
from skyproof.domain.protocols import ForecastModel
from skyproof.domain.variables import find_variable
from skyproof.science.quantile_functions import clip_to_limits

#: The baseline made of all calibrated sources that are awake, quantile by quantile. No expert of the blend.
EQUAL_WEIGHT = "equal_weight"
_CALIBRATED = "emos:"


def wake_models(models: Sequence[ForecastModel], content: ReleaseContent) -> tuple[ForecastModel, ...]:
    """The release's experts, in its order, knowing what it learned.

    Raises:
        IntegrityError: an expert of the release is not installed here.
    """
    by_name = {model.name: model for model in models}
    absent = [name for name in content.expert_names if name not in by_name]
    if absent:
        raise IntegrityError(
            f"the release needs experts not installed here: {', '.join(absent)}", hint="install their package"
        )
    for name in content.expert_names:
        by_name[name].restore(content.models[name])
    return tuple(by_name[name] for name in content.expert_names)


def ask_experts(models: Sequence[ForecastModel], inputs: ForecastInputs) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """What every expert says, inside physical limits, and the equal-weight baseline last.

    Returns:
        Names, and quantiles (expert, variable, site, lead, level), NaN where an expert sleeps.
    """
    names = (*(model.name for model in models), EQUAL_WEIGHT)
    answers = [model.predict(inputs).quantiles for model in models]
    quantiles = np.stack([*answers, _equal_weight(names, answers)])
    for index, name in enumerate(inputs.grid.variables):
        variable = find_variable(name)
        quantiles[:, index] = clip_to_limits(quantiles[:, index], variable.lower, variable.upper)
    return names, quantiles


def _equal_weight(names: Sequence[str], answers: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    calibrated = [answer for name, answer in zip(names, answers, strict=False) if name.startswith(_CALIBRATED)]
    if not calibrated:
        return np.full_like(answers[0], np.nan)
    stacked = np.stack(calibrated)
    awake = np.isfinite(stacked)
    count = awake.sum(axis=0)
    total = np.where(awake, stacked, 0.0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)
