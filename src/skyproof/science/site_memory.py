"""What each site's own record says about a forecast's errors: a regression that forgets, and learns case by case.

For every site a ridge regression of the errors on a few features (a constant, the forecast, the season) is kept as sums that
fade with time. Pseudo-cases hold it at zero, which is what holds for all sites together: a site without record keeps the
pooled forecast, one with three weeks already has a correction of its own. Corrections are prequential (Dawid 1984,
doi:10.2307/2981683): that of a case uses nothing but errors known at its issue time, so the errors left over are those of
real forecasts, and a scale fitted to them is honest.

Arrays are site first: (site, event), an event being one issue time and lead, index ``issue * leads + lead``.
Times are days as float64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from skyproof.science.distributional_regression import share_work

Floats = NDArray[Any]

#: Errors beyond this many scales count as that many: one broken report must not move a site for weeks.
_LARGEST_ERROR = 3.0
#: The same for what is left of them, squared, when a site's scale is learned.
_LARGEST_SQUARE = 25.0


@dataclass(frozen=True, slots=True)
class MemoryTraits:
    """How a memory learns: half life of its sums, pseudo-cases per feature, and pseudo-cases of its scale."""

    half_life_days: float
    pseudo_cases: tuple[float, ...]
    scale_pseudo_cases: float = 30.0


@dataclass(frozen=True, slots=True)
class EventTimes:
    """When events were issued and their outcome known.

    ``issued`` (issue,) and ``known`` (event,), days; rising along the issues. ``until``: nothing known later is learned.
    """

    issued: NDArray[np.float64]
    known: NDArray[np.float64]
    until: float


@dataclass(frozen=True, slots=True)
class SiteMemory:
    """Faded sums as at day ``at``: ``gram`` (site, k, k), ``cross`` (site, k), ``squares`` and ``count`` (site,)."""

    gram: Floats
    cross: Floats
    squares: Floats
    count: Floats
    at: float

    @classmethod
    def empty(cls, sites: int, features: int, at: float) -> SiteMemory:
        """A memory of nothing."""
        shape = (sites, features)
        return cls(np.zeros((*shape, features)), np.zeros(shape), np.zeros(sites), np.zeros(sites), at)


@dataclass(frozen=True, slots=True)
class Corrections:
    """What the memory said of each event at its issue time, (site, event); the last two are (site, issue).

    ``correction`` is to be added to the forecast; ``leverage`` its variance in units of that of one error; ``log_scale``
    how much larger this site's errors are than expected, a natural logarithm. NaN where a feature is missing.
    ``offset_sum`` is the faded sum of the site's errors and ``offset_count`` that of their number.
    """

    correction: Floats
    leverage: Floats
    log_scale: Floats
    offset_sum: Floats
    offset_count: Floats


def remember(
    errors: Floats,
    features: Floats,
    scale: Floats,
    times: EventTimes,
    traits: MemoryTraits,
    *,
    memory: SiteMemory | None = None,
    threads: int | None = 1,
) -> tuple[Corrections, SiteMemory]:
    """Run through the events in the order in which they became known, learning and correcting.

    Args:
        errors: observed minus forecast, (site, event); NaN where unknown.
        features: (site, event, k), of about unit size, the first usually 1.
        scale: expected size of each error, (site, event), above 0.
        times: when what was known.
        traits: how to learn.
        memory: where to begin, for example the memory of the cases before; nothing if not given.
        threads: sites are shared between them; None for as many as pay.

    Returns:
        Corrections of every event, and the memory as at ``times.until``.
    """
    sites, events, count = features.shape
    begin = SiteMemory.empty(sites, count, float(times.issued[0])) if memory is None else memory
    sums = (begin.gram.copy(), begin.cross.copy(), begin.squares.copy(), begin.count.copy())
    issues = len(times.issued)
    out = tuple(
        np.full((sites, length), np.nan, dtype=np.float32) for length in (events, events, events, issues, issues)
    )
    # A stable order makes the result independent of how a sort treats equal times.
    order = np.argsort(times.known, kind="stable")
    arrays = tuple(np.ascontiguousarray(array, dtype=np.float32) for array in (errors, features, scale))
    clock = (
        np.ascontiguousarray(times.issued, dtype=np.float64),
        np.ascontiguousarray(times.known, dtype=np.float64),
        order.astype(np.int64),
        float(times.until),
        float(begin.at),
    )
    pseudo = np.array(traits.pseudo_cases, dtype=np.float64)
    rates = (math.log(0.5) / traits.half_life_days, float(traits.scale_pseudo_cases))

    def work(first: int, last: int) -> None:
        _remember(arrays, clock, (pseudo, *rates), sums, out, (first, last))

    share_work(work, sites, errors.size, threads)
    return Corrections(*out), SiteMemory(*sums, max(float(times.until), begin.at))


@njit(cache=True, nogil=True)
def _invert_into(matrix: Any, pseudo: Any, inverse: Any, work: Any) -> None:
    """Inverse of matrix + diag(pseudo), positive definite, by Gauss-Jordan elimination."""
    n = len(pseudo)
    if n == 1:
        inverse[0, 0] = 1.0 / (matrix[0, 0] + pseudo[0])
        return
    for i in range(n):
        for j in range(n):
            work[i, j] = matrix[i, j]
            inverse[i, j] = 0.0
        work[i, i] += pseudo[i]
        inverse[i, i] = 1.0
    for i in range(n):
        pivot = 1.0 / work[i, i]
        for k in range(n):
            work[i, k] *= pivot
            inverse[i, k] *= pivot
        for j in range(n):
            if j != i:
                factor = work[j, i]
                for k in range(n):
                    work[j, k] -= factor * work[i, k]
                    inverse[j, k] -= factor * inverse[i, k]


@njit(cache=True, nogil=True)
def _fade(gram: Any, cross: Any, tallies: Any, factor: float) -> None:
    for i in range(len(cross)):
        cross[i] *= factor
        for j in range(len(cross)):
            gram[i, j] *= factor
    tallies[0] *= factor
    tallies[1] *= factor


@njit(cache=True, nogil=True)
def _absorb(sums: Any, tallies: Any, f: Any, error: float, left: float, scale: float) -> None:
    """Add one case; ``left`` is what its correction left of its error, per unit of expected size."""
    gram, cross = sums
    limit = _LARGEST_ERROR * scale
    error = min(max(error, -limit), limit)
    for i in range(len(f)):
        cross[i] += f[i] * error
        for j in range(len(f)):
            gram[i, j] += f[i] * f[j]
    if left == left:  # noqa: PLR0124 - false for NaN alone
        tallies[0] += min(left * left, _LARGEST_SQUARE)
        tallies[1] += 1.0


@njit(cache=True, nogil=True)
def _remember(arrays: Any, clock: Any, traits: Any, sums: Any, out: Any, span: Any) -> None:
    errors, features, scale = arrays
    issued, known, order, until, at = clock
    pseudo, rate, scale_pseudo = traits
    correction, leverage, log_scale, offset_sum, offset_count = out
    events, count = errors.shape[1], len(pseudo)
    leads = events // len(issued)
    inverse, work = np.zeros((count, count)), np.zeros((count, count))
    slope, tallies = np.zeros(count), np.zeros(2)
    for s in range(span[0], span[1]):
        gram, cross = sums[0][s], sums[1][s]
        tallies[0], tallies[1] = sums[2][s], sums[3][s]
        now, place = at, 0
        for i in range(len(issued) + 1):
            moment = issued[i] if i < len(issued) else until
            while place < events and known[order[place]] <= min(moment, until):
                e = order[place]
                place += 1
                if np.isnan(errors[s, e]) or np.isnan(features[s, e, count - 1]):
                    continue
                if known[e] > now:
                    _fade(gram, cross, tallies, math.exp(rate * (known[e] - now)))
                    now = known[e]
                left = (errors[s, e] - correction[s, e]) / (scale[s, e] * math.sqrt(1.0 + leverage[s, e]))
                _absorb((gram, cross), tallies, features[s, e], errors[s, e], left, scale[s, e])
            if moment > now:
                _fade(gram, cross, tallies, math.exp(rate * (moment - now)))
                now = moment
            if i == len(issued):
                break
            offset_sum[s, i], offset_count[s, i] = cross[0], gram[0, 0]
            _invert_into(gram, pseudo, inverse, work)
            for j in range(count):
                slope[j] = 0.0
                for k in range(count):
                    slope[j] += inverse[j, k] * cross[k]
            own = 0.5 * math.log((tallies[0] + scale_pseudo) / (tallies[1] + scale_pseudo))
            for e in range(i * leads, (i + 1) * leads):
                f = features[s, e]
                total = doubt = 0.0
                for j in range(count):
                    total += f[j] * slope[j]
                    for k in range(count):
                        doubt += f[j] * inverse[j, k] * f[k]
                correction[s, e], leverage[s, e] = total, doubt
                log_scale[s, e] = own if doubt == doubt else math.nan  # noqa: PLR0124
        sums[2][s], sums[3][s] = tallies[0], tallies[1]
