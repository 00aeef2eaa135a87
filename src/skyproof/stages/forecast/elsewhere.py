"""Forecasts of places that a release did not learn from: by its experts, its blend and its calibration, unchanged.

Experts know such a place by what all sites taught them together and by the errors of the sites around it. Those of a customer
tell only that customer: what is forecast at a place must not show that another's site stands near it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.archive.archive import Archive
from skyproof.archive.release_content import ReleaseContent
from skyproof.domain.forecasts import ForecastGrid, ForecastInputs, ForecastValues
from skyproof.domain.protocols import Blend
from skyproof.domain.quantiles import LEVEL_ARRAY
from skyproof.domain.sites import Site
from skyproof.stages.forecast.assemble import AssembledForecast, join_experts
from skyproof.stages.forecast.experts import Panel, ask_experts, expert_names

#: Wakes the experts of a release; the sites named tell nothing of their errors.
Wake = Callable[[ReleaseContent, frozenset[str]], Panel]


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Forecasts of places beside those of a release.

    ``experts``: (expert, variable, site, lead, level); ``reasons``: (variable, site, lead).
    """

    sites: tuple[Site, ...]
    experts: NDArray[np.float32]
    values: ForecastValues
    reasons: NDArray[np.uint8]


def hidden_sites(content: ReleaseContent, customer_id: str | None) -> frozenset[str]:
    """The sites a release learned from that a customer may not know of; with None those of every customer."""
    return frozenset(
        site.site_id for site in content.grid.sites if site.customer_id is not None and site.customer_id != customer_id
    )


def forecast_elsewhere(
    content: ReleaseContent,
    wake: Wake,
    blend: Blend,
    state: Mapping[str, NDArray[Any]],
    inputs: ForecastInputs,
) -> Elsewhere:
    """Forecast places that the release did not learn from.

    A place's forecast depends on nothing but the place: those of which the same sources speak, and whose owners may know the same
    sites, are asked together, and no other.

    Args:
        content: the release.
        wake: its experts.
        blend: its blend.
        state: what the blend had learned.
        inputs: what is known at the places, those of ``inputs.grid``.
    """
    grid, levels = inputs.grid, len(LEVEL_ARRAY)
    cells = (len(grid.variables), len(grid.sites), len(grid.lead_hours))
    names = expert_names(content)
    experts = np.full((len(names), *cells, levels), np.nan, dtype=np.float32)
    quantiles, mean = np.empty((*cells, levels), dtype=np.float32), np.empty(cells, dtype=np.float32)
    reasons = np.empty(cells, dtype=np.uint8)
    for hidden, places in _alike(content, inputs):
        part = _only_said(inputs.at_places(places))
        _, said = ask_experts(wake(content, hidden), part)
        values, why = join_experts(content, blend, state, said, part)
        experts[:, :, places], quantiles[:, places], mean[:, places] = said, values.quantiles, values.mean
        reasons[:, places] = why
    return Elsewhere(grid.sites, experts, ForecastValues(quantiles, mean), reasons)


@dataclass(frozen=True, slots=True)
class WholeForecast:
    """A forecast of a release's sites, in its order, and behind them of those that came since.

    ``experts``: (expert, variable, site, lead, level); ``reasons``: (variable, site, lead); ``learned``: (site,), whether the
    release learned from the site's own record.
    """

    grid: ForecastGrid
    experts: NDArray[np.float32]
    values: ForecastValues
    reasons: NDArray[np.uint8]
    learned: NDArray[np.bool_]


def gather_since(archive: Archive, content: ReleaseContent, inputs: ForecastInputs) -> ForecastInputs:
    """What the same cycles say of the sites registered since the release was learned, those of which one says anything."""
    held = set(content.grid.site_ids)
    came = [site for site in archive.sites.all() if site.site_id not in held]
    if not came:
        return inputs.at_places(np.empty(0, dtype=np.intp))
    found = archive.inputs.elsewhere(inputs, came)
    said = np.zeros(len(came), dtype=bool)
    for cases in found.cases:
        for members in cases.members.values():
            said |= np.isfinite(members[-1]).any(axis=(0, 2))
    return found.at_places(np.flatnonzero(said))


def add_elsewhere(
    content: ReleaseContent, experts: NDArray[np.float32], forecast: AssembledForecast, others: Elsewhere
) -> WholeForecast:
    """The forecast of a release's sites and of those that came since as one."""
    own = forecast.values
    return WholeForecast(
        replace(content.grid, sites=(*content.grid.sites, *others.sites)),
        np.concatenate([experts, others.experts], axis=2),
        ForecastValues(
            np.concatenate([own.quantiles, others.values.quantiles], axis=1),
            np.concatenate([own.mean, others.values.mean], axis=1),
        ),
        np.concatenate([forecast.reasons, others.reasons], axis=1),
        np.arange(experts.shape[2] + len(others.sites)) < experts.shape[2],
    )


def _only_said(inputs: ForecastInputs) -> ForecastInputs:
    """Without sources and predictors that say nothing of these places."""
    cases = tuple(
        replace(
            each,
            members={name: values for name, values in each.members.items() if np.isfinite(values).any()},
            predictors={name: values for name, values in each.predictors.items() if np.isfinite(values).any()},
        )
        for each in inputs.cases
    )
    return replace(inputs, cases=cases)


def _alike(content: ReleaseContent, inputs: ForecastInputs) -> list[tuple[frozenset[str], NDArray[np.intp]]]:
    """Places in groups: what is hidden from their owners, and where they stand."""
    groups: dict[tuple[frozenset[str], bytes], list[int]] = {}
    observed = np.asarray(np.isfinite(inputs.recent.values).any(axis=(0, 1)))
    said = [
        np.isfinite(cases.members[source_id][-1]).any(axis=2)
        if source_id in cases.members
        else np.zeros((len(inputs.grid.lead_hours), len(inputs.grid.sites)), dtype=bool)
        for cases in inputs.cases
        for source_id in content.source_ids
    ]
    for place, site in enumerate(inputs.grid.sites):
        sources = b"".join(each[:, place].tobytes() for each in said) + bytes([bool(observed[place])])
        groups.setdefault((hidden_sites(content, site.customer_id), sources), []).append(place)
    return [(hidden, np.array(places, dtype=np.intp)) for (hidden, _), places in groups.items()]
