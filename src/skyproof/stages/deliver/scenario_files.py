"""Scenarios and what is derived from them, as a table in a file: Parquet, CSV or JSON, by the file's ending."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import csv, parquet

from skyproof.domain.derived import DerivedForecast
from skyproof.domain.errors import InvalidValueError, StoreUnavailableError
from skyproof.domain.scenarios import Scenarios
from skyproof.domain.times import format_instant, to_datetime64
from skyproof.science.scenarios import scenario_quantiles

ENDINGS = (".parquet", ".csv", ".json")
#: Key of what a Parquet file says about its origin.
METADATA_KEY = b"skyproof"


def describe_scenarios(scenarios: Scenarios) -> dict[str, Any]:
    """Where scenarios come from, as plain data: enough to draw them again."""
    return {
        "run_id": scenarios.run_id,
        "issue_time": format_instant(scenarios.issue_time),
        "init_time": format_instant(scenarios.init_time),
        "members": scenarios.members,
        "seed": scenarios.seed,
        "sites": list(scenarios.site_ids),
        "units": dict(zip(scenarios.variables, scenarios.units, strict=True)),
        "template": dict(scenarios.template),
    }


def scenario_table(scenarios: Scenarios, *, levels: Sequence[float] = ()) -> pa.Table:
    """A row for each site, valid time and member, a column for each variable; missing values are null.

    Args:
        scenarios: the members.
        levels: with these, quantiles of the members stand in the place of members: one row for each site and valid time,
            and columns such as ``temperature_2m_p10``.

    Raises:
        InvalidValueError: a level not strictly between 0 and 1.
    """
    outside = [level for level in levels if not 0 < level < 1]
    if outside:
        raise InvalidValueError(f"level {outside[0]:g} is not between 0 and 1", hint="give levels such as 0.1,0.5,0.9")
    count, leads = len(scenarios.site_ids), len(scenarios.lead_hours)
    repeats = 1 if levels else scenarios.members
    lead_hours = np.array(scenarios.lead_hours)
    valid = to_datetime64(scenarios.init_time) + lead_hours * np.timedelta64(3600, "s")
    columns: dict[str, Any] = {
        "site": pa.array(np.repeat(np.array(scenarios.site_ids, dtype=object), leads * repeats)),
        "valid_time": pa.array(np.tile(np.repeat(valid, repeats), count), pa.timestamp("s", tz="UTC")),
        "lead_hours": pa.array(np.tile(np.repeat(lead_hours, repeats), count)),
    }
    if levels:
        quantiles = scenario_quantiles(scenarios.values, np.array(levels)).astype(np.float32)
        for index, name in enumerate(scenarios.variables):
            for k, level in enumerate(levels):
                columns[f"{name}_p{100 * level:g}"] = pa.array(quantiles[index, ..., k].ravel(), from_pandas=True)
    else:
        columns["member"] = pa.array(np.tile(np.arange(scenarios.members, dtype=np.int32), count * leads))
        for index, name in enumerate(scenarios.variables):
            columns[name] = pa.array(scenarios.values[index].ravel(), from_pandas=True)
    facts = json.dumps(describe_scenarios(scenarios), sort_keys=True).encode()
    return pa.table(columns).replace_schema_metadata({METADATA_KEY: facts})


def describe_derived(derived: DerivedForecast) -> dict[str, Any]:
    """What a derived forecast is and where it comes from, as plain data."""
    return {
        "run_id": derived.run_id,
        "issue_time": format_instant(derived.issue_time),
        "quantity": derived.name,
        "unit": derived.unit,
        **derived.facts,
    }


def derived_table(derived: DerivedForecast) -> pa.Table:
    """A row for each site and span, with columns such as ``wind_speed_120m_p10``; missing values are null."""
    columns: dict[str, Any] = {
        "site": pa.array(derived.site_ids, pa.string()),
        "label": pa.array(derived.labels, pa.string()),
        "start": pa.array(derived.starts, pa.timestamp("s", tz="UTC")),
        "end": pa.array(derived.ends, pa.timestamp("s", tz="UTC")),
    }
    for index, name in enumerate(derived.columns):
        columns[f"{derived.name}_{name}"] = pa.array(derived.values[:, index], from_pandas=True)
    facts = json.dumps(describe_derived(derived), sort_keys=True).encode()
    return pa.table(columns).replace_schema_metadata({METADATA_KEY: facts})


def write_scenarios(scenarios: Scenarios, path: Path, *, levels: Sequence[float] = ()) -> int:
    """Write the table of :func:`scenario_table`; see :func:`write_table`."""
    _check_ending(path)
    return write_table(scenario_table(scenarios, levels=levels), path)


def write_derived(derived: DerivedForecast, path: Path) -> int:
    """Write the table of :func:`derived_table`; see :func:`write_table`."""
    return write_table(derived_table(derived), path)


def write_table(table: pa.Table, path: Path) -> int:
    """Write a table, whole or not at all; returns how many rows it has.

    JSON holds what a Parquet file holds in its metadata as ``meta``, and the columns as ``columns``; CSV has the columns alone.

    Raises:
        InvalidValueError: an ending that is none of ours.
        StoreUnavailableError: the file cannot be written.
    """
    _check_ending(path)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        if path.suffix == ".parquet":
            parquet.write_table(table, temporary, compression="zstd")
        elif path.suffix == ".csv":
            csv.write_csv(table, temporary)
        else:
            temporary.write_text(_to_json(table), encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        raise StoreUnavailableError(
            f"{path} cannot be written: {error.strerror or error}", hint="choose a folder you may write to"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
    return int(table.num_rows)


def _check_ending(path: Path) -> None:
    if path.suffix not in ENDINGS:
        raise InvalidValueError(f"cannot write {path.name[-40:]!r}", hint=f"end its name with {', '.join(ENDINGS)}")


def _to_json(table: pa.Table) -> str:
    columns = {}
    for name in table.column_names:
        values = table[name].to_pylist()
        is_time = pa.types.is_timestamp(table[name].type)
        columns[name] = [format_instant(value) for value in values] if is_time else values
    meta = json.loads(table.schema.metadata[METADATA_KEY])
    return json.dumps({"meta": meta, "columns": columns}, allow_nan=False)
