"""EMOS of one source over a group of leads: pooled regression, each site's memory, and a distribution around both.

Three steps, each fitted by minimum CRPS or in closed form. (1) The observation is regressed on the ensemble mean, the season and
the hour where the record is long enough, the site's height where there are many sites; all sites together. (2) Each
site's memory corrects what is left, from nothing but what was known at the issue time. (3) Location and log scale of the
predictive distribution are regressed on both, on the spread, on how wrong the site's forecasts were of late and how sure
its memory is, and on the recent error if one is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.science.distributional_regression import Distribution, Rows, coefficient_count, fit_regressions
from skyproof.science.ensemble_statistics import ensemble_statistics
from skyproof.science.regression_distributions import regression_mean
from skyproof.science.site_memory import Corrections, MemoryTraits, SiteMemory, remember
from skyproof.stages.forecast.case_blocks import CaseBlock, spread_out
from skyproof.stages.forecast.emos_scales import Candidate, Scale

Floats = NDArray[Any]
Columns = list[Floats]

#: Days of record from which the season is regressed on.
_SEASON_DAYS = 330.0
#: Sites from which height is.
_SITES_FOR_HEIGHT = 30
#: Rows a pooled regression is found from; more change the third digit and cost time in proportion.
_MOST_ROWS = {"shifted_gamma": 6_000}
_ROWS = 20_000
#: Pseudo-cases that hold coefficients at what one would assume without any data.
_PSEUDO_CASES = 20.0
#: Sites count as this many independent ones at most: they share their weather.
_INDEPENDENT_SITES = 10
#: The scale of a logistic distribution times this is its standard deviation.
_LOGISTIC_SD = np.pi / np.sqrt(3.0)
_LEAST = 0.02


@dataclass(frozen=True, slots=True)
class Traits:
    """What is chosen on held-out cases: the description, how memories learn, and how fast old cases fade."""

    candidate: Candidate
    memory: MemoryTraits
    case_half_life_days: float = np.inf


@dataclass(frozen=True, slots=True)
class Outlook:
    """Distributions at unit size, (issue, lead, site); NaN where the source is missing."""

    location: Floats
    log_scale: Floats
    log_shift: float


@dataclass(frozen=True, slots=True)
class Basis:
    """After steps 1 and 2, (issue, lead, site): what step 3 regresses on."""

    location: Floats
    log_scale: Floats
    expected: Floats
    corrections: Corrections
    log_spread: Floats
    wet: Floats
    recent: Floats


def regress(
    distribution: Distribution,
    block_weight: Floats,
    y: Floats,
    columns: tuple[Columns, Columns],
    priors: tuple[list[float], list[float]],
    *,
    scale: Scale,
    start: Floats | None = None,
    penalty_factor: Floats | None = None,
) -> NDArray[np.float64]:
    """Coefficients over the known cells of a block.

    Args:
        distribution: what to fit.
        block_weight: (issue, lead), by age.
        y: observed at unit size, (issue, lead, site), NaN unknown.
        columns: regressors of location and log scale, each broadcasting to y.
        priors: coefficients expected without data; those of the constants are left free.
        scale: for the limits.
        start: coefficients to begin from; the priors if not given.
        penalty_factor: multiplies the ridge of each coefficient.

    Returns:
        (coefficient,); the priors, with the spread of y as scale, where fewer than ten cells are known.
    """
    everywhere = np.isfinite(y)
    for column in columns[0] + columns[1]:
        everywhere = everywhere & np.isfinite(column)
    cells = np.flatnonzero(everywhere)
    chosen = cells[spread_out(len(cells), _MOST_ROWS.get(distribution, _ROWS))]
    place = np.unravel_index(chosen, y.shape)
    p, q = len(columns[0]), len(columns[1])
    prior = np.zeros(coefficient_count(distribution, p, q))
    prior[: p + q] = priors[0] + priors[1]
    if distribution == "shifted_gamma":
        prior[-1] = -1.5
    if len(chosen) < 10:
        return prior
    x, z = (_stack(part, y.shape, place) for part in columns)
    target = y[place]
    error = float(np.sqrt(np.mean(np.square(np.clip(target - x @ prior[:p], -5, 5))))) + 1e-3
    if distribution not in {"shifted_gamma", "log_normal"}:
        prior[p] += np.log(0.7 * error) - float(np.mean(z @ prior[p : p + q]))
    weight = np.broadcast_to(block_weight[..., None], y.shape)[place]
    independent = len(cells) * min(y.shape[2], _INDEPENDENT_SITES) / max(y.shape[2], 1)
    strength = _PSEUDO_CASES / max(independent * float(weight.mean()), 1.0)
    ridge = np.full(len(prior), strength)
    ridge[:p] *= 0.56 / error * np.mean(np.square(x), axis=0)
    ridge[p : p + q] *= 0.28 * error * np.mean(np.square(z), axis=0)
    ridge[p + q :] *= 0.1 * error
    ridge[[0, p]] = 0.0
    if penalty_factor is not None:
        ridge *= penalty_factor
    first = prior if start is None or len(start) != len(prior) else start
    fit = fit_regressions(
        distribution,
        Rows.one_problem(target, x, z, weight),
        first,
        lower=scale.low,
        upper=scale.high,
        prior=prior,
        penalty=ridge,
        tolerance=1e-7,
        threads=1,
    )
    return np.asarray(fit.coefficients[0])


def combine(columns: Columns, coefficients: Floats) -> Floats:
    """The linear predictor, without a table of all columns."""
    total: Floats = np.asarray(columns[0] * coefficients[0])
    for column, coefficient in zip(columns[1:], coefficients[1:], strict=True):
        total = total + column * coefficient
    return total


def case_weights(block: CaseBlock, half_life_days: float) -> Floats:
    """Weights (issue, lead) by age."""
    return np.asarray(0.5 ** (block.age_days / half_life_days))


class SourceRegression:
    """One source, one group of leads. Its state is a mapping of arrays."""

    def __init__(self, source_id: str, traits: Traits, scale: Scale, *, amounts: bool) -> None:
        self.source_id = source_id
        self.traits = traits
        self.scale = scale
        self._amounts = amounts
        self._numbers: dict[str, NDArray[np.float64]] = {}

    def fit(self, block: CaseBlock, before: Mapping[str, Floats] | None = None) -> Outlook:
        """Learn from a block; ``before`` is the state of an earlier fit to begin from. Returns what it would have said."""
        basis = self.fit_basis(block, before)
        return self.fit_outlook(block, basis, before)

    def fit_basis(self, block: CaseBlock, before: Mapping[str, Floats] | None = None) -> Basis:
        """Steps 1 and 2."""
        y = self.scale.forward(block.observed)
        mean, log_spread, wet = self._statistics(block, fit=True)
        heights = block.elevation_m
        with_height = len(heights) >= _SITES_FOR_HEIGHT and bool(np.isfinite(heights).mean() > 0.9)
        hours = bool(np.ptp(block.terms[..., 2]) > 1e-6 or np.ptp(block.terms[..., 3]) > 1e-6)
        self._numbers["flags"] = np.array([block.span_days >= _SEASON_DAYS, hours, with_height], dtype=np.float64)
        centre, size = (np.nanmean(heights), np.nanstd(heights) + 1.0) if with_height else (0.0, 1.0)
        self._numbers["height"] = np.array([centre, size])
        known_mean = mean[np.isfinite(mean)]
        self._numbers["mean"] = (
            np.array([known_mean.mean(), known_mean.std() + 1e-3]) if len(known_mean) else np.ones(2)
        )
        columns = self._base_columns(block, mean, log_spread, wet)
        priors = ([0.0, 1.0] + [0.0] * (len(columns[0]) - 2), [0.0] * len(columns[1]))
        weight = case_weights(block, self.traits.case_half_life_days)
        start = None if before is None else before.get("base")
        base = self.traits.candidate.base
        self._numbers["base"] = regress(base, weight, y, columns, priors, scale=self.scale, start=start)
        basis, memory = self._basis(block, (mean, log_spread, wet), y, None)
        self._keep(memory)
        return basis

    def fit_outlook(self, block: CaseBlock, basis: Basis, before: Mapping[str, Floats] | None = None) -> Outlook:
        """Step 3."""
        y = self.scale.forward(block.observed)
        known = np.isfinite(basis.recent)
        self._numbers["recent"] = np.array(
            [np.sqrt(np.mean(np.square(basis.recent[known]))) + 1e-6 if known.any() else 0.0]
        )
        columns, priors = self._final_columns(block, basis)
        weight = case_weights(block, self.traits.case_half_life_days)
        start = None if before is None else before.get("final")
        self._numbers["final"] = regress(
            self.traits.candidate.distribution, weight, y, columns, priors, scale=self.scale, start=start
        )
        return self._outlook(columns)

    def predict(self, block: CaseBlock, sites: NDArray[np.intp]) -> Outlook:
        """Distributions of new cases; ``sites`` says where each site was in the fit, -1 for one it had not."""
        statistics = self._statistics(block, fit=False)
        y = np.full(block.shape, np.nan)
        basis, _ = self._basis(block, statistics, y, self._memory(sites))
        return self._outlook(self._final_columns(block, basis)[0])

    def state(self) -> dict[str, NDArray[np.float64]]:
        """What it learned; traits and scale are kept by its owner."""
        return dict(self._numbers)

    def restore(self, state: Mapping[str, Floats]) -> None:
        """Take it back."""
        self._numbers = {name: np.asarray(array, dtype=np.float64) for name, array in state.items()}

    def with_traits(self, traits: Traits) -> SourceRegression:
        """The same without anything learned, otherwise described."""
        return SourceRegression(self.source_id, traits, self.scale, amounts=self._amounts)

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
            location += [terms[..., 0], terms[..., 1]]
        if hours:
            location += [terms[..., 2], terms[..., 3]]
        if height:
            centre, size = self._numbers["height"]
            location.append(np.nan_to_num((block.elevation_m - centre) / size))
        if self._amounts:
            location.append(wet.astype(np.float64))
        scale: Columns = [np.ones(1)]
        if self._numbers["spread"][0] > 0:
            scale.append(log_spread)
        return location, scale

    def _basis(
        self, block: CaseBlock, statistics: tuple[Floats, Floats, Floats], y: Floats, memory: SiteMemory | None
    ) -> tuple[Basis, SiteMemory]:
        mean, log_spread, wet = statistics
        location_columns, scale_columns = self._base_columns(block, mean, log_spread, wet)
        coefficients, p = self._numbers["base"], len(location_columns)
        location = combine(location_columns, coefficients[:p])
        log_scale = np.broadcast_to(combine(scale_columns, coefficients[p:]), location.shape)
        base, low, high = self.traits.candidate.base, self.scale.low, self.scale.high
        expected = regression_mean(base, location, log_scale, lower=low, upper=high)
        factor = 1.0 if base == "normal" else _LOGISTIC_SD
        features = self._features(block, mean)
        corrections, memory = remember(
            _by_site(y - expected),
            features,
            _by_site(factor * np.exp(np.clip(log_scale, -9, 6))),
            block.times,
            self.traits.memory,
            memory=memory,
        )
        issues, leads, _ = block.shape
        back = Corrections(
            *(
                array.T.reshape(issues, leads, -1)
                for array in (corrections.correction, corrections.leverage, corrections.log_scale)
            )
        )
        recent = block.recent.get(f"error_recent:{self.source_id}")
        recent = np.full(1, np.nan) if recent is None else recent.astype(np.float64)
        return Basis(location, log_scale, expected, back, log_spread, wet, recent), memory

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
        distribution, season = self.traits.candidate.distribution, bool(self._numbers["flags"][0])
        corrections, usual = basis.corrections, float(self._numbers["recent"][0])
        corrected = basis.expected + corrections.correction
        doubt = 0.5 * np.log1p(corrections.leverage)
        bounded = np.clip(corrected, -3.0, 3.0)
        if distribution in {"log_normal", "shifted_gamma"}:
            positive = np.maximum(corrected, _LEAST)
            near = np.log(positive) if distribution == "log_normal" else np.log(np.expm1(np.minimum(positive, 30.0)))
            location: tuple[Columns, list[float]] = ([np.ones(1), near], [0.0, 1.0])
            log_amount = np.log(positive)
            scale: tuple[Columns, list[float]] = ([np.ones(1), log_amount, doubt], [-0.5, 0.6, 1.0])
            if distribution == "log_normal":
                scale[1][:2] = [-1.0, -0.4]
        else:
            location = ([np.ones(1), basis.location, corrections.correction], [0.0, 1.0, 1.0])
            scale = ([np.ones(1), basis.log_scale, doubt, bounded, np.square(bounded)], [0.0, 1.0, 1.0, 0.0, 0.0])
        if self._amounts:
            location[0].append(basis.wet.astype(np.float64))
            location[1].append(0.0)
        if usual > 0:
            recent = np.nan_to_num(np.clip(basis.recent / usual, -4, 4))
            location[0].append(recent)
            location[1].append(0.0)
            scale[0].append(np.abs(recent))
            scale[1].append(0.0)
        scale[0].append(corrections.log_scale)
        scale[1].append(0.7)
        if self._numbers["spread"][0] > 0:
            scale[0].append(basis.log_spread)
            scale[1].append(0.0)
        extra: Columns = [block.terms[..., None, 0], block.terms[..., None, 1]] if season else []
        extra += [block.terms[..., None, 2], block.terms[..., None, 3]] if self._numbers["flags"][1] else []
        extra += [block.lead_place[:, None]] if len(block.lead_place) > 1 else []
        scale[0].extend(extra)
        scale[1].extend([0.0] * len(extra))
        return (location[0], scale[0]), (location[1], scale[1])

    def _outlook(self, columns: tuple[Columns, Columns]) -> Outlook:
        coefficients, p, q = self._numbers["final"], len(columns[0]), len(columns[1])
        location = combine(columns[0], coefficients[:p])
        log_scale = combine(columns[1], coefficients[p : p + q])
        log_shift = float(coefficients[-1]) if self.traits.candidate.distribution == "shifted_gamma" else 0.0
        return Outlook(location, np.broadcast_to(log_scale, location.shape), log_shift)

    def _keep(self, memory: SiteMemory) -> None:
        self._numbers |= {
            "gram": memory.gram,
            "cross": memory.cross,
            "squares": memory.squares,
            "count": memory.count,
            "at": np.array([memory.at]),
        }

    def _memory(self, sites: NDArray[np.intp]) -> SiteMemory:
        """Of these sites; one that is new has none."""
        new = sites < 0
        parts = [self._numbers[name][sites].copy() for name in ("gram", "cross", "squares", "count")]
        for part in parts:
            part[new] = 0.0
        return SiteMemory(parts[0], parts[1], parts[2], parts[3], float(self._numbers["at"][0]))


def shorter(traits: Traits, **changes: Any) -> Traits:
    """Traits with another memory."""
    return replace(traits, memory=replace(traits.memory, **changes))


def _stack(columns: Columns, shape: tuple[int, ...], place: tuple[NDArray[np.intp], ...]) -> NDArray[np.float64]:
    return np.stack([np.broadcast_to(column, shape)[place] for column in columns], axis=1).astype(np.float64)


def _by_site(array: Floats) -> Floats:
    """(issue, lead, site) to (site, event)."""
    return np.ascontiguousarray(array.reshape(-1, array.shape[-1]).T, dtype=np.float32)
