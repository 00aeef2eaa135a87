"""A run at any point that its sources cover: the same cycles, experts, blend and calibration, asked at one more place."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.archive.between import Net, cover_cycle, net_of
from skyproof.archive.release_content import ReleaseContent
from skyproof.archive.run_file import SiteSeries, as_kept
from skyproof.cycle.wiring import Product
from skyproof.domain.errors import IntegrityError, NotAvailableError, UnknownNameError
from skyproof.domain.forecasts import ForecastInputs, Run
from skyproof.domain.sites import Site
from skyproof.stages.forecast.blending import advance_blend
from skyproof.stages.forecast.elsewhere import forecast_elsewhere
from skyproof.stages.forecast.experts import Panel

#: Runs of which all that is needed is kept at hand, and panels of experts.
_MOST_RUNS, _MOST_PANELS = 2, 8


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What a run was made from, and what its blend had learned."""

    content: ReleaseContent
    inputs: ForecastInputs
    state: Mapping[str, NDArray[Any]]


class PointForecasts:
    """Implements :class:`skyproof.stages.deliver.points.Points` for a home."""

    def __init__(self, product: Product) -> None:
        self._product = product
        self._prepared: OrderedDict[str, _Prepared] = OrderedDict()
        self._nets: OrderedDict[str, tuple[Net, ...]] = OrderedDict()
        self._panels: OrderedDict[tuple[int, frozenset[str]], Panel] = OrderedDict()
        self._lock = threading.Lock()

    def locate(self, run: Run, latitude: float, longitude: float) -> Site:
        """The point as a place, on the ground between the nodes, or as high as sites usually lie where that is not known."""
        nets = self._nets_of(run)
        if not nets:
            raise NotAvailableError(f"run {run.run_id} knows its sites alone", hint="ask for a site")
        site = Site(f"at_{latitude:.3f}_{longitude:.3f}", "", latitude, longitude, 0.0)
        for net in nets:
            stencil = net.stencil([site])
            if stencil is not None and stencil.inside[0]:
                ground = float(net.ground_m(stencil)[0])
                return replace(site, elevation_m=round(ground) if np.isfinite(ground) else self._usual_height(run))
        raise UnknownNameError(f"it lies outside what the run's sources cover: {_reach(nets)}")

    def forecast(self, run: Run, places: Sequence[Site], customer_id: str) -> tuple[SiteSeries, ...]:
        """The run at points."""
        with self._lock:  # experts remember what they were asked last
            known = self._prepare(run)
            wanted = [replace(place, customer_id=customer_id) for place in places]
            inputs = self._product.archive.inputs.elsewhere(known.inputs, wanted)
            made = forecast_elsewhere(known.content, self._wake, self._product.blend(), known.state, inputs)
        return as_kept(made.values, made.reasons, known.content.grid.variables)

    def _prepare(self, run: Run) -> _Prepared:
        known = self._prepared.get(run.run_id)
        if known is None:
            archive = self._product.archive
            release = archive.releases.find(run.release_id)
            content = archive.releases.read(release)
            state = advance_blend(
                archive, release, self._wake(content, frozenset()), self._product.blend(), run.issue_time
            )
            known = _Prepared(content, archive.inputs.behind(run, content.grid), state)
            _remember(self._prepared, run.run_id, known, _MOST_RUNS)
        return known

    def _wake(self, content: ReleaseContent, hidden: frozenset[str]) -> Panel:
        key = (id(content), hidden)
        panel = self._panels.get(key)
        if panel is None or panel.content is not content:
            panel = self._product.wake(content, hidden)
            _remember(self._panels, key, panel, _MOST_PANELS)
        return panel

    def _nets_of(self, run: Run) -> tuple[Net, ...]:
        """The nets of the run's cycles, in the order of its inputs."""
        nets = self._nets.get(run.run_id)
        if nets is None:
            archive = self._product.archive
            try:
                content = archive.releases.read(archive.releases.find(run.release_id))
                cycles = archive.inputs.behind(run, content.grid).cycles.values()
            except (UnknownNameError, IntegrityError) as error:
                raise NotAvailableError(f"what run {run.run_id} was made from is not kept any more") from error
            covers = [cover_cycle(archive.cycles, cycle, as_of=run.issue_time) for cycle in cycles if cycle is not None]
            nets = tuple(net_of(archive.cycles, cover) for cover in covers if cover is not None)
            with self._lock:
                _remember(self._nets, run.run_id, nets, 4 * _MOST_RUNS)
        return nets

    def _usual_height(self, run: Run) -> float:
        archive = self._product.archive
        grid = archive.releases.read(archive.releases.find(run.release_id)).grid
        return round(sum(site.elevation_m for site in grid.sites) / len(grid.sites))


def _remember(kept: OrderedDict[Any, Any], key: Any, value: Any, most: int) -> None:
    kept[key] = value
    while len(kept) > most:
        kept.popitem(last=False)


def _reach(nets: Sequence[Net]) -> str:
    nodes = [node for net in nets for node in net.nodes]
    latitudes, longitudes = [node.latitude for node in nodes], [node.longitude for node in nodes]
    return f"{min(latitudes):g} to {max(latitudes):g} degrees north, {min(longitudes):g} to {max(longitudes):g} degrees east"
