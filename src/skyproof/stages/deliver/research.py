"""Many runs at once, for research: a row for each run, place and lead, run by run.

Each part of an answer is proven like any other: it has an id, and its receipt is durable before its bytes leave. The parts of an
Arrow stream, one after the other, are the stream.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from skyproof.archive.archive import Archive
from skyproof.archive.runs import RunReader
from skyproof.domain.errors import InvalidValueError, NoRunError
from skyproof.domain.forecasts import Run
from skyproof.domain.times import format_instant
from skyproof.stages.deliver.answers import Answer
from skyproof.stages.deliver.columns import ColumnPlan, Columns, ValueDigest, make_columns, plan_columns
from skyproof.stages.deliver.nearest import FoundSite, SiteIndex
from skyproof.stages.deliver.questions import ForecastRequest, Place
from skyproof.stages.deliver.table_form import ARROW_TYPE, column_facts
from skyproof.stages.deliver.thresholds import Threshold
from skyproof.stages.deliver.time_axis import TimeAxis

#: Runs and values of one answer, at most.
MOST_RUNS = 2000
MOST_VALUES = 10_000_000
JSON_TYPE = "application/json"
#: What ends an Arrow IPC stream.
_END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"
_INSTANT = pa.timestamp("s", tz="UTC")
_NOT_HELD = "not_in_run"


@dataclass(frozen=True, slots=True)
class ResearchQuestion:
    """What is wanted of which runs. No place means all that the customer may see; ``canonical`` says what shapes the answer."""

    customer_id: str
    canonical: str
    places: tuple[Place, ...]
    variables: tuple[str, ...]
    levels: tuple[float, ...]
    thresholds: tuple[Threshold, ...]
    init_from: datetime
    init_until: datetime
    lead_from: int
    lead_until: int
    as_of: datetime
    release_id: str | None = None

    @property
    def request(self) -> ForecastRequest:
        """The columns wanted, as a forecast request has them."""
        return ForecastRequest((), self.variables, levels=self.levels, thresholds=self.thresholds)


@dataclass(frozen=True, slots=True)
class Plan:
    """A question that has found its runs, oldest first, and its places."""

    question: ResearchQuestion
    runs: tuple[Run, ...]
    places: tuple[FoundSite, ...]
    newest_run_id: str
    schema: pa.Schema
    rows: int

    @property
    def values(self) -> int:
        """Numbers of the whole answer, at most."""
        return self.rows * (len(self.schema) - _FACTS)


def plan_research(archive: Archive, question: ResearchQuestion, *, nearest_site_km: float) -> Plan:
    """Find runs and places, and so how large the answer is.

    Raises:
        NoRunError: no run begun then was published by ``as_of``.
        UnknownNameError: a site or variable that is not there, or no site near enough.
        InvalidValueError: no lead in the range.
    """
    runs = archive.runs.by_init(
        init_from=question.init_from, init_until=question.init_until, as_of=question.as_of,
        release_id=question.release_id, limit=MOST_RUNS + 1,
    )  # fmt: skip
    if not runs:
        raise NoRunError(
            f"no run begun from {format_instant(question.init_from)} to {format_instant(question.init_until)} was published "
            f"by {format_instant(question.as_of)}",
            hint="GET /v1/runs lists what there is",
        )
    sites = archive.sites.all(customer_id=question.customer_id)
    index = SiteIndex(sites, in_run={site.site_id for site in sites})
    places = tuple(
        index.by_id(place.site_id)
        if place.site_id
        else index.nearest(place.latitude, place.longitude, limit_km=nearest_site_km)
        for place in question.places
    ) or tuple(index.by_id(site.site_id) for site in sites)
    newest = archive.runs.open(runs[-1])
    plan = plan_columns(newest.variables, newest.reason_names, question.request)
    steps = _steps(newest, question)
    if not steps:
        raise InvalidValueError(
            f"no lead lies from {question.lead_from} to {question.lead_until} h",
            hint=f"runs reach from {newest.lead_hours[0]} to {newest.lead_hours[-1]} h",
        )
    schema = _schema(plan)
    rows = len(runs) * len(places) * len(steps)
    return Plan(question, runs, places, archive.runs.newest(as_of=question.as_of).run_id, schema, rows)


def check_size(plan: Plan, *, runs: int) -> None:
    """Refuse an answer from so many of the plan's runs that is too large.

    Raises:
        InvalidValueError: too many runs, or values.
    """
    values = plan.values // len(plan.runs) * runs
    if runs > MOST_RUNS or values > MOST_VALUES:
        raise InvalidValueError(
            f"{runs:,} runs would give {values:,} values, at most {MOST_RUNS:,} and {MOST_VALUES:,} are given",
            hint="ask for fewer init times, leads, places or statistics at a time",
        )


def read_run(archive: Archive, plan: Plan, run: Run) -> tuple[pa.RecordBatch, str]:
    """One run's rows, places in their order and leads within them, and the digest of their values.

    A place that the run has not has no rows; a variable that it has not is null throughout.
    """
    question, reader = plan.question, archive.runs.open(run)
    held = ForecastRequest(
        (),
        tuple(name for name in question.variables if name in reader.variables),
        levels=question.levels,
        thresholds=tuple(each for each in question.thresholds if each.name in reader.variables),
    )
    columns = plan_columns(reader.variables, reader.reason_names, held)
    axis = _axis(run, _steps(reader, question), reader)
    present = set(reader.site_ids)
    # A run whose leads all lie outside has no rows either.
    found = [(n, place) for n, place in enumerate(plan.places) if len(axis) and place.site.site_id in present]
    digest, parts = ValueDigest(), []
    for _, place in found:
        made = make_columns(reader.site(place.site.site_id), columns, axis)
        digest.add(place.site.site_id, columns.names, axis.valid_seconds, made)
        parts.append(made)
    arrays = [*_facts(run, axis, found), *_values(plan.schema, columns, parts, len(axis))]
    arrays.append(pa.array(_reasons(question, columns, parts, len(axis)), pa.string()))
    return pa.record_batch(arrays, schema=plan.schema), digest.hexdigest()


def arrow_part(archive: Archive, plan: Plan, number: int) -> Answer:
    """The bytes of the ``number``-th run in the Arrow stream: the first brings the schema, the last the end."""
    batch, digest = read_run(archive, plan, plan.runs[number])
    is_last = number + 1 == len(plan.runs)
    head = plan.schema.serialize().to_pybytes() if number == 0 else b""
    body = head + batch.serialize().to_pybytes() + (_END_OF_STREAM if is_last else b"")
    place = f"arrow {pa.__version__} {number == 0} {is_last}"
    return _answer(plan, plan.runs[number], place, ARROW_TYPE, body, digest)


def json_page(archive: Archive, plan: Plan, *, offset: int, limit: int) -> Answer:
    """At most ``limit`` rows of the plan's first run from ``offset`` on, as JSON; ``next_cursor`` goes on.

    Raises:
        InvalidValueError: an offset behind the run's last row.
    """
    run = plan.runs[0]
    batch, digest = read_run(archive, plan, run)
    if offset and offset >= batch.num_rows:
        raise InvalidValueError("the cursor points behind the list", hint="give next_cursor of the answer before")
    page = batch.slice(offset, limit)
    if offset + limit < batch.num_rows:
        cursor: str | None = f"{int(run.init_time.timestamp())}-{offset + limit}"
    else:
        cursor = f"{int(plan.runs[1].init_time.timestamp())}-0" if len(plan.runs) > 1 else None
    forecast_id = _name(plan, run, f"json {offset} {limit} {cursor}")
    document = {
        "columns": {
            field.name: [format_instant(value) for value in column.to_pylist()]
            if pa.types.is_timestamp(field.type)
            else column.to_pylist()
            for field, column in zip(plan.schema, page.columns, strict=True)
        },
        "units": {field.name: field.metadata[b"unit"].decode() for field in plan.schema if field.metadata},
        "rows": page.num_rows,
        "next_cursor": cursor,
        "meta": {
            "forecast_id": forecast_id,
            "run_id": run.run_id,
            "links": {"self": f"/v1/forecasts/{forecast_id}"},
        },
    }
    body = orjson.dumps(document)
    return _answer(plan, run, f"json {offset} {limit} {cursor}", JSON_TYPE, body, digest)


def _answer(plan: Plan, run: Run, place: str, media_type: str, body: bytes, digest: str) -> Answer:
    name = _name(plan, run, place)
    canonical = f"{plan.question.canonical} part={place} run={run.run_id}"
    return Answer(name, canonical, run, plan.newest_run_id, media_type, body, digest, hashlib.sha256(body).hexdigest())


def _name(plan: Plan, run: Run, place: str) -> str:
    question = plan.question
    digest = hashlib.sha256(f"{question.customer_id}\n{question.canonical}\n{run.digest}\n{place}\n".encode())
    digest.update(f"{run.release_id} {format_instant(run.published_at)}\n".encode())
    for found in plan.places:
        digest.update(f"{found.site.site_id} {found.latitude} {found.longitude}\n".encode())
    return "fc_" + base64.b32encode(digest.digest())[:26].decode().lower()


_PLACE_FIELDS = (
    pa.field("place", pa.int32()),
    pa.field("site", pa.string()),
    pa.field("latitude", pa.float64(), metadata={"unit": "deg"}),
    pa.field("longitude", pa.float64(), metadata={"unit": "deg"}),
    pa.field("run_id", pa.string()),
    pa.field("model_version", pa.string()),
    pa.field("init_time", _INSTANT),
    pa.field("issued_at", _INSTANT),
    pa.field("available_at", _INSTANT),
    pa.field("lead_hours", pa.int32(), metadata={"unit": "h"}),
    pa.field("valid_time", _INSTANT),
)
_REASON_FIELD = pa.field("null_reason", pa.string())
#: Columns that hold no forecast value.
_FACTS = len(_PLACE_FIELDS) + 1


def _schema(plan: ColumnPlan) -> pa.Schema:
    columns = [pa.field(each.name, pa.float64(), metadata=column_facts(each)) for each in plan.heads.columns]
    return pa.schema([*_PLACE_FIELDS, *columns, _REASON_FIELD])


def _steps(reader: RunReader, question: ResearchQuestion) -> tuple[int, ...]:
    """Positions of the leads wanted."""
    leads = reader.lead_hours
    assert all(before < after for before, after in pairwise(leads))
    return tuple(k for k, lead in enumerate(leads) if question.lead_from <= lead <= question.lead_until)


def _axis(run: Run, steps: Sequence[int], reader: RunReader) -> TimeAxis:
    first, last = (steps[0], steps[-1] + 1) if steps else (0, 0)
    leads = np.array(reader.lead_hours[first:last], dtype=np.int64)
    return TimeAxis(first, last, int(run.init_time.timestamp()) + leads * 3600, (), "UTC", "UTC", 0)


def _facts(run: Run, axis: TimeAxis, found: Sequence[tuple[int, FoundSite]]) -> list[pa.Array]:
    steps, count = len(axis), len(found) * len(axis)

    def each(values: list[Any], kind: pa.DataType) -> pa.Array:
        return pa.array([value for value in values for _ in range(steps)], kind)

    def same(value: Any, kind: pa.DataType) -> pa.Array:
        return pa.array([value] * count, kind)

    init_seconds = int(run.init_time.timestamp())
    seconds = np.tile(axis.valid_seconds, len(found))
    return [
        each([number for number, _ in found], pa.int32()),
        each([place.site.site_id for _, place in found], pa.string()),
        each([place.latitude for _, place in found], pa.float64()),
        each([place.longitude for _, place in found], pa.float64()),
        same(run.run_id, pa.string()),
        same(run.release_id, pa.string()),
        same(run.init_time, _INSTANT),
        same(run.issue_time, _INSTANT),
        same(run.published_at, _INSTANT),
        pa.array(((seconds - init_seconds) // 3600).astype(np.int32)),
        pa.array(seconds, _INSTANT),
    ]


def _values(schema: pa.Schema, plan: ColumnPlan, parts: Sequence[Columns], steps: int) -> list[pa.Array]:
    """The columns of values, all places one after the other."""
    wanted = [field.name for field in schema][len(_PLACE_FIELDS) : -1]
    made: list[pa.Array] = []
    for name in wanted:
        column: NDArray[np.float64] = np.full(len(parts) * steps, np.nan)
        if name in plan.names and parts:
            row = plan.names.index(name)
            column = np.concatenate([part.values[row] for part in parts])
        made.append(pa.array(column, from_pandas=True))
    return made


def _reasons(question: ResearchQuestion, plan: ColumnPlan, parts: Sequence[Columns], steps: int) -> list[str | None]:
    """For each row why values of it are missing, ``variable:reason`` separated by spaces; None where none is."""
    held = {variable.name for variable in plan.variables}
    absent = [f"{name}:{_NOT_HELD}" for name in question.variables if name not in held]
    found: list[str | None] = []
    for part in parts:
        for step in range(steps):
            told = [f"{name}:{gaps[str(step)]}" for name, gaps in part.missing.items() if str(step) in gaps]
            found.append(" ".join([*told, *absent]) or None)
    return found
