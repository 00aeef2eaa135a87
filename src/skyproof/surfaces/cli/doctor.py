"""``skyproof doctor``: what is wrong with a home, and how to mend it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from skyproof.cycle.doctor_cycle import examine_home
from skyproof.surfaces.cli.output import Session, make_table


def add_to(app: typer.Typer) -> None:
    """Hang the command into the command tree."""
    app.command(epilog="Example: skyproof doctor --mend")(doctor)


def doctor(
    context: typer.Context,
    mend: Annotated[bool, typer.Option(help="Remove what is left over from interrupted work.")] = False,
) -> None:
    """Say what is wrong with a home and how to mend it; exit code 1 if something is broken."""
    session: Session = context.obj
    findings, settings = examine_home(session.home, mend=mend)
    rows = [(finding.severity, finding.kind, finding.message, finding.remedy) for finding in findings]
    shown = (
        make_table("findings", ("severity", "kind", "what", "remedy"), rows)
        if rows
        else "[green]nothing is wrong[/green]"
    )
    values = [
        (name, value, settings.model_fields[name].description or "") for name, value in settings.model_dump().items()
    ]
    session.answer(
        {"findings": [asdict(finding) for finding in findings], "settings": settings.model_dump(mode="json")},
        shown,
        make_table("settings", ("name", "value", "meaning"), values),
    )
    if any(finding.severity == "error" for finding in findings):
        raise typer.Exit(1)
