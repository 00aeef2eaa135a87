"""``skyproof serve``: the API and the console."""

from __future__ import annotations

from typing import Annotated

import typer

from skyproof.archive.database import SERVING_PATIENCE_S
from skyproof.surfaces.api.server import serve as run_server
from skyproof.surfaces.cli.output import Session


def add_to(app: typer.Typer) -> None:
    """Hang the command into the command tree."""
    app.command(epilog="Example: skyproof serve --port 8080")(serve)


def serve(
    context: typer.Context,
    host: Annotated[str | None, typer.Option(help="Address to listen on. Default: the setting host.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port to listen on. Default: the setting port.")
    ] = None,
    console: Annotated[bool, typer.Option(help="Serve the console page too.")] = True,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes that answer.")] = 1,
) -> None:
    """Serve forecasts over HTTP until interrupted."""
    session: Session = context.obj
    with session.product(host=host, port=port, patience_s=SERVING_PATIENCE_S) as product:
        run_server(product, console=console, workers=workers, announce=session.announce)
