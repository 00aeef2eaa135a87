"""A client that costs little and believes nothing: raw HTTP over kept connections, every answer compared with its run file."""

from __future__ import annotations

import asyncio
import hashlib
import time
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import orjson

from skyproof.archive.archive import Archive
from skyproof.archive.run_file import RunReader
from skyproof.domain.forecasts import Run
from skyproof.domain.quantiles import INDEX_P10, INDEX_P90

_TIMEOUT_S = 30.0
_CLOSED = (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError, ValueError)


@dataclass(frozen=True, slots=True)
class Answer:
    """One request and what came of it; status 0: the connection ended before the answer did.

    ``began``, ``ended``: monotonic seconds. ``fault``: what is wrong with it. ``body`` is let go once it is checked.
    """

    status: int
    began: float
    ended: float
    body: bytes = b""
    digest: str = ""
    customer_id: str = ""
    forecast_id: str = ""
    run_id: str = ""
    fault: str = ""
    is_warned: bool = False

    def json(self) -> dict:
        """The body."""
        return orjson.loads(self.body)


class Client:
    """One connection, made anew when it is closed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, method: str, path: str, token: str, body: bytes = b"") -> Answer:
        """Send one request."""
        began = time.monotonic()
        try:
            status, received = await asyncio.wait_for(self._exchange(method, path, token, body), _TIMEOUT_S)
        except _CLOSED as error:
            self._drop()
            return Answer(0, began, time.monotonic(), digest=repr(error))
        return Answer(status, began, time.monotonic(), received)

    async def _exchange(self, method: str, path: str, token: str, body: bytes) -> tuple[int, bytes]:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        more = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if method == "POST" else ""
        head = f"{method} {path} HTTP/1.1\r\nHost: soak\r\nAuthorization: Bearer {token}\r\n{more}\r\n"
        writer.write(head.encode() + body)
        told = await reader.readuntil(b"\r\n\r\n")
        lines = told.lower().split(b"\r\n")
        headers = dict(line.split(b": ", 1) for line in lines[1:] if line)
        received = await reader.readexactly(int(headers[b"content-length"]))
        if headers.get(b"connection") == b"close":
            self._drop()
        return int(lines[0].split()[1]), received

    def _drop(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
        self._streams = None


class Truth:
    """What every run's file holds, read apart from the server."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._runs: dict[str, tuple[Run, RunReader]] = {}
        self._checked: dict[tuple[str, str, str], Answer] = {}
        self._names: dict[str, tuple[str, str, str]] = {}

    def run(self, run_id: str) -> tuple[Run, RunReader]:
        """A run, and its file."""
        if run_id not in self._runs:
            run = self._archive.runs.find(run_id)
            self._runs[run_id] = (run, self._archive.runs.open(run))
        return self._runs[run_id]

    def check(self, answer: Answer, site_id: str, customer_id: str) -> Answer:
        """The answer with what is wrong with it.

        A body seen before was checked then: the same name must be the same bytes.
        """
        if answer.status != 200:
            return replace(answer, digest=answer.digest or answer.body[:300].decode("utf-8", "replace"))
        digest = hashlib.sha256(answer.body).hexdigest()
        asked = (digest, site_id, customer_id)
        known = self._checked.get(asked)
        if known is None:
            known = self._checked[asked] = replace(self._read(answer, digest, site_id, customer_id), body=b"")
        first = self._names.setdefault(known.forecast_id, asked)
        fault = known.fault or ("" if first == asked else f"{known.forecast_id} is {first} and {asked}")
        return replace(known, began=answer.began, ended=answer.ended, body=b"", fault=fault)

    def _read(self, answer: Answer, digest: str, site_id: str, customer_id: str) -> Answer:
        said = answer.json()
        meta = said["meta"]
        run, reader = self.run(meta["run_id"])
        series = reader.site(site_id)
        hours = [
            (datetime.fromisoformat(label) - run.init_time) / timedelta(hours=1) for label in said["hourly"]["time"]
        ]
        leads = [reader.lead_hours.index(hour) for hour in hours]
        fault = "" if said["grid"]["site"] == site_id and leads else f"asked for {site_id}, got {said['grid']}"
        for place, name in enumerate(reader.variables):
            for suffix, right in (
                ("", series.mean[place]), ("_p10", series.quantiles[place, :, INDEX_P10]),
                ("_p90", series.quantiles[place, :, INDEX_P90]),
            ):  # fmt: skip
                if not np.allclose(said["hourly"][name + suffix], right[leads], atol=0.051, rtol=0):
                    fault = fault or f"{name}{suffix} of {site_id} is not what {run.run_id} holds"
        is_warned = any(warning["code"] == "database_away" for warning in meta["warnings"])
        return replace(
            answer, digest=digest, customer_id=customer_id, forecast_id=meta["forecast_id"], run_id=run.run_id,
            fault=fault, is_warned=is_warned,
        )  # fmt: skip
