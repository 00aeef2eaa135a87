"""The first guess of every case: location, scale and shape of the observation, by regression that walks forward in time.

Linear in what the sources say, in how wrong they were lately, and in the season; for a quantity that no source forecasts
(power from wind) in hinges of what is forecast instead. It is cheap, it needs no refit, and what it says of the past is out of
sample, so that other experts can learn its errors.

Arrays have dims (issue, lead, site) unless said otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from skyproof.domain.cases import Cases
from skyproof.science.calendar import harmonics, hour_of_day
from skyproof.science.case_features import FeaturePlan, base_quantities, plan_features
from skyproof.science.online_regression import (
    Walk,
    apply_regression,
    group_leads,
    plan_walk,
    walk_regression,
)
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
    """``location`` and ``scale`` of each case, and ``shape``: (issue, group, bin) probabilities of the standardised error.

    ``state`` is what the walk knew at its last issue time, as arrays; :func:`apply_first_guess` goes on from it.
    """

    location: Floats
    scale: Floats
    shape: Floats
    group: NDArray[np.intp]
    state: Mapping[str, NDArray[Any]] = field(default_factory=dict)


class _Settled:
    """Units and knots as the first issue times set them, noted by name; or as they were noted in an earlier walk."""

    def __init__(self, first: int, noted: Mapping[str, NDArray[Any]] | None = None) -> None:
        self._first, self._walking = first, noted is None
        self.noted: dict[str, NDArray[Any]] = dict(noted or {})

    def note(self, name: str, measure: Callable[[], Any]) -> NDArray[Any]:
        """What ``name`` was when it settled; ``measure`` is asked only by a walk."""
        if self._walking:
            self.noted[name] = np.asarray(measure())
        return self.noted[name]

    def standardise(self, name: str, values: Floats) -> Floats:
        """In units of the first issue times, which all later ones know."""
        centre, spread = self.note(f"unit|{name}", lambda: _centre_and_spread(values[: self._first]))
        return np.asarray(np.clip((values - centre) / spread, -20, 20)) if spread > 0 else np.zeros(values.shape)


def walk_first_guess(cases: Cases, *, settled: int) -> FirstGuess:
    """First guesses from what was known at each issue time.

    Args:
        cases: with ``recent`` filled in (:func:`skyproof.science.recent.with_recent`).
        settled: issue times at the start that set units and knots; guesses of later ones know nothing after themselves.
    """
    arrived = cases.valid_times + np.timedelta64(round(cases.delay_hours * 3600), "s")
    walk, settling = plan_walk(arrived, cases.issue_times), _Settled(settled)
    observed = cases.observed.astype(np.float64)
    centre = _centre(cases)
    unit = float(settling.note("unit", lambda: _first_error(cases, centre, settled)))
    design, penalty = _design(cases, centre, unit, settling, first=settled)
    walked = walk_regression(design, (observed - centre) / unit, walk, penalty=penalty)
    location = centre + unit * walked.prediction
    error = observed - location
    own = _own_square(cases, error, unit)
    target = np.log((np.square(error) + (0.05 * unit) ** 2) / own) - _MEAN_LOG_CHI_SQUARE
    terms, hold = _scale_design(cases, location, own, unit, settling)
    spread = walk_regression(terms, target, walk, penalty=hold, per_site=False)
    scale = _scale(own, spread.prediction)
    group = group_leads(error.shape[1])
    shape = _walk_shape(walk, error / scale, group)
    state = {
        **settling.noted,
        "location": walked.coefficients,
        "scale": spread.coefficients,
        "own": own[-1],
        "shape": shape[-1],
    }
    return FirstGuess(location, scale, shape, group, state)


def apply_first_guess(cases: Cases, state: Mapping[str, NDArray[Any]]) -> FirstGuess:
    """First guesses of later cases from what an earlier walk knew at its last issue time; nothing is learned.

    Args:
        cases: of the variable, sources, leads and sites walked, with ``recent`` filled in.
        state: of the :class:`FirstGuess` walked.

    Returns:
        The guess: of the last issue time walked, the same as the walk's but for rounding.
    """
    settling, centre = _Settled(0, state), _centre(cases)
    unit = float(state["unit"])
    design, _ = _design(cases, centre, unit, settling, first=0)
    location = centre + unit * apply_regression(design, state["location"])
    own = np.broadcast_to(state["own"], location.shape)
    terms, _ = _scale_design(cases, location, own, unit, settling)
    scale = _scale(own, apply_regression(terms, state["scale"]))
    shape = np.broadcast_to(state["shape"], (len(location), *state["shape"].shape))
    return FirstGuess(location, scale, shape, group_leads(location.shape[1]), state)


def guess_quantiles(guess: FirstGuess, levels: Floats) -> NDArray[np.float32]:
    """Quantiles (issue, lead, site, level) of a first guess."""
    cumulative = np.concatenate([np.zeros((*guess.shape.shape[:2], 1)), np.cumsum(guess.shape, axis=-1)], axis=-1)
    standard = np.empty((*guess.shape.shape[:2], len(levels)))
    for issue, group in np.ndindex(guess.shape.shape[:2]):
        standard[issue, group] = np.interp(levels, cumulative[issue, group], _SHAPE_EDGES)
    spread = standard[:, guess.group][:, :, None] * guess.scale[..., None]
    return np.asarray(guess.location[..., None] + spread, dtype=np.float32)


def _centre(cases: Cases) -> Floats:
    """Where the regression starts: the mean of the sources there, or 0 where no source forecasts the quantity."""
    if not cases.members:
        return np.zeros(cases.observed.shape)
    with np.errstate(invalid="ignore"):
        means = np.stack([members.mean(axis=-1) for members in cases.members.values()])
    known = np.isfinite(means)
    total = np.where(known, means, 0).sum(axis=0)
    return np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.nan).astype(np.float64)


def _first_error(cases: Cases, centre: Floats, settled: int) -> float:
    """The unit of what the regression explains: size of the first errors of the sources' mean, or 1."""
    if not cases.members:
        return 1.0
    error = np.where(_first_known(cases, settled), cases.observed[:settled] - centre[:settled], np.nan)
    unit = float(np.nanstd(error)) if np.isfinite(error).any() else 1.0
    return unit if unit > 1e-6 else 1.0


def _first_known(cases: Cases, settled: int) -> NDArray[np.bool_]:
    """Which of the first cases were known when they had settled."""
    last = min(settled, len(cases.issue_times) - 1)
    return cases.known(cases.issue_times[last])[:settled]


def _design(cases: Cases, centre: Floats, unit: float, settling: _Settled, *, first: int) -> tuple[Floats, Floats]:
    """Terms of the regression (issue, lead, site, term), and how hard each is shrunk."""
    shape = centre.shape
    terms: list[Floats] = []
    season = harmonics(cases.valid_times)[:, :, None, :]
    if cases.members:
        main = settling.standardise("centre", centre)
        terms.append(main)
        if len(cases.members) > 1:
            terms += [(members.mean(axis=-1) - centre) / unit for members in cases.members.values()]
        for kind in ("fast", "slow", "last"):
            errors = np.stack([cases.recent[f"error_{kind}:{source}"] for source in cases.members])
            terms += _common_and_own(_mean_of_known(errors) / unit)
        terms += [season[..., k] * main for k in range(2)]
        terms += [settling.standardise(name, values) for name, values in cases.predictors.items()]
    else:
        terms += _hinges(cases, settling, first)
    hours = settling.note("hours", lambda: len(np.unique(hour_of_day(cases.valid_times[: max(first, 1)]))))
    terms += [season[..., k] for k in range(4 if hours > 1 else 2)]
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


def _hinges(cases: Cases, settling: _Settled, first: int) -> list[Floats]:
    """The most telling quantities bent at knots, and the others as they are."""
    if first:
        for name, array in plan_features(cases.take(slice(0, first))).to_arrays().items():
            settling.noted[name] = array
    plan = FeaturePlan.from_arrays(settling.noted)
    base = base_quantities(cases, plan.accumulated, plan.winds)
    terms = []
    for number, name in enumerate(settling.note("ranked", lambda: _ranked(cases, base, first)).tolist()):
        values = settling.standardise(name, base[name])
        terms.append(values)
        if number < _MOST_HINGED:
            knots = settling.note(f"knots|{name}", partial(np.nanquantile, values[:first], _KNOTS))
            terms += [np.maximum(values - knot, 0.0) for knot in knots]
    return terms


def _ranked(cases: Cases, base: Mapping[str, Floats], first: int) -> NDArray[np.str_]:
    """Quantities by how much the first cases say they tell, wind speeds before all."""
    known = _first_known(cases, first)

    def rank(name: str) -> tuple[bool, float]:
        likeness = _likeness(base[name][:first][known], cases.observed[:first][known])
        return (not name.startswith("speed:"), -likeness)

    return np.array(sorted(base, key=rank), dtype=np.str_)


def _likeness(values: Floats, observed: Floats) -> float:
    """Size of the correlation; 0 where it cannot be told."""
    known = np.isfinite(values)
    if known.sum() < 10 or values[known].std() == 0 or observed[known].std() == 0:
        return 0.0
    return abs(float(np.corrcoef(values[known], observed[known])[0, 1]))


def _centre_and_spread(first: Floats) -> tuple[float, float]:
    """Mean and standard deviation; a spread of 0 where nothing is known, and of 1 where nothing varies."""
    if not np.isfinite(first).any():
        return 0.0, 0.0
    spread = float(np.nanstd(first))
    return float(np.nanmean(first)), spread if spread > 0 else 1.0


def _mean_of_known(stacked: Floats) -> Floats:
    known = np.isfinite(stacked)
    return np.asarray(np.where(known, stacked, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1))


def _scale_design(
    cases: Cases, location: Floats, own: Floats, unit: float, settling: _Settled
) -> tuple[Floats, Floats]:
    """Terms of the regression on the logarithm of the squared error beside the site's own, and how hard each is held."""
    shape = location.shape
    terms = [np.ones(shape), *_common_and_own(settling.standardise("log own", np.log(own)))]
    spreads = [members.std(axis=-1) for members in cases.members.values() if members.shape[-1] > 2]
    if len(cases.members) > 1:
        spreads.append(np.std(np.stack([members.mean(axis=-1) for members in cases.members.values()]), axis=0))
    terms += [
        settling.standardise(f"spread {number}", np.log(spread + 0.02 * unit)) for number, spread in enumerate(spreads)
    ]
    terms.append(settling.standardise("location", np.nan_to_num(location)))
    if cases.variable.lower is not None:
        terms += [np.abs(terms[-1]), np.square(np.clip(terms[-1], -4, 4))]
    season = harmonics(cases.valid_times)[:, :, None, :]
    terms += [season[..., k] for k in range(4)]
    design = np.stack([np.broadcast_to(np.nan_to_num(term), shape) for term in terms], axis=-1)
    penalty = np.array([_CONSTANT_HOLD] + [1.0] * (len(terms) - 1))
    return design, penalty


def _scale(own: Floats, more: Floats) -> Floats:
    """Standard error of each case: the site's own running one, times what the regression on its logarithm adds."""
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
    return _with_guess(cases, guess), guess


def with_applied_guess(cases: Cases, state: Mapping[str, NDArray[Any]]) -> Cases:
    """Later cases as :func:`with_first_guess` would fill them in, from what an earlier walk knew at its end.

    Args:
        cases: of the variable, sources, leads and sites walked, from long enough before those asked about that running errors
            have forgotten what was before them.
        state: of the :class:`FirstGuess` walked.
    """
    cases = with_recent(cases)
    return _with_guess(cases, apply_first_guess(cases, state))


def _with_guess(cases: Cases, guess: FirstGuess) -> Cases:
    location = clip_to_limits(guess.location.astype(np.float32), cases.variable.lower, cases.variable.upper)
    own = with_recent(replace(cases, members={"guess": location[..., None]}, predictors={}, recent={}))
    recent = {name: values for name, values in cases.recent.items() if not name.startswith("last:")}
    recent |= {name: values for name, values in own.recent.items() if name.endswith(":guess")}
    recent |= {"guess": location, "guess_scale": guess.scale.astype(np.float32)}
    return replace(cases, recent=recent)
