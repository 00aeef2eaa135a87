"""Small seeded sources, feeds and files for the tests of the intake."""

from __future__ import annotations

import os
import sqlite3  # noqa: F401 - before eccodes, as in skyproof.stages.sources.grib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import eccodes
import numpy as np
import pytest

from skyproof.domain.cycles import CycleBatch, ObservationBatch, SourceSpec
from skyproof.domain.sites import Site

T0 = datetime(2025, 1, 1, tzinfo=UTC)
NOW = datetime(2025, 6, 1, tzinfo=UTC)
UNITS = {"temperature_2m": "Cel", "wind_speed_10m": "m/s", "precipitation": "mm", "pressure_msl": "hPa"}

_REPOSITORY = Path(__file__).parents[3]
DATA = Path(os.environ.get("SKYPROOF_TEST_DATA", _REPOSITORY.parent / "shared" / "data"))
EXAMPLES = _REPOSITORY / "examples"


def data_file(name: str) -> Path:
    """A real file, or a skip that says what is missing."""
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{name} is not under {DATA}; SKYPROOF_TEST_DATA names the folder of the real data")
    return path


def make_sites(count: int = 3) -> tuple[Site, ...]:
    return tuple(Site(f"s{i:02d}", f"Site {i}", 50.0 - i, 5.0 + 2 * i, 100.0) for i in range(count))


def make_spec(
    source_id: str = "alba",
    *,
    members: int = 4,
    leads: Sequence[int] = (0, 6, 12, 18),
    units: dict[str, str] | None = None,
) -> SourceSpec:
    return SourceSpec(
        source_id=source_id, title=source_id, upstream_group=source_id, licence="CC-BY-4.0", attribution="",
        commercial_use=True, redistribution=True, cadence=timedelta(hours=24), latency_p50=timedelta(hours=6),
        latency_p95=timedelta(hours=8), members=members, lead_hours=tuple(leads), units=units or UNITS,
    )  # fmt: skip


def make_values(
    seed: int, cycles: int, *, sites: int = 3, members: int = 4, leads: int = 4, variables: int = 4
) -> np.ndarray:
    """Plausible values of the four variables, canonical units; precipitation is often zero and missing at lead 0."""
    random = np.random.default_rng(seed)
    shape = (cycles, variables, leads, sites, members)
    values = random.normal(size=shape)
    level = random.normal(size=(cycles, 1, 1, 1))
    scaled = [8 + 3 * level + 2 * values[:, 0], np.exp(1.5 + 0.1 * level + 0.4 * values[:, 1])]
    if variables > 2:
        scaled += [np.maximum(values[:, 2], 0.0), 1015 + 4 * level + values[:, 3]]
    result = np.stack(scaled, axis=1).astype(np.float32)
    if variables > 2:
        result[:, 2, 0] = np.nan
    return result


def make_batch(
    values: np.ndarray, *, first_day: int = 0, units: dict[str, str] | None = None, latency_hours: float = 6
) -> CycleBatch:
    names = tuple(UNITS)[: values.shape[1]]
    inits = tuple(T0 + timedelta(days=first_day + day) for day in range(len(values)))
    return CycleBatch(
        source_id="alba",
        init_times=inits,
        available_ats=tuple(init + timedelta(hours=latency_hours) for init in inits),
        variables=names,
        units={name: (units or UNITS)[name] for name in names},
        lead_hours=tuple(6 * lead for lead in range(values.shape[2])),
        site_ids=tuple(site.site_id for site in make_sites(values.shape[3])),
        values=values.astype(np.float32),
    )


class ListSource:
    """A source that hands on the batches it was given."""

    def __init__(self, *batches: CycleBatch, spec: SourceSpec | None = None) -> None:
        self._batches = batches
        self.spec = spec or make_spec()

    def cycles(self, sites: tuple[Site, ...], after: datetime, until: datetime) -> Iterator[CycleBatch]:
        yield from self._batches


class ListFeed:
    """A feed that hands on the rows it was given: (site, variable, valid hour, recorded hour, value)."""

    source_id = "stations"

    def __init__(
        self, rows: Sequence[tuple[str, str, float, float, float]], units: dict[str, str] | None = None
    ) -> None:
        epoch = np.datetime64(int(T0.timestamp()), "s")
        seconds = [epoch + (np.array([row[k] for row in rows]) * 3600).astype("timedelta64[s]") for k in (2, 3)]
        self._batch = ObservationBatch(
            source_id=self.source_id,
            site_ids=np.array([row[0] for row in rows], dtype=str),
            variables=np.array([row[1] for row in rows], dtype=str),
            valid_times=seconds[0],
            recorded_ats=seconds[1],
            values=np.array([row[4] for row in rows], dtype=np.float64),
            units=units or {},
        )

    def observations(self, sites: tuple[Site, ...], after: datetime, until: datetime) -> Iterator[ObservationBatch]:
        yield self._batch


def grib_message(
    values: np.ndarray,
    *,
    short_name: str = "2t",
    lead: int | str = 6,
    member: int | None = None,
    date: int = 20250101,
    latitudes: tuple[float, float] = (60.0, 40.0),
    longitudes: tuple[float, float] = (0.0, 20.0),
    southward: bool = True,
) -> bytes:
    """A GRIB2 message on a regular grid; ``values`` (row, column), rows from north to south unless told otherwise."""
    handle = eccodes.codes_grib_new_from_samples("regular_ll_sfc_grib2")
    rows, columns = values.shape
    first, last = latitudes if southward else latitudes[::-1]
    keys = {
        "dataDate": date, "dataTime": 0, "Ni": columns, "Nj": rows, "jScansPositively": 0 if southward else 1,
        "latitudeOfFirstGridPointInDegrees": first, "latitudeOfLastGridPointInDegrees": last,
        "longitudeOfFirstGridPointInDegrees": longitudes[0], "longitudeOfLastGridPointInDegrees": longitudes[1],
        "iDirectionIncrementInDegrees": (longitudes[1] - longitudes[0]) / (columns - 1),
        "jDirectionIncrementInDegrees": abs(first - last) / (rows - 1),
    }  # fmt: skip
    if member is not None:
        keys |= {"productDefinitionTemplateNumber": 1, "perturbationNumber": member, "numberOfForecastsInEnsemble": 50}
    for key, value in keys.items():
        eccodes.codes_set(handle, key, value)
    eccodes.codes_set(handle, "shortName", short_name)
    eccodes.codes_set(handle, "stepRange", str(lead))
    eccodes.codes_set(handle, "bitsPerValue", 24)
    eccodes.codes_set(handle, "missingValue", 1e36)
    if np.isnan(values).any():
        eccodes.codes_set(handle, "bitmapPresent", 1)
    eccodes.codes_set_values(handle, np.nan_to_num(values, nan=1e36).ravel().astype(float))
    data = eccodes.codes_get_message(handle)
    eccodes.codes_release(handle)
    return bytes(data)
