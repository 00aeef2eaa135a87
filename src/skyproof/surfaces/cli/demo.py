"""``skyproof demo``: the whole product on a simulated planet, in a minute or two."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.markup import escape

from skyproof.archive.database import SERVING_PATIENCE_S
from skyproof.cycle.demo_cycle import DemoResult, demo_cycle, open_demo
from skyproof.domain.times import format_instant
from skyproof.stages.verify.terminal import render_claim
from skyproof.surfaces.api.server import serve as run_server
from skyproof.surfaces.cli.output import Session, make_list

_ASKED = "hourly=temperature_2m&quantiles=0.1,0.5,0.9"


def add_to(app: typer.Typer) -> None:
    """Hang the command into the command tree."""
    app.command(epilog="Example: skyproof demo --no-serve --json")(demo)


def demo(
    context: typer.Context,
    serve: Annotated[bool, typer.Option(help="Serve API and console afterwards.")] = True,
    profile: Annotated[str | None, typer.Option(help="Size of the planet: small, demo or full.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the planet.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port to serve on.")] = None,
) -> None:
    """Run the whole product on the sandbox planet: build, learn, forecast, deliver, verify, serve.

    Interrupted and run again, it goes on where it stopped.
    """
    session: Session = context.obj
    with open_demo(session.home, profile=profile, seed=seed) as product, session.progress() as progress:
        result = demo_cycle(product, progress=progress)
        address = f"http://{product.settings.host}:{port if port is not None else product.settings.port}"
    session.answer(_as_data(result), *_shown(result, address, serve=serve))
    if serve:
        with session.product(port=port, patience_s=SERVING_PATIENCE_S) as product:
            run_server(product, console=True, announce=session.announce)


def _as_data(result: DemoResult) -> dict[str, object]:
    return {
        "release": result.release.release_id,
        "newest_run": asdict(result.newest_run),
        "runs": result.runs,
        "receipts": result.receipts,
        "picture": result.picture,
        "claim": result.scorecard.to_dict(),
    }


def _shown(result: DemoResult, address: str, *, serve: bool) -> tuple[RenderableType, ...]:
    newest = result.newest_run
    facts = make_list(
        {
            "release": result.release.release_id,
            "runs": f"{result.runs} published, newest issued {format_instant(newest.issue_time)} ({newest.regime.regime_id})",
            "receipts": f"{result.receipts} answers delivered, each with a durable receipt",
        }
    )
    asked = f"{address}/v1/forecast?site={result.scorecard.site_ids[0]}&{_ASKED}"
    opened = "\n".join(
        (
            f"console   {address}/",
            f"API       {address}/docs",
            f"planet    {result.picture}",
            f"forecast  curl -H 'Authorization: Bearer {result.key}' '{asked}'",
        )
    )
    heading = "[bold]open[/bold]" if serve else "[bold]open[/bold], after: skyproof serve"
    return render_claim(result.scorecard), facts, "", heading, escape(opened)
