"""Commands of the forecast's life: ingest, learn, forecast, backtest, verify, scorecard."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, cast

import typer
from rich.console import RenderableType
from rich.markup import escape

from skyproof.cycle.backtest_cycle import backtest_cycle
from skyproof.cycle.forecast_cycle import forecast_cycle
from skyproof.cycle.ingest_cycle import ingest_cycle
from skyproof.cycle.learn_cycle import learn_cycle
from skyproof.cycle.verify_cycle import scorecard_cycle, verify_cycle
from skyproof.domain.errors import InvalidValueError
from skyproof.domain.forecasts import Release, Run
from skyproof.domain.times import format_instant, parse_instant
from skyproof.surfaces.cli.options import AsOf, ReleaseId, read_instant
from skyproof.surfaces.cli.output import Session, count, make_list, make_table


def add_to(app: typer.Typer) -> None:
    """Hang the commands into the command tree."""
    app.command(epilog="Example: skyproof ingest examples/ecmwf-ens-germany.yaml --data ../data")(ingest)
    app.command(epilog="Example: skyproof learn --as-of 2009-12-31T12:00Z")(learn)
    app.command(epilog="Example: skyproof forecast --issue-time 2026-01-31T12:00Z")(forecast)
    app.command(epilog="Example: skyproof backtest --from 2026-01-01 --to 2026-02-01")(backtest)
    app.command(epilog="Example: skyproof verify")(verify)
    app.command(epilog="Example: skyproof scorecard --out scorecard.html")(scorecard)


def ingest(
    context: typer.Context,
    spec: Annotated[Path, typer.Argument(help="YAML that says what the files hold.", exists=True, dir_okay=False)],
    data: Annotated[Path | None, typer.Option(help="Folder of the files. Default: beside the YAML.")] = None,
    strict: Annotated[bool, typer.Option(help="Refuse the whole file if one row is wrong.")] = False,
) -> None:
    """Take in forecasts and observations from real files (GRIB2, NetCDF, CSV, Parquet)."""
    session: Session = context.obj
    with session.product() as product, session.progress() as progress:
        reports = ingest_cycle(product, spec, data_folder=data or spec.parent, strict=strict, progress=progress)
    columns = ("source", "received", "stored", "duplicates", "flagged", "rejected")
    rows = [(r.source_id, r.received, r.stored, r.duplicates, r.flagged, r.rejected) for r in reports]
    messages = [message for report in reports for message in report.messages]
    session.answer(
        [asdict(report) for report in reports], make_table("taken in", columns, rows), *map(escape, messages[:20])
    )


def learn(
    context: typer.Context,
    as_of: AsOf = None,
    since: Annotated[
        str | None, typer.Option(help="Learn from nothing older. Default: the setting learn_days.")
    ] = None,
) -> None:
    """Learn a release from what was known at an instant."""
    session: Session = context.obj
    with session.product() as product, session.progress() as progress:
        known = read_instant(as_of, "as-of") or product.clock.now()
        release = learn_cycle(product, as_of=known, since=read_instant(since, "since"), progress=progress)
    session.answer(asdict(release), *_show_release(release))


def forecast(
    context: typer.Context,
    issue_time: Annotated[str | None, typer.Option("--issue-time", help="When it is issued. Default: now.")] = None,
    release: ReleaseId = None,
) -> None:
    """Make and publish one run."""
    session: Session = context.obj
    with session.product() as product:
        run = forecast_cycle(product, read_instant(issue_time, "issue time") or product.clock.now(), release_id=release)
    session.answer(asdict(run), make_list(_describe(run)))


def backtest(
    context: typer.Context,
    from_: Annotated[str, typer.Option("--from", help="First issue time or day.")],
    to: Annotated[str, typer.Option("--to", help="Last issue time or day.")],
    release: ReleaseId = None,
) -> None:
    """Make the runs of a past period, each knowing only what was known then."""
    session: Session = context.obj
    start, end = parse_instant(from_, "from"), parse_instant(to, "to")
    if end < start:
        raise InvalidValueError(f"--to {to} lies before --from {from_}", hint="swap them")
    with session.product() as product, session.progress() as progress:
        runs = backtest_cycle(product, start, end, release_id=release, progress=progress)
    rows = [(run.run_id, run.issue_time, run.regime.regime_id) for run in runs]
    session.answer(
        [asdict(run) for run in runs], make_table(count(len(runs), "run"), ("run", "issued", "regime"), rows)
    )


def verify(context: typer.Context, as_of: AsOf = None, release: ReleaseId = None) -> None:
    """Score what was issued against what was observed, where either is new."""
    session: Session = context.obj
    with session.product() as product, session.progress() as progress:
        report = verify_cycle(product, as_of=read_instant(as_of, "as-of"), release_id=release, progress=progress)
    session.answer(asdict(report), make_list(asdict(report)))


def scorecard(
    context: typer.Context,
    as_of: AsOf = None,
    release: ReleaseId = None,
    out: Annotated[Path | None, typer.Option(help="Write a page (.html) or a picture (.png) instead.")] = None,
) -> None:
    """Show how good the forecasts were, beside every baseline, with intervals."""
    session: Session = context.obj
    with session.product() as product:
        card = scorecard_cycle(product, as_of=read_instant(as_of, "as-of"), release_id=release, out=out)
    shown = (f"written: {escape(str(out))}",) if out else card.tables
    session.answer(card.data, *shown)


def _show_release(release: Release) -> tuple[RenderableType, ...]:
    card = dict(release.card)
    coverage, widening = (cast(dict[str, float], card.pop(f"{what}_by_regime")) for what in ("coverage_80", "widening"))
    rows = [(name, f"{100 * held:.1f} %", f"{widening[name]:.2f}") for name, held in coverage.items()]
    facts = {"release": release.release_id}
    for name, value in card.items():
        shown = ", ".join(f"{key} {number}" for key, number in value.items()) if isinstance(value, dict) else value
        facts[name.replace("_", " ")] = str(shown)
    regimes = make_table("held-out intervals", ("when", "80 % holds", "width"), rows)
    return make_list(facts), regimes


def _describe(run: Run) -> dict[str, object]:
    return {
        "run": run.run_id,
        "issued": format_instant(run.issue_time),
        "release": run.release_id,
        "regime": run.regime.regime_id,
        "inputs": ", ".join(
            f"{i.source_id} ({'absent' if i.age_hours is None else f'{i.age_hours:g} h old'})" for i in run.inputs
        ),
        "warnings": "; ".join(run.warnings) or "none",
    }
