"""The first guess of every case: location, scale and shape of the observation, by regression that walks forward in time.

Linear in what the sources say, in how wrong they were lately, and in the season; for a quantity that no source forecasts
(power from wind) in hinges of what is forecast instead. It is cheap, it needs no refit, and what it says of the past is out of
sample, so that other experts can learn its errors.

Arrays have dims (issue, lead, site) unless said otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from skyproof.domain.cases import Cases
from skyproof.domain.variables import Variable
from skyproof.science.calendar import harmonics
from skyproof.science.case_features import base_quantities, plan_features
from skyproof.science.online_regression import Walk, group_leads, plan_walk, walk_regression
from skyproof.science.quantile_functions import clip_to_limits
from skyproof.science.recent import running_sums, with_recent

Floats = NDArray[Any]

#: How hard the constant is held, beside 1 for other terms.
_CONSTANT_HOLD = 0.05
#: Knots of a hinge basis, as shares of the values seen first.
_KNOTS = (0.1, 0.3, 0.5, 0.7, 0.9)
_MOST_HINGED = 3
#: From so many sites on, errors are split into what all share and what is a site's own.
_FEWEST_TO_SHARE = 8
#: Bins of the standardised error, equal in asinh.
_SHAPE_EDGES = np.sinh(np.linspace(-3.0, 3.0, 241))
_SHAPE_HALF_LIFE_DAYS = 365.0
#: Mean of the logarithm of a squared standard normal error: minus Euler's constant minus log 2.
_MEAN_LOG_CHI_SQUARE = -1.2703628
#: Memory of a site's error variance in days, and the days that hold it at that of all sites.
_SCALE_HALF_LIFE_DAYS, _SCALE_SHRINKAGE = 90.0, 5.0
#: Weight of the normal shape beside the one seen, in days.
_SHAPE_PRIOR_DAYS = 5.0


@dataclass(frozen=True, slots=True)
class FirstGuess:
    """``location`` and ``scale`` of each case, and ``shape``: (issue, group, bin) probabilities of the standardised error."""

    location: Floats
    scale: Floats
    shape: Floats
    group: NDArray[np.intp]


def walk_first_guess(cases: Cases, *, settled: int) -> FirstGuess:
    """First guesses from what was known at each issue time.

    Args:
        cases: with ``recent`` filled in (:func:`skyproof.science.recent.with_recent`).
        settled: issue times at the start that set units and knots; guesses of later ones know nothing after themselves.
    """
    arrived = cases.valid_times + np.timedelta64(round(cases.delay_hours * 3600), "s")
    walk = plan_walk(arrived, cases.issue_times)
    observed = cases.observed.astype(np.float64)
    centre, unit = _centre(cases, settled)
    design, penalty = _design(cases, centre, unit, settled)
    location = centre + unit * walk_regression(design, (observed - centre) / unit, walk, penalty=penalty)
    error = observed - location
    scale = _walk_scale(cases, walk, location, error, unit=unit, settled=settled)
    group = group_leads(error.shape[1])
    return FirstGuess(location, scale, _walk_shape(walk, error / scale, group), group)


def guess_quantiles(guess: FirstGuess, levels: Floats) -> NDArray[np.float32]:
    """Quantiles (issue, lead, site, level) of a first guess."""
    cumulative = np.concatenate([np.zeros((*guess.shape.shape[:2], 1)), np.cumsum(guess.shape, axis=-1)], axis=-1)
    standard = np.empty((*guess.shape.shape[:2], len(levels)))
    for issue, group in np.ndindex(guess.shape.shape[:2]):
        standard[issue, group] = np.interp(levels, cumulative[issue, group], _SHAPE_EDGES)
    spread = standard[:, guess.group][:, :, None] * guess.scale[..., None]
    return np.asarray(guess.location[..., None] + spread, dtype=np.float32)


def _centre(cases: Cases, settled: int) -> tuple[Floats, float]:
    """Where the regression starts, and the size of what is left: the sources' mean and its first errors, or 0 and 1."""
    if not cases.members:
        return np.zeros(cases.observed.shape), 1.0
    with np.errstate(invalid="ignore"):
        means = np.stack([members.mean(axis=-1) for members in cases.members.values()])
    known = np.isfinite(means)
    total = np.where(known, means, 0).sum(axis=0)
    centre = np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.nan).astype(np.float64)
    error = np.where(_first_known(cases, settled), cases.observed[:settled] - centre[:settled], np.nan)
    unit = float(np.nanstd(error)) if np.isfinite(error).any() else 1.0
    return centre, unit if unit > 1e-6 else 1.0


def _first_known(cases: Cases, settled: int) -> NDArray[np.bool_]:
    """Which of the first cases were known when they had settled."""
    last = min(settled, len(cases.issue_times) - 1)
    return cases.known(cases.issue_times[last])[:settled]


def _design(cases: Cases, centre: Floats, unit: float, settled: int) -> tuple[Floats, Floats]:
    """Terms of the regression (issue, lead, site, term), and how hard each is shrunk."""
    shape = centre.shape
    terms: list[Floats] = []
    season = harmonics(cases.valid_times)[:, :, None, :]
    if cases.members:
        main = _standardise(centre, settled)
        terms.append(main)
        if len(cases.members) > 1:
            terms += [(members.mean(axis=-1) - centre) / unit for members in cases.members.values()]
        for kind in ("fast", "slow", "last"):
            errors = np.stack([cases.recent[f"error_{kind}:{source}"] for source in cases.members])
            terms += _common_and_own(_mean_of_known(errors) / unit)
        terms += [season[..., k] * main for k in range(2)]
        terms += [_standardise(values, settled) for values in cases.predictors.values()]
    else:
        terms += _hinges(cases, settled)
    several_hours = len(np.unique(np.round(season[..., 2], 6))) > 1
    terms += [season[..., k] for k in range(4 if several_hours else 2)]
    stacked = np.stack([np.broadcast_to(np.nan_to_num(term), shape) for term in terms], axis=-1)
    design = np.concatenate([np.ones((*shape, 1)), stacked], axis=-1)
    missing = ~np.isfinite(centre)
    # The constant is nearly free: a source may be wrong on the whole by any amount.
    return np.where(missing[..., None], np.nan, design), np.array([_CONSTANT_HOLD] + [1.0] * len(terms))


def _common_and_own(values: Floats) -> list[Floats]:
    """What all sites share and what is a site's own: the first passes with the weather, the second stays."""
    if values.shape[-1] < _FEWEST_TO_SHARE:
        return [values]
    common = np.broadcast_to(values.mean(axis=-1, keepdims=True), values.shape)
    return [common, values - common]


def _hinges(cases: Cases, settled: int) -> list[Floats]:
    """The most telling quantities bent at knots, and the others as they are."""
    plan = plan_features(cases.take(slice(0, settled)))
    base = base_quantities(cases, plan.accumulated, plan.winds)
    known = _first_known(cases, settled)
    ranked = sorted(
        base,
        key=lambda name: (
            not name.startswith("speed:"),
            -_likeness(base[name][:settled][known], cases.observed[:settled][known]),
        ),
    )
    terms = []
    for number, name in enumerate(ranked):
        values = _standardise(base[name], settled)
        terms.append(values)
        if number < _MOST_HINGED:
            terms += [np.maximum(values - knot, 0.0) for knot in np.nanquantile(values[:settled], _KNOTS)]
    return terms


def _likeness(values: Floats, observed: Floats) -> float:
    """Size of the correlation; 0 where it cannot be told."""
    known = np.isfinite(values)
    if known.sum() < 10 or values[known].std() == 0 or observed[known].std() == 0:
        return 0.0
    return abs(float(np.corrcoef(values[known], observed[known])[0, 1]))


def _standardise(values: Floats, settled: int) -> Floats:
    """In units of the first issue times, which all later ones know."""
    first = values[:settled]
    if not np.isfinite(first).any():
        return np.zeros(values.shape)
    spread = float(np.nanstd(first))
    return np.asarray(np.clip((values - float(np.nanmean(first))) / (spread if spread > 0 else 1.0), -20, 20))


def _mean_of_known(stacked: Floats) -> Floats:
    known = np.isfinite(stacked)
    return np.asarray(np.where(known, stacked, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1))


def _walk_scale(cases: Cases, walk: Walk, location: Floats, error: Floats, *, unit: float, settled: int) -> Floats:
    """Standard error of each case: the site's own running one, times what a regression on its logarithm adds."""
    own = _own_square(cases, error, unit)
    target = np.log((np.square(error) + (0.05 * unit) ** 2) / own) - _MEAN_LOG_CHI_SQUARE
    shape = error.shape
    terms = [np.ones(shape), *_common_and_own(_standardise(np.log(own), settled))]
    spreads = [members.std(axis=-1) for members in cases.members.values() if members.shape[-1] > 2]
    if len(cases.members) > 1:
        spreads.append(np.std(np.stack([members.mean(axis=-1) for members in cases.members.values()]), axis=0))
    terms += [_standardise(np.log(spread + 0.02 * unit), settled) for spread in spreads]
    terms.append(_standardise(np.nan_to_num(location), settled))
    if cases.variable.lower is not None:
        terms += [np.abs(terms[-1]), np.square(np.clip(terms[-1], -4, 4))]
    season = harmonics(cases.valid_times)[:, :, None, :]
    terms += [season[..., k] for k in range(4)]
    design = np.stack([np.broadcast_to(np.nan_to_num(term), shape) for term in terms], axis=-1)
    penalty = np.array([_CONSTANT_HOLD] + [1.0] * (len(terms) - 1))
    more = walk_regression(design, target, walk, penalty=penalty, per_site=False)
    return np.asarray(np.sqrt(own) * np.exp(0.5 * np.clip(np.nan_to_num(more), -4, 4)))


def _own_square(cases: Cases, error: Floats, unit: float) -> Floats:
    """Running mean square error of each site and lead, shrunk towards that of all."""
    total, weight = running_sums(cases, np.square(error), half_life_days=_SCALE_HALF_LIFE_DAYS)
    # Before anything was known: as wide as the first differences between source and observation.
    every = total.sum(axis=2, keepdims=True) + unit**2
    count = weight.sum(axis=2, keepdims=True) + 1.0
    return np.asarray((total + _SCALE_SHRINKAGE * every / count) / (weight + _SCALE_SHRINKAGE))


def _walk_shape(walk: Walk, standard: Floats, group: NDArray[np.intp]) -> Floats:
    """Probability of each bin of the standardised error at each issue time, by group of leads: (issue, group, bin)."""
    groups = int(group[-1]) + 1
    normal = np.diff(stats.norm.cdf(_SHAPE_EDGES))
    bins = np.clip(np.searchsorted(_SHAPE_EDGES, np.nan_to_num(standard)) - 1, 0, len(normal) - 1)
    known = np.isfinite(standard)
    held = np.zeros((groups, len(normal)))
    shape = np.empty((len(standard), groups, len(normal)))
    for issue in range(len(standard)):
        gap = walk.days[issue] - walk.days[issue - 1] if issue else 0.0
        held *= 0.5 ** (gap / _SHAPE_HALF_LIFE_DAYS)
        for earlier, lead in zip(*walk.arrivals[issue], strict=True):
            use = known[earlier, lead]
            if use.any():
                counts = np.bincount(bins[earlier, lead][use], minlength=len(normal))
                held[group[lead]] += counts / use.sum()
        both = 0.7 * held + 0.3 * held.mean(axis=0) + _SHAPE_PRIOR_DAYS * normal
        shape[issue] = both / both.sum(axis=-1, keepdims=True)
    return shape


def with_first_guess(cases: Cases, *, settled: int) -> tuple[Cases, FirstGuess]:
    """The cases with ``recent`` filled in, the first guess and its own latest errors among it.

    Args:
        cases: as they come.
        settled: see :func:`walk_first_guess`.

    Returns:
        Cases whose ``recent`` also holds ``guess`` and ``guess_scale`` and, as if the guess were a source,
        ``error_last:guess``, ``error_fast:guess``, ``error_slow:guess``; and the guess itself.
    """
    cases = with_recent(cases)
    guess = walk_first_guess(cases, settled=settled)
    location = within_limits(cases.variable, guess.location.astype(np.float32))
    own = with_recent(replace(cases, members={"guess": location[..., None]}, predictors={}, recent={}))
    recent = {name: values for name, values in cases.recent.items() if not name.startswith("last:")}
    recent |= {name: values for name, values in own.recent.items() if name.endswith(":guess")}
    recent |= {"guess": location, "guess_scale": guess.scale.astype(np.float32)}
    return replace(cases, recent=recent), guess


def within_limits(variable: Variable, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values cut at the variable's physical limits."""
    return np.asarray(clip_to_limits(values, variable.lower, variable.upper))
