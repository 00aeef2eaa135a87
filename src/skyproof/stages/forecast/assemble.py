"""From the experts' answers to one forecast: blended, widened by the regime's measured factors, with its lineage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.archive.release_content import RegimeCalibration, ReleaseContent
from skyproof.domain.cycles import SourceSpec
from skyproof.domain.forecasts import ForecastInputs, ForecastValues, Regime, RunInput
from skyproof.domain.protocols import Blend
from skyproof.domain.quantiles import LEVEL_ARRAY
from skyproof.domain.reasons import NO_EXPERT_AWAKE
from skyproof.domain.regimes import nearest_regime, regime_id
from skyproof.domain.times import format_instant
from skyproof.domain.variables import find_variable
from skyproof.science.panel import heard
from skyproof.science.quantile_functions import quantile_mean, within_limits
from skyproof.science.spread_guard import stretch


@dataclass(frozen=True, slots=True)
class AssembledForecast:
    """A forecast before it is checked. ``reasons``: (variable, site, lead) uint8 codes of :mod:`skyproof.domain.reasons`."""

    values: ForecastValues
    reasons: NDArray[np.uint8]
    regime: Regime
    inputs: tuple[RunInput, ...]
    warnings: tuple[str, ...]


def assemble_forecast(
    content: ReleaseContent,
    blend: Blend,
    state: Mapping[str, NDArray[Any]],
    experts: NDArray[np.float32],
    inputs: ForecastInputs,
    register: Mapping[str, SourceSpec],
) -> AssembledForecast:
    """Blend, calibrate for the regime, and say what went in.

    Args:
        content: the release.
        blend: its blend.
        state: what the blend had learned.
        experts: (expert, variable, site, lead, level), the release's experts first.
        inputs: what was known.
        register: what each source promised, to count the cycles that should have come and did not.
    """
    there = _there(content, inputs)
    missing, observations = there.missing, there.observations
    own = heard(experts[: len(content.expert_names)], content.usual)
    values, reasons = _join(content, blend, state, own, inputs, there)
    lineage = _lineage(content, blend, state, own, inputs, register)
    late = tuple(entry.source_id for entry in lineage if entry.missed_cycles > 0 and entry.source_id not in missing)
    name = regime_id(content.source_ids, missing, observations=observations)
    known = there.known
    regime = Regime(name, missing, late, known.widening, known.coverage, known.cases)
    return AssembledForecast(values, reasons, regime, lineage, _warnings(lineage, missing, observations=observations))


def join_experts(
    content: ReleaseContent,
    blend: Blend,
    state: Mapping[str, NDArray[Any]],
    experts: NDArray[np.float32],
    inputs: ForecastInputs,
) -> tuple[ForecastValues, NDArray[np.uint8]]:
    """What the experts say together, calibrated for what is missing, and why a cell is as it is; arguments as above."""
    own = heard(experts[: len(content.expert_names)], content.usual)
    return _join(content, blend, state, own, inputs, _there(content, inputs))


@dataclass(frozen=True, slots=True)
class _There:
    """What is there: leads at which each source says anything, which sources do not, and the calibration for that."""

    spoken: Mapping[str, NDArray[np.bool_]]
    missing: tuple[str, ...]
    observations: bool
    known: RegimeCalibration


def _there(content: ReleaseContent, inputs: ForecastInputs) -> _There:
    spoken = {source_id: _spoken(inputs, source_id) for source_id in content.source_ids}
    missing = tuple(source_id for source_id, said in spoken.items() if not said.any())
    observations = bool(np.isfinite(inputs.recent.values).any())
    known = nearest_regime(content.regimes, content.source_ids, missing, observations=observations)
    return _There(spoken, missing, observations, known)


def _join(
    content: ReleaseContent,
    blend: Blend,
    state: Mapping[str, NDArray[Any]],
    own: NDArray[np.float32],
    inputs: ForecastInputs,
    there: _There,
) -> tuple[ForecastValues, NDArray[np.uint8]]:
    at_leads = replace(there.known, factors=_factors(content, there.spoken, observations=there.observations))
    values = calibrate(blend.combine(state, own), at_leads, inputs.grid.variables)
    return values, np.where(np.isfinite(values.mean), 0, NO_EXPERT_AWAKE).astype(np.uint8)


def calibrate(blended: NDArray[np.float32], known: RegimeCalibration, variables: tuple[str, ...]) -> ForecastValues:
    """Quantiles stretched by the regime's factors, inside physical limits, never crossing; and their mean."""
    quantiles = np.empty_like(blended)
    for index, name in enumerate(variables):
        variable = find_variable(name)
        stretched = stretch(blended[index], known.factors[index], LEVEL_ARRAY)
        quantiles[index] = within_limits(stretched, variable)
    quantiles = np.sort(quantiles, axis=-1)
    return ForecastValues(quantiles, quantile_mean(quantiles).astype(np.float32))


def _spoken(inputs: ForecastInputs, source_id: str) -> NDArray[np.bool_]:
    """Leads at which a source says anything of any variable and site, (lead,)."""
    said = np.zeros(len(inputs.grid.lead_hours), dtype=bool)
    for cases in inputs.cases:
        if source_id in cases.members:
            said |= np.isfinite(cases.members[source_id][-1]).any(axis=(1, 2))
    return said


def _factors(
    content: ReleaseContent, spoken: Mapping[str, NDArray[np.bool_]], *, observations: bool
) -> NDArray[np.float64]:
    """Factors (variable, lead): at each lead those of what is there.

    A source that came in part, or whose cycle is old, is missing at the leads it does not reach and only there; where it
    never speaks it is not missed, because what the forecast is without it there was learned with it everywhere else.
    """
    per_lead = []
    for lead in range(len(content.grid.lead_hours)):
        missing = [
            source_id
            for source_id, said in spoken.items()
            if not said[lead] and (not said.any() or content.habits[source_id].leads[:, lead].any())
        ]
        known = nearest_regime(content.regimes, content.source_ids, missing, observations=observations)
        per_lead.append(known.factors[:, lead])
    return np.stack(per_lead, axis=1)


def _lineage(
    content: ReleaseContent,
    blend: Blend,
    state: Mapping[str, NDArray[Any]],
    experts: NDArray[np.float32],
    inputs: ForecastInputs,
    register: Mapping[str, SourceSpec],
) -> tuple[RunInput, ...]:
    weights = blend.weights(state, np.asarray(np.isfinite(experts[..., 0]).any(axis=(1, 2, 3)))).mean(axis=(1, 2))
    entries = []
    for source_id in content.source_ids:
        shares = [
            share
            for name, share in zip(content.expert_names, weights, strict=True)
            if name.partition(":")[2] == source_id
        ]
        cycle = inputs.cycles.get(source_id)
        if cycle is None:
            entries.append(RunInput(source_id, None, None, None, 0, "absent", 0.0))
            continue
        age = inputs.issue_time - cycle.init_time
        missed = _missed_cycles(register.get(source_id), age, content)
        entries.append(
            RunInput(
                source_id,
                cycle.init_time,
                cycle.available_at,
                age.total_seconds() / 3600,
                missed,
                cycle.quality,
                round(float(sum(shares)), 6),
                cycle.digest,
            )
        )
    return tuple(entries)


def _missed_cycles(spec: SourceSpec | None, age: timedelta, content: ReleaseContent) -> int:
    """How many cycles younger than the newest should be there by the source's own promise."""
    if spec is None:
        return int(age / timedelta(hours=content.issue_every_hours))
    # By what was promised and not by what came: a source that is late every day is late.
    return max(int((age - spec.latency_p95) / spec.cadence), 0)


def _warnings(lineage: tuple[RunInput, ...], missing: tuple[str, ...], *, observations: bool) -> tuple[str, ...]:
    found = [f"missing_source:{source_id}" for source_id in missing]
    for entry in lineage:
        if entry.init_time is not None and entry.missed_cycles > 0 and entry.source_id not in missing:
            found.append(f"stale_source:{entry.source_id} since {format_instant(entry.init_time)}")
        if entry.quality == "partial":
            found.append(f"partial_source:{entry.source_id}")
    return tuple(found if observations else [*found, "no_recent_observations"])
