"""What is served: one run of many sites on a grid, by our server, and by an application that does nothing but answer."""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import xarray as xr
from starlette.types import Receive, Scope, Send

from skyproof.archive.archive import Archive
from skyproof.archive.runs import RunDraft
from skyproof.cycle.clock import FixedClock
from skyproof.domain.accounts import Plan
from skyproof.domain.forecasts import ForecastGrid, ForecastValues, Regime, RunInput
from skyproof.domain.quantiles import LEVEL_ARRAY, LEVELS
from skyproof.domain.reasons import REASONS
from skyproof.domain.sites import Customer, Site
from skyproof.domain.variables import find_variable
from skyproof.stages.deliver.columns import level_name
from skyproof.stages.deliver.keys import new_key
from skyproof.surfaces.api.app import create_app
from skyproof.surfaces.api.server import run_app

ISSUED = datetime(2026, 3, 6, 12, tzinfo=UTC)
NOW = ISSUED + timedelta(hours=1)
VARIABLES = ("temperature_2m", "wind_speed_10m", "precipitation")
#: Three variables, each a mean and these: fifteen series.
ASKED_LEVELS = (0.1, 0.25, 0.75, 0.9)
SITES, COLUMNS = 2000, 50
LEADS = 240
#: Counted like any other, and never used up.
AMPLE = Plan(10**9, 10**9, 1, 1, 1)


def make_sites() -> tuple[Site, ...]:
    """Sites on the nodes of a grid, because that is what the peers can serve; row by row."""
    places = [(40 + k // COLUMNS / 4, 8 + k % COLUMNS / 4) for k in range(SITES)]
    return tuple(Site(f"s{k}", f"Site {k}", *place, 100.0) for k, place in enumerate(places))


def make_values() -> ForecastValues:
    """Numbers with the spread and the digits of a forecast."""
    middle = np.random.default_rng(1).uniform(5, 15, (len(VARIABLES), SITES, LEADS, 1))
    quantiles = (middle + 4 * (LEVEL_ARRAY - 0.5)).astype(np.float32)
    return ForecastValues(quantiles, quantiles.mean(axis=-1))


def fill(archive: Archive, values: ForecastValues) -> str:
    """Publish the run; returns a key."""
    places = make_sites()
    archive.sites.add(places)
    archive.customers.add(Customer("bench", "Benchmark"))
    grid = ForecastGrid(places, VARIABLES, tuple(range(1, LEADS + 1)), 1)
    inputs = (RunInput("alba", ISSUED - timedelta(hours=12), ISSUED - timedelta(hours=6), 12.0, 0, "ok", 1.0),)
    draft = RunDraft(
        "rel_" + "0" * 16, ISSUED, ISSUED, ISSUED, Regime("full", (), (), 1.0, 0.8, 1000), inputs, grid,
        values, np.zeros(values.mean.shape, dtype=np.uint8), "experts/none", 1.0, (), REASONS,
    )  # fmt: skip
    archive.runs.publish(draft)
    token, key = new_key("bench", created_at=ISSUED)
    archive.customers.add_key(key)
    return token


def as_dataset(values: ForecastValues) -> xr.Dataset:
    """The fifteen series on the grid, (time, lat, lon), with the attributes CF wants."""
    rows = SITES // COLUMNS
    shape = (rows, COLUMNS, LEADS)
    series = {}
    for number, name in enumerate(VARIABLES):
        variable = find_variable(name)
        kept = {name: values.mean[number]}
        for level in ASKED_LEVELS:
            kept[f"{name}_{level_name(level)}"] = values.quantiles[number, ..., LEVELS.index(level)]
        for column, numbers in kept.items():
            facts = {"units": variable.unit, "standard_name": variable.standard_name, "long_name": column}
            series[column] = (("time", "lat", "lon"), np.moveaxis(numbers.reshape(shape), -1, 0), facts)
    start = np.datetime64(ISSUED.replace(tzinfo=None), "ns")
    axes = {
        "time": ("time", start + np.arange(1, LEADS + 1) * np.timedelta64(1, "h"), {"standard_name": "time", "axis": "T"}),
        "lat": ("lat", 40 + np.arange(rows) / 4, {"standard_name": "latitude", "units": "degrees_north", "axis": "Y"}),
        "lon": ("lon", 8 + np.arange(COLUMNS) / 4, {"standard_name": "longitude", "units": "degrees_east", "axis": "X"}),
    }  # fmt: skip
    return xr.Dataset(series, axes)


def serve_ours(home: Path, database_url: str | None, listener: socket.socket) -> None:
    """A process of our server: keys checked, requests counted, a durable receipt for each answer."""
    with Archive.open(home, database_url=database_url) as archive:
        run_app(create_app(archive, clock=FixedClock(NOW), plans={"standard": AMPLE}), listener)


def serve_constant(body: bytes, listener: socket.socket) -> None:
    """The same uvicorn with the same settings around an application that does nothing but answer."""
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            while (await receive())["type"] != "lifespan.shutdown":
                await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    run_app(answer, listener)
