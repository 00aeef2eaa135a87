"""What changed: corrections of what was delivered, and the changelog of the API itself.

Annotations are evaluated at once here: FastAPI has to see the dependencies, which are local names.
"""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from skyproof.archive.archive import Archive
from skyproof.domain.protocols import Clock
from skyproof.stages.deliver.corrigendum_facts import corrigendum_facts
from skyproof.surfaces.api import wire
from skyproof.surfaces.api.account_routes import read_number
from skyproof.surfaces.api.authentication import Authenticator
from skyproof.surfaces.api.lifecycle import API_VERSION, CHANGES, Deprecation, atom_feed


class CorrigendumPage(wire.Page):
    """Which corrections are wanted."""

    since: Annotated[wire.InstantIn | None, Field(description="Published at or after this instant (UTC).")] = None


class CorrigendumOut(BaseModel):
    """Something that was delivered and later found wrong. The forecasts themselves never change."""

    corrigendum: str
    published_at: str
    title: str
    text: str
    runs: Annotated[list[str], Field(description="Runs that are wrong; empty: all issued in the time given.")]
    variables: Annotated[list[str], Field(description="Variables that are wrong; empty: all.")]
    issued_from: str | None
    issued_until: str | None


class CorrigendaOut(BaseModel):
    """Corrections, newest first."""

    corrigenda: list[CorrigendumOut]
    next_cursor: str | None


class ChangelogQuestion(BaseModel):
    """In which form."""

    model_config = ConfigDict(extra="forbid")

    format: Annotated[Literal["json", "atom"], Field(description="json, or atom for feed readers.")] = "json"


class ChangeOut(BaseModel):
    """A change of the API."""

    date: str
    version: str
    kind: Annotated[str, Field(description="added, changed, deprecated, removed, or fixed.")]
    text: str


class DeprecationOut(BaseModel):
    """Something that goes away."""

    operation: str
    parameter: str
    since: str
    sunset: Annotated[str, Field(description="The first day on which it may be gone.")]
    instead: str


class ChangelogOut(BaseModel):
    """How the API changed, newest first, and what goes away."""

    api_version: str
    changes: list[ChangeOut]
    deprecations: list[DeprecationOut]


def news_router(
    archive: Archive, clock: Clock, authenticator: Authenticator, deprecations: tuple[Deprecation, ...]
) -> APIRouter:
    """The routes of what changed, each behind a key."""
    router = APIRouter(prefix="/v1")
    key = Depends(authenticator)

    @router.get("/corrigenda", summary="What was delivered and later found wrong", dependencies=[key])
    def corrigenda(page: Annotated[CorrigendumPage, Query()]) -> CorrigendaOut:
        before = read_number(page.cursor)
        found = archive.corrigenda.page(
            as_of=clock.now(), since=wire.aware(page.since), before=before, limit=page.limit + 1
        )
        rows = [CorrigendumOut.model_validate(corrigendum_facts(each)) for _, each in found[: page.limit]]
        more = len(found) > page.limit
        return CorrigendaOut(corrigenda=rows, next_cursor=str(found[page.limit - 1][0]) if more else None)

    @router.get(
        "/changelog",
        summary="How the API changed, and what goes away",
        dependencies=[key],
        responses={200: {"model": ChangelogOut, "content": {"application/atom+xml": {"schema": {"type": "string"}}}}},
    )
    def changelog(request: Request, asked: Annotated[ChangelogQuestion, Query()]) -> Response:
        if asked.format == "atom":
            return Response(atom_feed(CHANGES, str(request.base_url).rstrip("/")), media_type="application/atom+xml")
        told = ChangelogOut(
            api_version=API_VERSION,
            changes=[
                ChangeOut(date=change.day.isoformat(), version=change.version, kind=change.kind, text=change.text)
                for change in CHANGES
            ],
            deprecations=[
                DeprecationOut(
                    operation=f"{each.method} {each.path}",
                    parameter=each.parameter,
                    since=each.since.isoformat(),
                    sunset=each.sunset.isoformat(),
                    instead=each.instead,
                )
                for each in deprecations
            ],
        )
        return Response(told.model_dump_json(), media_type="application/json")

    return router
