"""``skyproof doctor``: what is wrong with a home, and how to mend it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import RenderableType

from skyproof.archive.health import Finding
from skyproof.cycle.doctor_cycle import examine_home
from skyproof.cycle.settings import Settings
from skyproof.surfaces.cli.output import Session, make_table


def add_to(app: typer.Typer) -> None:
    """Hang the command into the command tree."""
    app.command(epilog="Example: skyproof doctor --mend")(doctor)


def doctor(
    context: typer.Context,
    mend: Annotated[
        bool,
        typer.Option(
            "--mend",
            help="Remove what interrupted work left over, and damaged objects that are made again when needed. "
            "Only while nothing else works on this home.",
        ),
    ] = False,
) -> None:
    """Say what is wrong with a home and how to mend it; exit code 1 if something is broken."""
    session: Session = context.obj
    found = examine_home(session.home, mend=mend)
    settings = None if found.settings is None else found.settings.shown()
    data = {
        "findings": [asdict(finding) for finding in found.findings],
        "mended": [asdict(finding) for finding in found.mended],
        "settings": settings,
    }
    shown: list[RenderableType] = [_show("mended", found.mended)] if found.mended else []
    shown.append(_show("findings", found.findings) if found.findings else "[green]nothing is wrong[/green]")
    if settings is not None:
        fields = Settings.model_fields
        rows = [(name, value, fields[name].description or "") for name, value in settings.items()]
        shown.append(make_table("settings", ("name", "value", "meaning"), rows))
    session.answer(data, *shown)
    if any(finding.severity == "error" for finding in found.findings):
        raise typer.Exit(1)


def _show(title: str, findings: Sequence[Finding]) -> RenderableType:
    rows = [(finding.severity, finding.kind, finding.message, finding.remedy) for finding in findings]
    return make_table(title, ("severity", "kind", "what", "remedy"), rows)
