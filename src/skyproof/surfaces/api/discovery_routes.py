"""What there is: variables, runs and the state of the service.

Annotations are evaluated at once here: FastAPI has to see the dependencies, which are local names.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from skyproof.archive.archive import Archive
from skyproof.domain.errors import InvalidValueError, NoRunError, UnknownNameError
from skyproof.domain.forecasts import Run
from skyproof.domain.protocols import Clock
from skyproof.domain.times import format_instant
from skyproof.domain.units import find_unit
from skyproof.domain.variables import VARIABLES, Variable
from skyproof.stages.deliver.daily_names import DAILY
from skyproof.stages.deliver.parameters import UNIT_CHOICES
from skyproof.stages.deliver.run_view import regime_facts
from skyproof.surfaces.api import wire
from skyproof.surfaces.api.freshness import SourceFreshness, read_freshness

#: Newest runs that are looked through for one that reaches far enough.
_LATEST = 20


def discovery_router(archive: Archive, clock: Clock, authenticate: Callable[..., Any]) -> APIRouter:
    """The routes of discovery, each behind a key."""
    router = APIRouter(prefix="/v1")
    key = Depends(authenticate)

    @router.get("/variables", summary="What is forecast, in everyone's words", dependencies=[key])
    def variables(nothing: Annotated[wire.Nothing, Query()]) -> wire.VariablesOut:  # noqa: ARG001 refuses parameters
        return wire.VariablesOut(variables=[_variable(variable) for variable in VARIABLES])

    @router.get("/runs", summary="Published runs, newest first", dependencies=[key])
    def runs(page: Annotated[wire.RunPage, Query()]) -> wire.RunsOut:
        now = clock.now()
        after = _find_run(archive, page.cursor, now) if page.cursor else None
        found = archive.runs.page(as_of=now, since=wire.aware(page.since), after=after, limit=page.limit + 1)
        rows = [run_out(run) for run in found[: page.limit]]
        return wire.RunsOut(runs=rows, next_cursor=rows[-1].run_id if len(found) > page.limit else None)

    @router.get("/runs/latest", summary="The newest run", dependencies=[key])
    def latest_run(asked: Annotated[wire.LatestRun, Query()]) -> wire.RunOut:
        now = clock.now()
        if not asked.min_lead_hours:
            return run_out(archive.runs.newest(as_of=now))
        for run in archive.runs.page(as_of=now, limit=_LATEST):
            if archive.runs.open(run).lead_hours[-1] >= asked.min_lead_hours:
                return run_out(run)
        raise NoRunError(
            f"none of the newest {_LATEST} runs reaches {asked.min_lead_hours} h ahead",
            hint="GET /v1/models says how far they reach",
        )

    @router.get("/status", summary="How fresh everything is", dependencies=[key])
    def status(nothing: Annotated[wire.Nothing, Query()]) -> wire.StatusOut:  # noqa: ARG001
        state = read_freshness(archive, clock.now())
        return wire.StatusOut(
            status=state.status,
            now=format_instant(state.now),
            sandbox=state.is_sandbox,
            newest_run=None if state.newest_run is None else run_out(state.newest_run),
            run_age_hours=None if state.run_age_hours is None else round(state.run_age_hours, 2),
            sources=[source_out(source) for source in state.sources],
        )

    return router


def run_out(run: Run) -> wire.RunOut:
    """A run in the words of the wire."""
    return wire.RunOut(
        run_id=run.run_id,
        model_version=run.release_id,
        init_time=format_instant(run.init_time),
        issued_at=format_instant(run.issue_time),
        available_at=format_instant(run.published_at),
        regime=wire.RegimeOut(**regime_facts(run)),
        warnings=list(run.warnings),
    )


def _find_run(archive: Archive, cursor: str, now: datetime) -> Run:
    """Where a list goes on. A cursor that is none must not begin it anew: the caller would never come to an end."""
    try:
        run = archive.runs.find(cursor)
    except UnknownNameError:
        run = None
    if run is None or run.published_at > now:
        raise InvalidValueError(
            f"cursor {cursor!r} is not in this list", hint="give next_cursor of the answer before, and the same since"
        )
    return run


def _variable(variable: Variable) -> wire.VariableOut:
    unit = find_unit(variable.unit)
    _, words = UNIT_CHOICES.get(unit.dimension, ("", {}))
    return wire.VariableOut(
        name=variable.name,
        title=variable.title,
        standard_name=variable.standard_name,
        unit=unit.code,
        symbol=unit.symbol,
        cell_methods=variable.cell_method,
        lower_limit=variable.lower,
        upper_limit=variable.upper,
        decimals=variable.decimals,
        height_m=variable.height_m,
        grib_short_names=list(variable.grib_short_names),
        units=list(words),
        daily=[name for name, statistic in DAILY.items() if statistic.variable == variable],
    )


def source_out(source: SourceFreshness) -> wire.SourceStatusOut:
    """How fresh a source is, in the words of the wire."""
    newest = source.newest
    return wire.SourceStatusOut(
        source=source.spec.source_id,
        title=source.spec.title,
        licence=source.spec.licence,
        newest_init_time=None if newest is None else format_instant(newest.init_time),
        newest_available_at=None if newest is None else format_instant(newest.available_at),
        age_hours=None if source.age_hours is None else round(source.age_hours, 2),
        overdue=source.overdue,
    )
