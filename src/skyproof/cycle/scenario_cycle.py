"""Scenarios of one run and what is derived from them: find it, draw its members, sum them if wanted, write them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from skyproof.cycle.wiring import Product
from skyproof.domain.derived import DerivedForecast, DerivedQuestion
from skyproof.domain.errors import NoRunError
from skyproof.domain.forecasts import Run
from skyproof.domain.scenarios import Scenarios
from skyproof.domain.times import format_instant
from skyproof.stages.deliver.scenario_files import write_derived, write_scenarios
from skyproof.stages.forecast.derive import derive
from skyproof.stages.forecast.scenarios import Template, draw_scenarios, sum_over_sites


def find_run(product: Product, *, run_id: str | None = None, issue_time: datetime | None = None) -> Run:
    """The run of that id; or that was issued at that time; or the newest.

    Raises:
        UnknownNameError: no such run.
        NoRunError: none was issued then, or none at all.
    """
    runs, now = product.archive.runs, product.clock.now()
    if run_id is not None:
        return runs.find(run_id)
    if issue_time is None:
        return runs.newest(as_of=now)
    found = runs.between(issue_from=issue_time, issue_until=issue_time, as_of=now)
    if not found:
        raise NoRunError(
            f"no run was issued at {format_instant(issue_time)}", hint="skyproof forecast --issue-time makes one"
        )
    return found[-1]


def scenario_cycle(
    product: Product,
    run: Run,
    *,
    members: int,
    variables: Sequence[str] = (),
    site_ids: Sequence[str] = (),
    weights: Sequence[float] = (),
    total: bool = False,
    template: Template = "auto",
    seed: str = "",
    levels: Sequence[float] = (),
    out: Path | None = None,
) -> Scenarios:
    """Draw the members of a run; ``total`` sums them over its sites; ``out`` writes them, or their quantiles at ``levels``."""
    drawn = draw_scenarios(
        product.archive, run, members=members, variables=variables, site_ids=site_ids, template=template, seed=seed
    )
    if total:
        drawn = sum_over_sites(drawn, weights=weights or None)
    if out is not None:
        write_scenarios(drawn, out, levels=levels)
    return drawn


def derive_cycle(
    product: Product,
    run: Run,
    question: DerivedQuestion,
    *,
    members: int,
    site_ids: Sequence[str] = (),
    weights: Sequence[float] = (),
    total: bool = False,
    levels: Sequence[float] = (0.1, 0.5, 0.9),
    template: Template = "auto",
    seed: str = "",
    out: Path | None = None,
) -> DerivedForecast:
    """Work a quantity out from the members of a run; ``out`` writes it."""
    found = derive(
        product.archive,
        run,
        question,
        members=members,
        sites={site.site_id: site for site in product.archive.sites.all(include_retired=True)},
        site_ids=site_ids,
        weights=weights,
        total=total,
        levels=levels,
        template=template,
        seed=seed,
    )
    if out is not None:
        write_derived(found, out)
    return found
