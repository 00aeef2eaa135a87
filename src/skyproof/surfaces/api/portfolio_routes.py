"""Portfolios: places taken together, and their forecast.

Annotations are evaluated at once here: FastAPI has to see the dependencies, which are local names.
"""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from skyproof.archive.archive import Archive
from skyproof.archive.deliveries import ReceiptWriter
from skyproof.cycle.portfolio_cycle import forecast_portfolio
from skyproof.domain.deliveries import ApiKey
from skyproof.domain.protocols import Clock
from skyproof.stages.deliver.place_changes import delete_portfolio, own_portfolio, portfolio_facts, put_portfolio
from skyproof.stages.deliver.portfolio_answer import MEDIA_TYPE, read_levels, read_names
from skyproof.surfaces.api import place_wire as shapes
from skyproof.surfaces.api import wire
from skyproof.surfaces.api.authentication import Authenticator
from skyproof.surfaces.api.bodies import parse_model, read_body
from skyproof.surfaces.api.customer_writes import CustomerWrites, described
from skyproof.surfaces.api.forecast_routes import forecast_headers

#: Portfolios worked out at a time: each fills a processor for a while.
_AT_ONCE = 2


def portfolio_router(archive: Archive, clock: Clock, authenticator: Authenticator, writer: ReceiptWriter) -> APIRouter:
    """The routes of portfolios, each behind the scope it needs."""
    router = APIRouter(prefix="/v1")
    write = CustomerWrites(archive, clock)
    reads, writes = Depends(authenticator), Depends(authenticator.requires("sites:write"))
    working = asyncio.Semaphore(_AT_ONCE)

    @router.get("/portfolios", summary="Your portfolios")
    def portfolios(nothing: Annotated[wire.Nothing, Query()], key: Annotated[ApiKey, reads]) -> shapes.PortfoliosOut:  # noqa: ARG001
        found = archive.portfolios.all(key.customer_id)
        return shapes.PortfoliosOut(
            portfolios=[shapes.PortfolioOut.model_validate(portfolio_facts(each)) for each in found]
        )

    @router.get("/portfolios/{portfolio_id}", summary="One portfolio")
    def portfolio(
        nothing: Annotated[wire.Nothing, Query()],  # noqa: ARG001 refuses parameters
        portfolio_id: str,
        key: Annotated[ApiKey, reads],
    ) -> shapes.PortfolioOut:
        found = own_portfolio(archive.portfolios.all(key.customer_id), portfolio_id)
        return shapes.PortfolioOut.model_validate(portfolio_facts(found))

    async def put(request: Request, key: ApiKey, portfolio_id: str) -> Response:
        body = await read_body(request, most_bytes=256 << 10)
        wanted = parse_model(request, body, shapes.PortfolioIn)
        plan = authenticator.meter.plan(key.customer_id)
        return await write(
            request,
            key,
            body,
            lambda transaction, now: put_portfolio(
                archive,
                transaction,
                key,
                plan,
                now,
                name=wanted.name,
                aggregate=wanted.aggregate,
                members={member.site: member.weight for member in wanted.members},
                portfolio_id=portfolio_id,
            ),
        )

    @router.post(
        "/portfolios",
        summary="Take places together",
        **described(shapes.PortfolioOut, status=201, body=shapes.PortfolioIn),
    )
    async def create(request: Request, key: Annotated[ApiKey, writes]) -> Response:
        return await put(request, key, "")

    @router.put(
        "/portfolios/{portfolio_id}",
        summary="Replace a portfolio",
        **described(shapes.PortfolioOut, body=shapes.PortfolioIn),
    )
    async def replace(request: Request, portfolio_id: str, key: Annotated[ApiKey, writes]) -> Response:
        return await put(request, key, portfolio_id)

    @router.delete("/portfolios/{portfolio_id}", summary="Drop a portfolio", **described(shapes.PortfolioOut))
    async def delete(request: Request, portfolio_id: str, key: Annotated[ApiKey, writes]) -> Response:
        return await write(
            request, key, b"", lambda transaction, now: delete_portfolio(archive, transaction, key, portfolio_id, now)
        )

    @router.get(
        "/portfolios/{portfolio_id}/forecast",
        summary="A portfolio's forecast, from scenarios that agree over its places",
        responses={200: {"model": shapes.PortfolioForecastOut}},
    )
    async def forecast(
        request: Request,
        asked: Annotated[shapes.PortfolioQuestion, Query()],
        portfolio_id: str,
        key: Annotated[ApiKey, reads],
    ) -> Response:
        variables, levels = read_names(asked.hourly), read_levels(asked.quantiles)
        found = own_portfolio(await run_in_threadpool(archive.portfolios.all, key.customer_id), portfolio_id)
        now = clock.now()
        async with working:
            answer, newest_run_id = await run_in_threadpool(
                forecast_portfolio,
                archive,
                found,
                variables=variables,
                levels=levels,
                members=asked.members,
                run_id=None if asked.run == "latest" else asked.run,
                now=now,
            )
        if not request.scope.get("is_head"):
            receipt = answer.receipt(key, newest_run_id=newest_run_id, served_at=now)
            await writer.record_on_loop(receipt, answer.body)
        return Response(answer.body, headers=forecast_headers(answer.forecast_id, answer.run), media_type=MEDIA_TYPE)

    return router
