"""The command tree and how an invocation ends.

Exit codes: 0 done; 1 a fault of ours; 2 wrong input; 3 no access; 4 not available yet; 5 the store is away or damaged;
130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.markup import escape

from skyproof import __version__
from skyproof.cycle.settings import DEFAULT_HOME
from skyproof.domain.errors import AccessError, InputError, NotAvailableError, SkyproofError, StoreError
from skyproof.surfaces.cli import bench, corrigenda, demo, doctor, registry, runs, scenarios, serve
from skyproof.surfaces.cli.output import Session

EXIT_CODES: tuple[tuple[type[SkyproofError], int], ...] = (
    (InputError, 2),
    (AccessError, 3),
    (NotAvailableError, 4),
    (StoreError, 5),
)

_INTERRUPTED = 130

app = typer.Typer(
    name="skyproof",
    help="Calibrated weather forecasts with a receipt for every number.",
    epilog="Begin with: skyproof demo",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"skyproof {__version__}")
        raise typer.Exit


@app.callback()
def begin(
    context: typer.Context,
    home: Annotated[
        Path, typer.Option("--home", envvar="SKYPROOF_HOME", help="Folder that holds everything kept.")
    ] = DEFAULT_HOME,
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON, for machines.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Calibrated weather forecasts with a receipt for every number."""
    del version
    context.obj = Session(home=home, json=as_json)


demo.add_to(app)
runs.add_to(app)
bench.add_to(app)
scenarios.add_to(app)
serve.add_to(app)
registry.add_to(app)
corrigenda.add_to(app)
doctor.add_to(app)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; errors become one line on standard error (JSON with ``--json``)."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    # --json is wanted after the command as well as before it.
    as_json = "--json" in words
    words = [*(["--json"] if as_json else []), *(word for word in words if word != "--json")]
    try:
        result = app(words, standalone_mode=False)
        if result == _INTERRUPTED:  # Typer turns the interrupt into this result
            raise KeyboardInterrupt
    except SkyproofError as error:
        _complain(error.message, error.hint, error.kind, as_json=as_json)
        return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), 1)
    except (KeyboardInterrupt, typer.Abort):
        _complain("interrupted", "run the same command again to go on", "interrupted", as_json=as_json)
        return _INTERRUPTED
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "skyproof"
        if message := _usage_message(error):  # empty where the help was shown instead
            _complain(message, f"see: {command} --help", "usage", as_json=as_json)
        return 2
    return result if isinstance(result, int) else 0


def _usage_message(error: typer.TyperException) -> str:
    describe = getattr(error, "format_message", None)
    return str(describe() if describe else error)


def _complain(message: str, hint: str, kind: str, *, as_json: bool) -> None:
    if as_json:
        sys.stderr.write(orjson.dumps({"error": {"kind": kind, "message": message, "hint": hint}}).decode() + "\n")
        return
    console = Console(stderr=True, soft_wrap=True)
    first = "" if kind == "interrupted" else "[bold red]error:[/bold red] "
    for label, text in ((first, message), ("[dim]hint:[/dim]  ", hint)):
        if text:
            console.print(f"{label}{escape(' '.join(text.split()))}", highlight=False)
