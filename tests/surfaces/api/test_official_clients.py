"""Open-Meteo's own clients, unchanged, and a plain JSON client, pointed at a server of ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import numpy as np
import openmeteo_requests
import pytest
import requests
from openmeteo_requests.Client import OpenMeteoRequestsError

from tests.surfaces.api.conftest import CLIENTS
from tests.surfaces.api.served import Served
from tests.surfaces.api.serving import serving

ASKED = {
    "latitude": [47.38, 47.0],
    "longitude": [8.54, 8.0],
    "hourly": ["temperature_2m", "precipitation"],
    "daily": "precipitation_sum",
    "timezone": "Europe/Zurich",
}


@pytest.fixture(scope="module")
def address(served: Served) -> Iterator[str]:
    """A server of the shared archive on loopback."""
    with serving(served.archive) as address:
        yield address


@pytest.fixture(scope="module")
def plain(address: str, served: Served) -> Callable[..., Any]:
    """A client that knows JSON and nothing else."""

    def ask(**asked: Any) -> Any:
        flat = {name: ",".join(map(str, value)) if isinstance(value, list) else value for name, value in asked.items()}
        headers = {"Authorization": f"Bearer {served.tokens['acme']}"}
        request = urllib.request.Request(f"{address}/v1/forecast?{urlencode(flat)}", headers=headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    return ask


@pytest.fixture(scope="module")
def newest(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Runs a script with the newest client in an environment of its own; skips where its packages cannot be had."""
    folder = tmp_path_factory.mktemp("newest")
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True, timeout=120)
    lock = CLIENTS.parents[1] / "requirements" / "clients.txt"
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r", lock]
    done = subprocess.run([*command, "--retries=0"], capture_output=True, text=True, timeout=240, check=False)
    if done.returncode:
        pytest.skip(f"the packages cannot be had: {done.stderr.strip()[-200:]}")

    def run(script: str, *arguments: str) -> Any:
        command = [python, CLIENTS / script, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        return json.loads(done.stdout)

    return run


@pytest.fixture
def client(served: Served) -> Iterator[openmeteo_requests.Client]:
    """Open-Meteo's client for Python; the key is a header of its session."""
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {served.tokens['acme']}"
        yield openmeteo_requests.Client(session=session)


def test_the_plain_client_finds_open_meteos_keys(plain):
    first, second = plain(**ASKED)
    for place in (first, second):
        assert {"latitude", "longitude", "elevation", "generationtime_ms", "utc_offset_seconds", "timezone",
                "timezone_abbreviation", "hourly", "hourly_units", "daily", "daily_units"} <= set(place)  # fmt: skip
        assert set(place["hourly"]) == {"time", "temperature_2m", "precipitation"}
        assert set(place["daily"]) == {"time", "precipitation_sum"}
    assert "location_id" not in first
    assert second["location_id"] == 1
    assert first["daily"]["time"] == ["2025-03-30", "2025-03-31"]


def test_the_python_client_reads_what_the_plain_one_reads(address, client, plain):
    places = plain(**ASKED)
    responses = client.weather_api(f"{address}/v1/forecast", params=dict(ASKED))
    assert len(responses) == len(places)
    for place, response in zip(places, responses, strict=True):
        hourly = response.Hourly()
        # As Open-Meteo's documentation does it: an even axis from begin to end, variables by their position.
        times = range(hourly.Time(), hourly.TimeEnd(), hourly.Interval())
        zone = timedelta(seconds=response.UtcOffsetSeconds())
        assert [datetime.fromtimestamp(time, UTC) for time in times] == [
            datetime.fromisoformat(text) for text in place["hourly"]["time"]
        ]
        for position, name in enumerate(ASKED["hourly"]):
            column = np.array(place["hourly"][name], dtype=float)
            np.testing.assert_allclose(hourly.Variables(position).ValuesAsNumpy(), column, rtol=1e-6)
        daily = response.Daily()
        days = range(daily.Time(), daily.TimeEnd(), daily.Interval())
        assert [(datetime.fromtimestamp(day, UTC) + zone).date().isoformat() for day in days] == place["daily"]["time"]
        assert np.isnan(daily.Variables(0).ValuesAsNumpy()[-1])  # the run ends before the day does


def test_the_python_client_says_what_was_wrong(address, client):
    for params, reason in (
        ({"site": "zurich", "hourly": "ozone"}, "variable 'ozone' is not known"),
        ({"site": "bolt-farm", "hourly": "precipitation"}, "site 'bolt-farm' is not known"),
        ({"site": "zurich", "hourly": "precipitation", "as_of": "2020-01-01"}, "no run was published by"),
    ):
        with pytest.raises(OpenMeteoRequestsError, match=reason):
            client.weather_api(f"{address}/v1/forecast", params=dict(params))


def test_every_answer_to_an_official_client_has_a_receipt(address, served, client):
    before = served.archive.deliveries.count()
    client.weather_api(f"{address}/v1/forecast", params=ASKED | {"members": 3})
    assert served.archive.deliveries.count() == before + 1


@pytest.mark.parametrize(("runner", "script"), [("node", "open-meteo.cjs"), ("newest", "open_meteo.py")])
def test_the_newest_clients_read_what_the_plain_one_reads(request, runner, script, address, served, plain):
    run, url, key = request.getfixturevalue(runner), f"{address}/v1/forecast", served.tokens["acme"]
    flat = {name: ",".join(map(str, value)) if isinstance(value, list) else value for name, value in ASKED.items()}
    found = run(script, url, key, json.dumps(flat if runner == "node" else ASKED))
    for place, response in zip(plain(**ASKED), found, strict=True):
        assert (response["timezone"], response["offset"]) == (place["timezone"], place["utc_offset_seconds"])
        for kind in ("hourly", "daily"):
            columns = [column for name, column in place[kind].items() if name != "time"]
            read = np.array(response[kind]["values"], dtype=float)
            np.testing.assert_allclose(read, np.array(columns, dtype=float), rtol=1e-6)
            assert (response[kind]["timeEnd"] - response[kind]["time"]) / response[kind]["interval"] == len(columns[0])
    refused = run(script, url, key, json.dumps({"site": "zurich", "hourly": "ozone"}))
    assert "variable 'ozone' is not known" in refused["error"]


def test_an_independent_reader_of_coverages_reads_what_the_plain_client_reads(node, plain):
    asked = ASKED | {"quantiles": "0.1,0.9", "exceedance": "temperature_2m>20"}
    found = node("read-coverages.cjs", given=json.dumps(plain(**asked, format="covjson")))
    wanted = [(place, kind) for place in plain(**asked) for kind in ("hourly", "daily")]
    for coverage, (place, kind) in zip(found, wanted, strict=True):
        assert coverage["profile"].endswith("PointSeries")
        for name, column in place[kind].items():
            if name != "time":
                assert coverage["values"][name] == column
        assert len(coverage["times"]) == len(place[kind]["time"])
