"""A small archive to serve: two customers, three sites, two runs around the night when Zurich's clocks go forward."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import numpy as np

from skyproof.archive.archive import Archive
from skyproof.archive.run_file import RunDraft
from skyproof.domain.accounts import FORECAST_SCOPE, SCOPES, Plan
from skyproof.domain.cycles import SourceSpec
from skyproof.domain.forecasts import ForecastGrid, ForecastValues, Regime, Run, RunInput
from skyproof.domain.quantiles import LEVELS
from skyproof.domain.reasons import NO_EXPERT_AWAKE, REASONS
from skyproof.domain.sites import Customer, Site
from skyproof.stages.deliver.keys import new_key
from skyproof.stages.deliver.rendering import Draw
from skyproof.stages.forecast.scenarios import draw_scenarios
from skyproof.surfaces.api.app import create_app
from skyproof.surfaces.api.front import Front

#: In Zurich 2025-03-30 has 23 hours: at 01:00Z the clocks go from 02:00 to 03:00.
FIRST_INIT = datetime(2025, 3, 29, 12, tzinfo=UTC)
SECOND_INIT = FIRST_INIT + timedelta(hours=12)
NOW = SECOND_INIT + timedelta(hours=3)
VARIABLES = ("temperature_2m", "wind_speed_10m", "precipitation")
LEADS = (6, 12, 18, 24, 30)
#: The cell without a forecast: (variable, lead) of every site, in both runs.
GAP = (VARIABLES.index("precipitation"), 2)
SHARED = Site("zurich", "Zürich", 47.38, 8.54, 410.0, "Europe/Zurich")
ACME_SITE = Site("acme-roof", "Acme's roof", 47.0, 8.0, 500.0, "Asia/Kolkata", "acme")
BOLT_SITE = Site("bolt-farm", "Bolt's farm", 46.99, 8.01, 600.0, "UTC", "bolt")
SITES = (ACME_SITE, BOLT_SITE, SHARED)
LIFETIME = timedelta(days=30)
#: No test waits for a minute to pass.
GENEROUS = {"standard": Plan(10**9, 10**9, 1_000, 20, 10)}


@dataclass(frozen=True)
class Served:
    """What is in the archive. ``tokens`` by name: acme, bolt, reader, expired, revoked, scopeless."""

    archive: Archive
    tokens: dict[str, str]
    first: Run
    second: Run


def fill(archive: Archive) -> Served:
    """Put customers, keys, sites, a source and both runs into an empty archive."""
    archive.customers.add(Customer("acme", "Acme Energy"))
    archive.customers.add(Customer("bolt", "Bolt Farms"))
    archive.sites.add(SITES)
    archive.sources.register(
        SourceSpec(
            "alba", "Alba ensemble", "alba", "CC-BY-4.0", "Contains Alba data", True, True, timedelta(hours=12),
            timedelta(hours=4), timedelta(hours=5), 5, LEADS, {"temperature_2m": "Cel"},
        )
    )  # fmt: skip
    first = archive.runs.publish(draft(1, FIRST_INIT, "rel_aaaaaaaaaaaaaaaa"))
    second = archive.runs.publish(draft(2, SECOND_INIT, "rel_bbbbbbbbbbbbbbbb", regime_id="without-boreas"))
    return Served(archive, _keys(archive), first, second)


def _keys(archive: Archive) -> dict[str, str]:
    tokens = {}
    for name, customer_id, age, scopes in (
        ("acme", "acme", timedelta(days=1), tuple(SCOPES)),
        ("bolt", "bolt", timedelta(days=1), tuple(SCOPES)),
        ("reader", "acme", timedelta(days=1), (FORECAST_SCOPE,)),
        ("expired", "acme", LIFETIME, tuple(SCOPES)),
        ("revoked", "acme", timedelta(days=1), tuple(SCOPES)),
        ("scopeless", "acme", timedelta(days=1), ("alerts:write",)),
    ):
        tokens[name], key = new_key(customer_id, created_at=NOW - age, lifetime=LIFETIME)
        # As an older or a newer version may have given them.
        key = replace(key, scopes=scopes)
        archive.customers.add_key(key)
        if name == "revoked":
            archive.customers.revoke_key(key.key_id, NOW - timedelta(hours=1))
    return tokens


def draft(seed: int, init_time: datetime, release_id: str, *, regime_id: str = "full") -> RunDraft:
    """A run issued at its init time and published half an hour later; sites differ by a degree, a metre per second, ..."""
    grid = ForecastGrid(tuple(replace(site, customer_id=None) for site in SITES), VARIABLES, LEADS, 6)
    cells = (len(VARIABLES), len(SITES), len(LEADS))
    mean = np.random.default_rng(seed).integers(5, 15, cells).astype(np.float32)
    mean += (
        np.array([100.0, 200.0, 300.0], dtype=np.float32).reshape(1, 3, 1) / 10
    )  # which site it is shows in the value
    quantiles = mean[..., None] + 4 * (np.array(LEVELS, dtype=np.float32) - 0.5)
    mean[GAP[0], :, GAP[1]] = np.nan
    quantiles[GAP[0], :, GAP[1]] = np.nan
    reasons = np.where(np.isnan(mean), NO_EXPERT_AWAKE, 0).astype(np.uint8)
    missing = () if regime_id == "full" else ("boreas",)
    return RunDraft(
        release_id, init_time, init_time, init_time + timedelta(minutes=30), Regime(regime_id, missing, (), 1.25, 0.79, 412),
        (
            RunInput("alba", init_time - timedelta(hours=12), init_time - timedelta(hours=8), 12.0, 0, "ok", 1.0, "abc"),
            RunInput("boreas", None, None, None, 1, "absent", 0.0),
        ),
        grid, ForecastValues(quantiles, mean), reasons, "", 12.5, ("stale_source:boreas since 2025-03-29T00:00:00Z",),
        REASONS,
    )  # fmt: skip


def draw_alone(archive: Archive) -> Draw:
    """Draws every cell of a run alone: what needs no release, which this archive has not."""
    return lambda run, site_ids, members: draw_scenarios(
        archive, run, members=members, site_ids=site_ids, template="independent"
    )


class MovableClock:
    """Tells the instant it was last set to."""

    def __init__(self, instant: datetime = NOW) -> None:
        self.instant = instant

    def now(self) -> datetime:
        return self.instant


class Caller:
    """Asks an application without a network; ``token`` is that of the key sent."""

    def __init__(self, front: Front, runner: asyncio.Runner, tokens: dict[str, str]) -> None:
        self._front = front
        self._client = httpx.AsyncClient(transport=httpx.ASGITransport(app=front), base_url="http://sky.test")
        self._runner = runner
        self.tokens = tokens

    def __call__(
        self,
        path: str,
        params: Any = None,
        *,
        key: str | None = "acme",
        method: str = "GET",
        body: Any = None,
        content: bytes | AsyncIterator[bytes] | None = None,
        **headers: str,
    ) -> httpx.Response:
        """Send one request with the key of that name; header names are written with ``_`` for ``-``; ``body`` goes as JSON."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            sent["Authorization"] = f"Bearer {self.tokens[key]}"
        return self._runner.run(
            self._client.request(method, path, params=params, headers=sent, json=body, content=content)
        )

    def post(self, path: str, body: Any = None, **more: Any) -> httpx.Response:
        """Send a POST with a JSON body."""
        return self(path, method="POST", body=body, **more)

    def sent_bytes(self, path: str, *, method: str, key: str = "acme") -> bytes:
        """All body bytes the application hands to the server, which the client may never show."""
        sent: list[bytes] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request"}

        async def send(message: Any) -> None:
            sent.append(message.get("body", b""))

        where, _, query = path.partition("?")
        headers = [(b"x-api-key", self.tokens[key].encode())]
        scope = {
            "type": "http", "http_version": "1.1", "method": method, "path": where, "raw_path": where.encode(),
            "query_string": query.encode(), "headers": headers, "server": ("sky.test", 80), "scheme": "http", "root_path": "",
        }  # fmt: skip
        self._runner.run(self._front(scope, receive, send))
        return b"".join(sent)

    def close(self) -> None:
        """Let go of the client."""
        self._runner.run(self._client.aclose())

    def forecast(self, params: Any = None, **more: Any) -> httpx.Response:
        """Ask for Zurich's temperature unless ``params`` say otherwise."""
        defaults = {"hourly": "temperature_2m"} | (
            {} if {"site", "latitude"} & set(params or ()) else {"site": "zurich"}
        )
        return self("/v1/forecast", defaults | (params or {}), **more)


@contextmanager
def calling(
    archive: Archive, tokens: dict[str, str], *, clock: MovableClock | None = None, **options: Any
) -> Iterator[Caller]:
    """Serve an archive to a :class:`Caller`; nothing is remembered from one request to the next, unless ``options`` say so."""
    usual = {"refresh_s": 0.0, "remember_keys_s": 0.0, "plans": GENEROUS, "draw": draw_alone(archive)}
    options = usual | options
    front = create_app(archive, clock=clock or MovableClock(), **options)
    app: Any = front.app
    with asyncio.Runner() as runner:
        life = app.router.lifespan_context(app)
        runner.run(life.__aenter__())
        caller = Caller(front, runner, tokens)
        try:
            yield caller
        finally:
            caller.close()
            runner.run(life.__aexit__(None, None, None))
