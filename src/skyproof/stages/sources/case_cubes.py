"""From a table to cases: reads what a spec describes, checks it at the door, and says what it will judge."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skyproof import __version__
from skyproof.domain.bench import BenchTable
from skyproof.domain.cases import Cases, Floats
from skyproof.domain.errors import ContractError, InvalidValueError
from skyproof.domain.times import to_datetime64
from skyproof.stages.sources.case_axes import Axes, Rows, find_axes, part_namesakes, read_places, read_sites, scatter
from skyproof.stages.sources.case_columns import Plan, plan_columns
from skyproof.stages.sources.case_members import count_members, long_members, wide_members
from skyproof.stages.sources.case_observed import read_observed
from skyproof.stages.sources.case_spec import CaseSpec, load_case_spec
from skyproof.stages.sources.case_table import digest_files, keep_rows, read_table
from skyproof.stages.sources.case_times import read_times
from skyproof.stages.sources.case_variable import Measured, find_measured, hold_in_limits

#: Fewer cases than this known before the first judged one teach nothing.
_FEWEST_TO_LEARN = 10


def load_bench_table(path: Path, *, data_folders: Sequence[Path] = ()) -> BenchTable:
    """Read a spec and the table it describes.

    Args:
        path: of the spec.
        data_folders: where files are looked for after the spec's own folder; also in a folder named like the table.

    Raises:
        InputError: spec or table are wrong; the message names the key, column or row, and what to do.
    """
    spec = load_case_spec(path)
    folders = [path.parent]
    for folder in data_folders:
        folders += [folder, folder / spec.name]
    return build_bench_table(spec, folders)


def build_bench_table(spec: CaseSpec, folders: Sequence[Path]) -> BenchTable:
    """The cases of a table whose files lie in one of the folders.

    Raises:
        InputError: the table is wrong; the message names the column or row, and what to do.
    """
    plan = plan_columns(spec, folders)
    table = read_table(plan.paths, plan.columns, plan.reading)
    if spec.where:
        table = keep_rows(table, spec.where)
    times = read_times(table, spec.time)
    sites = read_sites(table, spec.site, is_column=plan.site_is_column)
    sites, namesakes = part_namesakes(table, spec.site, times, sites)
    cubes = count_members(table, plan, spec) + len(plan.features) + 1
    axes = find_axes(times, sites, values_per_cell=cubes)
    rows = Rows(table, times, sites, axes)
    if spec.pivot is None:
        rows.refuse_repeats(axes.cell)
    places, moving = read_places(table, spec.site, axes)
    rows_observed, column = read_observed(rows, plan, spec)
    measured = find_measured(spec.target, rows_observed)
    rows_observed, changed = hold_in_limits(measured, measured.to_canonical(rows_observed), column)
    observed = _observed_cube(axes, rows_observed)
    if spec.pivot is None:
        members, doubtful = wide_members(rows, plan, spec, measured)
    else:
        members, doubtful = long_members(rows, spec, spec.pivot, measured)
    members, absent = _drop_absent(members)
    predictors = {name: scatter(axes, _finite(table.numbers(name))) for name in plan.features}
    predictors, absent_features = _drop_absent(predictors)
    if not members and not predictors:
        raise ContractError("no source and no feature holds a single value", hint="check sources and features")
    cases = Cases(
        variable=measured.variable,
        issue_times=axes.issue_times,
        lead_hours=axes.lead_hours,
        sites=places,
        members=members,
        predictors=predictors,
        observed=observed,
        delay_hours=spec.target.observation_delay_hours or 0.0,
    )
    warnings = (*plan.warnings, *namesakes, *moving, changed, *doubtful, *absent, *absent_features)
    found = _ask(spec, plan, cases, measured, tuple(warning for warning in warnings if warning))
    check_question(found)
    if unspoken := int(found.asked.sum()) - int(found.scored.sum()):
        told = f"{unspoken:,} cases of the period have an observation and no forecast at all; they are not scored"
        found = replace(found, warnings=(*found.warnings, told))
    return found


def check_question(table: BenchTable) -> None:
    """Refuse a question that the table cannot answer.

    Raises:
        InvalidValueError: the period lies outside of the data, or nothing is known before it.
    """
    cases, scored = table.cases, table.scored
    first, last = cases.valid_times.min(), cases.valid_times.max()
    if table.evaluate_from > last or table.evaluate_until < first:
        raise InvalidValueError(
            f"evaluate.from {table.evaluate_from} to {table.evaluate_until} lies outside of the table, which speaks of "
            f"{first} to {last}",
            hint="choose a day inside, for example after two thirds of it",
        )
    if table.evaluate_from > table.evaluate_until:
        raise InvalidValueError(
            f"evaluate.until {table.evaluate_until} lies before evaluate.from {table.evaluate_from}", hint="swap them"
        )
    if not scored.any():
        raise InvalidValueError(
            f"no case from {table.evaluate_from} to {table.evaluate_until} has both an observation and a forecast",
            hint="choose another period, or check target.column and sources",
        )
    known = int(cases.known(table.first_issue).sum())
    if known < _FEWEST_TO_LEARN:
        raise InvalidValueError(
            f"only {known} cases were known when the first judged forecast was issued ({table.first_issue}), wanted at "
            f"least {_FEWEST_TO_LEARN} to learn from",
            hint="choose a later evaluate.from, or check target.observation_delay_hours",
        )


def _ask(spec: CaseSpec, plan: Plan, cases: Cases, measured: Measured, warnings: tuple[str, ...]) -> BenchTable:
    asked = spec.evaluate
    last = to_datetime64(asked.until[1]) if asked.until else cases.valid_times.max()
    content = "\n".join(
        (spec.model_dump_json(), digest_files(plan.paths), digest_files(plan.observation_paths), __version__)
    )
    return BenchTable(
        name=spec.name,
        cases=cases,
        unit=measured.unit,
        scale=measured.scale,
        offset=measured.offset,
        levels=asked.levels,
        score=asked.score,
        evaluate_from=to_datetime64(asked.from_[0]),
        evaluate_until=last.astype("datetime64[s]"),
        refit=asked.refit,
        leave_out_sites=asked.leave_out is not None,
        warnings=warnings,
        digest=hashlib.sha256(content.encode()).hexdigest(),
    )


def _observed_cube(axes: Axes, rows: NDArray[np.float64]) -> Floats:
    """Rows of a long table repeat their observation; one that is there wins over one that is not."""
    known = np.flatnonzero(np.isfinite(rows))
    return scatter(axes, rows[known], known)


def _drop_absent(cubes: dict[str, Floats]) -> tuple[dict[str, Floats], list[str]]:
    absent = [name for name, cube in cubes.items() if not np.isfinite(cube).any()]
    kept = {name: cube for name, cube in cubes.items() if name not in absent}
    return kept, [f"{name} holds no value at all and is left out" for name in absent]


def _finite(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.isfinite(values), values, np.nan)
