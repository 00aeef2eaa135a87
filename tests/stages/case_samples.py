"""Small tables of forecasts and what came of them, and the specs that describe them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet
import pytest

from skyproof.domain.bench import BenchTable
from skyproof.stages.sources.case_cubes import build_bench_table
from skyproof.stages.sources.case_spec import parse_case_spec

_REPOSITORY = Path(__file__).parents[2]
DATA = Path(os.environ.get("SKYPROOF_TEST_DATA", _REPOSITORY.parent / "shared" / "data"))
SPECS = _REPOSITORY / "benchmarks" / "skill" / "specs"
START = np.datetime64("2024-01-01T00", "h")


def real_set(folder: str) -> Path:
    """The folder of a real data set, or a skip that says what is missing."""
    if not (DATA / folder).is_dir():
        pytest.skip(f"{folder} is not under {DATA}; SKYPROOF_TEST_DATA names the folder of the real data")
    return DATA / folder


def make_rows(days: int = 40, sites: tuple[str, ...] = ("a", "b"), leads: tuple[int, ...] = (24, 48)) -> dict[str, Any]:
    """Columns of a wide table: temperature in Celsius at 12 UTC, two sources with their own errors."""
    chance = np.random.default_rng(7)
    rows: dict[str, list[Any]] = {
        name: [] for name in ("issued", "valid", "lead", "place", "lat", "lon", "obs", "x", "y")
    }
    truth = {
        (site, day): 10 + 3 * k + 4 * np.sin(day / 3 + k) + chance.normal(0, 2)
        for k, site in enumerate(sites)
        for day in range(days + 10)
    }
    for day in range(days):
        for lead in leads:
            for k, site in enumerate(sites):
                there = day + lead // 24
                observed = truth[site, there]
                rows["issued"].append(START + 24 * day)
                rows["valid"].append(START + 24 * day + lead)
                rows["lead"].append(lead)
                rows["place"].append(site)
                rows["lat"].append(50.0 + k)
                rows["lon"].append(8.0 + k)
                rows["obs"].append(round(observed, 3))
                rows["x"].append(round(observed + chance.normal(0.5, 1), 3))
                rows["y"].append(round(observed + chance.normal(-0.5, 1.5), 3))
    return {name: np.array(values) for name, values in rows.items()}


def make_spec(**changes: Any) -> dict[str, Any]:
    """The spec of :func:`make_rows`; a change to None takes a key away."""
    spec = {
        "name": "toy",
        "files": ["toy.parquet"],
        "time": {"valid_time": "valid", "lead_hours": "lead"},
        "site": {"id": "place", "latitude": "lat", "longitude": "lon"},
        "target": {"column": "obs", "variable": "temperature_2m", "unit": "Cel"},
        "sources": {"X": ["x"], "Y": ["y"]},
        "evaluate": {"from": "2024-01-25"},
    }
    spec.update(changes)
    return {key: value for key, value in spec.items() if value is not None}


def write(folder: Path, rows: Mapping[str, Any], name: str = "toy.parquet") -> Path:
    """Write columns as Parquet or CSV, by the suffix."""
    seconds = {key: v.astype("datetime64[s]") if v.dtype.kind == "M" else v for key, v in rows.items()}
    table = pa.table({key: pa.array(values) for key, values in seconds.items()})
    path = folder / name
    if path.suffix == ".parquet":
        pa_parquet.write_table(table, path)
    else:
        pa_csv.write_csv(table, path)
    return path


def load(folder: Path, rows: Mapping[str, Any] | None = None, **changes: Any) -> BenchTable:
    """Write the rows and load them with the spec of :func:`make_spec`, changed."""
    write(folder, make_rows() if rows is None else rows)
    return build_bench_table(parse_case_spec(make_spec(**changes)), [folder])
