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
from skyproof.domain.units import Unit, conversion, find_unit
from skyproof.domain.variables import Variable, find_variable
from skyproof.science.quantile_functions import clip_to_limits, interpolate_quantiles
from skyproof.stages.deliver.parameters import suggestion
from skyproof.stages.deliver.questions import ForecastRequest
from skyproof.stages.deliver.thresholds import PROBABILITY_DECIMALS, Threshold, crossing_probability
from skyproof.stages.deliver.time_axis import TimeAxis

#: A gap for which the run's maker gave no reason.
_UNEXPLAINED = "not_in_run"
_LEVEL_INDEX = {level: index for index, level in enumerate(LEVELS)}
_ONE = find_unit("1")


@dataclass(frozen=True, slots=True)
class Column:
    """What one column holds: the mean of a variable unless ``level``, ``threshold`` or ``member`` (from 1) says otherwise.

    ``aggregation`` is how a day's values became one; empty for values at the run's steps.
    """

    name: str
    variable: Variable
    unit: Unit
    cell_method: str
    aggregation: str = ""
    level: float | None = None
    threshold: Threshold | None = None
    member: int = 0


@dataclass(frozen=True, slots=True)
class Heads:
    """The columns of a block, and what is said of each, in their order."""

    columns: tuple[Column, ...]
    names: tuple[str, ...]
    symbols: tuple[str, ...]
    cell_methods: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Scale:
    """From canonical units to those written, for each variable of a block: arrays of shape (variable, 1, 1)."""

    scale: NDArray[np.float64]
    offset: NDArray[np.float64]
    factor: NDArray[np.float64]

    def write(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values (variable, statistic, step) converted and rounded."""
        # Dividing a whole number by a power of ten gives the double nearest to the decimal, hence its shortest spelling;
        # adding zero turns -0 into 0.
        return np.asarray(np.rint((values * self.scale + self.offset) * self.factor) / self.factor + 0.0)

    def canonical(self, row: int, value: float) -> float:
        """A value in the unit of the answer's variable ``row``, in its canonical unit."""
        return (value - float(self.offset[row, 0, 0])) / float(self.scale[row, 0, 0])


@dataclass(frozen=True, slots=True)
class ColumnPlan:
    """What does not depend on the site: which variables of the run, how converted, and what the columns are called.

    The columns are (variable, statistic) in row-major order, the mean first; then thresholds; then members, (variable, member).
    ``thresholds`` name the row of their variable and their value in canonical units.
    """

    variables: tuple[Variable, ...]
    rows: NDArray[np.intp]
    levels: tuple[float, ...]
    level_rows: NDArray[np.intp] | None
    thresholds: tuple[tuple[int, Threshold, float], ...]
    members: int
    heads: Heads
    scale: Scale
    reason_names: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return self.heads.names

    @property
    def symbols(self) -> tuple[str, ...]:
        """Symbols of their units."""
        return self.heads.symbols


@dataclass(frozen=True, slots=True)
class Columns:
    """One site's numbers. ``values``: (column, step), NaN where missing.

    ``missing``: for each variable with gaps, step to reason. ``canonical``: the same values before conversion and
    rounding, float32, canonical units.
    """

    values: NDArray[np.float64]
    canonical: NDArray[np.float32]
    missing: Mapping[str, Mapping[str, str]]


def level_name(level: float) -> str:
    """The suffix of a quantile's column: 0.1 is ``p10``, 0.025 is ``p2_5``."""
    return f"p{round(level * 100, 2):g}".replace(".", "_")


def member_name(member: int) -> str:
    """The suffix of a member's column, as Open-Meteo's ensembles have it: ``member01``."""
    return f"member{member:02d}"


def plan_columns(run_variables: Sequence[str], reason_names: Sequence[str], request: ForecastRequest) -> ColumnPlan:
    """Match what is asked for with what a run has.

    Args:
        run_variables: names of the run's variables, in its order.
        reason_names: what the run's reason codes mean.
        request: variables, levels, thresholds, members and units wanted.

    Raises:
        UnknownNameError: the run has no such variable.
    """
    for name in request.variables:
        check_in_run(name, run_variables)
    variables = tuple(find_variable(name) for name in request.variables)
    units = [wanted_unit(request, variable.unit) for variable in variables]
    scale = make_scale([v.unit for v in variables], units, [v.decimals for v in variables])
    known = [_LEVEL_INDEX.get(level) for level in request.levels]
    place = {variable.name: row for row, variable in enumerate(variables)}
    subjects = [Column(v.name, v, u, v.cell_method) for v, u in zip(variables, units, strict=True)]
    return ColumnPlan(
        variables,
        np.array([run_variables.index(v.name) for v in variables], dtype=np.intp),
        request.levels,
        None if None in known else np.array(known, dtype=np.intp),
        tuple(
            (place[threshold.name], threshold, scale.canonical(place[threshold.name], threshold.value))
            for threshold in request.hourly_thresholds
        ),
        request.members,
        make_heads(subjects, request.levels, request.hourly_thresholds, request.members),
        scale,
        tuple(reason_names),
    )


def check_in_run(name: str, run_variables: Sequence[str]) -> None:
    """Refuse a variable that a run has not.

    Raises:
        UnknownNameError: with what the run has.
    """
    if name not in run_variables:
        hint = suggestion(name, tuple(run_variables)) or f"it has {', '.join(run_variables)}"
        raise UnknownNameError(f"variable {name} is not in this run", hint=hint)


def wanted_unit(request: ForecastRequest, code: str) -> Unit:
    """The unit in which a quantity of unit ``code`` is written."""
    return find_unit(request.unit(find_unit(code).dimension, code))


def make_scale(codes: Sequence[str], units: Sequence[Unit], decimals: Sequence[int]) -> Scale:
    """The conversion of variables kept in units ``codes``; a finer unit gets more decimals: 0.01 mm are 0.0004 inch."""
    scales = [conversion(code, unit.code) for code, unit in zip(codes, units, strict=True)]
    finer = [count + max(0, int(np.ceil(-np.log10(s)))) for count, (s, _) in zip(decimals, scales, strict=True)]
    column = (-1, 1, 1)
    return Scale(
        np.array([s for s, _ in scales]).reshape(column),
        np.array([o for _, o in scales]).reshape(column),
        np.array([10.0**count for count in finer]).reshape(column),
    )


def make_heads(
    subjects: Sequence[Column], levels: Sequence[float], thresholds: Sequence[Threshold], members: int
) -> Heads:
    """The columns of ``subjects``: mean and quantiles of each, then thresholds, then members of each."""
    columns = [
        column
        for mean in subjects
        for column in (mean, *(_variant(mean, level_name(level), level=level) for level in levels))
    ]
    known = {mean.name: mean for mean in subjects}
    columns += [
        Column(crossed.column, mean.variable, _ONE, mean.cell_method, mean.aggregation, threshold=crossed)
        for crossed in thresholds
        for mean in (known[crossed.name],)
    ]
    numbers = range(1, members + 1)
    columns += [_variant(mean, member_name(number), member=number) for mean in subjects for number in numbers]
    return Heads(
        tuple(columns),
        tuple(column.name for column in columns),
        tuple(column.unit.symbol for column in columns),
        tuple(column.cell_method for column in columns),
    )


def _variant(mean: Column, suffix: str, *, level: float | None = None, member: int = 0) -> Column:
    name = f"{mean.name}_{suffix}"
    return Column(name, mean.variable, mean.unit, mean.cell_method, mean.aggregation, level=level, member=member)


def make_columns(
    series: SiteSeries, plan: ColumnPlan, axis: TimeAxis, *, members: NDArray[np.float32] | None = None
) -> Columns:
    """The numbers of one site.

    Args:
        series: the site in the run: mean (variable, lead), quantiles (variable, lead, level).
        plan: from :func:`plan_columns` of the same run.
        axis: which steps.
        members: (variable of the run, lead, member), where the plan has members.
    """
    steps = slice(axis.first, axis.last)
    mean = series.mean[plan.rows, steps]
    values = np.empty((len(plan.rows), 1 + len(plan.levels), len(axis)))
    values[:, 0] = mean
    if plan.levels:
        values[:, 1:] = _quantiles(series.quantiles[plan.rows, steps], plan).transpose(0, 2, 1)
    kept = [values.reshape(-1, len(axis))]
    written = [plan.scale.write(values).reshape(-1, len(axis))]
    if plan.thresholds:
        crossed = np.stack([
            crossing_probability(
                series.quantiles[plan.rows[row], steps], plan.variables[row], above=threshold.above, value=value
            )
            for row, threshold, value in plan.thresholds
        ])  # fmt: skip
        kept.append(crossed)
        written.append(write_probabilities(crossed))
    if members is not None:
        drawn = members[plan.rows, steps].transpose(0, 2, 1).astype(np.float64)
        kept.append(drawn.reshape(-1, len(axis)))
        written.append(plan.scale.write(drawn).reshape(-1, len(axis)))
    gaps = np.isnan(mean)
    missing = _reasons(series, plan, axis, gaps) if gaps.any() else {}
    if len(kept) == 1:
        return Columns(written[0], kept[0].astype(np.float32), missing)
    return Columns(np.ascontiguousarray(np.concatenate(written)), np.concatenate(kept).astype(np.float32), missing)


def write_probabilities(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities rounded as they are written."""
    return np.asarray(np.round(values, PROBABILITY_DECIMALS) + 0.0)


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
                str(step): reason_of(int(codes[step]), plan.reason_names) for step in np.flatnonzero(gaps[row])
            }
    return found


def reason_of(code: int, names: Sequence[str]) -> str:
    """What a reason code says of a gap."""
    return names[code] if 0 < code < len(names) else _UNEXPLAINED


class ValueDigest:
    """Digest of an answer's values whatever its form: UTC times and float32 in canonical units, site by site."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, site_id: str, names: Sequence[str], valid_seconds: NDArray[np.int64], columns: Columns) -> None:
        """Add one site: its id, column names, times (int64, little endian), values (float32, little endian)."""
        self._hash.update("\n".join((site_id, *names, "")).encode())
        self._hash.update(valid_seconds.astype("<i8").tobytes())
        self._hash.update(columns.canonical.astype("<f4").tobytes())

    def hexdigest(self) -> str:
        """The digest so far, as hex."""
        return self._hash.hexdigest()
