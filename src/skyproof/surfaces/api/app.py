"""The application: routes, keys, errors and the life of the receipt writer.

Annotations are evaluated at once here: FastAPI has to see the dependencies, which are local names.
"""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Annotated, Any

from fastapi import Depends, FastAPI
from fastapi import Path as FromPath
from fastapi.exceptions import RequestValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from skyproof import __version__
from skyproof.archive.archive import Archive
from skyproof.cycle.deliver_cycle import open_desk
from skyproof.cycle.push_cycle import Pusher, idle_pusher
from skyproof.domain.accounts import PLANS, Plan
from skyproof.domain.deliveries import ApiKey
from skyproof.domain.errors import SkyproofError
from skyproof.domain.protocols import Clock
from skyproof.stages.deliver.desk import Desk
from skyproof.stages.deliver.points import Points
from skyproof.stages.deliver.quotas import Meter
from skyproof.stages.deliver.rendering import Draw
from skyproof.surfaces.api import problems, wire
from skyproof.surfaces.api.account_routes import account_router
from skyproof.surfaces.api.authentication import Authenticator
from skyproof.surfaces.api.bodies import BodyFaultsError, MediaTypeError
from skyproof.surfaces.api.catalogue_routes import catalogue_router
from skyproof.surfaces.api.description import describe
from skyproof.surfaces.api.discovery_routes import discovery_router
from skyproof.surfaces.api.edr_routes import edr_router
from skyproof.surfaces.api.express import PATH, Express
from skyproof.surfaces.api.forecast_routes import ForecastRoutes
from skyproof.surfaces.api.front import Front
from skyproof.surfaces.api.gate import Gate
from skyproof.surfaces.api.guides import API_CATALOG, write_llms_text
from skyproof.surfaces.api.ledger_routes import ledger_router
from skyproof.surfaces.api.lifecycle import API_VERSION, DEPRECATIONS, Deprecation
from skyproof.surfaces.api.news_routes import news_router
from skyproof.surfaces.api.portfolio_routes import portfolio_router
from skyproof.surfaces.api.push_routes import push_router
from skyproof.surfaces.api.query_routes import query_router
from skyproof.surfaces.api.site_routes import site_router
from skyproof.surfaces.console.documentation import render_documentation
from skyproof.surfaces.console.routes import add_console, add_styles

_LINKSET = 'application/linkset+json; profile="https://www.rfc-editor.org/info/rfc9727"'
_FORECAST_ID = "The forecast_id of an answer you were given."


def create_app(
    archive: Archive,
    *,
    clock: Clock,
    claim: Callable[[], dict[str, Any] | None] | None = None,
    console: bool = False,
    draw: Draw | None = None,
    nearest_site_km: float = 50.0,
    refresh_s: float = 1.0,
    remember_keys_s: float = 3.0,
    keys_outlive_s: float = 3600.0,
    plans: Mapping[str, Plan] = PLANS,
    wall: Callable[[], float] = time.time,
    points: Points | None = None,
    pusher: Pusher | None = None,
    gate: Gate | None = None,
    deprecations: tuple[Deprecation, ...] = DEPRECATIONS,
) -> Front:
    """Make the ASGI application.

    Args:
        archive: what is served; the caller opens and closes it, and keeps it open while the application runs.
        clock: whose present counts.
        claim: gives the newest scorecard as plain data, or None; shown on the console.
        console: serve the operators' page at ``/`` to callers on this machine.
        draw: gives scenarios of a run; the archive's own where it is None.
        nearest_site_km: a coordinate farther than this from every site is a point of its own, or refused.
        refresh_s: how long the newest run is taken as known, in seconds; sites five times as long.
        remember_keys_s: how long a key is taken as known, in seconds.
        keys_outlive_s: how long a key that opened goes on opening while the database is away, in seconds.
        plans: what customers may ask for, by the name of their plan.
        wall: the machine's clock in seconds since 1970, by which requests are counted.
        points: forecasts coordinates that no site answers; without it they are refused.
        pusher: tells customers what happens; by default webhooks are kept, and nothing is pushed.
        gate: bounds what is under way.
        deprecations: what goes away.
    """
    gate = gate or Gate()
    pusher = pusher or idle_pusher(archive, clock)
    meter = Meter(archive.usage, plans=plans, wall=wall)
    writer = archive.deliveries.start_writer()
    drawing = {} if draw is None else {"draw": draw}
    desk = open_desk(archive, points=points, nearest_site_km=nearest_site_km, refresh_s=refresh_s, **drawing)

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        # Whoever asks first waits for no file. Nothing is listened on yet, so nobody is told that there is nothing to give.
        with suppress(SkyproofError):
            await run_in_threadpool(desk.prepare, now=clock.now())
        meter.start()
        pusher.start()
        yield
        # Writes what still waits: nothing handed in is lost by an orderly end.
        await run_in_threadpool(writer.close)
        await run_in_threadpool(meter.close)
        await run_in_threadpool(pusher.close)

    app = FastAPI(
        title="Skyproof", version=__version__, docs_url=None, redoc_url=None, openapi_url=None, lifespan=life,
        redirect_slashes=False,
    )  # fmt: skip
    _add_error_handlers(app)
    authenticator = Authenticator(
        archive, clock, meter, gate=gate, remember_s=remember_keys_s, outlive_s=keys_outlive_s
    )
    forecasts = ForecastRoutes(archive, clock, desk, authenticator, writer)
    # Known to the router for its other methods; a GET goes past it, because the framework's layers cost more than the answer.
    app.router.routes.insert(0, Route(PATH, forecasts.forecast, methods=["GET"], include_in_schema=False))
    _add_delivered(app, forecasts, authenticator)
    app.include_router(ledger_router(archive, clock, authenticator))
    app.include_router(discovery_router(archive, clock, authenticator))
    app.include_router(catalogue_router(archive, clock, authenticator))
    app.include_router(account_router(archive, clock, authenticator))
    app.include_router(site_router(archive, clock, authenticator))
    app.include_router(portfolio_router(archive, clock, authenticator, writer))
    app.include_router(push_router(archive, clock, authenticator, pusher))
    app.include_router(edr_router(forecasts))
    app.include_router(news_router(archive, clock, authenticator, deprecations))
    app.include_router(query_router(archive, clock, authenticator, writer, nearest_site_km=nearest_site_km))
    _add_description(app, deprecations)
    add_styles(app)
    if console:
        add_console(app, archive, clock, claim=claim)
    front = Front(
        app,
        quick={PATH: forecasts.forecast},
        express=Express(forecasts, deprecations),
        gate=gate,
        deprecations=deprecations,
    )
    _add_health(app, front, desk, clock, lambda: archive.is_away)
    return front


def _add_error_handlers(app: FastAPI) -> None:
    app.add_exception_handler(SkyproofError, problems.on_skyproof_error)
    app.add_exception_handler(HTTPException, problems.on_http_error)
    app.add_exception_handler(BodyFaultsError, problems.on_body_faults)
    app.add_exception_handler(MediaTypeError, problems.on_media_type_error)
    app.add_exception_handler(ClientDisconnect, problems.on_disconnect)
    app.add_exception_handler(RequestValidationError, problems.on_validation_error)
    app.add_exception_handler(Exception, problems.on_unexpected_error)


def _add_delivered(app: FastAPI, forecasts: ForecastRoutes, authenticator: Authenticator) -> None:
    @app.get("/v1/forecasts/{forecast_id}", summary="An earlier answer, byte for byte", response_class=Response)
    async def delivered(
        request: Request,
        forecast_id: Annotated[str, FromPath(description=_FORECAST_ID)],
        holder: Annotated[ApiKey, Depends(authenticator)],
    ) -> Response:
        return await forecasts.delivered(request, forecast_id, holder)


def _add_health(app: FastAPI, front: Front, desk: Desk, clock: Clock, is_away: Callable[[], bool]) -> None:
    @app.get("/healthz", summary="Whether the process lives")
    async def healthz() -> wire.HealthOut:
        return wire.HealthOut(status="ok")

    @app.get("/readyz", summary="Whether forecasts can be answered", response_model=wire.HealthOut)
    def readyz(request: Request) -> wire.HealthOut | Response:
        if front.is_draining:
            return problems.problem(
                request, "shutting_down", "this server is about to end", headers={"Retry-After": "1"}
            )
        desk.prepare(now=clock.now())
        return wire.HealthOut(status="degraded" if is_away() else "ready")


def _add_description(app: FastAPI, deprecations: tuple[Deprecation, ...]) -> None:
    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> dict[str, Any]:
        return describe(app, API_VERSION, deprecations)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(render_documentation(describe(app, API_VERSION, deprecations), problems.CODES))

    @app.get("/llms.txt", include_in_schema=False)
    async def llms_text() -> PlainTextResponse:
        return PlainTextResponse(write_llms_text(describe(app, API_VERSION, deprecations)))

    @app.get("/.well-known/api-catalog", include_in_schema=False)
    async def catalog() -> JSONResponse:
        return JSONResponse(API_CATALOG, media_type=_LINKSET)
