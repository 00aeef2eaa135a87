"""The SDK against the real application: its README, its tables, its receipts."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest

import skyproof_sdk
from skyproof.archive.archive import Archive
from skyproof.domain.notices import Notice
from skyproof_sdk import ApiError, AsyncClient, Client, Forecast, ProofError, SdkError
from tests.surfaces.api.served import NOW, Caller, MovableClock, Served, calling, fill

URL = "http://sky.test"
ROOT = Path(__file__).parents[1]


class Bridge(httpx.BaseTransport):
    """Lets a blocking client ask an ASGI application."""

    def __init__(self, app: Any, runner: asyncio.Runner) -> None:
        self._transport = httpx.ASGITransport(app=app)
        self._runner = runner

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        async def ask() -> httpx.Response:
            given = await self._transport.handle_async_request(request)
            return httpx.Response(given.status_code, headers=given.headers, content=await given.aread())

        return self._runner.run(ask())


class World:
    """The served archive, a clock to move, and clients of it. A pause lets a run become available."""

    def __init__(self, served: Served, ask: Caller, clock: MovableClock) -> None:
        self.served, self.clock, self.ask = served, clock, ask
        self.slept: list[float] = []
        self.bridge = Bridge(ask._front, ask._runner)
        self.asgi = httpx.ASGITransport(app=ask._front)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        notice = Notice(f"evt_{len(self.slept)}", "acme", "run.available", NOW, {"run_id": self.served.second.run_id})
        self.served.archive.notices.add([notice], now=NOW)

    async def sleep_on_loop(self, seconds: float) -> None:
        self.sleep(seconds)

    def client(self, key: str = "acme") -> Client:
        return Client(URL, key=self.served.tokens[key], transport=self.bridge, sleep=self.sleep)


@pytest.fixture
def world(archive: Archive) -> Iterator[World]:
    served, clock = fill(archive), MovableClock()
    with calling(archive, served.tokens, clock=clock) as ask:
        yield World(served, ask, clock)


def test_the_readme_runs(world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SKYPROOF_URL", URL)
    monkeypatch.setenv("SKYPROOF_KEY", world.served.tokens["acme"])
    monkeypatch.setattr(skyproof_sdk, "Client", partial(Client, transport=world.bridge, sleep=world.sleep))
    monkeypatch.setattr(skyproof_sdk, "AsyncClient", partial(AsyncClient, transport=world.asgi))
    names: dict[str, Any] = {}
    told = {}
    for chapter in re.split(r"^## ", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        title = chapter.partition("\n")[0]
        if title == "Check a receipt":
            world.clock.instant = NOW + timedelta(days=1)
        for block in re.findall(r"```python\n([\s\S]*?)```", chapter):
            exec(block, names)
        told[title] = capsys.readouterr().out
    assert list(told) == [
        "Ask", "When something goes wrong", "Wait for the next run", "Check a receipt", "On an event loop"
    ]  # fmt: skip
    assert told["Ask"].startswith("fc_")
    assert "°C" in told["Ask"]
    assert told["When something goes wrong"].startswith("unknown_name ")
    assert "temperature_2m" in told["When something goes wrong"]
    assert told["Wait for the next run"].startswith(world.served.second.run_id)
    assert told["Check a receipt"].startswith("2025-03-30T03:00:00Z")
    assert told["On an event loop"].count("fc_") == 2


def test_tables_hold_what_the_answer_says(world: World) -> None:
    forecast = world.client().forecast(
        site=["zurich", "acme-roof"], hourly=["temperature_2m", "precipitation"], quantiles=[0.1]
    )
    table = forecast.to_pandas()
    assert list(table.columns) == ["temperature_2m", "temperature_2m_p10", "precipitation", "precipitation_p10"]
    assert table.index.names == ["site", "time"]
    assert table.attrs["units"]["precipitation"] == "mm"
    dataset = forecast.to_xarray()
    assert dict(dataset.sizes) == {"site": 2, "time": 5}
    for place in forecast.places:
        site = place["grid"]["site"]
        for name in table.columns:
            wanted = np.array([np.nan if value is None else value for value in place["hourly"][name]])
            np.testing.assert_array_equal(table.loc[site][name], wanted)
            np.testing.assert_array_equal(dataset[name].sel(site=site), wanted)
        assert table.loc[site].index[0] == pd.Timestamp(place["hourly"]["time"][0])
        assert dataset.latitude.sel(site=site) == place["latitude"]
    assert np.isnan(table.loc["zurich"]["precipitation"]).sum() == 1
    assert dataset.temperature_2m.attrs["units"] == "°C"
    with pytest.raises(SdkError, match="daily=\\.\\.\\."):
        forecast.to_pandas("daily")


@pytest.mark.parametrize("part", ["hourly", "daily"])
def test_labels_in_seconds_give_the_same_table(world: World, part: Any) -> None:
    question: Any = {part: "temperature_2m" if part == "hourly" else "temperature_2m_max", "timezone": "Europe/Zurich"}
    client = world.client()
    text, seconds = (client.forecast(site="zurich", timeformat=form, **question) for form in ("iso8601", "unixtime"))
    pd.testing.assert_frame_equal(text.to_pandas(part), seconds.to_pandas(part), check_index_type=False)
    assert (text.to_pandas(part).index.tz is not None) == (part == "hourly")
    assert text.to_xarray(part).sizes["site"] == 1


def test_receipts_are_verified_and_forgeries_are_not(world: World) -> None:
    client = world.client()
    forecast = client.forecast(site="zurich", hourly="temperature_2m")
    world.client("bolt").forecast(site="zurich", hourly="temperature_2m")
    with pytest.raises(ApiError) as early:
        client.verify_receipt(forecast)
    assert (early.value.status, early.value.code) == (404, "not_available")
    assert "days close" in early.value.hint
    world.clock.instant = NOW + timedelta(days=1)
    receipt = client.verify_receipt(forecast)
    assert receipt.root == client.get("/v1/ledger/2025-03-30")["root"]
    assert client.delivered(forecast.forecast_id) == forecast
    with pytest.raises(ProofError, match="other bytes"):
        client.verify_receipt(replace(forecast, body=forecast.body + b" "))
    with pytest.raises(ApiError) as theirs:
        world.client("bolt").verify_receipt(forecast)
    assert theirs.value.code == "not_found"


def test_async_answers_are_those_of_the_blocking_client(world: World) -> None:
    async def ask() -> tuple[Forecast, str]:
        token = world.served.tokens["acme"]
        async with AsyncClient(URL, key=token, transport=world.asgi, sleep=world.sleep_on_loop) as client:
            forecast = await client.forecast(site="zurich", hourly="temperature_2m", as_of=NOW)
            assert await client.delivered(forecast.forecast_id) == forecast
            assert (await client.get("/v1/runs/latest"))["run_id"] == world.served.second.run_id
            run = await client.wait_for_run(timeout_s=60, poll_s=7)
            again = await client.wait_for_run(cursor=await client.newest_cursor(), timeout_s=60, poll_s=7)
            assert int(again.cursor) > int(run.cursor)
            world.clock.instant = NOW + timedelta(days=1)
            return forecast, (await client.verify_receipt(forecast)).root

    forecast, root = world.ask._runner.run(ask())
    assert world.slept == [7, 7]
    assert world.client().verify_receipt(forecast).root == root


def test_a_key_that_opens_nothing_says_what_to_do(world: World) -> None:
    with pytest.raises(ApiError) as refused:
        world.client("expired").forecast(site="zurich", hourly="temperature_2m")
    assert refused.value.status == 401
    assert refused.value.hint
    assert refused.value.request_id.startswith("req_")
    assert world.slept == []


def test_nothing_of_the_server_is_imported() -> None:
    for path in (ROOT / "src").rglob("*.py"):
        assert not re.search(r"^\s*(from|import) skyproof(\.|\s)", path.read_text(), re.MULTILINE), path
