"""Intervals and verdicts that know that weather errors are correlated in time.

All functions take a series of daily means. What is not promised: with fewer than about 30 days, or with a memory as long
as the record, an interval of 95 % covers less often than it says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[Any]
Verdict = Literal["better", "worse", "cannot decide"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its interval. ``n_effective``: how many independent days would be as sure."""

    value: float
    low: float
    high: float
    n: int
    n_effective: float


def effective_sample_size(series: Floats) -> float:
    """Number of independent values with the same variance of the mean, for a first-order autoregressive series.

    Source:
        Wilks (2011), Statistical Methods in the Atmospheric Sciences, 3rd edition, equation 5.12; the correlation is
        corrected for its bias in short series (Kendall 1954).
    """
    n = len(series)
    departure = series - series.mean() if n else series
    total = float(np.sum(np.square(departure)))
    if n < 3 or np.ptp(series) == 0 or total == 0:
        return float(n)
    r = float(np.sum(departure[1:] * departure[:-1])) / total
    r = min(max(r + (1 + 3 * r) / n, 0.0), 0.99)
    return max(n * (1 - r) / (1 + r), 1.0)


def mean_with_interval(series: Floats, *, level: float = 0.95) -> Estimate:
    """Mean of a daily series and an interval for it.

    Standard error by the Bartlett kernel (Newey and West 1987, doi:10.2307/1913610) with a bandwidth of 1.3 sqrt(n), and
    fixed-b critical values, which are wider than Student's because the bandwidth is not small (Lazarus et al. 2018,
    doi:10.1080/07350015.2018.1506926; Kiefer and Vogelsang 2005, doi:10.1017/S0266466605050565).

    Returns:
        NaN interval with fewer than three days.
    """
    values = np.asarray(series, dtype=np.float64)
    values = values[np.isfinite(values)]
    n = len(values)
    if n < 3:
        mean = float(values.mean()) if n else float("nan")
        return Estimate(mean, float("nan"), float("nan"), n, float(n))
    mean = float(values.mean())
    bandwidth = min(int(np.ceil(1.3 * np.sqrt(n))), n - 1)
    departure = values - mean
    variance = float(departure @ departure) / n
    for lag in range(1, bandwidth + 1):
        variance += 2 * (1 - lag / (bandwidth + 1)) * float(departure[lag:] @ departure[:-lag]) / n
    error = np.sqrt(max(variance, 0.0) / n)
    half = _fixed_b_critical(level, (bandwidth + 1) / n) * error
    return Estimate(mean, mean - half, mean + half, n, effective_sample_size(values))


def _fixed_b_critical(level: float, b: float) -> float:
    """Critical value of the Bartlett-kernel t statistic; the cubic of Kiefer and Vogelsang (2005), table 1, for 95 %.

    For other levels the 95 % curve is scaled by the ratio of normal quantiles, an approximation good for 0.9 to 0.99.
    """
    at_95 = 1.96 + 2.9694 * b + 0.4160 * b * b - 0.5324 * b**3
    return float(at_95 * special.ndtri((1 + level) / 2) / 1.959964)


def block_bootstrap_interval(
    series: Floats, *, level: float = 0.95, draws: int = 2000, block: int | None = None, seed: int = 1
) -> tuple[float, float]:
    """Interval of the mean by the circular moving block bootstrap. Use it to cross-check :func:`mean_with_interval`.

    Args:
        series: daily values, finite.
        level: of the interval.
        draws: resamples.
        block: length in days; the cube root rule, at least 5, by default.
        seed: of the resampling.

    Source:
        Politis and Romano (1992), A circular block-resampling procedure for stationary data.
    """
    n = len(series)
    length = min(block or max(round(1.75 * n ** (1 / 3)), 5), n)
    chance = np.random.default_rng(seed)
    starts = chance.integers(0, n, (draws, int(np.ceil(n / length))))
    places = (starts[..., None] + np.arange(length)) % n
    means = series[places.reshape(draws, -1)[:, :n]].mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def skill_with_interval(score: Floats, baseline: Floats, *, level: float = 0.95) -> Estimate:
    """Skill 1 - mean(score) / mean(baseline) of paired daily series, with an interval.

    The interval is that of the paired difference, divided by the baseline's mean: pairing removes the weather both share.
    """
    both = np.isfinite(score) & np.isfinite(baseline)
    if both.sum() < 3 or not float(baseline[both].mean()) > 0:
        return Estimate(float("nan"), float("nan"), float("nan"), int(both.sum()), float(both.sum()))
    difference = mean_with_interval(baseline[both] - score[both], level=level)
    scale = float(baseline[both].mean())
    return Estimate(
        difference.value / scale, difference.low / scale, difference.high / scale, difference.n, difference.n_effective
    )


def decide(skill: Estimate) -> Verdict:
    """Better or worse only if the interval does not touch zero."""
    if skill.low > 0:
        return "better"
    return "worse" if skill.high < 0 else "cannot decide"
