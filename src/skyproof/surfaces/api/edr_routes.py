"""OGC API - Environmental Data Retrieval 1.1: the standards face over the same desk.

Annotations are evaluated at once here: FastAPI has to see the dependencies, which are local names.
"""

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any

import numpy as np
import orjson
from fastapi import APIRouter, Depends
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from skyproof.archive.runs import RunReader
from skyproof.domain.deliveries import ApiKey
from skyproof.domain.errors import InvalidValueError, NoRunError, NotFoundError, SkyproofError, UnknownNameError
from skyproof.domain.forecasts import Run
from skyproof.domain.sites import Site
from skyproof.domain.times import parse_instant
from skyproof.science.polygons import inside_rings
from skyproof.stages.deliver.edr_questions import check_choice, edr_request, trajectory_instants
from skyproof.stages.deliver.questions import MOST_PLACES, ForecastRequest, Place
from skyproof.stages.deliver.wkt import Geometry, parse_wkt
from skyproof.surfaces.api import edr_documents
from skyproof.surfaces.api.edr_description import described_document, described_query
from skyproof.surfaces.api.forecast_routes import ForecastRoutes
from skyproof.surfaces.api.problems import error_problem

_MOST_INSTANCES = 100
_QUERY = ("parameter-name", "quantiles", "datetime", "crs", "f")
_PRIVATE = {"Cache-Control": "private, max-age=60", "Vary": "Authorization, X-API-Key"}


class _Queries:
    """What the routes share."""

    def __init__(self, forecasts: ForecastRoutes) -> None:
        self.forecasts = forecasts
        self.archive = forecasts.archive

    async def answer(self, request: Request, key: ApiKey, kind: str) -> Response:
        """A data query: through the desk, with a receipt."""
        request.scope["as_400"] = (HTTPStatus.UNPROCESSABLE_ENTITY,)
        now = self.forecasts.clock.now()
        try:
            asked = await run_in_threadpool(self._request, request, key, kind, now)
            return await self.forecasts.respond(request, key, asked, now=now)
        except SkyproofError as error:
            return error_problem(request, error)

    async def document(self, request: Request, key: ApiKey, kind: str) -> Response:
        """Metadata, as the holder of the key may see it."""
        request.scope["as_400"] = (HTTPStatus.UNPROCESSABLE_ENTITY,)
        now = self.forecasts.clock.now()
        try:
            check_choice(read_parameters(request, ("f",)), "f", ("json", "JSON"))
            made = await run_in_threadpool(self._document, request, key, kind, now)
        except SkyproofError as error:
            return error_problem(request, error)
        geo = "application/geo+json" if kind == "locations" else "application/json"
        return Response(orjson.dumps(made), headers=_PRIVATE, media_type=geo)

    def _document(self, request: Request, key: ApiKey, kind: str, now: datetime) -> dict[str, Any]:
        run, address = self._run(request, now), address_of(request)
        reader = self.archive.runs.open(run)
        sites = self._sites(key, reader)
        if kind == "collections":
            return edr_documents.collections(address, run, reader, sites)
        if kind == "locations":
            return edr_documents.locations(address, run, sites)
        if kind == "instances":
            runs = self.archive.runs.page(as_of=now, limit=_MOST_INSTANCES)
            return edr_documents.instances(address, [(each, self.archive.runs.open(each)) for each in runs], sites)
        is_instance = "instance" in request.path_params
        return edr_documents.collection(address, run, reader, sites, is_instance=is_instance)

    def _request(self, request: Request, key: ApiKey, kind: str, now: datetime) -> ForecastRequest:
        run = self._run(request, now)
        reader = self.archive.runs.open(run)
        more: dict[str, Any] = {}
        if kind == "locations":
            asked = read_parameters(request, _QUERY)
            site_id = request.path_params["location"]
            if site_id not in {site.site_id for site in self._sites(key, reader)}:
                raise NotFoundError(
                    f"location {site_id[:64]!r} is not known", hint="GET /edr/collections/skyproof/locations lists them"
                )
            places: tuple[Place, ...] = (Place(site_id),)
        else:
            asked = read_parameters(request, ("coords", *_QUERY))
            geometry = parse_wkt(asked.get("coords", ""))
            places, more = self._places(geometry, kind, asked, lambda: self._sites(key, reader))
        is_named = "instance" in request.path_params
        return edr_request(places, asked, variables=reader.variables, run=run.run_id if is_named else None, **more)

    def _places(
        self, geometry: Geometry, kind: str, asked: dict[str, str], list_sites: Callable[[], tuple[Site, ...]]
    ) -> tuple[tuple[Place, ...], dict[str, Any]]:
        wanted = {
            "position": ("POINT", "MULTIPOINT"),
            "area": ("POLYGON", "MULTIPOLYGON"),
            "trajectory": ("LINESTRING",),
        }
        if geometry.kind not in wanted[kind]:
            hint = f"give a {' or '.join(wanted[kind])}"
            raise InvalidValueError(f"{kind} is no query for a {geometry.kind}", hint=hint)
        vertices = tuple(Place("", float(y), float(x)) for part in geometry.parts for x, y in part)
        if kind == "trajectory":
            return vertices, {"instants": trajectory_instants(geometry, asked)}
        if kind == "position":
            return vertices, {"is_area": geometry.kind == "MULTIPOINT"}
        # Only an area needs them all: to read thousands of sites takes longer than the rest of an answer.
        sites = list_sites()
        degrees = np.array([(site.longitude, site.latitude) for site in sites], dtype=np.float64).reshape(-1, 2)
        inside = inside_rings(degrees[:, 0], degrees[:, 1], geometry.parts)
        found = tuple(Place(site.site_id) for site, within in zip(sites, inside, strict=True) if within)
        if not found:
            raise NotFoundError("no registered place lies in the area", hint="ask for its nearest one by position")
        if len(found) > MOST_PLACES:
            raise InvalidValueError(f"{len(found)} places are more than {MOST_PLACES}", hint="ask for a smaller area")
        return found, {"is_area": True}

    def _sites(self, key: ApiKey, reader: RunReader) -> tuple[Site, ...]:
        """Places of a run that the holder of a key may see."""
        present = set(reader.site_ids)
        return tuple(site for site in self.archive.sites.all(customer_id=key.customer_id) if site.site_id in present)

    def _run(self, request: Request, now: datetime) -> Run:
        """The instance in the address, by run id or init time; the newest where none is named."""
        runs, name = self.archive.runs, request.path_params.get("instance")
        wanted = request.path_params.get("collection", edr_documents.COLLECTION)
        if wanted != edr_documents.COLLECTION:
            raise NotFoundError(f"collection {wanted[:64]!r} is not known", hint=f"there is {edr_documents.COLLECTION}")
        if name is None:
            return self.forecasts.desk.newest_run(now=now)
        try:
            run = runs.find(name) if name.startswith("run_") else runs.find_by_init(parse_instant(name), as_of=now)
        except (UnknownNameError, InvalidValueError, NoRunError, OverflowError) as error:
            raise _no_instance(name) from error
        if run.published_at > now:
            raise _no_instance(name)
        return run


def edr_router(forecasts: ForecastRoutes) -> APIRouter:
    """The routes of EDR: landing page and conformance are open, the others behind a key."""
    router = APIRouter()
    queries = _Queries(forecasts)
    key = Depends(forecasts.authenticator)

    @router.get("/edr", summary="EDR: where to begin", openapi_extra=described_document("edr"))
    async def landing(request: Request) -> Response:
        return Response(orjson.dumps(edr_documents.landing(address_of(request))), media_type="application/json")

    @router.get("/edr/conformance", summary="EDR: what it conforms to", openapi_extra=described_document("conformance"))
    async def conformance() -> Response:
        return Response(orjson.dumps(edr_documents.CONFORMANCE), media_type="application/json")

    @router.get("/edr/collections", summary="EDR: the collections", openapi_extra=described_document("collections"))
    async def collections(request: Request, holder: Annotated[ApiKey, key]) -> Response:
        return await queries.document(request, holder, "collections")

    in_collection, in_instance = ("collection",), ("collection", "instance")

    @router.get(
        "/edr/collections/{collection}",
        summary="EDR: the newest run as a collection",
        openapi_extra=described_document("collection", in_collection),
    )
    @router.get(
        "/edr/collections/{collection}/instances/{instance}",
        summary="EDR: a run",
        openapi_extra=described_document("instance", in_instance),
    )
    async def collection(request: Request, holder: Annotated[ApiKey, key]) -> Response:
        return await queries.document(request, holder, "collection")

    @router.get(
        "/edr/collections/{collection}/instances",
        summary="EDR: the newest runs",
        openapi_extra=described_document("instances", in_collection),
    )
    async def instances(request: Request, holder: Annotated[ApiKey, key]) -> Response:
        return await queries.document(request, holder, "instances")

    @router.get(
        "/edr/collections/{collection}/locations",
        summary="EDR: your places, and those shared with everyone",
        openapi_extra=described_document("locations", in_collection),
    )
    @router.get(
        "/edr/collections/{collection}/instances/{instance}/locations",
        summary="EDR: places of a run",
        openapi_extra=described_document("instance-locations", in_instance),
    )
    async def locations(request: Request, holder: Annotated[ApiKey, key]) -> Response:
        return await queries.document(request, holder, "locations")

    @router.get(
        "/edr/collections/{collection}/locations/{location}",
        summary="EDR: forecast for a place by its id",
        openapi_extra=described_query("location", (*in_collection, "location")),
    )
    @router.get(
        "/edr/collections/{collection}/instances/{instance}/locations/{location}",
        summary="EDR: a run's forecast for a place by its id",
        openapi_extra=described_query("instance-location", (*in_instance, "location")),
    )
    async def location(request: Request, holder: Annotated[ApiKey, key]) -> Response:
        return await queries.answer(request, holder, "locations")

    @router.get(
        "/edr/collections/{collection}/position",
        summary="EDR: forecast for the place nearest to a point",
        openapi_extra=described_query("position", in_collection),
    )
    @router.get(
        "/edr/collections/{collection}/instances/{instance}/position",
        summary="EDR: a run's forecast for the place nearest to a point",
        openapi_extra=described_query("instance-position", in_instance),
    )
    async def position(request: Request, holder: Annotated[ApiKey, key]) -> Response:
        return await queries.answer(request, holder, "position")

    @router.get(
        "/edr/collections/{collection}/area",
        summary="EDR: forecast for all places in a polygon",
        openapi_extra=described_query("area", in_collection),
    )
    @router.get(
        "/edr/collections/{collection}/instances/{instance}/area",
        summary="EDR: a run's forecast for all places in a polygon",
        openapi_extra=described_query("instance-area", in_instance),
    )
    async def area(request: Request, holder: Annotated[ApiKey, key]) -> Response:
        return await queries.answer(request, holder, "area")

    @router.get(
        "/edr/collections/{collection}/trajectory",
        summary="EDR: forecast along a line",
        openapi_extra=described_query("trajectory", in_collection),
    )
    @router.get(
        "/edr/collections/{collection}/instances/{instance}/trajectory",
        summary="EDR: a run's forecast along a line",
        openapi_extra=described_query("instance-trajectory", in_instance),
    )
    async def trajectory(request: Request, holder: Annotated[ApiKey, key]) -> Response:
        return await queries.answer(request, holder, "trajectory")

    return router


def read_parameters(request: Request, known: tuple[str, ...]) -> dict[str, str]:
    """The query parameters, each known and given once.

    Raises:
        UnknownNameError: one that is not known here.
        InvalidValueError: one that is given twice.
    """
    pairs = request.query_params.multi_items()
    for name, count in Counter(name for name, _ in pairs).items():
        if name not in known:
            raise UnknownNameError(f"parameter {name[:60]!r} is not known here", hint=f"known are {', '.join(known)}")
        if count > 1:
            raise InvalidValueError(f"{name} is given twice", hint="give it once")
    return dict(pairs)


def address_of(request: Request) -> str:
    """Where the caller found us, without a slash at its end."""
    return str(request.base_url).rstrip("/")


def _no_instance(name: str) -> NotFoundError:
    return NotFoundError(
        f"instance {name[:64]!r} is not known", hint="GET /edr/collections/skyproof/instances lists the newest"
    )
