"""Columns that cannot be what they claim: the truth itself, a stuck or constant value, another unit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.bench import PairFinding, Strength
from skyproof.domain.cases import Cases
from skyproof.domain.errors import UnknownNameError
from skyproof.domain.units import UNITS, conversion, find_unit

Floats = NDArray[Any]
_FEWEST = 20
#: Share of pairs that are the same number to the last bit, above which a column is the truth.
_SAME = 0.5
#: Variance of the truth a forecast leaves unexplained: no model of the atmosphere is this good hours ahead.
_PERFECT, _TOO_GOOD = 0.0005, 0.002
#: Repeats of one value that no weather makes, the share of all cases in them that makes a
#: column useless, and that below which they are forgiven.
_LONG_RUN, _FROZEN_SHARE, _RARE = 12, 0.2, 0.005
#: Error after a conversion relative to that before, below which the conversion explains the difference.
_EXPLAINED = 0.4
#: Ratios nearer to one than this may be a model's own bias (a sheltered station has half the wind of its grid cell).
_BIAS_RATIO = 2.6


def find_leak(name: str, forecast: Floats, observed: Floats) -> PairFinding | None:
    """A forecast that is the observation, or nearly.

    Args:
        name: words for the column.
        forecast: (...), any unit.
        observed: (...), NaN where missing.
    """
    both = np.isfinite(forecast) & np.isfinite(observed)
    f, o = forecast[both].astype(np.float64), observed[both].astype(np.float64)
    inside = (o > o.min(initial=np.inf)) & (o < o.max(initial=-np.inf)) if len(o) else np.zeros(0, dtype=bool)
    f, o = f[inside], o[inside]
    if len(o) < _FEWEST or np.ptp(f) == 0 or np.ptp(o) == 0:
        return None
    same = float(np.mean(f == o))
    if same > _SAME:
        return PairFinding(
            "leak",
            "strong",
            f"{name} equals the observation in {100 * same:.0f} % of all pairs: it is the truth, not a forecast",
            "take the column out",
        )
    left = 1 - float(np.corrcoef(f, o)[0, 1]) ** 2
    if left < _TOO_GOOD:
        strength: Strength = "strong" if left < _PERFECT else "weak"
        return PairFinding(
            "leak",
            strength,
            f"{name} explains {100 * (1 - left):.2f} % of the observations' variance, more than any forecast can",
            "check that it was made before the time it speaks of",
        )
    return None


def find_constant(name: str, values: Floats) -> PairFinding | None:
    """A column that always says the same.

    Args:
        name: words for the column.
        values: (...), NaN where missing.
    """
    known = values[np.isfinite(values)]
    if len(known) < _FEWEST or np.ptp(known) > 0:
        return None
    return PairFinding("constant", "strong", f"{name} is always {known[0]:g}", "name another column, or take it out")


def find_frozen(name: str, values: Floats) -> PairFinding | None:
    """A column that stood still for long: a stuck sensor, or a file delivered again and again.

    Lowest and highest value of each place do not count: dry weather, a closed cloud deck and full power may last.

    Args:
        name: words for the column.
        values: (time, ...) in order of time, NaN where missing.
    """
    flat = values.reshape(len(values), -1)
    known = np.isfinite(flat)
    if known.sum() < _FEWEST or len(flat) < _LONG_RUN:
        return None
    lowest = np.where(known, flat, np.inf).min(axis=0)
    highest = np.where(known, flat, -np.inf).max(axis=0)
    flat = np.where((flat == lowest) | (flat == highest), np.nan, flat)
    run = np.ones(flat.shape, dtype=np.int32)
    for time in range(1, len(flat)):
        same = flat[time] == flat[time - 1]
        run[time] = np.where(same, run[time - 1] + 1, 1)
    longest = int(run.max())
    if longest < _LONG_RUN:
        return None
    # A run is counted where it ends: where the next value differs.
    ends = np.concatenate([run[1:] == 1, np.ones((1, flat.shape[1]), dtype=bool)])
    share = float(run[ends & (run >= _LONG_RUN)].sum()) / float(known.sum())
    if share < _RARE:
        return None
    strength: Strength = "strong" if share > _FROZEN_SHARE else "weak"
    return PairFinding(
        "frozen",
        strength,
        f"{name} stands still: the same value up to {longest} times in a row, {100 * share:.1f} % of all cases",
        "mark the stuck values as missing",
    )


def find_wrong_unit(name: str, forecast: Floats, observed: Floats, *, canonical: str, said: str) -> PairFinding | None:
    """A source in another unit than said: a known conversion explains nearly all of its error.

    Args:
        name: words for the source.
        forecast: (...), in the canonical unit if what was said is true.
        observed: (...), canonical.
        canonical: unit of both.
        said: unit that the source was said to be in.
    """
    both = np.isfinite(forecast) & np.isfinite(observed)
    f, o = forecast[both].astype(np.float64), observed[both].astype(np.float64)
    if len(o) < _FEWEST:
        return None
    before = float(np.mean(np.abs(f - o)))
    found = []
    for unit, (scale, offset) in _conversions(canonical, said).items():
        # Numbers as they stand in the table, read as the other unit instead.
        after = float(np.mean(np.abs(f * scale + offset - o)))
        if after < _EXPLAINED * before:
            found.append((after, unit, scale, offset))
    if not found:
        return None
    after, unit, scale, offset = min(found)
    doubtful = offset == 0 and 1 / _BIAS_RATIO < scale < _BIAS_RATIO
    return PairFinding(
        "unit",
        "weak" if doubtful else "strong",
        f"{name} looks like {unit}, said was {said}: its mean error falls from {before:.3g} to {after:.3g} {canonical}",
        f"give the source its unit: {{columns: [...], unit: {unit!r}}}",
    )


def _conversions(canonical: str, said: str) -> dict[str, tuple[float, float]]:
    """Scale and offset that turn canonical values made with the unit said into those made with each other unit."""
    try:
        dimension = find_unit(said).dimension
        to_numbers = conversion(canonical, said)
    except UnknownNameError:  # the table's own unit: kilo, per cent
        return {f"{said} x {factor:g}": (factor, 0.0) for factor in (1000.0, 100.0, 0.01, 0.001)}
    found = {}
    for unit in UNITS:
        if unit.dimension == dimension and unit.code != find_unit(said).code:
            scale, offset = conversion(unit.code, canonical)
            found[unit.code] = (to_numbers[0] * scale, to_numbers[1] * scale + offset)
    return found


def check_columns(cases: Cases, *, said: str) -> list[PairFinding]:
    """Everything that single columns say about themselves."""
    found: list[PairFinding | None] = [find_constant("the target", cases.observed)]
    ahead = [k for k, lead in enumerate(cases.lead_hours) if lead > 0] or list(range(len(cases.lead_hours)))
    truth = cases.observed[:, ahead]
    for source, members in cases.members.items():
        for k in range(members.shape[-1]):
            name = f"source {source}" + (f", member {k + 1}" if members.shape[-1] > 1 else "")
            found.append(find_constant(name, members[..., k]) or find_leak(name, members[..., k][:, ahead], truth))
        first = f"source {source}"
        found.append(find_frozen(first, members[..., 0]))
        found.append(find_wrong_unit(first, members[..., 0], cases.observed, canonical=cases.variable.unit, said=said))
    for feature, values in cases.predictors.items():
        name = f"feature {feature}"
        constant = find_constant(name, values)
        if constant is not None:
            constant = PairFinding("constant", "weak", constant.message, "take it out")
        found.append(constant or find_leak(name, values[:, ahead], truth))
    return [finding for finding in found if finding is not None]
