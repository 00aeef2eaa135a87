"""What a source says between the nodes of its cover: bilinear in latitude and longitude, member by member.

Amounts that are often zero are those of the nearest node: a mean of four is wet when one of them is, and knows no heavy rain.
Where nodes have heights, which means that the source's values are made for them, a temperature is brought from the height between
the nodes to that of the place by the lapse rate of the standard atmosphere. Where they have none, values are for the source's own
ground, as they were at the sites from which the release learned what ground and height are worth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from skyproof.archive.cycles import Cycles
from skyproof.domain.cover import Node, cover_of, node_of
from skyproof.domain.cycles import CycleData, SourceCycle
from skyproof.domain.sites import Site
from skyproof.domain.variables import find_variable
from skyproof.science.grids import Stencil, bilinear_stencil

#: Temperature falls by so many K a metre (ISO 2533, standard atmosphere).
LAPSE_RATE = 6.5e-3
_LAPSING = ("temperature_2m",)


@dataclass(frozen=True, slots=True)
class Net:
    """The nodes of a cycle, by name and place."""

    names: tuple[str, ...]
    nodes: tuple[Node, ...]

    def stencil(self, sites: Sequence[Site]) -> Stencil | None:
        """The nodes around each place and their weights; None where they are no regular net."""
        latitudes = np.array([node.latitude for node in self.nodes])
        longitudes = np.array([node.longitude for node in self.nodes])
        return bilinear_stencil(latitudes, longitudes, sites)

    def ground_m(self, stencil: Stencil) -> NDArray[np.float32]:
        """The height between the nodes at each place, NaN where it is not known or outside."""
        return stencil.apply(np.array([node.elevation_m for node in self.nodes]))


def cover_cycle(cycles: Cycles, cycle: SourceCycle, *, as_of: datetime) -> SourceCycle | None:
    """What the source of a cycle said at the nodes in the same cycle, usable and known by ``as_of``; None if nothing."""
    found = cycles.catalogue(
        cover_of(cycle.source_id), as_of=as_of, init_from=cycle.init_time, init_until=cycle.init_time
    )
    return found[-1] if found else None


def net_of(cycles: Cycles, cycle: SourceCycle) -> Net:
    """The nodes of a cycle of a cover."""
    return _net(cycles.site_ids(cycle))


def read_between(
    cycles: Cycles, cycle: SourceCycle, sites: Sequence[Site], *, variables: Sequence[str]
) -> CycleData | None:
    """A cycle of a cover at places between its nodes, NaN outside them; None where no place lies inside."""
    net = net_of(cycles, cycle)
    stencil = net.stencil(sites)
    if stencil is None or not stencil.inside.any():
        return None
    # Only the nodes around the places are read.
    used, places = np.unique(stencil.points, return_inverse=True)
    near = replace(stencil, points=places.reshape(stencil.points.shape))
    data = cycles.read(cycle, site_ids=[net.names[node] for node in used], variables=variables)
    nearest = replace(near, weights=np.eye(near.weights.shape[1])[near.weights.argmax(axis=1)])
    at_nodes = np.moveaxis(data.values, 2, -1)
    chosen = [nearest if find_variable(name).family == "censored" else near for name in variables]
    parts = [each.apply(at_nodes[index]) for index, each in enumerate(chosen)]
    values = np.moveaxis(np.stack(parts), -1, 2)
    rise = np.array([site.elevation_m for site in sites]) - net.ground_m(stencil)
    for index, name in enumerate(variables):
        if name in _LAPSING:
            values[index] -= (LAPSE_RATE * np.nan_to_num(rise))[:, None].astype(np.float32)
    return replace(data, site_ids=tuple(site.site_id for site in sites), values=values)


@lru_cache(maxsize=32)
def _net(names: tuple[str, ...]) -> Net:
    placed = [(name, node) for name in names if (node := node_of(name)) is not None]
    return Net(tuple(name for name, _ in placed), tuple(node for _, node in placed))
