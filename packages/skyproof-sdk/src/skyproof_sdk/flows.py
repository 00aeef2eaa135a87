"""What clients do, apart from how they wait: each flow is a generator that yields what it wants done and is sent the outcome.

Both clients run the same flows, so there is one place for retries, cursors and checks.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import quote

import httpx

from skyproof_sdk.errors import ProofError, SdkError, WaitTimeoutError, read_problem
from skyproof_sdk.forecast import Forecast
from skyproof_sdk.proof import Receipt, check_proof
from skyproof_sdk.questions import ForecastQuestion, write_parameters
from skyproof_sdk.runs import RunAvailable

T = TypeVar("T")
_RETRIED = frozenset({429, 502, 503, 504})
_EVENTS_AT_ONCE = "1000"


@dataclass(frozen=True, slots=True)
class Get:
    """Send a GET; the outcome is the response, or the transport's error."""

    path: str
    params: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait so many seconds; the outcome is None."""

    seconds: float


Flow = Generator[Get | Pause, Any, T]


@dataclass(frozen=True, slots=True)
class Patience:
    """How often a question is asked again, and how long a wait is worth it.

    What the server says in ``Retry-After`` is kept to; if that is more than ``longest_wait_s``, its problem is raised at once.
    """

    retries: int = 4
    first_wait_s: float = 0.5
    longest_wait_s: float = 120.0

    def wait_s(self, response: httpx.Response | None, attempt: int) -> float | None:
        """Seconds until the next attempt after a failed one; None if there shall be none."""
        if attempt >= self.retries:
            return None
        told = None if response is None else read_retry_after(response)
        if told is not None:
            return told if told <= self.longest_wait_s else None
        if response is not None and response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            return None  # the server names no time at which asking again would help
        # Clients that failed together do not come back together.
        spread = random.uniform(0.5, 1.0)  # noqa: S311 no secret
        return min(self.first_wait_s * 2.0**attempt, self.longest_wait_s) * spread


def read_retry_after(response: httpx.Response) -> float | None:
    """Seconds to wait: ``Retry-After`` as a number or a date (RFC 9110); None without a readable one."""
    text = response.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return None
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max((until - datetime.now(UTC)).total_seconds(), 0.0)


def get(path: str, params: Mapping[str, str], patience: Patience) -> Flow[httpx.Response]:
    """A good answer, asked for as often as ``patience`` says."""
    attempt = 0
    while True:
        outcome = yield Get(path, params)
        if isinstance(outcome, httpx.Response):
            if outcome.is_success:
                return outcome
            error: Exception = read_problem(outcome)
            wait_s = patience.wait_s(outcome, attempt) if outcome.status_code in _RETRIED else None
        else:
            error = outcome
            wait_s = patience.wait_s(None, attempt)
        if wait_s is None:
            raise error
        attempt += 1
        yield Pause(wait_s)


def get_json(path: str, params: Mapping[str, str], patience: Patience) -> Flow[dict[str, Any]]:
    """A good answer's JSON object."""
    response = yield from get(path, params, patience)
    try:
        document = response.json()
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise SdkError(f"{path} did not answer with a JSON object; is the address that of a Skyproof API?")
    return document


def forecast(question: ForecastQuestion, patience: Patience) -> Flow[Forecast]:
    """Ask for a forecast."""
    response = yield from get("/v1/forecast", write_parameters(question), patience)
    return Forecast.read(response.content)


def delivered(forecast_id: str, patience: Patience) -> Flow[Forecast]:
    """The bytes of an earlier answer."""
    response = yield from get(f"/v1/forecasts/{quote(forecast_id, safe='')}", {}, patience)
    return Forecast.read(response.content)


def verify_receipt(given: Forecast, patience: Patience) -> Flow[Receipt]:
    """Check an answer against what the server has under its id, its proof, and the ledger everyone sees."""
    path = f"/v1/forecasts/{quote(given.forecast_id, safe='')}"
    again = yield from get(path, {}, patience)
    if again.content != given.body:
        raise ProofError(f"the server now has other bytes under {given.forecast_id} than these")
    proof = yield from get_json(f"{path}/proof", {}, patience)
    receipt = check_proof(given.body, proof)
    if receipt.forecast_id != given.forecast_id:
        raise ProofError(f"the proof is of {receipt.forecast_id}, not of {given.forecast_id}")
    day = yield from get_json(f"/v1/ledger/{quote(receipt.date, safe='')}", {}, patience)
    if day != proof["ledger"]:
        raise ProofError(f"the ledger of {receipt.date} is another one than the proof's")
    return receipt


def wait_for_run(
    cursor: str | None, timeout_s: float, poll_s: float, tick: Callable[[], float], patience: Patience
) -> Flow[RunAvailable]:
    """Wait for a run that is published after ``cursor``, or after now where it is None."""
    end = tick() + timeout_s
    if cursor is None:
        cursor = yield from newest_cursor(patience)
    while True:
        # One at a time: the cursor then stands right behind the event.
        events, cursor = yield from _events({"type": "run.available", "limit": "1", "cursor": cursor}, patience)
        if events:
            try:
                data = events[0]["data"]
                return RunAvailable(str(data["run_id"]), str(events[0]["time"]), cursor, data)
            except (LookupError, TypeError) as error:
                raise SdkError("the event of a run does not name its run") from error
        left = end - tick()
        if left <= 0:
            raise WaitTimeoutError(
                f"no run was published within {timeout_s:g} seconds; GET /v1/status says how things are"
            )
        yield Pause(min(poll_s, left))


def newest_cursor(patience: Patience) -> Flow[str]:
    """The cursor behind all that happened so far."""
    cursor = ""
    while True:
        events, cursor = yield from _events({"limit": _EVENTS_AT_ONCE, "cursor": cursor}, patience)
        if not events:
            return cursor


def _events(params: Mapping[str, str], patience: Patience) -> Flow[tuple[list[Any], str]]:
    page = yield from get_json("/v1/events", params, patience)
    events, cursor = page.get("events"), page.get("next_cursor")
    if not isinstance(events, list) or not isinstance(cursor, str):
        raise SdkError("/v1/events did not answer with events and a cursor")
    return events, cursor
