"""Small seeded records for the archive's tests."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import numpy as np

from skyproof.archive.runs import RunDraft
from skyproof.domain.cycles import CycleBatch, ObservationBatch
from skyproof.domain.deliveries import Receipt
from skyproof.domain.forecasts import ForecastGrid, ForecastValues, Regime, RunInput
from skyproof.domain.quantiles import LEVELS
from skyproof.domain.scores import PIT_BINS, STATISTICS, DayScores
from skyproof.domain.sites import Site
from skyproof.domain.variables import find_variable

T0 = datetime(2025, 1, 1, tzinfo=UTC)
VARIABLES = ("temperature_2m", "wind_speed_10m")
OK = ("ok", ())


def at(hours: float) -> datetime:
    """``hours`` after the samples' beginning."""
    return T0 + timedelta(hours=hours)


def make_sites(count: int = 3) -> tuple[Site, ...]:
    return tuple(Site(f"s{i:04d}", f"Site {i}", 40 + i / 100, 8 + i / 100, 100.0 + i) for i in range(count))


def make_grid(sites: int = 3, variables: Sequence[str] = VARIABLES, leads: Sequence[int] = (6, 12, 18)) -> ForecastGrid:
    return ForecastGrid(make_sites(sites), tuple(variables), tuple(leads), 6)


def make_cycles(
    seed: int = 1,
    *,
    source_id: str = "alba",
    init_hours: Sequence[float] = (0,),
    latency: float = 6,
    variables: Sequence[str] = VARIABLES,
    leads: Sequence[int] = (0, 6, 12),
    sites: int = 3,
    members: int = 2,
) -> CycleBatch:
    """Cycles whose values are exact multiples of every resolution used (0.5)."""
    shape = (len(init_hours), len(variables), len(leads), sites, members)
    values = np.random.default_rng(seed).integers(0, 40, shape).astype(np.float32) / 2
    return CycleBatch(
        source_id=source_id,
        init_times=tuple(at(h) for h in init_hours),
        available_ats=tuple(at(h + latency) for h in init_hours),
        variables=tuple(variables),
        units={name: find_variable(name).unit for name in variables},
        lead_hours=tuple(leads),
        site_ids=tuple(site.site_id for site in make_sites(sites)),
        values=values,
    )


def make_observations(
    rows: Sequence[tuple[str, str, float, float, float]], source_id: str = "stations"
) -> ObservationBatch:
    """Rows of (site, variable, valid hour, recorded hour, value)."""
    epoch = np.datetime64(int(T0.timestamp()), "s")
    to_seconds = lambda column: epoch + (np.array([row[column] for row in rows]) * 3600).astype("timedelta64[s]")  # noqa: E731
    return ObservationBatch(
        source_id=source_id,
        site_ids=np.array([row[0] for row in rows], dtype=str),
        variables=np.array([row[1] for row in rows], dtype=str),
        valid_times=to_seconds(2).astype("datetime64[s]"),
        recorded_ats=to_seconds(3).astype("datetime64[s]"),
        values=np.array([row[4] for row in rows], dtype=np.float64),
    )


def no_flags(batch: ObservationBatch) -> np.ndarray:
    return np.full(len(batch), "", dtype="U16")


def make_values(grid: ForecastGrid, seed: int = 1) -> ForecastValues:
    cells = (len(grid.variables), len(grid.sites), len(grid.lead_hours))
    rng = np.random.default_rng(seed)
    quantiles = np.sort(rng.integers(0, 60, (*cells, len(LEVELS))), axis=-1).astype(np.float32) / 2
    return ForecastValues(quantiles, quantiles.mean(axis=-1).round(1).astype(np.float32))


def make_draft(
    seed: int = 1, *, issue_hour: float = 12, grid: ForecastGrid | None = None, **changes: object
) -> RunDraft:
    grid = grid or make_grid()
    values = make_values(grid, seed)
    parts: dict[str, object] = {
        "release_id": "rel_0123456789abcdef",
        "issue_time": at(issue_hour),
        "init_time": at(issue_hour),
        "published_at": at(issue_hour + 0.5),
        "regime": Regime("without-alba", ("alba",), ("boreas",), 1.25, 0.79, 412),
        "inputs": (
            RunInput("alba", None, None, None, 1, "absent", 0.0),
            RunInput("boreas", at(0), at(8), 12.0, 0, "ok", 1.0, "abc"),
        ),
        "grid": grid,
        "values": values,
        "reasons": np.zeros(values.mean.shape, dtype=np.uint8),
        "experts_key": "",
        "generation_ms": 12.5,
        "warnings": ("alba is absent",),
    }
    return RunDraft(**(parts | changes))  # type: ignore[arg-type]


def make_scores(seed: int = 1, *, day: date = date(2025, 1, 2), release_id: str = "rel_0123456789abcdef") -> DayScores:
    rng = np.random.default_rng(seed)
    cells = (2, 2, 3, 3)
    sums = rng.normal(size=(*cells, len(STATISTICS)))
    sums[..., 0] = 1.0
    pit = rng.integers(0, 2, (*cells, PIT_BINS)).astype(np.float64)
    sites = tuple(site.site_id for site in make_sites())
    return DayScores(release_id, day, ("skyproof", "climatology"), VARIABLES, sites, (6, 12, 18), sums, pit, at(30))


def make_receipt(
    number: int, *, forecast_id: str | None = None, customer_id: str = "acme", hour: float = 20
) -> Receipt:
    return Receipt(
        receipt_id=f"rc_{number:08d}",
        forecast_id=forecast_id or f"fc_{number:08d}",
        customer_id=customer_id,
        key_id="key1",
        canonical_request="site=s0000",
        run_id="run_1",
        newest_run_id="run_1",
        value_digest="v",
        bytes_digest="b",
        media_type="application/json",
        status=200,
        served_at=at(hour),
    )
