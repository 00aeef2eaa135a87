"""Forecasts that belong to another hour or another place: found by lagged and cross-site correlation of departures."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.bench import PairFinding, Strength
from skyproof.science.pair_series import PairSeries, TruthGrid

Floats = NDArray[Any]
_FEWEST_PAIRS, _BLOCKS = 100, 10
_LONGEST_SHIFT_SECONDS, _FEWEST_STEPS, _MOST_STEPS = 72 * 3600, 3, 72
#: Share of the unexplained variance a shift must explain, and of the blocks of time in which it must fit better.
_SURE_GAIN, _LIKELY_GAIN, _SURE_WINS, _LIKELY_WINS = 0.10, 0.04, 0.8, 0.75
_LEAST_CORRELATION = 0.5
#: Correlation of the difference of two sites between forecast and truth, and its z value, that only a swap makes.
_SWAPPED, _SURE_Z, _LIKELY_Z = -0.4, -8.0, -6.5
_LEAST_IMPROVEMENT = 0.2
_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class Shift:
    """How much better forecasts fit observations ``steps`` later: ``gain`` is the share of unexplained variance."""

    steps: int
    gain: float
    wins: float
    correlation: float
    correlation_at_zero: float


def best_shift(series: PairSeries, truth: TruthGrid, *, within_seconds: int = _LONGEST_SHIFT_SECONDS) -> Shift | None:
    """The shift at which a forecast fits best, other than none; None with too few pairs.

    Each shift is compared with none on the same pairs, over all and in ten blocks of time. At least three steps are
    tried on both sides, where they are longer than ``within_seconds``.
    """
    furthest = min(max(within_seconds // truth.step, _FEWEST_STEPS), _MOST_STEPS)
    block = np.minimum(np.arange(len(series.place)) * _BLOCKS // max(len(series.place), 1), _BLOCKS - 1)
    here = series.observed(truth)
    found: list[Shift] = []
    for steps in (s for s in range(-furthest, furthest + 1) if s):
        there = series.observed(truth, steps)
        both = np.isfinite(series.forecast) & np.isfinite(here) & np.isfinite(there)
        if both.sum() < _FEWEST_PAIRS:
            continue
        f, a, b = (np.where(both, values, 0).astype(np.float64) for values in (series.forecast, here, there))
        ff, aa, bb, fa, fb = (
            np.bincount(block, weights=(x * y).sum(axis=1), minlength=_BLOCKS)
            for x, y in ((f, f), (a, a), (b, b), (f, a), (f, b))
        )
        at_zero, shifted = _correlation(fa.sum(), ff.sum(), aa.sum()), _correlation(fb.sum(), ff.sum(), bb.sum())
        gain = (shifted * abs(shifted) - at_zero * abs(at_zero)) / max(1 - at_zero * abs(at_zero), 1e-9)
        used = (ff > 0) & (aa > 0) & (bb > 0)
        better = fb[used] / np.sqrt(bb[used]) > fa[used] / np.sqrt(aa[used])
        found.append(Shift(steps, gain, float(better.mean()) if used.any() else 0.0, shifted, at_zero))
    return max(found, key=lambda shift: shift.gain, default=None)


def judge_shift(name: str, shift: Shift | None, *, step_seconds: int) -> PairFinding | None:
    """What a shift says about a table."""
    if shift is None or shift.correlation < _LEAST_CORRELATION:
        return None
    if shift.gain < _LIKELY_GAIN or shift.wins < _LIKELY_WINS:
        return None
    strength: Strength = "strong" if shift.gain >= _SURE_GAIN and shift.wins >= _SURE_WINS else "weak"
    amount, way = _words(abs(shift.steps) * step_seconds), "later" if shift.steps > 0 else "earlier"
    return PairFinding(
        "shifted",
        strength,
        f"{name} fits the observations of {amount} {way} better (correlation {shift.correlation:.2f}) than those it is "
        f"paired with ({shift.correlation_at_zero:.2f}): forecasts look shifted by {amount}",
        f"check time: move valid times of the forecasts {amount} {way}, or look at zones and at which time a row means",
    )


def find_swaps(series: PairSeries, truth: TruthGrid, site_ids: Iterable[str]) -> list[PairFinding]:
    """Pairs of sites whose forecasts belong to each other's observations.

    Where the forecasts of two sites differ, so must the observations: the difference has a positive correlation. At
    swapped sites it is as strong and negative. A pair counts only if each site also fits the other's observations better.
    """
    names = list(site_ids)
    observed = series.observed(truth)
    both = np.isfinite(series.forecast) & np.isfinite(observed)
    f, o = (np.where(both, values, 0).astype(np.float64) for values in (series.forecast, observed))
    m = both.astype(np.float64)
    n = m.T @ m
    cross, alike = f.T @ o, (f * o).T @ m
    ff, oo = (f * f).T @ m, (o * o).T @ m
    with np.errstate(invalid="ignore", divide="ignore"):
        r = (alike + alike.T - cross - cross.T) / np.sqrt(
            np.maximum(ff + ff.T - 2 * (f.T @ f), 0) * np.maximum(oo + oo.T - 2 * (o.T @ o), 0)
        )
        # Site i's forecast with site i's and with site j's observations, at the times both are there.
        own, other = alike / np.sqrt(ff * oo), cross / np.sqrt(ff * oo.T)
        z = np.arctanh(np.clip(r, -0.999, 0.999)) * np.sqrt(np.maximum(n - 3, 0))
        gain = other + other.T - own - own.T
    suspect = np.triu((r < _SWAPPED) & (z < _LIKELY_Z) & (gain > _LEAST_IMPROVEMENT), 1)
    pairs, taken = [], set()
    for i, j in sorted(zip(*np.nonzero(suspect), strict=True), key=lambda pair: float(z[pair])):
        if i not in taken and j not in taken:
            pairs.append((int(i), int(j)))
            taken |= {i, j}
    return [
        PairFinding(
            "swapped",
            "strong" if z[i, j] < _SURE_Z else "weak",
            f"sites {names[i]} and {names[j]} look swapped: forecasts of each fit the observations of the other "
            f"(correlation {other[i, j]:.2f} and {other[j, i]:.2f} instead of {own[i, j]:.2f} and {own[j, i]:.2f})",
            "check which station is which in forecasts and observations",
        )
        for i, j in itertools.islice(pairs, _MOST_NAMED)
    ]


def mean_correlation(series: PairSeries, truth: TruthGrid) -> float:
    """Correlation of departures of forecast and truth over all sites, 0 with too few pairs."""
    observed = series.observed(truth)
    both = np.isfinite(series.forecast) & np.isfinite(observed)
    if both.sum() < _FEWEST_PAIRS:
        return 0.0
    f, o = series.forecast[both].astype(np.float64), observed[both].astype(np.float64)
    return _correlation(float(f @ o), float(f @ f), float(o @ o))


def _correlation(product: float, first: float, second: float) -> float:
    return float(product / np.sqrt(first * second)) if first > 0 and second > 0 else 0.0


def _words(seconds: int) -> str:
    if seconds % 86_400 == 0:
        days = seconds // 86_400
        return f"{days} day{'' if days == 1 else 's'}"
    return f"{seconds / 3600:g} h"
