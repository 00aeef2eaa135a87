"""Choosing how EMOS describes a source: on cases it was not fitted to, and never by name.

Choices are made on a sample of leads and sites, over the issue times up to a checkpoint; checkpoints lie a fifth apart, so
that daily refits choose the same, and a fit in one go chooses as the fits before it would have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.cases import Cases
from skyproof.domain.variables import Variable
from skyproof.science.regression_distributions import regression_quantiles
from skyproof.science.site_memory import MemoryTraits
from skyproof.science.threads import in_threads
from skyproof.stages.forecast.case_blocks import CaseBlock, case_block, group_leads, spread_out
from skyproof.stages.forecast.emos_scales import Candidate, Scale, candidates
from skyproof.stages.forecast.source_regression import Basis, Outlook, Pooled, SourceRegression, Traits, shorter

Floats = NDArray[Any]

LEVELS = np.arange(0.05, 0.96, 0.05)
#: Leads and sites choices are made on, and the share of issue times kept for the comparison.
_SAMPLE_LEADS, _HELD_OUT = 2, 0.35
_SAMPLE_CELLS, _SAMPLE_SITES = 30_000, 30
_FEWEST_ISSUES = 12
#: A more elaborate choice must be better by this share.
_WORTH = 0.001
_HALF_LIVES = (10.0, 25.0, 60.0, 150.0, 400.0, 1500.0)
_OFFSETS = (1.5, 4.0, 10.0, 30.0, 100.0, 1e4)
_SLOPES = (30.0, 120.0, 500.0)
_CASE_HALF_LIVES = (np.inf, 500.0, 150.0, 40.0)
_DEFAULT_MEMORY = MemoryTraits(90.0, (10.0,))


def checkpoint(issues: int) -> int:
    """The last of 12, 14, 16, ... (a fifth more each time) that is not beyond ``issues``; 0 below twelve."""
    last = 0
    mark = float(_FEWEST_ISSUES)
    while int(mark) <= issues:
        last = int(mark)
        mark *= 1.2
    return last


def default_traits(variable: Variable) -> Traits:
    """Before there is enough to choose by."""
    return Traits(candidates(variable)[0], _DEFAULT_MEMORY)


def choose_traits(cases: Cases, source_id: str, *, allowed: Sequence[Candidate] | None = None) -> Traits:
    """The best description of a source, by its quantile loss on the later of the given cases.

    Args:
        cases: oldest first; all of them count as past by the last issue time.
        source_id: one of their sources.
        allowed: candidates to compare; all of the variable's family if not given.
    """
    options = tuple(allowed or candidates(cases.variable))
    start = Traits(options[0], _DEFAULT_MEMORY)
    blocks = sample_blocks(cases)
    known = sum(int(np.isfinite(block.observed).sum()) for block in blocks)
    if not blocks or known < 200:
        return start
    rater = _Rater(blocks, source_id, cases.variable)
    tuned = _choose_memory(rater, start)
    best, best_loss = start, np.inf
    for candidate in options:
        traits = replace(tuned, candidate=candidate)
        loss = rater.loss(traits)
        if loss < best_loss * (1 - _WORTH):
            best, best_loss = traits, loss
    span = max(block.span_days for block in blocks)
    for half_life in _CASE_HALF_LIVES[1:]:
        traits = replace(best, case_half_life_days=half_life)
        if half_life < span and (loss := rater.loss(traits)) < best_loss * (1 - _WORTH):
            best, best_loss = traits, loss
    return best


def sample_blocks(cases: Cases) -> list[CaseBlock]:
    """A few groups of leads and some of the sites, outcomes known by the last issue time."""
    groups = group_leads(len(cases.issue_times), len(cases.lead_hours), len(cases.sites))
    wanted = max(_SAMPLE_CELLS // (len(cases.issue_times) * len(groups[0])), _SAMPLE_SITES)
    chosen = spread_out(len(cases.sites), wanted)
    some = cases.at_places(chosen) if len(chosen) < len(cases.sites) else cases
    picked = np.unique(np.linspace(0, len(groups) - 1, min(len(groups), _SAMPLE_LEADS)).round().astype(int))
    return [case_block(some, groups[index], cases.issue_times[-1]) for index in picked]


def quantile_loss(quantiles: Floats, observed: Floats, levels: Floats = LEVELS) -> float:
    """Mean over known cases of twice the quantile loss, an approximation of the CRPS; infinite without any."""
    error = observed[..., None] - quantiles
    loss = np.maximum(levels * error, (levels - 1) * error).mean(axis=-1)
    known = np.isfinite(loss)
    return float(2 * loss[known].mean()) if known.any() else np.inf


def outlook_quantiles(candidate: Candidate, outlook: Outlook, scale: Scale, levels: Floats) -> Floats:
    """Quantiles in the canonical unit."""
    plain = regression_quantiles(
        candidate.distribution,
        outlook.location,
        outlook.log_scale,
        levels,
        log_shift=outlook.log_shift,
        lower=scale.low,
        upper=scale.high,
    )
    return scale.backward(plain)


class _Rater:
    """Rates traits on the sample; keeps the pooled regressions, which memories do not change."""

    def __init__(self, blocks: list[CaseBlock], source_id: str, variable: Variable) -> None:
        self.blocks, self.variable, self.source_id = blocks, variable, source_id
        self._amounts = variable.family == "censored"
        self._pooled: dict[tuple[object, ...], list[tuple[SourceRegression, Pooled]]] = {}

    def bases(self, traits: Traits) -> list[tuple[SourceRegression, Basis]]:
        """After steps 1 and 2, for every block."""
        key = (traits.candidate.transform, traits.candidate.base, traits.case_half_life_days)
        if key not in self._pooled:
            self._pooled[key] = self._each(lambda index: self._fit_pooled(self.blocks[index], traits))
        held = self._pooled[key]

        def remember(index: int) -> tuple[SourceRegression, Basis]:
            regression, pooled = held[index]
            regression = regression.with_traits(traits)
            return regression, regression.fit_memories(self.blocks[index], pooled)

        return self._each(remember)

    def error(self, traits: Traits) -> float:
        """Mean absolute error of the corrected forecasts over all but the first quarter."""
        total, count = 0.0, 0
        for block, (regression, basis) in zip(self.blocks, self.bases(traits), strict=True):
            told = basis.remembered
            left = regression.scale.forward(block.observed) - basis.pooled.expected - told.correction - told.around
            late = left[len(left) // 4 :]
            known = np.isfinite(late)
            total += float(np.minimum(np.abs(late[known]), 5.0).sum())
            count += int(known.sum())
        return total / max(count, 1)

    def loss(self, traits: Traits) -> float:
        """Quantile loss on the last third of the issue times, the distributions fitted to those before."""
        bases = self.bases(traits)

        def rate(index: int) -> float:
            block, (regression, basis) = self.blocks[index], bases[index]
            cut = max(int(len(block.observed) * (1 - _HELD_OUT)), 1)
            hidden = block.observed.copy()
            hidden[cut:] = np.nan
            outlook = later(regression.fit_outlook(replace(block, observed=hidden), basis), cut)
            quantiles = outlook_quantiles(traits.candidate, outlook, regression.scale, LEVELS)
            return quantile_loss(quantiles, block.observed[cut:])

        finite = [loss for loss in self._each(rate) if np.isfinite(loss)]
        return float(np.mean(finite)) if finite else np.inf

    def _each(self, work: Callable[[int], Any]) -> list[Any]:
        """``work`` of every block, at once where they are large."""
        return in_threads(work, len(self.blocks), cells=sum(block.observed.size for block in self.blocks))

    def _fit_pooled(self, block: CaseBlock, traits: Traits) -> tuple[SourceRegression, Pooled]:
        scale = Scale.of(self.variable, traits.candidate.transform, block.observed)
        regression = SourceRegression(self.source_id, traits, scale, amounts=self._amounts)
        return regression, regression.fit_pooled(block)


def later(outlook: Outlook, cut: int) -> Outlook:
    """From issue ``cut`` on."""
    return Outlook(outlook.location[cut:], outlook.log_scale[cut:], outlook.log_shift)


def _choose_memory(rater: _Rater, start: Traits) -> Traits:
    """Half life and pseudo-cases first of the offset, then whether slopes and seasons of single sites are worth it."""
    span = max(block.span_days for block in rater.blocks)
    best, best_error = start, rater.error(start)

    def try_all(options: Sequence[Traits], rate: Callable[[Traits], float], worth: float) -> None:
        nonlocal best, best_error
        for option in options:
            error = rate(option)
            if error < best_error * (1 - worth):
                best, best_error = option, error

    lives = [life for life in _HALF_LIVES if life < 2 * span]
    try_all([shorter(best, half_life_days=life) for life in lives], rater.error, 0.0)
    try_all([shorter(best, pseudo_cases=(pseudo,)) for pseudo in _OFFSETS], rater.error, 0.0)
    try_all([shorter(best, half_life_days=life) for life in lives], rater.error, 0.0)
    offset = best.memory.pseudo_cases[0]
    try_all([shorter(best, pseudo_cases=(offset, slope)) for slope in _SLOPES], rater.error, _WORTH)
    if span >= 330:
        many = [(offset, slope, season, season) for slope in _SLOPES[1:] for season in _SLOPES]
        try_all([shorter(best, pseudo_cases=pseudo) for pseudo in many], rater.error, _WORTH)
    if len(best.memory.pseudo_cases) > 1:
        try_all([shorter(best, half_life_days=life) for life in lives], rater.error, 0.0)
    return best
