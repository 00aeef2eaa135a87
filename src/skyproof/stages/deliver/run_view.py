"""One run as customers see it: what is said about its origin, said once and shared by all answers from it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import orjson

from skyproof.archive.runs import RunReader
from skyproof.domain.cycles import SourceSpec
from skyproof.domain.forecasts import Run, RunInput
from skyproof.domain.times import format_instant
from skyproof.stages.deliver.plans import Plan
from skyproof.stages.deliver.time_axis import TimeAxis

#: Raise it when the same run and request would give other bytes: old answers keep their ids, new ones get new ids.
RENDERER_VERSION = 2
MODEL = "skyproof"
#: The database does not answer, or takes nothing: the answer is from what the server knew a while ago.
DATABASE_AWAY = "database_away"
_NOMINAL_COVERAGE = 0.8


@dataclass(frozen=True, slots=True)
class RunView:
    """A run ready to answer from.

    ``summary`` and ``brief`` are what ``meta`` says about it, as JSON objects. ``fingerprint`` stands for everything of
    the run that shapes an answer's bytes. ``plans`` and ``axes`` remember what requests met so far amount to. ``warning`` is
    the code of what is wrong with the server, not with the run.
    """

    run: Run
    reader: RunReader
    is_sandbox: bool
    step_hours: int
    summary: bytes
    brief: bytes
    attribution: tuple[str, ...]
    fingerprint: str
    plans: dict[str, Plan]
    axes: dict[tuple[str, str], TimeAxis]
    warning: str = ""


def make_view(run: Run, reader: RunReader, sources: Sequence[SourceSpec]) -> RunView:
    """Prepare a run; ``sources`` give the licences and attributions of its inputs."""
    specs = {spec.source_id: spec for spec in sources}
    used = [specs[entry.source_id] for entry in run.inputs if entry.init_time is not None and entry.source_id in specs]
    attribution = tuple(dict.fromkeys(spec.attribution for spec in used if spec.attribution))
    is_sandbox = reader.attributes.get("sandbox") == "True"
    leads = reader.lead_hours
    step_hours = min((b - a for a, b in pairwise(leads)), default=leads[0] or 1)
    brief = _brief(run, is_sandbox=is_sandbox)
    summary = {
        **brief,
        "kind": "forecast",
        "temporal_resolution": "native",
        "step_hours": step_hours,
        "statistic": "mean; a column _pNN is the quantile of level NN %",
        "inputs": [_input(entry, specs.get(entry.source_id)) for entry in run.inputs],
        "regime": regime_facts(run),
        "warnings": [_warning(text) for text in run.warnings],
        "attribution": attribution,
    }
    shaping = orjson.dumps(
        [RENDERER_VERSION, run.run_id, run.digest, run.generation_ms, format_instant(run.published_at), summary],
        option=orjson.OPT_SORT_KEYS,
    )
    return RunView(
        run,
        reader,
        is_sandbox,
        step_hours,
        orjson.dumps(summary),
        orjson.dumps(brief),
        attribution,
        hashlib.sha256(shaping).hexdigest(),
        {},
        {},
    )


def with_warning(view: RunView, code: str) -> RunView:
    """The same run with one more warning; answers from it have other names."""

    def warned(about: bytes) -> bytes:
        facts = orjson.loads(about)
        return orjson.dumps({**facts, "warnings": [*facts.get("warnings", ()), {"code": code}]})

    fingerprint = hashlib.sha256(f"{view.fingerprint} {code}".encode()).hexdigest()
    return replace(view, summary=warned(view.summary), brief=warned(view.brief), fingerprint=fingerprint, warning=code)


def regime_facts(run: Run) -> dict[str, Any]:
    """How degraded a run is, in the words of the wire."""
    regime = run.regime
    return {
        "id": regime.regime_id,
        "missing": regime.missing,
        "late": regime.late,
        "band_widening": regime.widening,
        "nominal_coverage": _NOMINAL_COVERAGE,
        "measured_coverage": regime.coverage,
        "n": regime.cases,
    }


def _brief(run: Run, *, is_sandbox: bool) -> dict[str, Any]:
    brief: dict[str, Any] = {
        "run_id": run.run_id,
        "model": MODEL,
        "model_version": run.release_id,
        "channel": "stable",
        "init_time": format_instant(run.init_time),
        "issued_at": format_instant(run.issue_time),
        "as_of": format_instant(run.issue_time),
        "published_at": format_instant(run.published_at),
    }
    return {**brief, "planet": "sandbox planet (simulated, not the Earth)"} if is_sandbox else brief


def _input(entry: RunInput, spec: SourceSpec | None) -> dict[str, Any]:
    return {
        "source": entry.source_id,
        "run": None if entry.init_time is None else format_instant(entry.init_time),
        "available_at": None if entry.available_at is None else format_instant(entry.available_at),
        "age_hours": None if entry.age_hours is None else round(entry.age_hours, 2),
        "missed_runs": entry.missed_cycles,
        "quality": entry.quality,
        "weight": round(entry.weight, 4),
        "licence": None if spec is None else spec.licence,
    }


def _warning(text: str) -> dict[str, str]:
    """``code:source since instant`` taken apart; all but the code may be missing."""
    head, _, since = text.partition(" since ")
    code, _, source = head.partition(":")
    parts = {"code": code, "source": source, "since": since}
    return {name: value for name, value in parts.items() if value}
