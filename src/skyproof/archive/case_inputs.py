"""The past and the present as cases: what every source said at an issue time, on one axis of leads, and what came of it.

A source's newest usable cycle known at the issue time is taken, as :meth:`skyproof.archive.inputs.Inputs.gather` takes it, and
put where its valid times meet those of the run; an older cycle simply reaches less far.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from skyproof.archive.between import cover_cycle, read_between
from skyproof.archive.cycles import Cycles
from skyproof.archive.observations import Observations
from skyproof.domain.cases import Cases, Place
from skyproof.domain.cycles import SourceCycle
from skyproof.domain.forecasts import ForecastGrid
from skyproof.domain.times import Instants, floor_to_hours, from_datetime64, to_datetime64
from skyproof.domain.variables import find_variable

_HOUR = np.timedelta64(3600, "s")
_ONE_HOUR = timedelta(hours=1)
#: How long after its valid time an observation counts as known.
_DELAY_HOURS = 1.0
#: Members of all variables are kept from the first reading on where they take no more than this, in bytes.
_HELD_BYTES = 2**30

#: The cover of a cycle, and the places by number that the cycle does not have.
_Cover = tuple[SourceCycle, NDArray[np.intp]]


class CaseReader:
    """The cases of one variable of a grid after another, from the archive.

    What a source's members say of a variable is read when that variable is asked for: a long history of many sites need not be
    held whole; what all variables share (means of members, outcomes, ages) is read at once.

    Args:
        cycles: what sources said.
        observations: what happened.
        grid: sites, variables and leads.
        newest: of each source the cycle at each issue time, None where it had none.
        issue_times: increasing.
        as_of: observations recorded later do not exist. What a source said is what was known at each issue time.
        between: places that a cycle does not have are answered from its cover, as known at ``as_of``.
    """

    def __init__(
        self,
        cycles: Cycles,
        observations: Observations,
        grid: ForecastGrid,
        newest: Mapping[str, Sequence[SourceCycle | None]],
        issue_times: Sequence[datetime],
        *,
        as_of: datetime,
        between: bool = False,
    ) -> None:
        inits = np.array([to_datetime64(floor_to_hours(issue, grid.step_hours)) for issue in issue_times])
        self._cycles, self._grid, self._newest = cycles, grid, newest
        self._covers: dict[SourceCycle, _Cover] = {}
        self._inits = inits.astype("datetime64[s]")
        self._observed = _outcomes(observations, grid, self._inits, as_of)
        self._held: dict[int, dict[str, NDArray[np.float32]]] = {}
        self._means: dict[str, list[NDArray[np.float32]]] = {source_id: [] for source_id in newest}
        self.member_counts: dict[str, int] = dict.fromkeys(newest, 0)
        self.age_hours = {source_id: _ages(held, issue_times) for source_id, held in newest.items()}
        if between:
            held_cycles = {cycle for held in newest.values() for cycle in held if cycle is not None}
            covers = {cycle: self._find_cover(cycle, as_of) for cycle in held_cycles}
            self._covers = {cycle: cover for cycle, cover in covers.items() if cover is not None}
        for index in range(len(grid.variables)):
            members = self._read(index)
            for source_id, values in members.items():
                self._means[source_id].append(_mean_of_members(values))
                self.member_counts[source_id] = values.shape[-1]
            size = sum(values.nbytes for values in members.values())
            if size * len(grid.variables) <= _HELD_BYTES:
                self._held[index] = members
        # (variable, issue, lead): whether a source said anything of any site.
        self.said = {
            source_id: np.stack([np.isfinite(mean).any(axis=2) for mean in means])
            for source_id, means in self._means.items()
        }

    def __len__(self) -> int:
        """How many variables there are."""
        return len(self._grid.variables)

    def __iter__(self) -> Iterator[Cases]:
        """The cases of each variable."""
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Cases:
        """The cases of one of the grid's variables, by number.

        Their issue times are init times: issue times rounded down to the step. A source that never spoke of the variable is left
        out of its members. Predictors are the means of each source for the other variables, named ``variable:source``.
        """
        members = self._held[index] if index in self._held else self._read(index)
        return self._cases(index, members)

    def outline(self, index: int) -> Cases:
        """The cases of a variable without a single issue time: which sources, members and predictors there are."""
        shape = (len(self._inits), len(self._grid.lead_hours), len(self._grid.sites))
        members = {
            source_id: np.broadcast_to(np.float32(np.nan), (*shape, count))
            for source_id, count in self.member_counts.items()
        }
        return self._cases(index, members).take(slice(0, 0))

    def _cases(self, index: int, members: Mapping[str, NDArray[np.float32]]) -> Cases:
        grid = self._grid
        return Cases(
            variable=find_variable(grid.variables[index]),
            issue_times=self._inits,
            lead_hours=grid.lead_hours,
            sites=tuple(Place(site.site_id, site.latitude, site.longitude, site.elevation_m) for site in grid.sites),
            members={source_id: values for source_id, values in members.items() if self.said[source_id][index].any()},
            predictors={
                f"{other}:{source_id}": means[place]
                for source_id, means in self._means.items()
                for place, other in enumerate(grid.variables)
                if place != index and self.said[source_id][place].any()
            },
            observed=self._observed[index],
            delay_hours=_DELAY_HOURS,
            age_hours=self.age_hours,
        )

    def _read(self, index: int) -> dict[str, NDArray[np.float32]]:
        """What each source said of a variable at each issue time: (issue, lead, site, member)."""
        return {source_id: self._align(index, held) for source_id, held in self._newest.items()}

    def _align(self, index: int, newest: Sequence[SourceCycle | None]) -> NDArray[np.float32]:
        grid = self._grid
        uses: dict[SourceCycle, list[int]] = {}
        for issue, cycle in enumerate(newest):
            if cycle is not None:
                uses.setdefault(cycle, []).append(issue)
        members = self._cycles.reach(tuple(uses))[1]
        shape = (len(newest), len(grid.lead_hours), len(grid.sites), max(members, 1))
        aligned = np.full(shape, np.nan, dtype=np.float32)
        for entries in _by_object(tuple(uses)):
            own_leads, values = self._cycles.read_all(
                entries, site_ids=grid.site_ids, variables=(grid.variables[index],)
            )
            for cycle, said in zip(entries, values[:, 0], strict=True):
                for issue in uses[cycle]:
                    here, there = _meeting_leads(grid.lead_hours, self._inits[issue], own_leads, cycle)
                    aligned[issue][here, :, : said.shape[-1]] = said[there]
        for cycle, issues in uses.items():
            if cycle in self._covers:
                aligned = self._fill_between(aligned, index, cycle, issues)
        return aligned

    def _find_cover(self, cycle: SourceCycle, as_of: datetime) -> _Cover | None:
        """The cover of a cycle, and the places that the cycle does not have; None where there is no cover, or nothing lacking."""
        held = set(self._cycles.site_ids(cycle))
        lacking = np.flatnonzero([site.site_id not in held for site in self._grid.sites])
        cover = cover_cycle(self._cycles, cycle, as_of=as_of) if len(lacking) else None
        return None if cover is None else (cover, lacking)

    def _fill_between(
        self, aligned: NDArray[np.float32], index: int, cycle: SourceCycle, issues: Sequence[int]
    ) -> NDArray[np.float32]:
        """Values (issue, lead, site, member) with those of places that a cycle does not have from its cover."""
        cover, lacking = self._covers[cycle]
        sites = [self._grid.sites[place] for place in lacking]
        data = read_between(self._cycles, cover, sites, variables=(self._grid.variables[index],))
        if data is None:
            return aligned
        more = data.values.shape[-1] - aligned.shape[-1]
        aligned = np.pad(aligned, [(0, 0)] * 3 + [(0, max(more, 0))], constant_values=np.nan)
        for issue in issues:
            here, there = _meeting_leads(self._grid.lead_hours, self._inits[issue], data.lead_hours, cycle)
            aligned[issue][np.ix_(here, lacking, np.arange(data.values.shape[-1]))] = data.values[0, there]
        return aligned


def _by_object(entries: Sequence[SourceCycle]) -> list[tuple[SourceCycle, ...]]:
    """Cycles in groups that lie in one object: each is opened once, and no more than one is held."""
    groups: dict[str, list[SourceCycle]] = {}
    for entry in entries:
        groups.setdefault(entry.object_key, []).append(entry)
    return [tuple(group) for group in groups.values()]


def _ages(newest: Sequence[SourceCycle | None], issue_times: Sequence[datetime]) -> NDArray[np.float64]:
    """Hours from the start of each cycle to the issue time, NaN where there is none."""
    pairs = zip(newest, issue_times, strict=True)
    return np.array([np.nan if cycle is None else (issue - cycle.init_time) / _ONE_HOUR for cycle, issue in pairs])


def _meeting_leads(
    wanted: tuple[int, ...], init: np.datetime64, held: tuple[int, ...], cycle: SourceCycle
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Positions of the run's leads, and of the cycle's, that speak of the same valid times."""
    shift = int((init - to_datetime64(cycle.init_time)) / _HOUR)
    position = {lead: number for number, lead in enumerate(held)}
    pairs = [(number, position[lead + shift]) for number, lead in enumerate(wanted) if lead + shift in position]
    both = np.array(pairs, dtype=np.intp).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def _mean_of_members(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean over the members there, NaN where none is: (issue, variable, lead, site)."""
    there = np.isfinite(values)
    count = there.sum(axis=-1)
    total = np.where(there, values, np.float32(0)).sum(axis=-1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)


def _outcomes(observations: Observations, grid: ForecastGrid, inits: Instants, as_of: datetime) -> NDArray[np.float32]:
    """Observations of every lead as known at ``as_of``: (variable, issue, lead, site)."""
    shape = (len(grid.variables), len(inits), len(grid.lead_hours), len(grid.sites))
    if not len(inits):
        return np.full(shape, np.nan, dtype=np.float32)
    wanted = inits[:, None] + np.array(grid.lead_hours) * _HOUR
    times, values = observations.grid(
        variables=grid.variables,
        site_ids=grid.site_ids,
        valid_from=from_datetime64(wanted.min()),
        valid_until=from_datetime64(wanted.max()),
        step_hours=grid.step_hours,
        as_of=as_of,
    )
    return np.asarray(values[:, np.searchsorted(times, wanted)])
