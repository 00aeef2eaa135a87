"""What a bench leaves behind: the report, a picture, and the product's forecasts as a table; each file whole or not at all."""

from __future__ import annotations

import io
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pa_parquet

from skyproof.domain.cases import RolledForecasts
from skyproof.domain.errors import InvalidValueError
from skyproof.stages.verify.bench_figures import bench_figure
from skyproof.stages.verify.bench_report import BenchReport
from skyproof.stages.verify.bench_sums import align

FILES = ("scores.png", "quantiles.parquet", "report.json")


def make_folder(folder: Path) -> None:
    """Make the folder of the files.

    Raises:
        InvalidValueError: it cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidValueError(
            f"--out {folder}: {error.strerror or error}", hint="name a folder that can be made"
        ) from error
    if not os.access(folder, os.W_OK):
        raise InvalidValueError(f"--out {folder} cannot be written to", hint="name another folder")


def write_bench(report: BenchReport, rolled: RolledForecasts, folder: Path) -> tuple[Path, ...]:
    """Write picture, quantiles and, last, the report; returns their paths."""
    make_folder(folder)
    picture = io.BytesIO()
    bench_figure(report).savefig(picture, format="png", dpi=110, metadata={"Software": None})
    contents = {
        "scores.png": picture.getvalue(),
        "quantiles.parquet": _parquet(quantile_table(report, rolled)),
        "report.json": json.dumps(without_nan(report.to_dict()), indent=2).encode(),
    }
    for name in FILES:
        temporary = folder / f".{name}.{os.getpid()}.tmp"
        temporary.write_bytes(contents[name])
        os.replace(temporary, folder / name)
    return tuple(folder / name for name in FILES)


def quantile_table(report: BenchReport, rolled: RolledForecasts) -> pa.Table:
    """The product's forecasts that speak of the judged period: one row for each site, issue time and lead.

    Columns: site, issue_time, valid_time (UTC), lead_hours, observed, and q and the level for each quantile, in the
    unit of the table; observed is null where nothing was observed.
    """
    table = report.table
    cases, _ = align(table, rolled)
    valid = cases.valid_times
    asked = (valid >= table.evaluate_from) & (valid <= table.evaluate_until)
    speaks = np.isfinite(rolled.quantiles[0]).all(axis=-1) & asked[..., None]
    site, issue, lead = np.nonzero(np.moveaxis(speaks, 2, 0))
    quantiles = rolled.quantiles[0][issue, lead, site].astype(np.float64) * table.scale + table.offset
    observed = cases.observed[issue, lead, site].astype(np.float64) * table.scale + table.offset
    utc = pa.timestamp("s", "UTC")
    columns: dict[str, Any] = {
        "site": pa.array([cases.sites[k].place_id for k in site], pa.string()),
        "issue_time": pa.array(cases.issue_times[issue].astype(np.int64)).cast(utc),
        "valid_time": pa.array(valid[issue, lead].astype(np.int64)).cast(utc),
        "lead_hours": pa.array(np.array(cases.lead_hours)[lead], pa.int32()),
        "observed": pa.array(observed.astype(np.float32), from_pandas=True),
    }
    for k, level in enumerate(rolled.levels):
        columns[f"q{level:g}"] = pa.array(quantiles[:, k].astype(np.float32))
    return pa.table(columns)


def without_nan(value: Any) -> Any:
    """The same plain data with None for numbers that are none, as JSON wants it."""
    if isinstance(value, dict):
        return {key: without_nan(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pa_parquet.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()
