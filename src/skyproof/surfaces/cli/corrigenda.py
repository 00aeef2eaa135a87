"""Commands on corrections of what was delivered."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape

from skyproof.cycle.corrigendum_cycle import publish_corrigendum
from skyproof.surfaces.cli.options import read_instant
from skyproof.surfaces.cli.output import Session, count, make_table

corrigendum_app = typer.Typer(help="What was delivered and later found wrong.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    """Hang the group into the command tree."""
    app.add_typer(corrigendum_app, name="corrigendum")


@corrigendum_app.command(
    "add",
    epilog="Example: skyproof corrigendum add 'Rain too low' 'A gauge was read in inches.' --run run_0123456789abcdef",
)
def add(
    context: typer.Context,
    title: Annotated[str, typer.Argument(help="What was wrong, in a line.")],
    text: Annotated[str, typer.Argument(help="What was wrong, why, and what to do about it.")],
    run: Annotated[list[str] | None, typer.Option(help="A run that is wrong; may be given several times.")] = None,
    variable: Annotated[list[str] | None, typer.Option(help="A variable that is wrong. Default: all.")] = None,
    issued_from: Annotated[str | None, typer.Option(help="First issue time that is wrong.")] = None,
    issued_until: Annotated[str | None, typer.Option(help="Last issue time that is wrong.")] = None,
) -> None:
    """Publish a correction: kept for ever, and told to every customer."""
    session: Session = context.obj
    with session.product() as product:
        made = publish_corrigendum(
            product,
            title=title,
            text=text,
            run_ids=tuple(run or ()),
            variables=tuple(variable or ()),
            issued_from=read_instant(issued_from, "issued-from"),
            issued_until=read_instant(issued_until, "issued-until"),
        )
    session.answer(asdict(made), f"corrigendum [bold]{made.corrigendum_id}[/bold] is published")


@corrigendum_app.command("list", epilog="Example: skyproof corrigendum list")
def list_corrigenda(context: typer.Context) -> None:
    """List corrections, newest first."""
    session: Session = context.obj
    with session.product() as product:
        found = [each for _, each in product.archive.corrigenda.page(as_of=product.clock.now(), limit=1000)]
    rows = [(each.corrigendum_id, each.published_at, escape(each.title)) for each in found]
    table = make_table(count(len(found), "corrigendum"), ("corrigendum", "published", "title"), rows)
    session.answer([asdict(each) for each in found], table)
