"""The forecasts of a table as cubes: one for each source, members last, from a wide or a long table."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.cases import Floats
from skyproof.domain.errors import ContractError
from skyproof.stages.sources.case_axes import Rows, scatter
from skyproof.stages.sources.case_columns import Plan
from skyproof.stages.sources.case_spec import CaseSpec, PivotSpec
from skyproof.stages.sources.case_table import Table
from skyproof.stages.sources.case_variable import Measured


def wide_members(rows: Rows, plan: Plan, spec: CaseSpec, measured: Measured) -> tuple[dict[str, Floats], list[str]]:
    """Members of every source from columns, in the canonical unit, and warnings."""
    table, axes = rows.table, rows.axes
    members, warnings = {}, []
    for source, columns in plan.members.items():
        cube = np.empty((*axes.shape, len(columns)), dtype=np.float32)
        for k, column in enumerate(columns):
            values, warning = _possible(table.numbers(column), measured, spec.sources[source].unit, source, column)
            cube[..., k] = scatter(axes, values)
            warnings += [warning] if warning else []
        members[source] = cube
    return members, warnings


def long_members(
    rows: Rows, spec: CaseSpec, pivot: PivotSpec, measured: Measured
) -> tuple[dict[str, Floats], list[str]]:
    """Members of every source from rows, in the canonical unit, and warnings.

    Raises:
        ContractError: a source of the spec has no row; a source says the same thing twice.
    """
    table, axes = rows.table, rows.axes
    names = table.texts(pivot.source) if pivot.source else np.full(table.rows, pivot.value, dtype=object)
    numbers = table.numbers(pivot.value)
    listed = _listed(spec, names)
    member_words = table.texts(pivot.member).astype(str) if pivot.member else np.full(table.rows, "0", dtype=object)
    members, warnings = {}, []
    for source, wanted in listed.items():
        chosen = np.flatnonzero(np.isin(names.astype(str), wanted))
        if not len(chosen):
            held = sorted({str(name) for name in names})[:10]
            raise ContractError(
                f"sources.{source}: no row has {pivot.source} = {', '.join(wanted)}", hint=f"it holds {', '.join(held)}"
            )
        words = np.char.add(np.char.add(names[chosen].astype(str), "/"), member_words[chosen].astype(str))
        labels, member = np.unique(words, return_inverse=True)
        keys = axes.cell[chosen] * len(labels) + member
        _refuse_repeats(rows, chosen, keys)
        unit = spec.sources[source].unit if source in spec.sources else None
        values, warning = _possible(numbers[chosen], measured, unit, source, pivot.value)
        cube = np.empty((*axes.shape, len(labels)), dtype=np.float32)
        for k in range(len(labels)):
            mine = member == k
            cube[..., k] = scatter(axes, values[mine], chosen[mine])
        members[source] = cube
        warnings += [warning] if warning else []
    return members, warnings


def count_members(table: Table, plan: Plan, spec: CaseSpec) -> int:
    """How many cubes the forecasts fill."""
    if spec.pivot is None:
        return sum(map(len, plan.members.values()))
    words = [table.texts(column).astype(str) for column in (spec.pivot.source, spec.pivot.member) if column]
    if not words:
        return 1
    joined = words[0] if len(words) == 1 else np.char.add(np.char.add(words[0], "/"), words[1])
    return len(np.unique(joined))


def _listed(spec: CaseSpec, names: NDArray[np.object_]) -> Mapping[str, tuple[str, ...]]:
    if spec.sources:
        return {source: held.columns for source, held in spec.sources.items()}
    return {str(name): (str(name),) for name in sorted({name for name in names if name is not None})}


def _refuse_repeats(rows: Rows, chosen: NDArray[np.intp], keys: NDArray[np.int64]) -> None:
    spread = -np.arange(1, rows.table.rows + 1)  # rows of other sources repeat nothing
    spread[chosen] = keys
    rows.refuse_repeats(spread)


def _possible(
    values: NDArray[np.float64], measured: Measured, unit: str | None, source: str, column: str
) -> tuple[NDArray[np.float64], str]:
    """Values in the canonical unit; those no model could mean are missing, and the warning says so."""
    named = f"{source}: column {column!r}"
    canonical = measured.to_canonical(values, unit)
    measured.refuse_unit(canonical, named, unit)
    low, high = measured.variable.plausible
    # A rain model may go a little below zero; only what is far outside is a mark for a missing value.
    slack = 0.05 * (high - low) if np.isfinite(high - low) else 0.0
    beyond = np.isinf(canonical) | (canonical < low - slack) | (canonical > high + slack)
    if not beyond.any():
        return canonical, ""
    return np.where(beyond, np.nan, canonical), f"{named}: {beyond.sum():,} values beyond what can be count as missing"
