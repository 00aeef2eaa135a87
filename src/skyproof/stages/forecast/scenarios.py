"""Scenarios of a run: members drawn from its quantiles in the order of a dependence template.

Nothing more need be kept to draw them later: a template comes from the run's release, from the ensembles its lineage names by
digest, or from observations as they were known at its issue time. The same run and seed give the same members for ever.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from skyproof.archive.archive import Archive
from skyproof.archive.run_file import SiteSeries
from skyproof.domain.errors import IntegrityError, InvalidValueError, NotAvailableError, UnknownNameError
from skyproof.domain.forecasts import Run
from skyproof.domain.scenarios import Scenarios
from skyproof.domain.times import format_instant
from skyproof.domain.variables import find_variable
from skyproof.science.gaussian_copula import GaussianCopula, scenarios_from_copula
from skyproof.science.quantile_functions import within_limits
from skyproof.science.scenarios import independent_scenarios, scenarios_from_template, weighted_sum
from skyproof.stages.forecast.templates import Cells, read_ensemble_template, read_history_template

Template = Literal["auto", "copula", "ensemble", "history", "independent"]
#: Most numbers of one answer: 400 MB of members.
LARGEST = 100_000_000
#: A copula of fewer issue times knows little of the correlation of sites.
_FEWEST_DATES = 20
_Draw = Callable[..., NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class _Dependence:
    """How to draw, and what to say about it."""

    draw: _Draw
    facts: dict[str, object]


def draw_scenarios(
    archive: Archive,
    run: Run,
    *,
    members: int,
    variables: Sequence[str] | None = None,
    site_ids: Sequence[str] | None = None,
    template: Template = "auto",
    seed: str = "",
    elsewhere: Mapping[str, SiteSeries] | None = None,
) -> Scenarios:
    """Members of a run.

    Args:
        archive: where the run lies.
        run: the run.
        members: how many; any number.
        variables: those wanted; all of the run by default. Members agree between them, so name all you combine.
        site_ids: those wanted; all of the run by default. A site's members do not depend on which others are named.
        template: where the dependence comes from. ``auto`` takes what is there, in this order: the release's ``copula``
            (learned from at least 20 issue times), the ``ensemble`` members among the run's inputs, the ``history`` of
            observations known at the issue time; and without any of them draws each cell alone (``independent``).
        seed: another one gives another set of members with the same margins.
        elsewhere: series of places that are no sites of the run, by id; they may be among ``site_ids``.

    Raises:
        InvalidValueError: fewer than one member, or more numbers than one answer may hold.
        UnknownNameError: a site or variable that the run does not have.
        NotAvailableError: the template asked for is not there.
    """
    reader = archive.runs.open(run)
    names = tuple(dict.fromkeys(variables)) if variables else reader.variables
    sites = tuple(dict.fromkeys(site_ids)) if site_ids else reader.site_ids
    unknown = [name for name in names if name not in reader.variables]
    if unknown:
        raise UnknownNameError(
            f"variable {unknown[0][:60]!r} is not in run {run.run_id}", hint=f"it has {', '.join(reader.variables)}"
        )
    count = members * len(names) * len(sites) * len(reader.lead_hours)
    if members < 1 or count > LARGEST:
        raise InvalidValueError(
            f"{members} members of {len(names)} variables, {len(sites)} sites and {len(reader.lead_hours)} leads are {count:,} "
            f"numbers, wanted 1 to {LARGEST:,}",
            hint="ask for fewer members, sites or variables",
        )
    rows = [reader.variables.index(name) for name in names]
    others = elsewhere or {}
    series = [others[site_id] if site_id in others else reader.site(site_id) for site_id in sites]
    quantiles = np.stack([each.quantiles[rows] for each in series], axis=1)
    cells = Cells(run, names, sites, reader.lead_hours)
    dependence = _choose(archive, cells, template)
    values = dependence.draw(
        quantiles, members=members, seed=f"{run.run_id} {seed}".strip(), variables=names, site_ids=sites
    )
    for index, name in enumerate(names):
        variable = find_variable(name)
        values[index] = within_limits(values[index], variable)
    units = tuple(find_variable(name).unit for name in names)
    return Scenarios(
        run.run_id,
        run.issue_time,
        run.init_time,
        names,
        units,
        sites,
        reader.lead_hours,
        values,
        dependence.facts,
        seed,
    )


def sum_over_sites(scenarios: Scenarios, *, weights: Sequence[float] | None = None, name: str = "sum") -> Scenarios:
    """The members of a weighted sum over sites; all weights 1 by default.

    Raises:
        InvalidValueError: not one finite weight per site.
    """
    factors = np.ones(len(scenarios.site_ids)) if weights is None else np.asarray(weights, dtype=np.float64)
    if factors.shape != (len(scenarios.site_ids),) or not np.isfinite(factors).all():
        raise InvalidValueError(
            f"{factors.size} weights for {len(scenarios.site_ids)} sites, or one of them is no number",
            hint="give one weight per site, in the same order",
        )
    total = weighted_sum(scenarios.values, factors)[:, None].astype(np.float32)
    return replace(scenarios, site_ids=(name,), values=total)


def _choose(archive: Archive, cells: Cells, template: Template) -> _Dependence:
    kinds = {"copula": _copula, "ensemble": _ensemble, "history": _history}
    if template == "independent":
        return _independent()
    if template in kinds:
        found = kinds[template](archive, cells, fewest=1)
        if found is None:
            raise NotAvailableError(
                f"run {cells.run.run_id} has no {template} to take the dependence from", hint="ask for template auto"
            )
        return found
    if template != "auto":
        raise UnknownNameError(
            f"template {template[:40]!r} is not known", hint=f"use auto, {', '.join(kinds)} or independent"
        )
    for kind in kinds.values():
        # A template that cannot be read any more (a release of an older version) is one that is not there.
        with suppress(IntegrityError):
            found = kind(archive, cells, fewest=_FEWEST_DATES)
            if found is not None:
                return found
    return _independent()


def _copula(archive: Archive, cells: Cells, *, fewest: int) -> _Dependence | None:
    content = archive.releases.read(archive.releases.find(cells.run.release_id))
    if not content.dependence:
        return None
    copula = GaussianCopula.from_arrays(content.dependence)
    known = {name: place for place, name in enumerate(content.grid.variables)}
    if copula.dates < fewest or content.grid.lead_hours != cells.lead_hours or not set(cells.variables) <= set(known):
        return None
    # All variables are drawn, so that the members of one do not depend on which others are asked for.
    places = {site_id: place for place, site_id in enumerate(content.grid.site_ids)}
    chosen = [places.get(site_id, -1) for site_id in cells.site_ids]
    wanted = [known[name] for name in cells.variables]

    def draw(quantiles: NDArray[Any], *, variables: Sequence[str], **arguments: Any) -> NDArray[np.float32]:
        del variables
        return scenarios_from_copula(quantiles, copula, chosen=chosen, wanted=wanted, **arguments)

    facts = {"kind": "copula", "release": cells.run.release_id, "issue_times": copula.dates}
    return _Dependence(draw, {**facts, "digest": _digest(*content.dependence.values())})


def _ensemble(archive: Archive, cells: Cells, *, fewest: int) -> _Dependence | None:
    found = read_ensemble_template(archive, cells)
    del fewest  # an ensemble is of the day, whatever its size
    if found is None:
        return None
    template, members = found
    return _from_template(template, {"kind": "ensemble", "sources": members})


def _history(archive: Archive, cells: Cells, *, fewest: int) -> _Dependence | None:
    found = read_history_template(archive, cells)
    if found is None or len(found[1]) < fewest:
        return None
    template, days = found
    facts = {"kind": "history", "days": len(days), "from": format_instant(days[0]), "until": format_instant(days[-1])}
    return _from_template(template, facts)


def _from_template(template: NDArray[np.float32], facts: dict[str, object]) -> _Dependence:
    def draw(quantiles: NDArray[Any], **arguments: Any) -> NDArray[np.float32]:
        return scenarios_from_template(quantiles, template, **arguments)

    return _Dependence(draw, {**facts, "trajectories": template.shape[-1], "digest": _digest(template)})


def _independent() -> _Dependence:
    return _Dependence(independent_scenarios, {"kind": "independent"})


def _digest(*arrays: NDArray[Any]) -> str:
    hasher = hashlib.sha256()
    for values in arrays:
        hasher.update(np.ascontiguousarray(values).tobytes())
    return hasher.hexdigest()[:16]
