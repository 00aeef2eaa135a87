"""EMOS of one source over a group of leads: pooled regression, each site's memory, and a distribution around both.

Three steps, each fitted by minimum CRPS or in closed form. (1) The observation is regressed on the ensemble mean, the season (two
harmonics, and what the forecast is worth in it) and the hour where the record is long enough, the site's height where there are
many sites; all sites together. (2) Each site's memory corrects what is left, from nothing but what was known at the issue
time. (3) Location and log scale of the predictive distribution are regressed on both, on the spread, on how wrong the site's
forecasts were of late and how sure its memory is, and on the recent error if one is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.science.distributional_regression import NUMBERS
from skyproof.science.ensemble_statistics import ensemble_statistics
from skyproof.science.regression_distributions import regression_mean
from skyproof.science.site_memory import MemoryTraits
from skyproof.stages.forecast.case_blocks import CaseBlock
from skyproof.stages.forecast.emos_scales import Candidate, Scale
from skyproof.stages.forecast.pooled_regression import Columns, case_weights, combine, logit_share, regress
from skyproof.stages.forecast.site_memories import Recollection, SiteMemories

Floats = NDArray[Any]
#: Regressors, each with what its coefficient is held near.
Terms = list[tuple[Floats, float]]

#: Days of record from which the season is regressed on.
_SEASON_DAYS = 330.0
#: How much harder what bends the season is held than the season itself: a year or two say little of it.
_BEND_HOLD = 20.0
#: Sites from which height is.
_SITES_FOR_HEIGHT = 30
#: The scale of a logistic distribution times this is its standard deviation.
LOGISTIC_SD = np.pi / np.sqrt(3.0)
_LEAST = 0.02


@dataclass(frozen=True, slots=True)
class Traits:
    """What is chosen on held-out cases.

    The description, how memories learn, how fast old cases fade in pooled regressions.
    """

    candidate: Candidate
    memory: MemoryTraits
    case_half_life_days: float = np.inf


@dataclass(frozen=True, slots=True)
class Outlook:
    """Distributions at unit size, (issue, lead, site); NaN where the source is missing."""

    location: Floats
    log_scale: Floats
    log_shift: float

    def in_half(self) -> Outlook:
        """The same as float32, for one that is kept for later: of a long history of many sites it fills memory."""
        return Outlook(self.location.astype(np.float32), self.log_scale.astype(np.float32), self.log_shift)


@dataclass(frozen=True, slots=True)
class Pooled:
    """After step 1, (issue, lead, site): what the regression of all sites together says."""

    mean: Floats
    location: Floats
    log_scale: Floats
    expected: Floats
    log_spread: Floats
    wet: Floats


@dataclass(frozen=True, slots=True)
class Basis:
    """After step 2: what step 3 regresses on, (issue, lead, site)."""

    pooled: Pooled
    remembered: Recollection
    recent: Floats


class SourceRegression:
    """One source, one group of leads. Its state is a mapping of arrays."""

    def __init__(self, source_id: str, traits: Traits, scale: Scale, *, amounts: bool) -> None:
        self.source_id = source_id
        self.traits = traits
        self.scale = scale
        self._amounts = amounts
        self._numbers: dict[str, NDArray[np.float64]] = {}
        self._memories = SiteMemories(traits.memory)

    def fit(self, block: CaseBlock, before: Mapping[str, Floats] | None = None) -> Outlook:
        """Learn from a block; ``before`` is the state of an earlier fit to begin from. Returns what it would have said."""
        family = np.array([NUMBERS[self.traits.candidate.distribution]], dtype=np.float64)
        # Coefficients of another distribution mean something else, even where they are as many.
        same = before is not None and np.array_equal(before.get("family", -1.0), family)
        basis = self.fit_memories(block, self.fit_pooled(block, before))
        self._numbers["family"] = family
        return self.fit_outlook(block, basis, before if same else None)

    def fit_pooled(self, block: CaseBlock, before: Mapping[str, Floats] | None = None) -> Pooled:
        """Step 1."""
        y = self.scale.forward(block.observed)
        mean, log_spread, wet = self._statistics(block, fit=True)
        heights = block.places[:, 2]
        with_height = len(heights) >= _SITES_FOR_HEIGHT and bool(np.isfinite(heights).mean() > 0.9)
        hours = bool(np.ptp(block.terms[..., 2]) > 1e-6 or np.ptp(block.terms[..., 3]) > 1e-6)
        self._numbers["flags"] = np.array([block.span_days >= _SEASON_DAYS, hours, with_height], dtype=np.float64)
        centre, size = (np.nanmean(heights), np.nanstd(heights) + 1.0) if with_height else (0.0, 1.0)
        self._numbers["height"] = np.array([centre, size])
        self._numbers["lead"] = np.array([block.lead_hours.mean(), np.ptp(block.lead_hours) / 2])
        known_mean = mean[np.isfinite(mean)]
        self._numbers["mean"] = (
            np.array([known_mean.mean(), known_mean.std() + 1e-3]) if len(known_mean) else np.ones(2)
        )
        columns = self._base_columns(block, mean, log_spread, wet)
        priors = ([0.0, 1.0] + [0.0] * (len(columns[0]) - 2), [0.0] * len(columns[1]))
        weight = case_weights(block, self.traits.case_half_life_days)
        start = None if before is None else before.get("base")
        base = self.traits.candidate.base
        hold = np.ones(len(columns[0]) + len(columns[1]))
        hold[2 : 2 + self._bends] = _BEND_HOLD
        self._numbers["base"] = regress(
            base, weight, y, columns, priors, scale=self.scale, start=start, penalty_factor=hold
        )
        return self._pooled(block, (mean, log_spread, wet))

    def fit_memories(self, block: CaseBlock, pooled: Pooled) -> Basis:
        """Step 2."""
        factor = 1.0 if self.traits.candidate.base == "normal" else LOGISTIC_SD
        size = factor * np.exp(np.clip(pooled.log_scale, -9, 6))
        errors = self.scale.forward(block.observed) - pooled.expected
        remembered = self._memories.learn(block, errors, self._features(block, pooled.mean), size)
        return Basis(pooled, remembered, self._recent(block))

    def fit_outlook(self, block: CaseBlock, basis: Basis, before: Mapping[str, Floats] | None = None) -> Outlook:
        """Step 3."""
        y = self.scale.forward(block.observed)
        known = np.isfinite(basis.recent)
        self._numbers["recent"] = np.array(
            [np.sqrt(np.mean(np.square(basis.recent[known]))) + 1e-6 if known.any() else 0.0]
        )
        columns, priors = self._final_columns(block, basis)
        self._numbers["scale_seen"] = np.array([_range(column) for column in columns[1]])
        weight = case_weights(block, self.traits.case_half_life_days)
        start = None if before is None else before.get("final")
        self._numbers["final"] = regress(
            self.traits.candidate.distribution, weight, y, columns, priors, scale=self.scale, start=start
        )
        return self._outlook(columns)

    def predict(self, block: CaseBlock, sites: NDArray[np.intp]) -> Outlook:
        """Distributions of new cases; ``sites`` says where each site was in the fit, -1 for one it had not."""
        pooled = self._pooled(block, self._statistics(block, fit=False))
        remembered = self._memories.recall(block, self._features(block, pooled.mean), sites)
        basis = Basis(pooled, remembered, self._recent(block))
        location, scale = self._final_columns(block, basis)[0]
        # A case unlike all that were learned from is no reason to be surer, or less sure, than ever before.
        seen = self._numbers["scale_seen"]
        return self._outlook((location, [np.clip(column, *pair) for column, pair in zip(scale, seen, strict=True)]))

    def state(self) -> dict[str, NDArray[np.float64]]:
        """What it learned; traits and scale are kept by its owner."""
        return {**self._numbers, **self._memories.state()}

    def restore(self, state: Mapping[str, Floats]) -> None:
        """Take it back."""
        self._numbers = {name: np.asarray(array) for name, array in state.items() if not name.startswith("memory_")}
        self._memories.restore(state)

    def with_traits(self, traits: Traits) -> SourceRegression:
        """The same after step 1, with other memories or another distribution of the same base."""
        other = SourceRegression(self.source_id, traits, self.scale, amounts=self._amounts)
        other._numbers = dict(self._numbers)
        return other

    def _statistics(self, block: CaseBlock, *, fit: bool) -> tuple[Floats, Floats, Floats]:
        transform = self.scale.transform
        members = block.members[self.source_id]
        plain_mean, plain_spread, wet = ensemble_statistics(members, transform=transform, lower=self.scale.lower)
        mean = (plain_mean.astype(np.float64) - self.scale.centre) / self.scale.size
        spread = plain_spread.astype(np.float64) / self.scale.size
        if fit:
            usual = spread[np.isfinite(mean) & (spread > 0)]
            self._numbers["spread"] = np.array([np.median(usual) if len(usual) > 0 else 0.0])
        usual_spread = float(self._numbers["spread"][0])
        if usual_spread == 0.0:
            return mean, np.zeros(1), wet
        return mean, np.log(np.maximum(spread, 0.1 * usual_spread) / usual_spread), wet

    def _base_columns(self, block: CaseBlock, mean: Floats, log_spread: Floats, wet: Floats) -> tuple[Columns, Columns]:
        season, hours, height = (bool(flag) for flag in self._numbers["flags"])
        terms = block.terms[..., None, :]
        location: Columns = [np.ones(1), mean]
        if season:
            sine, cosine = terms[..., 0], terms[..., 1]
            location += [sine * mean, cosine * mean, 2 * sine * cosine, np.square(cosine) - np.square(sine)]
            location += [sine, cosine]
        if hours:
            location += [terms[..., 2], terms[..., 3]]
        if height:
            centre, size = self._numbers["height"]
            location.append(np.nan_to_num((block.places[:, 2] - centre) / size))
        if self._amounts:
            location.append(wet.astype(np.float64))
        scale: Columns = [np.ones(1)]
        if self._numbers["spread"][0] > 0:
            scale.append(log_spread)
        return location, scale + [terms[..., 0], terms[..., 1]] * int(season)

    @property
    def _bends(self) -> int:
        """Columns by which the season bends: how much a forecast is worth in it, and its second harmonic."""
        return 4 * int(self._numbers["flags"][0])

    def _pooled(self, block: CaseBlock, statistics: tuple[Floats, Floats, Floats]) -> Pooled:
        mean, log_spread, wet = statistics
        location_columns, scale_columns = self._base_columns(block, mean, log_spread, wet)
        coefficients, p = self._numbers["base"], len(location_columns)
        location = combine(location_columns, coefficients[:p])
        log_scale = np.broadcast_to(combine(scale_columns, coefficients[p:]), location.shape)
        base, low, high = self.traits.candidate.base, self.scale.low, self.scale.high
        expected = regression_mean(base, location, log_scale, lower=low, upper=high)
        return Pooled(mean, location, log_scale, expected, log_spread, wet)

    def _recent(self, block: CaseBlock) -> Floats:
        recent = block.recent.get(f"error_recent:{self.source_id}")
        return np.full((1, 1, 1), np.nan) if recent is None else recent.astype(np.float64)

    def _features(self, block: CaseBlock, mean: Floats) -> Floats:
        """(site, event, k): a constant, the forecast, the season; as many as the traits of the memory want."""
        centre, size = self._numbers["mean"]
        count = len(self.traits.memory.pseudo_cases)
        features = np.empty((*mean.shape, count), dtype=np.float32)
        features[..., 0] = np.where(np.isfinite(mean), 1.0, np.nan)
        if count > 1:
            features[..., 1] = np.clip((mean - centre) / size, -4, 4)
        if count > 2:
            features[..., 2:4] = np.where(np.isfinite(mean)[..., None], block.terms[..., None, :2], np.nan)
        return np.ascontiguousarray(features.reshape(-1, *features.shape[2:]).transpose(1, 0, 2))

    def _final_columns(
        self, block: CaseBlock, basis: Basis
    ) -> tuple[tuple[Columns, Columns], tuple[list[float], list[float]]]:
        """Regressors of location and log scale, and what their coefficients are held near."""
        usual = float(self._numbers["recent"][0])
        recent = np.nan_to_num(np.clip(basis.recent / usual, -4, 4)) if usual > 0 else None
        location, scale = self._location_terms(basis), self._scale_terms(block, basis)
        if recent is not None:
            location.append((recent, 0.0))
            scale.append((np.abs(recent), 0.0))
        columns = [column for column, _ in location], [column for column, _ in scale]
        return columns, ([prior for _, prior in location], [prior for _, prior in scale])

    def _location_terms(self, basis: Basis) -> Terms:
        distribution, told = self.traits.candidate.distribution, basis.remembered
        expected = basis.pooled.expected + told.correction + told.around
        positive = np.maximum(expected, _LEAST)
        if distribution == "beta":
            logit = logit_share(expected, self.scale)
            terms: Terms = [(np.ones(1), 0.0), (logit, 1.0), (logit_share(basis.pooled.mean, self.scale) - logit, 0.0)]
        elif distribution == "log_normal":
            terms = [(np.ones(1), 0.0), (np.log(positive), 1.0)]
        elif distribution == "shifted_gamma":
            terms = [(np.ones(1), 0.0), (np.log(np.expm1(np.minimum(positive, 30.0))), 1.0)]
        else:
            terms = [(np.ones(1), 0.0), (basis.pooled.location, 1.0), (told.correction, 1.0)]
            terms += [(told.around, 1.0)] if self._memories.has_neighbours else []
        if self._amounts:
            terms.append((basis.pooled.wet.astype(np.float64), 0.0))
        terms.append((told.lately, 0.0))
        return [*terms, (told.lately_around, 0.0)] if self._memories.has_neighbours else terms

    def _scale_terms(self, block: CaseBlock, basis: Basis) -> Terms:
        distribution, told = self.traits.candidate.distribution, basis.remembered
        expected = basis.pooled.expected + told.correction + told.around
        # A doubtful correction adds its variance to that of the error itself.
        terms: Terms = [(np.ones(1), 0.0), (0.5 * np.log1p(told.leverage), 1.0), (told.log_scale, 0.7)]
        if distribution in {"log_normal", "shifted_gamma"}:
            log_amount = np.log(np.maximum(expected, _LEAST))
            terms[0] = (np.ones(1), -0.5 if distribution == "shifted_gamma" else -1.0)
            terms.append((log_amount, 0.6 if distribution == "shifted_gamma" else -0.4))
        elif distribution == "beta":
            logit = logit_share(expected, self.scale)
            terms += [(self._beta_log_scale(basis.pooled.log_scale, logit), 1.0), (logit, 0.0), (np.square(logit), 0.0)]
        else:
            level = np.clip(expected, -3.0, 3.0)
            terms += [(basis.pooled.log_scale, 1.0), (level, 0.0), (np.square(level), 0.0)]
        if self._numbers["spread"][0] > 0:
            terms.append((basis.pooled.log_spread, 0.0))
        season, hours, _ = self._numbers["flags"]
        used = [0, 1] * int(season) + [2, 3] * int(hours)
        terms += [(block.terms[..., None, index], 0.0) for index in used]
        centre, reach = self._numbers["lead"]
        # Asked for leads beyond those learned from, it stays as unsure as it was at the last.
        place = np.clip((block.lead_hours - centre) / max(reach, 1e-9), -1.0, 1.0)
        return [*terms, (place[:, None], 0.0)] if reach > 0 else terms

    def _beta_log_scale(self, log_scale: Floats, logit: Floats) -> Floats:
        """The log scale of a beta distribution whose sd is that of the pooled regression, both at unit size."""
        mean = 1.0 / (1.0 + np.exp(-logit))
        width = self.scale.high - self.scale.low
        ratio = LOGISTIC_SD * np.exp(np.clip(log_scale, -9, 6)) / (width * np.sqrt(mean * (1.0 - mean)))
        # The square is 1 / (1 + certainty).
        square = np.square(np.clip(ratio, 0.01, 0.9))
        return np.asarray(0.5 * np.log(square / (1.0 - square)))

    def _outlook(self, columns: tuple[Columns, Columns]) -> Outlook:
        coefficients, p, q = self._numbers["final"], len(columns[0]), len(columns[1])
        location = combine(columns[0], coefficients[:p])
        log_scale = combine(columns[1], coefficients[p : p + q])
        log_shift = float(coefficients[-1]) if self.traits.candidate.distribution == "shifted_gamma" else 0.0
        return Outlook(location, np.broadcast_to(log_scale, location.shape), log_shift)


def _range(column: Floats) -> tuple[float, float]:
    """Smallest and largest of what is known."""
    known = column[np.isfinite(column)]
    return (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)


def shorter(traits: Traits, **changes: Any) -> Traits:
    """Traits with another memory."""
    return replace(traits, memory=replace(traits.memory, **changes))
