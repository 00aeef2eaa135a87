"""What the console shows, read from the archive in one go."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from skyproof.archive.archive import Archive
from skyproof.domain.errors import UnknownNameError
from skyproof.domain.forecasts import Run
from skyproof.domain.quantiles import INDEX_MEDIAN
from skyproof.domain.sites import Site
from skyproof.domain.times import format_instant, hours
from skyproof.domain.units import find_unit
from skyproof.domain.variables import Variable, find_variable
from skyproof.surfaces.api.freshness import Freshness, read_freshness
from skyproof.surfaces.console.fan_chart import FanChart, draw_fan
from skyproof.surfaces.console.site_map import Place, draw_map

#: How far back the page looks.
_HISTORY = timedelta(days=90)
_NEWEST = 12
_OBSERVED_BEFORE = timedelta(days=2)


@dataclass(frozen=True, slots=True)
class ForecastView:
    """One site and variable of the newest run, with what else could be chosen."""

    sites: tuple[Site, ...]
    variables: tuple[Variable, ...]
    site: Site
    variable: Variable
    symbol: str
    chart: FanChart | None
    places: tuple[Place, ...]
    map_time: str


@dataclass(frozen=True, slots=True)
class ConsoleView:
    """The whole page. ``runs`` are the newest first; ``history`` is oldest first and reaches back 90 days."""

    freshness: Freshness
    runs: tuple[Run, ...]
    history: tuple[Run, ...]
    receipts: int
    forecast: ForecastView | None


def read_console(archive: Archive, now: datetime, *, site_id: str = "", variable: str = "") -> ConsoleView:
    """Read the page.

    Raises:
        UnknownNameError: no such site or variable in the newest run.
    """
    freshness = read_freshness(archive, now)
    newest = freshness.newest_run
    if newest is None:
        return ConsoleView(freshness, (), (), archive.deliveries.count(), None)
    history = archive.runs.between(issue_from=newest.issue_time - _HISTORY, issue_until=now, as_of=now)
    forecast = _forecast(archive, newest, now, site_id, variable)
    return ConsoleView(freshness, history[::-1][:_NEWEST], history, archive.deliveries.count(), forecast)


def _forecast(archive: Archive, run: Run, now: datetime, site_id: str, variable_name: str) -> ForecastView | None:
    reader = archive.runs.open(run)
    held = set(reader.site_ids)
    sites = tuple(site for site in archive.sites.all(include_retired=True) if site.site_id in held)
    if not sites:
        return None
    site = next((site for site in sites if site.site_id == (site_id or sites[0].site_id)), None)
    name = variable_name or reader.variables[0]
    if site is None or name not in reader.variables:
        unknown = f"site {site_id[:64]!r}" if site is None else f"variable {name[:64]!r}"
        raise UnknownNameError(f"{unknown} is not in the newest run", hint="choose from the lists on the page")
    index, variable = reader.variables.index(name), find_variable(name)
    valid_times = [run.init_time + hours(lead) for lead in reader.lead_hours]
    step = min(np.diff([0, *reader.lead_hours]))
    observed_times, observed = archive.observations.grid(
        variables=[name],
        site_ids=[site.site_id],
        valid_from=run.init_time - _OBSERVED_BEFORE,
        valid_until=valid_times[-1],
        step_hours=int(step),
        as_of=now,
    )
    chart = draw_fan(
        valid_times,
        reader.site(site.site_id).quantiles[index],
        [run.init_time - _OBSERVED_BEFORE + k * hours(int(step)) for k in range(len(observed_times))],
        observed[0, :, 0].astype(np.float64),
        init_time=run.init_time,
    )
    lead = min(range(len(reader.lead_hours)), key=lambda k: abs(reader.lead_hours[k] - 24))
    medians = np.array([reader.site(place.site_id).quantiles[index, lead, INDEX_MEDIAN] for place in sites])
    return ForecastView(
        sites,
        tuple(find_variable(each) for each in reader.variables),
        site,
        variable,
        find_unit(variable.unit).symbol,
        chart,
        draw_map(sites, medians),
        format_instant(valid_times[lead]),
    )
