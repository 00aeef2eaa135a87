"""The scorecard as tables for the terminal."""

from __future__ import annotations

import math

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from skyproof.science.significance import Estimate
from skyproof.stages.verify.scorecard import Comparison, Scorecard, ScoreRow, baselines

_COLOURS = {"better": "green", "worse": "red", "cannot decide": "yellow"}


def render_claim(card: Scorecard) -> Group:
    """Product against every baseline, one column per variable: mean CRPS of each, and our skill with its interval."""
    rows = card.overall()
    title = f"CRPS, {card.day_from} to {card.day_until}, {len(card.site_ids)} sites; lower is better"
    table = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    table.add_column("")
    for row in rows:
        table.add_column(f"{row.variable}\n[dim]{row.unit}[/dim]", justify="right")
    table.add_row("[bold]skyproof[/bold]", *(f"[bold]{row.crps.value:.3f}[/bold]" for row in rows))
    table.add_row("80 % holds", *(f"{100 * row.coverage:.1f} %" for row in rows))
    for name in baselines(card.collected.models):
        compared = (next(c for c in row.comparisons if c.baseline == name) for row in rows)
        table.add_row(escape(name), *(_compared(comparison) for comparison in compared))
    # Outside the table, because inside they would be broken to its width.
    return Group(
        Text(title, style="italic"),
        table,
        Text(f"Percent: how much smaller our error is, with its 95 % interval. {explain(card)}"),
    )


def render_terminal(card: Scorecard) -> tuple[RenderableType, ...]:
    """The claim, then for every variable its groups of leads."""
    return render_claim(card), *(_details(card, row.variable) for row in card.overall())


def _details(card: Scorecard, variable: str) -> Table:
    rows = [row for row in card.rows if row.variable == variable]
    table = Table(
        title=f"{variable} ({rows[0].unit}) by lead; skill over the best baseline in percent",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for column in ("leads", "pairs", "CRPS", "MAE", "bias", "holds 80 %", "best baseline", "skill"):
        left = column in ("leads", "best baseline")
        table.add_column(column, justify="left" if left else "right", no_wrap=True)
    for row in rows:
        table.add_row(*_detail(row))
    return table


def explain(card: Scorecard) -> str:
    """The verdict in plain words."""
    rows = card.overall()
    names = baselines(card.collected.models)
    verdicts = [c.verdict for row in rows for c in row.comparisons if c.baseline in names]
    better, worse = verdicts.count("better"), verdicts.count("worse")
    undecided = len(verdicts) - better - worse
    text = f"Better in {better} of {len(verdicts)} comparisons, worse in {worse}, undecided in {undecided}. "
    return (
        text + "Pairs are the same on both sides; intervals allow for correlated errors. "
        "Not shown: extremes, single sites."
    )


def _compared(comparison: Comparison) -> str:
    colour = _COLOURS[comparison.verdict]
    skill = comparison.skill
    if math.isnan(skill.value):
        return "no pairs"
    percent = f"[{colour}]{100 * skill.value:+.1f} %[/{colour}]"
    return f"{comparison.crps:.3f} {percent}\n[dim]({100 * skill.low:.1f}, {100 * skill.high:.1f})[/dim]"


def format_skill(skill: Estimate) -> str:
    """Skill in percent with its interval."""
    if math.isnan(skill.value):
        return "no pairs"
    return f"{100 * skill.value:+.1f} % [{100 * skill.low:+.1f}, {100 * skill.high:+.1f}]"


def _detail(row: ScoreRow) -> tuple[str, ...]:
    known = [comparison for comparison in row.comparisons if not math.isnan(comparison.skill.value)]
    # On the pairs each shares with the product: a baseline silent in hard cases is not the best for it.
    best = min(known, key=lambda comparison: comparison.skill.value, default=None)
    skill = best.skill if best else None
    return (
        row.leads,
        f"{row.n:,}",
        f"{row.crps.value:.3f}",
        f"{row.mae:.3f}",
        f"{row.bias:+.3f}",
        f"{100 * row.coverage:.1f}",
        escape(best.baseline) if best else "none",
        f"{100 * skill.value:+.1f} ({100 * skill.low:.1f}, {100 * skill.high:.1f})" if skill else "no pairs",
    )
