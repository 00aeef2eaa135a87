"""Signs that the values of a cycle are not what they claim to be.

Every check takes the values of one cycle (variable, lead, site, member) in canonical units and gives a reason in
words, or nothing. None of them changes a value.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.variables import Variable

# Numbers that formats and people write for "no value". They count as such only where they are implausible as a value.
SENTINELS = np.array(
    (-99, -999, -999.9, -9999, -99999, -32767, -32768, 999, 999.9, 9999, 99999, 999999, 32767, 65535,
     1e15, -1e15, 1e20, -1e20, 1e30, -1e30, 9.969209968386869e36, 3.4028235e38, -3.4028235e38), dtype=np.float32,
)  # fmt: skip
#: Fewer values than this repeat or agree by chance.
FEWEST_VALUES = 24


def mark_fill_values(
    values: NDArray[np.float32], plausible: tuple[float, float]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]] | None:
    """Which values stand for "no value", and which others are implausible.

    Args:
        values: any shape, in the unit of ``plausible``.
        plausible: lowest and highest value a healthy source reports.

    Returns:
        Two masks of the shape of ``values``; None if every value is plausible or missing.
    """
    low, high = np.nanmin(values, initial=np.inf), np.nanmax(values, initial=-np.inf)
    if low >= plausible[0] and high <= plausible[1]:
        return None
    outside = (values < plausible[0]) | (values > plausible[1])
    fill = np.zeros_like(outside)
    strange = values[outside]
    fill[outside] = ~np.isfinite(strange) | np.isin(strange, SENTINELS)
    return fill, outside & ~fill


def frozen_variables(
    now: NDArray[np.float32], before: NDArray[np.float32], variables: tuple[Variable, ...]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Variables whose values are those of the cycle before, position by position.

    Constant variables (no rain anywhere) say nothing either way. Values are compared to the step to which the archive
    keeps them, since the cycle before may come from there.

    Args:
        now: dims (variable, lead, site, member).
        before: the same dims.
        variables: what they are.

    Returns:
        The frozen variables, and all that could have shown it.
    """
    frozen, judged = [], []
    for index, variable in enumerate(variables):
        a, b = now[index].reshape(-1), before[index].reshape(-1)
        # A look at a part is enough to acquit.
        part = slice(None, None, max(len(a) // 512, 1))
        same = _same(a[part], b[part], variable.resolution) and _same(a, b, variable.resolution)
        both = ~np.isnan(a) & ~np.isnan(b) if same else ~np.isnan(a)
        if np.count_nonzero(both) < FEWEST_VALUES:
            continue
        if same and len(np.unique(np.rint(a[both] / variable.resolution))) < FEWEST_VALUES:
            continue
        if not same and len(np.unique(a[part][~np.isnan(a[part])])) < 2:
            continue
        judged.append(variable.name)
        if same:
            frozen.append(variable.name)
    return tuple(frozen), tuple(judged)


def _same(a: NDArray[np.float32], b: NDArray[np.float32], resolution: float) -> bool:
    either = np.isnan(a) | np.isnan(b)
    if either.all() or not np.array_equal(np.isnan(a), np.isnan(b)):
        return False
    difference = np.abs(a - b)
    return bool(np.all(difference[~either] <= 0.51 * resolution + 1e-5 * np.abs(b[~either])))


def duplicate_members(values: NDArray[np.float32]) -> tuple[tuple[int, int], ...]:
    """Pairs of members (later, earlier; from 1) that are equal everywhere.

    Args:
        values: dims (..., member). Members without any value, or constant everywhere, are not compared.
    """
    cells = values.reshape(-1, values.shape[-1])
    if values.shape[-1] < 2 or len(cells) == 0:
        return ()
    part = np.nan_to_num(cells[:: max(len(cells) // 256, 1)], nan=-12345.0)
    _, first, inverse = np.unique(part, axis=1, return_index=True, return_inverse=True)
    if len(first) == part.shape[1]:
        return ()
    pairs = []
    for member, group in enumerate(inverse.reshape(-1)):
        earlier = int(first[group])
        if earlier == member:
            continue
        a, b = cells[:, member], cells[:, earlier]
        there = a[~np.isnan(a)]
        if len(np.unique(there)) >= FEWEST_VALUES and np.array_equal(a, b, equal_nan=True):
            pairs.append((member + 1, earlier + 1))
    return tuple(pairs)


def constant_at(values: NDArray[np.float32], variable: Variable) -> float | None:
    """The one value that a whole cycle of a variable has, unless that can be weather (no rain, a closed cloud cover).

    Args:
        values: dims (lead, site, member).
        variable: what they are.
    """
    low, high = np.nanmin(values, initial=np.inf), np.nanmax(values, initial=-np.inf)
    if low != high or np.count_nonzero(~np.isnan(values)) < FEWEST_VALUES:
        return None
    natural = variable.family in ("censored", "bounded") and low in (variable.lower, variable.upper)
    return None if natural else float(low)
