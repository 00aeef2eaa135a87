"""The two clients: one that blocks, one for an event loop. What they do stands once, in :mod:`skyproof_sdk.flows`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Self, TypeVar, Unpack

import httpx

from skyproof_sdk import flows
from skyproof_sdk.flows import Flow, Get, Patience
from skyproof_sdk.forecast import Forecast
from skyproof_sdk.proof import Receipt
from skyproof_sdk.questions import ForecastQuestion
from skyproof_sdk.runs import RunAvailable

T = TypeVar("T")
_TIMEOUT_S = 30.0
_PATIENCE = Patience()


class Client:
    """Asks the API and blocks until it answers.

    Args:
        base_url: where the API is, without ``/v1``.
        key: ``sp_live_...``; sent in a header, never in an address, and to no other host.
        patience: how failures are retried.
        transport: another way to the server, as httpx has them.
        sleep: waits so many seconds.
    """

    def __init__(
        self,
        base_url: str,
        *,
        key: str,
        patience: Patience = _PATIENCE,
        timeout_s: float = _TIMEOUT_S,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.patience = patience
        self._sleep = sleep
        self._http = httpx.Client(base_url=base_url, headers=_headers(key), timeout=timeout_s, transport=transport)

    def forecast(self, **question: Unpack[ForecastQuestion]) -> Forecast:
        """Ask ``GET /v1/forecast``.

        Raises:
            ApiError: the server refused; the hint says what to do.
        """
        return self._run(flows.forecast(question, self.patience))

    def delivered(self, forecast_id: str) -> Forecast:
        """An earlier answer, byte for byte."""
        return self._run(flows.delivered(forecast_id, self.patience))

    def get(self, path: str, **params: str) -> dict[str, Any]:
        """The JSON object at any other address of the API, such as ``/v1/status``."""
        return self._run(flows.get_json(path, params, self.patience))

    def verify_receipt(self, forecast: Forecast) -> Receipt:
        """Check that exactly these bytes are kept, and that their receipt is in the ledger; the day after they were served.

        Raises:
            ProofError: they are not.
            ApiError: there is no proof; ``not_available`` until the day is closed.
        """
        return self._run(flows.verify_receipt(forecast, self.patience))

    def newest_cursor(self) -> str:
        """The cursor behind all events so far: take it before you ask, and no run is missed in between."""
        return self._run(flows.newest_cursor(self.patience))

    def wait_for_run(
        self, *, cursor: str | None = None, timeout_s: float = 8 * 3600.0, poll_s: float = 30.0
    ) -> RunAvailable:
        """Wait for a run published after ``cursor`` (default: after now). Needs the scope ``events:read``.

        Raises:
            WaitTimeoutError: there was none within ``timeout_s``.
        """
        return self._run(flows.wait_for_run(cursor, timeout_s, poll_s, time.monotonic, self.patience))

    def close(self) -> None:
        """Close connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, flow: Flow[T]) -> T:
        outcome: Any = None
        while True:
            try:
                wanted = flow.send(outcome)
            except StopIteration as end:
                result: T = end.value
                return result
            if isinstance(wanted, Get):
                try:
                    outcome = self._http.get(wanted.path, params=dict(wanted.params))
                except httpx.TransportError as error:
                    outcome = error
            else:
                outcome = self._sleep(wanted.seconds)


class AsyncClient:
    """The same as :class:`Client` for an event loop: every method is awaited."""

    def __init__(
        self,
        base_url: str,
        *,
        key: str,
        patience: Patience = _PATIENCE,
        timeout_s: float = _TIMEOUT_S,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.patience = patience
        self._sleep = sleep
        self._http = httpx.AsyncClient(base_url=base_url, headers=_headers(key), timeout=timeout_s, transport=transport)

    async def forecast(self, **question: Unpack[ForecastQuestion]) -> Forecast:
        """See :meth:`Client.forecast`."""
        return await self._run(flows.forecast(question, self.patience))

    async def delivered(self, forecast_id: str) -> Forecast:
        """See :meth:`Client.delivered`."""
        return await self._run(flows.delivered(forecast_id, self.patience))

    async def get(self, path: str, **params: str) -> dict[str, Any]:
        """See :meth:`Client.get`."""
        return await self._run(flows.get_json(path, params, self.patience))

    async def verify_receipt(self, forecast: Forecast) -> Receipt:
        """See :meth:`Client.verify_receipt`."""
        return await self._run(flows.verify_receipt(forecast, self.patience))

    async def newest_cursor(self) -> str:
        """See :meth:`Client.newest_cursor`."""
        return await self._run(flows.newest_cursor(self.patience))

    async def wait_for_run(
        self, *, cursor: str | None = None, timeout_s: float = 8 * 3600.0, poll_s: float = 30.0
    ) -> RunAvailable:
        """See :meth:`Client.wait_for_run`."""
        return await self._run(flows.wait_for_run(cursor, timeout_s, poll_s, time.monotonic, self.patience))

    async def close(self) -> None:
        """Close connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _run(self, flow: Flow[T]) -> T:
        outcome: Any = None
        while True:
            try:
                wanted = flow.send(outcome)
            except StopIteration as end:
                result: T = end.value
                return result
            if isinstance(wanted, Get):
                try:
                    outcome = await self._http.get(wanted.path, params=dict(wanted.params))
                except httpx.TransportError as error:
                    outcome = error
            else:
                await self._sleep(wanted.seconds)
                outcome = None


def _headers(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}", "User-Agent": "skyproof-sdk"}
