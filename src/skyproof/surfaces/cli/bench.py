"""The command that judges the product on anyone's table."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from skyproof.cycle.bench_cycle import bench_cycle
from skyproof.stages.verify.bench_terminal import render_bench
from skyproof.surfaces.cli.output import Session

#: Folders (separated as in PATH) where files of a spec are looked for after the spec's own.
DATA_VARIABLE = "SKYPROOF_BENCH_DATA"
_MEMORY = "bench"


def add_to(app: typer.Typer) -> None:
    """Hang the command into the command tree."""
    app.command(epilog="Example: skyproof bench table.yaml --out result")(bench)


def bench(
    context: typer.Context,
    spec: Annotated[
        Path, typer.Argument(help="YAML that says what the table holds and what is asked.", exists=True, dir_okay=False)
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder for report.json, scores.png and the forecasts as quantiles.parquet.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help=f"Folder of the files, after the spec's own and before those of {DATA_VARIABLE}."),
    ] = None,
    accept_pairs: Annotated[
        bool, typer.Option("--accept-pairs", help="Go on where forecasts and observations seem not to belong together.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume/--no-resume", help="Go on where a run of the same table was interrupted.")
    ] = True,
) -> None:
    """Forecast a table of past forecasts and observations as it would have been, and score it beside every baseline.

    The page docs/how-to/bench-your-own-table.md describes the YAML and the answer. Exit code 2: spec or table are wrong,
    or forecasts and observations do not belong together; the message names the key, column or row, and what to do.
    """
    session: Session = context.obj
    with session.progress() as progress:
        report = bench_cycle(
            spec,
            data_folders=find_folders(data),
            accept_pairs=accept_pairs,
            memory=session.home / _MEMORY if resume else None,
            out=out,
            progress=progress,
        )
    shown = (f"written: {escape(str(out))}",) if out else ()
    session.answer(report.to_dict(), render_bench(report, width=session.console.width), *shown)


def find_folders(data: Path | None) -> tuple[Path, ...]:
    """Where the files of a spec may lie, beside its own folder."""
    named = os.environ.get(DATA_VARIABLE, "")
    return (*([data] if data else []), *(Path(folder) for folder in named.split(os.pathsep) if folder))
