"""The observations of a table: from its own rows, or from files of their own, joined by place and valid time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.errors import ContractError
from skyproof.stages.sources.case_axes import Rows
from skyproof.stages.sources.case_columns import Plan
from skyproof.stages.sources.case_spec import CaseSpec, ObservationsSpec
from skyproof.stages.sources.case_table import keep_rows, read_table
from skyproof.stages.sources.case_times import read_observation_times


def read_observed(rows: Rows, plan: Plan, spec: CaseSpec) -> tuple[NDArray[np.float64], str]:
    """The observation of every row, in the table's unit, and the column they come from.

    Raises:
        ContractError: no row has an observation; two observations of the same place and time.
    """
    if spec.observations is None:
        column = str(plan.target)
        observed = rows.table.numbers(column)
    else:
        column = str(spec.observations.column or spec.target.column)
        observed = _join(rows, plan, spec.observations, column, str(spec.observations.site or spec.site.id))
    observed[~np.isfinite(observed)] = np.nan
    if np.isnan(observed).all():
        raise ContractError(f"column {column!r} holds no observation at all", hint="check target.column")
    return observed, column


def _join(wanting: Rows, plan: Plan, spec: ObservationsSpec, column: str, site_column: str) -> NDArray[np.float64]:
    axes, times = wanting.axes, wanting.times
    table = read_table(plan.observation_paths, plan.observation_columns, plan.reading)
    if spec.where:
        table = keep_rows(table, spec.where)
    valid = read_observation_times(table, spec).astype(np.int64)
    one_place = site_column not in plan.observation_columns
    sites = np.full(table.rows, axes.site_ids[0], dtype=object) if one_place else table.texts(site_column)
    values = table.numbers(column)
    number = {name: k for k, name in enumerate(axes.site_ids)}
    site = np.array([number.get(str(name), -1) for name in sites], dtype=np.int64)
    if (site < 0).all():
        raise ContractError(
            f"observations: none of their sites is in the forecasts: {_few(sites)}; forecasts have {_few(axes.site_ids)}",
            hint="check observations.site and site.id",
        )
    first, last = int(min(valid.min(), times.valid.astype(np.int64).min())), int(valid.max())
    span = max(last, int(times.valid.astype(np.int64).max())) - first + 1
    held = (site >= 0) & np.isfinite(values)
    keys, rows = site[held] * span + (valid[held] - first), np.flatnonzero(held)
    order = np.argsort(keys, kind="stable")
    keys, rows = keys[order], rows[order]
    again = keys[1:] == keys[:-1]
    if (differing := again & (values[rows[1:]] != values[rows[:-1]])).any():
        raise ContractError(
            f"observations: {differing.sum():,} rows give another value for the same site and time: "
            f"{table.name_rows(rows[1:][differing])}",
            hint="keep one observation for each site and time",
        )
    wanted = axes.site * span + (times.valid.astype(np.int64) - first)
    place = np.minimum(np.searchsorted(keys, wanted), max(len(keys) - 1, 0))
    found = keys[place] == wanted if len(keys) else np.zeros(len(wanted), dtype=bool)
    if not found.any():
        raise ContractError(
            f"observations: none has the site and valid time of a forecast; they reach from "
            f"{np.datetime64(int(valid.min()), 's')} to {np.datetime64(last, 's')}, forecasts from "
            f"{times.valid.min()} to {times.valid.max()}",
            hint="check observations.valid_time and time, and their zones",
        )
    return np.where(found, values[rows[place]], np.nan)


def _few(names: Sequence[str] | NDArray[np.object_]) -> str:
    return ", ".join(sorted({str(name) for name in names})[:5])
