"""What both tree experts share: which rows they learn from, which target, how a model becomes arrays.

They learn either how wrong the first guess was, in units of its own scale, or the quantity itself: the first needs fewer
cases, the second is free of the first guess's form, and together they are better than either. Sources are dropped at
random in training, so that a forecast without one of them is nothing new.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import lightgbm
import numpy as np
from numpy.typing import NDArray

from skyproof.domain.cases import Cases
from skyproof.science.case_features import FeaturePlan, case_features

Floats = NDArray[np.float32]

#: What both kinds of trees are grown with: one thread and one order of sums, so that the same rows give the same trees.
TREE_PARAMETERS = {
    "bagging_fraction": 0.45,
    "bagging_freq": 1,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
    "seed": 1,
}
#: Rows learned from at most: more change the third digit and cost time in proportion.
MOST_ROWS = 120_000
#: Share of the training rows in which a source is made to be missing.
_DROPPED_ROWS = 0.06
#: Fewer issue times than this, with at least so many cases each, and features that vary by more than this share between
#: issue times are left out.
_ENOUGH_ISSUES, _MANY_SITES, _LARGEST_BETWEEN = 120, 8, 0.5
_DAY_TELLING = ("recent:", "season_", "sources_spread", "spread:")


@dataclass(frozen=True, slots=True)
class Rows:
    """Training rows, oldest first. ``issue`` is the position of each row's issue time; ``names`` are the features'."""

    names: tuple[str, ...]
    features: Floats
    target: Floats
    issue: NDArray[np.intp]


def day_marks(rows: Rows) -> NDArray[np.intp]:
    """Features to leave out, because they tell issue times apart rather than places, and there are few issue times.

    Many stations on one day share one day's error. What varies from day to day only (the mean error of late, the season)
    then marks the day, and trees learn its error by heart. What the sources say of the day itself stays.
    """
    issues, place = np.unique(rows.issue, return_inverse=True)
    if len(issues) >= _ENOUGH_ISSUES or len(place) < _MANY_SITES * len(issues):
        return np.empty(0, dtype=np.intp)
    known = np.isfinite(rows.features)
    filled = np.where(known, rows.features, 0.0)
    count = np.maximum(np.stack([np.bincount(place, known[:, k]) for k in range(known.shape[1])]), 1)
    means = np.stack([np.bincount(place, filled[:, k]) for k in range(known.shape[1])]) / count
    overall = filled.sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    within_all = np.where(known, np.square(filled - overall), 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        between = means.var(axis=1) / within_all
    tells = np.array([name.startswith(_DAY_TELLING) for name in rows.names])
    return np.flatnonzero(tells & ~(between < _LARGEST_BETWEEN))


def training_rows(cases: Cases, as_of: np.datetime64, plan: FeaturePlan, *, errors: bool) -> Rows:
    """Rows of all known cases with a first guess, thinned evenly where there are too many.

    Args:
        cases: with a first guess.
        as_of: what arrived later is not known.
        plan: which features to make.
        errors: learn standardised errors of the first guess, not the quantity.
    """
    target = target_of(cases, errors=errors)
    use = cases.known(as_of) & np.isfinite(target)
    flat = np.flatnonzero(use)
    if len(flat) > MOST_ROWS:
        flat = flat[np.linspace(0, len(flat) - 1, MOST_ROWS).astype(np.intp)]
    names, features = case_features(cases, plan)
    rows = features.reshape(-1, features.shape[-1])[flat]
    issue = flat // (use.shape[1] * use.shape[2])
    _drop_sources(rows, names, tuple(cases.members))
    return Rows(names, rows, target.reshape(-1)[flat].astype(np.float32), issue)


def target_of(cases: Cases, *, errors: bool) -> Floats:
    """What is learned: standardised errors, or observations; NaN without a first guess."""
    if errors:
        return np.asarray((cases.observed - cases.recent["guess"]) / cases.recent["guess_scale"])
    return np.where(np.isfinite(cases.recent["guess"]), cases.observed, np.nan)


def back_to_quantity(cases: Cases, quantiles: Floats, *, errors: bool) -> Floats:
    """Quantiles of the target (issue, lead, site, level) as quantiles of the quantity; NaN without a first guess."""
    guess, scale = cases.recent["guess"][..., None], cases.recent["guess_scale"][..., None]
    if errors:
        return np.asarray(guess + scale * quantiles, dtype=np.float32)
    return np.where(np.isfinite(guess), quantiles, np.nan).astype(np.float32)


def _drop_sources(rows: Floats, names: tuple[str, ...], sources: tuple[str, ...]) -> None:
    """Make each source missing in its own small share of the rows, in place; the same rows every time."""
    if len(sources) < 2:
        return
    chance = np.random.default_rng(len(rows))
    for source in sources:
        # ``alba``, ``spread:alba``, ``alba@run-1`` and ``recent:error_fast:alba@own`` speak of the source alba.
        of_source = re.compile(rf"(^|:){re.escape(source)}(@|$)")
        own = np.array([number for number, name in enumerate(names) if of_source.search(name)], dtype=np.intp)
        gone = chance.random(len(rows)) < _DROPPED_ROWS
        rows[np.ix_(np.flatnonzero(gone), own)] = np.nan


def model_to_array(model: lightgbm.Booster) -> NDArray[np.uint8]:
    """A model as bytes that depend on nothing else."""
    return np.frombuffer(model.model_to_string().encode(), dtype=np.uint8)


def model_from_array(array: NDArray[np.uint8]) -> lightgbm.Booster:
    """The inverse of :func:`model_to_array`."""
    return lightgbm.Booster(model_str=array.tobytes().decode())
