"""What forecasts are made of: models, their releases, and sources.

Annotations are evaluated at once here: FastAPI has to see the dependencies, which are local names.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from fastapi import Path as FromPath

from skyproof.archive.archive import Archive
from skyproof.domain.errors import InvalidValueError, NoReleaseError, NoRunError, NotFoundError, UnknownNameError
from skyproof.domain.forecasts import Release
from skyproof.domain.protocols import Clock
from skyproof.domain.quantiles import LEVELS
from skyproof.domain.times import format_instant
from skyproof.stages.deliver.daily_names import DAILY
from skyproof.stages.deliver.run_view import MODEL
from skyproof.surfaces.api import catalogue_wire as shapes
from skyproof.surfaces.api import wire
from skyproof.surfaces.api.discovery_routes import source_out
from skyproof.surfaces.api.freshness import SourceFreshness, read_source

_ALIASES = ["best_match"]
_TITLE = "Skyproof blend"
_ABOUT = (
    "Calibrated probabilistic forecasts for registered places: what every source says, corrected by what was observed, and "
    "blended by weights learned from all observations that had arrived at the issue time."
)
_STATISTICS = ["mean", "quantiles", "exceedance", "members", "daily"]
#: Counts over all customers' places are nobody's business.
_PRIVATE = frozenset({"sites", "observations"})
_ModelId = Annotated[str, FromPath(description="The model's name.", max_length=64)]
_SourceId = Annotated[str, FromPath(description="The source's id.", max_length=64)]


def catalogue_router(archive: Archive, clock: Clock, authenticate: Callable[..., Any]) -> APIRouter:
    """The routes of models and sources, each behind a key."""
    router = APIRouter(prefix="/v1")
    key = Depends(authenticate)

    @router.get("/models", summary="What models there are", dependencies=[key])
    def models(nothing: Annotated[wire.Nothing, Query()]) -> shapes.ModelsOut:  # noqa: ARG001 refuses parameters
        return shapes.ModelsOut(models=[shapes.ModelOut(**_model(archive, clock.now())[0])])

    @router.get("/models/{model}", summary="A model's card", dependencies=[key])
    def model_card(model: _ModelId, nothing: Annotated[wire.Nothing, Query()]) -> shapes.ModelCardOut:  # noqa: ARG001
        _check_model(model)
        facts, release = _model(archive, clock.now())
        card = {} if release is None else {name: fact for name, fact in release.card.items() if name not in _PRIVATE}
        return shapes.ModelCardOut(**facts, card=card)

    @router.get("/models/{model}/versions", summary="Releases of a model, newest first", dependencies=[key])
    def versions(model: _ModelId, page: Annotated[shapes.VersionPage, Query()]) -> shapes.VersionsOut:
        _check_model(model)
        releases = archive.releases.all(as_of=clock.now())[::-1]
        names = [release.release_id for release in releases]
        if page.cursor and page.cursor not in names:
            raise InvalidValueError(
                f"cursor {page.cursor!r} is not in this list", hint="give next_cursor of the answer before"
            )
        first = names.index(page.cursor) + 1 if page.cursor else 0
        rows = [_version(release) for release in releases[first : first + page.limit]]
        more = first + page.limit < len(releases)
        return shapes.VersionsOut(versions=rows, next_cursor=rows[-1].version if more else None)

    @router.get("/sources", summary="Sources, their licences and how fresh they are", dependencies=[key])
    def sources(nothing: Annotated[wire.Nothing, Query()]) -> shapes.SourcesOut:  # noqa: ARG001
        now = clock.now()
        return shapes.SourcesOut(sources=[_source(read_source(archive, spec, now)) for spec in archive.sources.all()])

    @router.get("/sources/{source}", summary="A source", dependencies=[key])
    def one_source(source: _SourceId, nothing: Annotated[wire.Nothing, Query()]) -> shapes.SourceOut:  # noqa: ARG001
        try:
            spec = archive.sources.find(source)
        except UnknownNameError as error:
            raise NotFoundError(f"source {source!r} is not known", hint="GET /v1/sources lists them") from error
        return _source(read_source(archive, spec, clock.now()))

    return router


def _check_model(model: str) -> None:
    if model not in (MODEL, *_ALIASES):
        raise NotFoundError(f"model {model!r} is not known", hint=f"there is {MODEL}")


def _model(archive: Archive, now: datetime) -> tuple[dict[str, Any], Release | None]:
    """What is said of the model, and its newest stable release."""
    try:
        release = archive.releases.newest(as_of=now)
    except NoReleaseError:
        release = None
    try:
        reader = archive.runs.open(archive.runs.newest(as_of=now))
        variables, leads = reader.variables, reader.lead_hours
    except NoRunError:
        variables, leads = (), ()
    facts = {
        "model": MODEL,
        "title": _TITLE,
        "description": _ABOUT,
        "aliases": _ALIASES,
        "variables": list(variables),
        "daily": [name for name, statistic in DAILY.items() if statistic.variable.name in variables],
        "lead_hours": list(leads),
        "quantile_levels": list(LEVELS),
        "statistics": _STATISTICS,
        "latest": None if release is None else _version(release),
    }
    return facts, release


def _version(release: Release) -> shapes.VersionOut:
    return shapes.VersionOut(
        version=release.release_id,
        state=release.state,
        created_at=format_instant(release.created_at),
        trained_from=format_instant(release.trained_from),
        trained_until=format_instant(release.trained_until),
        sources=list(release.sources),
    )


def _source(source: SourceFreshness) -> shapes.SourceOut:
    spec = source.spec
    return shapes.SourceOut(
        **source_out(source).model_dump(),
        upstream_group=spec.upstream_group,
        attribution=spec.attribution,
        commercial_use=spec.commercial_use,
        redistribution=spec.redistribution,
        cadence_hours=spec.cadence.total_seconds() / 3600,
        latency_p50_hours=spec.latency_p50.total_seconds() / 3600,
        latency_p95_hours=spec.latency_p95.total_seconds() / 3600,
        members=spec.members,
        lead_hours=list(spec.lead_hours),
        units=dict(spec.units),
        url=spec.url,
    )
