"""The numbers of an answer: chosen variables, levels and steps, in the units asked for, rounded as they are written."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skyproof.archive.runs import SiteSeries
from skyproof.domain.errors import UnknownNameError
from skyproof.domain.quantiles import LEVELS
from skyproof.domain.units import conversion, find_unit
from skyproof.domain.variables import Variable, find_variable
from skyproof.science.quantile_functions import clip_to_limits, interpolate_quantiles
from skyproof.stages.deliver.parameters import suggestion
from skyproof.stages.deliver.requests import ForecastRequest
from skyproof.stages.deliver.time_axis import TimeAxis

#: A gap for which the run's maker gave no reason.
_UNEXPLAINED = "not_in_run"
_LEVEL_INDEX = {level: index for index, level in enumerate(LEVELS)}


@dataclass(frozen=True, slots=True)
class ColumnPlan:
    """What does not depend on the site: which variables of the run, how converted, and what the columns are called.

    ``names``, ``symbols`` and ``cell_methods`` have one entry per column, (variable, statistic) in row-major order;
    ``scale``, ``offset`` and ``factor`` (ten to the decimals) have shape (variable, 1, 1).
    """

    variables: tuple[Variable, ...]
    rows: NDArray[np.intp]
    levels: tuple[float, ...]
    level_rows: NDArray[np.intp] | None
    names: tuple[str, ...]
    symbols: tuple[str, ...]
    cell_methods: tuple[str, ...]
    scale: NDArray[np.float64]
    offset: NDArray[np.float64]
    factor: NDArray[np.float64]
    reason_names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Columns:
    """One site's numbers. ``values``: (variable, statistic, step), the mean first; NaN where missing.

    ``missing``: for each variable with gaps, step to reason. ``canonical``: the same values before conversion and
    rounding, float32, canonical units.
    """

    values: NDArray[np.float64]
    canonical: NDArray[np.float32]
    missing: Mapping[str, Mapping[str, str]]


def level_name(level: float) -> str:
    """The suffix of a quantile's column: 0.1 is ``p10``, 0.025 is ``p2_5``."""
    return f"p{round(level * 100, 2):g}".replace(".", "_")


def plan_columns(run_variables: Sequence[str], reason_names: Sequence[str], request: ForecastRequest) -> ColumnPlan:
    """Match what is asked for with what a run has.

    Args:
        run_variables: names of the run's variables, in its order.
        reason_names: what the run's reason codes mean.
        request: variables, levels and units wanted.

    Raises:
        UnknownNameError: the run has no such variable.
    """
    for name in request.variables:
        if name not in run_variables:
            hint = suggestion(name, tuple(run_variables)) or f"it has {', '.join(run_variables)}"
            raise UnknownNameError(f"variable {name} is not in this run", hint=hint)
    variables = tuple(find_variable(name) for name in request.variables)
    units = [find_unit(request.unit(find_unit(v.unit).dimension, v.unit)) for v in variables]
    scales = [conversion(variable.unit, unit.code) for variable, unit in zip(variables, units, strict=True)]
    suffixes = ["", *(f"_{level_name(level)}" for level in request.levels)]
    known = [_LEVEL_INDEX.get(level) for level in request.levels]
    columns = [(v, u, suffix) for v, u in zip(variables, units, strict=True) for suffix in suffixes]
    # A finer unit needs more decimals to say as much: 0.01 mm are 0.0004 inch.
    decimals = [v.decimals + max(0, int(np.ceil(-np.log10(s)))) for v, (s, _) in zip(variables, scales, strict=True)]
    column = (-1, 1, 1)
    return ColumnPlan(
        variables,
        np.array([run_variables.index(v.name) for v in variables], dtype=np.intp),
        request.levels,
        None if None in known else np.array(known, dtype=np.intp),
        tuple(v.name + suffix for v, _, suffix in columns),
        tuple(u.symbol for _, u, _ in columns),
        tuple(v.cell_method for v, _, _ in columns),
        np.array([s for s, _ in scales]).reshape(column),
        np.array([o for _, o in scales]).reshape(column),
        np.array([10.0**d for d in decimals]).reshape(column),
        tuple(reason_names),
    )


def make_columns(series: SiteSeries, plan: ColumnPlan, axis: TimeAxis) -> Columns:
    """The numbers of one site.

    Args:
        series: the site in the run: mean (variable, lead), quantiles (variable, lead, level).
        plan: from :func:`plan_columns` of the same run.
        axis: which steps.
    """
    steps = slice(axis.first, axis.last)
    mean = series.mean[plan.rows, steps]
    values = np.empty((len(plan.rows), 1 + len(plan.levels), len(axis)))
    values[:, 0] = mean
    if plan.levels:
        values[:, 1:] = _quantiles(series.quantiles[plan.rows, steps], plan).transpose(0, 2, 1)
    written = values * plan.scale + plan.offset
    # Dividing a whole number by a power of ten gives the double nearest to the decimal, hence its shortest spelling;
    # adding zero turns -0 into 0.
    written = np.rint(written * plan.factor) / plan.factor + 0.0
    gaps = np.isnan(mean)
    missing = _reasons(series, plan, axis, gaps) if gaps.any() else {}
    return Columns(written, values.astype(np.float32), missing)


def _quantiles(quantiles: NDArray[np.float64], plan: ColumnPlan) -> NDArray[np.float64]:
    if plan.level_rows is not None:
        return np.asarray(quantiles[..., plan.level_rows])
    found = np.array(interpolate_quantiles(quantiles, np.array(plan.levels)))
    for row, variable in enumerate(plan.variables):
        # Levels beyond the outermost are extended and may leave what is possible.
        found[row] = clip_to_limits(found[row], variable.lower, variable.upper)
    return found


def _reasons(
    series: SiteSeries, plan: ColumnPlan, axis: TimeAxis, gaps: NDArray[np.bool_]
) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for row, variable in enumerate(plan.variables):
        codes = series.reasons[plan.rows[row], axis.first : axis.last]
        if gaps[row].any():
            found[variable.name] = {
                str(step): plan.reason_names[codes[step]] if 0 < codes[step] < len(plan.reason_names) else _UNEXPLAINED
                for step in np.flatnonzero(gaps[row])
            }
    return found


class ValueDigest:
    """Digest of an answer's values whatever its form: UTC times and float32 in canonical units, site by site."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, site_id: str, plan: ColumnPlan, axis: TimeAxis, columns: Columns) -> None:
        """Add one site: its id, column names, times (int64, little endian), values (float32, little endian)."""
        self._hash.update("\n".join((site_id, *plan.names, "")).encode())
        self._hash.update(axis.valid_seconds.astype("<i8").tobytes())
        self._hash.update(columns.canonical.astype("<f4").tobytes())

    def hexdigest(self) -> str:
        """The digest so far, as hex."""
        return self._hash.hexdigest()
