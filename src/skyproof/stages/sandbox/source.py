"""The planet's providers and stations, entering by the same door as any live ones.

Cadence, latency and faults are applied here, when data are published: the planet knows nothing of them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.cycles import CycleBatch, ObservationBatch, SourceSpec
from skyproof.domain.sites import Site
from skyproof.domain.times import to_datetime64
from skyproof.stages.sandbox.events import STATION_KINDS, Event
from skyproof.stages.sandbox.geography import cover_nodes
from skyproof.stages.sandbox.planet import Planet
from skyproof.stages.sandbox.providers import Provider
from skyproof.stages.sandbox.surface import UNITS, VARIABLES

Floats = NDArray[Any]
_LICENCE, _ATTRIBUTION = "CC0-1.0", "Skyproof sandbox planet (simulated, no real weather)"
#: Reports handed over at once, in 6-hourly steps: about three weeks.
_STEPS_PER_BATCH = 84


def sandbox_sites(planet: Planet) -> tuple[Site, ...]:
    """The places of the planet."""
    return planet.places.sites()


def sandbox_sources(planet: Planet) -> tuple[SandboxSource, ...]:
    """One source per provider."""
    return tuple(SandboxSource(planet, provider) for provider in planet.providers)


@dataclass(frozen=True, slots=True)
class _Issue:
    """One cycle as it is published: which cycle's values, under which label, when."""

    number: int
    init_time: datetime
    available_at: datetime


class SandboxSource:
    """A provider of the planet, as a :class:`skyproof.domain.protocols.Source`."""

    def __init__(self, planet: Planet, provider: Provider) -> None:
        self._planet, self._provider = planet, provider
        self._events = tuple(event for event in planet.events if event.target == provider.name)
        hours = 24 // len(provider.init_hours)
        self._spec = SourceSpec(
            source_id=provider.name,
            title=f"{provider.title} (sandbox planet)",
            upstream_group=provider.name,
            licence=_LICENCE,
            attribution=_ATTRIBUTION,
            commercial_use=True,
            redistribution=True,
            cadence=timedelta(hours=hours),
            latency_p50=provider.latency,
            latency_p95=provider.latency + provider.late_by,
            members=provider.members,
            lead_hours=planet.profile.lead_hours,
            units=UNITS,
        )

    @property
    def spec(self) -> SourceSpec:
        """Its register row."""
        return self._spec

    def cycles(self, sites: tuple[Site, ...], after: datetime, until: datetime) -> Iterator[CycleBatch]:
        """Cycles that became available in (after, until], oldest first, at the given sites."""
        nodes = [site.site_id for site in cover_nodes()]
        at_nodes = bool(sites) and sites[0].site_id in nodes
        names = nodes if at_nodes else [site.site_id for site in self._planet.places.sites()]
        known = {name: index for index, name in enumerate(names)}
        chosen = [known[site.site_id] for site in sites if site.site_id in known]
        ids = tuple(site.site_id for site in sites if site.site_id in known)
        parts = self._planet.parts(self._provider)
        starts = [first for first, _ in parts]
        issues = [issue for number in range(sum(parts[-1])) for issue in self._publish(number)]
        due = sorted((i for i in issues if after < i.available_at <= until), key=lambda issue: issue.available_at)
        for part, group in groupby(due, key=lambda issue: bisect_right(starts, issue.number) - 1):
            begin, held = self._held(part, at_nodes=at_nodes)
            batch = [issue for issue in group if issue.number >= begin]
            if not batch:
                continue
            values = np.stack([self._spoil(held[issue.number - begin][..., chosen, :], issue) for issue in batch])
            yield CycleBatch(
                source_id=self._provider.name,
                init_times=tuple(issue.init_time for issue in batch),
                available_ats=tuple(issue.available_at for issue in batch),
                variables=VARIABLES,
                units=UNITS,
                lead_hours=self._planet.profile.lead_hours,
                site_ids=ids,
                values=values,
            )

    def _held(self, part: int, *, at_nodes: bool) -> tuple[int, Floats]:
        """The number of the first cycle of a part that is held at the sites, or at the nodes, and the values from it on."""
        first, count = self._planet.parts(self._provider)[part]
        if not at_nodes:
            return first, self._planet.cycles(self._provider, part)
        covered = self._planet.covered(self._provider, part)
        if covered is None:
            return first + count, np.empty(0, dtype=np.float32)
        return first + count - len(covered), covered

    def _publish(self, number: int) -> Iterator[_Issue]:
        """How a cycle appears: usually once and in time; not at all, late, twice or as another when something is wrong."""
        init_time = self._planet.init_time(self._provider, number)
        # A lag of its own for every cycle, the same whenever it is asked for.
        lag = np.random.default_rng((self._planet.seed, 50 + self._provider.number, number)).random()
        available = init_time + self._provider.latency + lag * self._provider.late_by
        available = available.replace(microsecond=0)
        on = {event.kind: event for event in self._events if event.covers(init_time)}
        if "dark" in on:
            return
        if "late" in on:
            available += timedelta(hours=on["late"].number("hours", 9))
        shown = self._last_before(on["frozen"], number) if "frozen" in on else number
        yield _Issue(shown, init_time, available)
        if "duplicated" in on:
            yield _Issue(number, init_time, available + timedelta(minutes=30))

    def _last_before(self, event: Event, number: int) -> int:
        """The last cycle that began before an event: what a frozen provider goes on sending."""
        while number > 0 and event.covers(self._planet.init_time(self._provider, number)):
            number -= 1
        return number

    def _spoil(self, values: Floats, issue: _Issue) -> Floats:
        """The values of a cycle, (variable, lead, site, member), with what goes wrong in them."""
        spoiled = np.array(values, dtype=np.float32)
        chance = np.random.default_rng((self._planet.seed, 60 + self._provider.number, issue.number))
        for event in self._events:
            if not event.covers(issue.init_time):
                continue
            if event.kind == "partial":
                spoiled[:, round(len(self._spec.lead_hours) * (1 - event.number("share", 0.37))) :] = np.nan
            elif event.kind == "members_missing":
                spoiled[..., round(spoiled.shape[-1] * (1 - event.number("share", 0.5))) :] = np.nan
            elif event.kind == "nan_block":
                spoiled[:, :, chance.random(spoiled.shape[2]) < event.number("share", 0.1)] = np.nan
            elif event.kind == "time_shift":
                spoiled = np.roll(spoiled, round(event.number("hours", 6) / 6), axis=1)
            elif event.kind == "unit_slip":
                index = VARIABLES.index(str(event.args.get("variable", VARIABLES[0])))
                slip = {"temperature_2m": (1.0, 273.15), "wind_speed_10m": (3600 / 1852, 0.0)}
                factor, shift = slip.get(VARIABLES[index], (100.0, 0.0))
                spoiled[index] = spoiled[index] * factor + shift
        return spoiled


class SandboxStations:
    """The planet's stations, as a :class:`skyproof.domain.protocols.ObservationFeed`."""

    source_id = "sandbox-stations"

    def __init__(self, planet: Planet) -> None:
        self._planet = planet
        self._events = tuple(event for event in planet.events if event.kind in STATION_KINDS)

    def observations(self, sites: tuple[Site, ...], after: datetime, until: datetime) -> Iterator[ObservationBatch]:
        """Observations and corrections recorded in (after, until], oldest first."""
        ids = [site.site_id for site in self._planet.places.sites()]
        wanted = {site.site_id for site in sites}
        reports = self._planet.reports()
        steps = len(reports.values)
        valid = to_datetime64(self._planet.profile.start) + np.arange(steps) * np.timedelta64(6 * 3600, "s")
        recorded = valid[:, None] + reports.delay_minutes * np.timedelta64(60, "s")
        values = self._spoil(reports.values, valid, ids)
        day = np.timedelta64(86_400, "s")
        rows = [self._rows(values, valid, recorded, ids), self._rows(reports.corrected, valid, recorded + day, ids)]
        columns = [np.concatenate([row[index] for row in rows]) for index in range(5)]
        due = (columns[3] > to_datetime64(after)) & (columns[3] <= to_datetime64(until))
        due &= np.isin(columns[0], np.array(sorted(wanted)))
        order = np.argsort(columns[3][due], kind="stable")
        site_ids, variables, valids, recordeds, numbers = (column[due][order] for column in columns)
        size = _STEPS_PER_BATCH * len(ids) * len(VARIABLES)
        begin = 0
        while begin < len(numbers):
            # Never cut between rows of the same second: whoever goes on after it would miss the rest.
            last = min(begin + size, len(numbers))
            end = int(np.searchsorted(recordeds, recordeds[last - 1], side="right"))
            part = slice(begin, end)
            yield ObservationBatch(
                self.source_id, site_ids[part], variables[part], valids[part], recordeds[part], numbers[part], UNITS
            )
            begin = end

    def _rows(self, values: Floats, valid: Floats, recorded: Floats, ids: list[str]) -> tuple[Floats, ...]:
        step, variable, site = np.nonzero(np.isfinite(values))
        return (
            np.array(ids)[site],
            np.array(VARIABLES)[variable],
            valid[step],
            recorded[step, site],
            values[step, variable, site].astype(np.float64),
        )

    def _spoil(self, values: Floats, valid: Floats, ids: list[str]) -> Floats:
        spoiled = values.copy()
        for event in self._events:
            if event.target not in ids:
                continue
            site = ids.index(event.target)
            variable = VARIABLES.index(str(event.args.get("variable", VARIABLES[0])))
            on = (valid >= to_datetime64(event.start)) & (valid < to_datetime64(event.end))
            reported = on & np.isfinite(values[:, variable, site])
            if event.kind == "stuck_sensor" and reported.any():
                spoiled[on, variable, site] = values[np.argmax(reported), variable, site]
            elif event.kind == "sensor_drift":
                elapsed = (valid - to_datetime64(event.start)).astype(np.int64) / 86_400
                spoiled[on, variable, site] += (event.number("per_day", 0.05) * elapsed[on]).astype(spoiled.dtype)
        return spoiled
