"""Commands on what may happen together: scenarios, and what is derived from them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast

import typer
from rich.markup import escape

from skyproof.cycle.scenario_cycle import derive_cycle, find_run, scenario_cycle
from skyproof.domain.derived import DerivedQuestion
from skyproof.domain.errors import InvalidValueError
from skyproof.domain.scenarios import Scenarios
from skyproof.domain.times import format_instant
from skyproof.stages.deliver.scenario_files import describe_derived, describe_scenarios
from skyproof.stages.forecast.derive import QUANTITIES
from skyproof.stages.forecast.scenarios import Template
from skyproof.surfaces.cli.options import read_instant
from skyproof.surfaces.cli.output import Session, make_list


def add_to(app: typer.Typer) -> None:
    """Hang the commands into the command tree."""
    app.command(
        epilog="Example: skyproof scenarios --members 100 --sum --quantiles 0.1,0.5,0.9 --out portfolio.csv",
    )(scenarios)
    app.command(
        epilog="Example: skyproof derive daily-minimum --site harbour --quantiles 0.05,0.5,0.95 --out frost.csv",
    )(derive)


RunId = Annotated[str | None, typer.Option("--run", help="Identifier of a run. Default: the newest.")]
IssueTime = Annotated[str | None, typer.Option("--issue-time", help="The run issued then, e.g. 2026-01-31T12:00Z.")]
Members = Annotated[int, typer.Option(help="How many; any number.")]
Sites = Annotated[list[str] | None, typer.Option("--site", help="A site, once for each. Default: all.")]
Variables = Annotated[list[str] | None, typer.Option("--variable", help="A variable, once for each. Default: all.")]
TemplateName = Annotated[
    str,
    typer.Option(help="Where the dependence comes from: auto, copula, ensemble, history or independent."),
]
Seed = Annotated[str, typer.Option(help="Another word draws other members.")]
Quantiles = Annotated[str, typer.Option(help="Write quantiles of the members instead, e.g. 0.1,0.5,0.9.")]


def scenarios(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="File to write: .parquet, .csv or .json.")],
    run: RunId = None,
    issue_time: IssueTime = None,
    members: Members = 100,
    site: Sites = None,
    variable: Variables = None,
    total: Annotated[bool, typer.Option("--sum", help="Sum each member over the sites.")] = False,
    weights: Annotated[str, typer.Option(help="Weight of each --site in the sum, e.g. 12.5,40.")] = "",
    quantiles: Quantiles = "",
    template: TemplateName = "auto",
    seed: Seed = "",
) -> None:
    """Draw members of a run that agree over sites, leads and variables; sum them for a portfolio.

    Each cell keeps its forecast quantiles. The same run and seed give the same members, whenever they are drawn.
    """
    session: Session = context.obj
    _check_weights(weights, site, total=total)
    with session.product() as product:
        found = find_run(product, run_id=run, issue_time=read_instant(issue_time, "issue time"))
        drawn = scenario_cycle(
            product,
            found,
            members=members,
            variables=variable or (),
            site_ids=site or (),
            weights=read_numbers(weights, "weights"),
            total=total,
            template=cast(Template, template),
            seed=seed,
            levels=read_numbers(quantiles, "quantiles"),
            out=out,
        )
    session.answer(
        {**describe_scenarios(drawn), "out": str(out)}, make_list(_describe(drawn)), f"written: {escape(str(out))}"
    )


def derive(
    context: typer.Context,
    quantity: Annotated[str, typer.Argument(help=f"One of {', '.join(QUANTITIES)}.")],
    out: Annotated[Path, typer.Option(help="File to write: .parquet, .csv or .json.")],
    run: RunId = None,
    issue_time: IssueTime = None,
    members: Members = 200,
    site: Sites = None,
    variable: Annotated[str | None, typer.Option(help="What days, sums and spells are made of.")] = None,
    hours: Annotated[int | None, typer.Option(help="Length of an accumulation (24) or of the shortest spell.")] = None,
    above: Annotated[float | None, typer.Option(help="A spell is above this, in the variable's unit.")] = None,
    below: Annotated[float | None, typer.Option(help="A spell is below this.")] = None,
    base: Annotated[float | None, typer.Option(help="Base of degree days, Cel: 15.5 heating, 22 cooling.")] = None,
    limit: Annotated[float | None, typer.Option(help="Days beyond this have no degree days, Cel.")] = None,
    height: Annotated[float, typer.Option(help="Of the hub, m above ground.")] = 100.0,
    exponent: Annotated[float | None, typer.Option(help="Of the wind profile. Default: learned, or 0.2.")] = None,
    total: Annotated[bool, typer.Option("--sum", help="Sum each member over the sites.")] = False,
    weights: Annotated[str, typer.Option(help="Weight of each --site in the sum, e.g. capacities.")] = "",
    quantiles: Annotated[str, typer.Option(help="Levels of the answer.")] = "0.1,0.5,0.9",
    template: TemplateName = "auto",
    seed: Seed = "",
) -> None:
    """Work out what is acted on from scenarios: days of a site's zone, sums, degree days, spells, hub wind, gusts, power.

    Power is a first guess from physics, as a share of capacity; a site's own meter teaches a model more.
    """
    session: Session = context.obj
    _check_weights(weights, site, total=total)
    question = DerivedQuestion(quantity, variable, hours, above, below, base, limit, height, exponent)
    with session.product() as product:
        found = find_run(product, run_id=run, issue_time=read_instant(issue_time, "issue time"))
        derived = derive_cycle(
            product,
            found,
            question,
            members=members,
            site_ids=site or (),
            weights=read_numbers(weights, "weights"),
            total=total,
            levels=read_numbers(quantiles, "quantiles"),
            template=cast(Template, template),
            seed=seed,
            out=out,
        )
    facts = {"quantity": derived.name, "unit": derived.unit, "rows": len(derived.site_ids), "members": members}
    session.answer({**describe_derived(derived), "out": str(out)}, make_list(facts), f"written: {escape(str(out))}")


def _check_weights(weights: str, site: list[str] | None, *, total: bool) -> None:
    if weights and not total:
        raise InvalidValueError("--weights without --sum", hint="add --sum")
    if weights and not site:
        raise InvalidValueError("--weights without --site", hint="name the sites in the order of their weights")


def read_numbers(text: str, name: str) -> list[float]:
    """Numbers separated by commas.

    Raises:
        InvalidValueError: one of them is no number.
    """
    try:
        return [float(word) for word in text.split(",")] if text else []
    except ValueError as error:
        raise InvalidValueError(
            f"--{name} {text[:60]!r} holds something that is no number", hint="write 0.1,0.5"
        ) from error


def _describe(drawn: Scenarios) -> dict[str, object]:
    words = [f"{name} {value}" for name, value in drawn.template.items() if name not in {"kind", "digest"}]
    return {
        "run": drawn.run_id,
        "issued": format_instant(drawn.issue_time),
        "members": drawn.members,
        "variables": ", ".join(drawn.variables),
        "sites": len(drawn.site_ids) if len(drawn.site_ids) > 3 else ", ".join(drawn.site_ids),
        "template": f"{drawn.template['kind']} ({', '.join(words)})" if words else drawn.template["kind"],
    }
