"""One distribution from the outlooks of several sources over a group of leads.

Location is the mean of the sources' locations plus a regression on how each differs from it, held by a ridge at equal weights;
the log scale follows their scales and their disagreement. A source that is missing is replaced by what the others imply
about it, and the scale grows by the doubt that leaves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.science.missing_sources import conditional_weights, deviation_covariance
from skyproof.stages.forecast.case_blocks import CaseBlock
from skyproof.stages.forecast.emos_scales import Candidate, Scale
from skyproof.stages.forecast.pooled_regression import Columns, case_weights, combine, regress
from skyproof.stages.forecast.source_regression import LOGISTIC_SD, Outlook

Floats = NDArray[Any]


@dataclass(frozen=True, slots=True)
class JointTraits:
    """What is chosen on held-out cases: distribution, strength of the ridge on the weights, fading of old cases."""

    candidate: Candidate
    ridge: float = 3.0
    case_half_life_days: float = np.inf


class JointRegression:
    """All sources of one group of leads. Its state is a mapping of arrays."""

    def __init__(self, traits: JointTraits, scale: Scale) -> None:
        self.traits = traits
        self.scale = scale
        self._numbers: dict[str, NDArray[Any]] = {}

    def fit(self, block: CaseBlock, outlooks: Sequence[Outlook], before: Mapping[str, Floats] | None = None) -> Outlook:
        """Learn from what the sources would have said of a block; returns what all together would have."""
        y = self.scale.forward(block.observed)
        locations = np.stack([outlook.location for outlook in outlooks], axis=-1)
        self._numbers["covariance"] = deviation_covariance(locations.reshape(-1, len(outlooks)))
        size = np.sqrt(np.mean(np.diag(self._numbers["covariance"])) + 1e-8)
        self._numbers["size"] = np.array([size])
        names = sorted(block.predictors)
        self._numbers["predictor_names"] = np.array(names, dtype=np.str_)
        self._numbers["predictors"] = np.array([_mean_and_sd(block.predictors[name]) for name in names]).reshape(-1, 2)
        filled, _ = self._fill(locations)
        columns, priors = self._columns(block, filled, self._log_scale(outlooks))
        p, q = len(columns[0]), len(columns[1])
        factor = np.ones(p + q)
        factor[2:p] = self.traits.ridge
        self._numbers["joint"] = regress(
            self.traits.candidate.distribution,
            case_weights(block, self.traits.case_half_life_days),
            y,
            columns,
            priors,
            scale=self.scale,
            start=None if before is None else before.get("joint"),
            penalty_factor=factor,
        )
        return self.predict(block, outlooks)

    def predict(self, block: CaseBlock, outlooks: Sequence[Outlook]) -> Outlook:
        """Distributions of new cases; NaN where no source is there."""
        locations = np.stack([outlook.location for outlook in outlooks], axis=-1)
        filled, doubt = self._fill(locations)
        columns, _ = self._columns(block, filled, self._log_scale(outlooks))
        p = len(columns[0])
        coefficients = self._numbers["joint"]
        location = combine(columns[0], coefficients[:p])
        log_scale = np.broadcast_to(combine(columns[1], coefficients[p:]), location.shape)
        variance = np.exp(2 * np.clip(log_scale, -9, 6))
        if self.traits.candidate.distribution == "logistic":
            variance = variance * LOGISTIC_SD**2
        return Outlook(location, log_scale + 0.5 * np.log1p(doubt / variance), 0.0)

    def state(self) -> dict[str, NDArray[Any]]:
        """What it learned; traits and scale are kept by its owner."""
        return dict(self._numbers)

    def restore(self, state: Mapping[str, Floats]) -> None:
        """Take it back."""
        self._numbers = {name: np.asarray(array) for name, array in state.items()}

    def _log_scale(self, outlooks: Sequence[Outlook]) -> Floats:
        """Mean log scale of the sources that are there."""
        total, count = np.zeros(outlooks[0].location.shape), np.zeros(outlooks[0].location.shape)
        for outlook in outlooks:
            there = np.isfinite(outlook.location)
            total += np.where(there, outlook.log_scale, 0.0)
            count += there
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)

    def _fill(self, locations: Floats) -> tuple[Floats, Floats]:
        """Locations with missing sources replaced, and the variance this leaves in the joint location."""
        filled, doubt = locations.copy(), np.zeros(locations.shape[:-1])
        there = np.isfinite(locations)
        patterns = there @ (1 << np.arange(locations.shape[-1]))
        weights = self._weights(locations.shape[-1])
        for pattern in np.unique(patterns):
            cells = patterns == pattern
            present = there[cells][0]
            if present.all() or not present.any():
                continue
            implied, covariance = conditional_weights(self._numbers["covariance"], present)
            rows = filled[cells]
            rows[:, ~present] = rows[:, present] @ implied.T
            filled[cells] = rows
            doubt[cells] = weights[~present] @ covariance @ weights[~present]
        return filled, doubt

    def _weights(self, sources: int) -> Floats:
        """Of each source in the joint location."""
        equal = np.full(sources, 1.0 / sources)
        if "joint" not in self._numbers or sources == 1:
            return equal
        coefficients = self._numbers["joint"]
        own = coefficients[2 : 2 + sources] / self._numbers["size"][0]
        return np.asarray(coefficients[1] * equal + own - own.mean())

    def _columns(
        self, block: CaseBlock, filled: Floats, log_scale: Floats
    ) -> tuple[tuple[Columns, Columns], tuple[list[float], list[float]]]:
        size, sources = float(self._numbers["size"][0]), filled.shape[-1]
        mean = filled.mean(axis=-1)
        location: Columns = [np.ones(1), mean]
        if sources > 1:
            location += [(filled[..., index] - mean) / size for index in range(sources)]
        further = []
        for name, (centre, sd) in zip(
            self._numbers["predictor_names"].tolist(), self._numbers["predictors"], strict=True
        ):
            # A predictor that is missing counts as usual.
            values = block.predictors.get(name, np.full((1, 1, 1), np.nan))
            further.append(np.nan_to_num(np.clip((values - centre) / sd, -4, 4)).astype(np.float64))
        location += further
        level = np.clip(mean, -3.0, 3.0)
        scale: Columns = [np.ones(1), log_scale, level, np.square(level)]
        if sources > 1:
            scale.append(np.log(filled.std(axis=-1) / size + 0.2))
        scale += further
        location_prior = [0.0, 1.0] + [0.0] * (len(location) - 2)
        return (location, scale), (location_prior, [0.0, 1.0] + [0.0] * (len(scale) - 2))


def _mean_and_sd(values: Floats) -> tuple[float, float]:
    known = values[np.isfinite(values)].astype(np.float64)
    return (float(known.mean()), float(known.std() + 1e-6)) if len(known) else (0.0, 1.0)
