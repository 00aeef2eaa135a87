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
from skyproof.domain.reasons import NO_EXPERT_AWAKE
from skyproof.domain.regimes import nearest_regime, regime_id
from skyproof.domain.times import format_instant
from skyproof.domain.variables import find_variable
from skyproof.science.coverage import apply_spread_factors
from skyproof.science.quantile_functions import clip_to_limits, drop_traces, quantile_mean


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
    own = experts[: len(content.expert_names)]
    missing = missing_sources(content, own)
    observations = bool(np.isfinite(inputs.recent.values).any())
    known = nearest_regime(content.regimes, content.source_ids, missing, observations=observations)
    at_leads = replace(known, factors=_factors(content, own, observations=observations))
    values = calibrate(blend.combine(state, own), at_leads, inputs.grid.variables)
    reasons = np.where(np.isfinite(values.mean), 0, NO_EXPERT_AWAKE).astype(np.uint8)
    lineage = _lineage(content, blend, state, own, inputs, register)
    late = tuple(entry.source_id for entry in lineage if entry.missed_cycles > 0 and entry.source_id not in missing)
    name = regime_id(content.source_ids, missing, observations=observations)
    regime = Regime(name, missing, late, known.widening, known.coverage, known.cases)
    return AssembledForecast(values, reasons, regime, lineage, _warnings(lineage, missing, observations=observations))


def calibrate(blended: NDArray[np.float32], known: RegimeCalibration, variables: tuple[str, ...]) -> ForecastValues:
    """Quantiles stretched by the regime's factors, inside physical limits, never crossing; and their mean."""
    quantiles = np.empty_like(blended)
    for index, name in enumerate(variables):
        variable = find_variable(name)
        stretched = apply_spread_factors(blended[index], known.factors[index].astype(np.float32))
        limited = clip_to_limits(stretched, variable.lower, variable.upper)
        quantiles[index] = drop_traces(limited, variable.smallest)
    quantiles = np.sort(quantiles, axis=-1)
    return ForecastValues(quantiles, quantile_mean(quantiles).astype(np.float32))


def missing_sources(content: ReleaseContent, experts: NDArray[np.float32]) -> tuple[str, ...]:
    """Sources none of whose experts is awake anywhere."""
    awake = {
        name.partition(":")[2]
        for name, answer in zip(content.expert_names, experts, strict=True)
        if ":" in name and np.isfinite(answer[..., 0]).any()
    }
    return tuple(source_id for source_id in content.source_ids if source_id not in awake)


def _factors(content: ReleaseContent, experts: NDArray[np.float32], *, observations: bool) -> NDArray[np.float64]:
    """Factors (variable, lead, 2): at each lead those of what is awake there.

    A source that came in part, or whose cycle is old, is missing at the leads it does not reach and only there.
    """
    per_lead = []
    for lead in range(experts.shape[3]):
        missing = missing_sources(content, experts[:, :, :, lead])
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
        data = inputs.cycles.get(source_id)
        if data is None:
            entries.append(RunInput(source_id, None, None, None, 0, "absent", 0.0))
            continue
        cycle = data.cycle
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
