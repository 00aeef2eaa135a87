"""The report of a bench as tables for the terminal, at most 100 columns wide."""

from __future__ import annotations

import math

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from skyproof.stages.verify.bench_report import BenchReport, DifferenceReport, ModelReport

WIDEST = 100
_COLOURS = {"better": "green", "worse": "red", "cannot decide": "yellow"}
_LONGEST_NAME = 19
_MOST_GROUPS = 8


def render_bench(report: BenchReport, *, width: int = WIDEST) -> RenderableType:
    """Every model, best first after the product, then the product by lead, then what to know.

    A terminal narrower than :data:`WIDEST` is not shown bias, width and seconds; the report holds them.
    """
    table, first = report.table, report.models[0]
    title = (
        f"{table.name}: {table.cases.variable.name}, {table.score} in {table.unit}; lower is better\n"
        f"{str(table.evaluate_from)[:16]} to {str(table.evaluate_until)[:16]}, {first.overall.n:,} pairs on "
        f"{len(report.sums.days):,} days, {len(table.cases.sites):,} sites, {len(table.levels)} quantiles"
    )
    parts: list[RenderableType] = [Text(title, style="italic"), _models(report, wide=width >= WIDEST)]
    if len(first.by_lead) > 1:
        parts.append(_by_lead(report))
    parts += [Text(f"warning: {warning}", style="yellow") for warning in report.warnings]
    parts.append(
        Text(
            "±: 95 % interval. Difference: product minus model on the pairs both speak of, in percent of the model's score. "
            f"80 %: how often that interval holds. {report.seconds:.1f} s, {report.peak_memory_mb:,.0f} MB.",
            style="dim",
        )
    )
    return Group(*parts)


def _models(report: BenchReport, *, wide: bool) -> Table:
    columns = ("model", "pairs", report.table.score, "difference", "80 %", "bias", "width", "fit s")
    shown = len(columns) if wide else columns.index("bias")
    table = _plain_table(columns[:shown])
    apart = {each.model: each for each in report.differences}
    first, *others = report.models
    table.add_row(*_row(first, None)[:shown], style="bold")
    for model in sorted(others, key=lambda model: _last_if_nan(model.overall.score)):
        table.add_row(*_row(model, apart[model.name])[:shown])
    return table


def _row(model: ModelReport, apart: DifferenceReport | None) -> tuple[str, ...]:
    score = model.overall
    if math.isnan(score.score):
        return (_short(model.name), "0", "no pairs", "", "", "", "", f"{model.fit_seconds:.1f}")
    half = score.interval[1] - score.score
    within = "" if math.isnan(half) else f" [dim]±{_number(half, like=score.score)}[/dim]"
    return (
        _short(model.name),
        f"{score.n:,}",
        f"{_number(score.score)}{within}",
        "" if apart is None else _apart(apart),
        "" if math.isnan(score.coverage_80) else f"{100 * score.coverage_80:.1f}",
        "" if math.isnan(score.bias) else _number(score.bias, like=score.score, sign="+"),
        "" if math.isnan(score.width_80) else _number(score.width_80),
        f"{model.fit_seconds:.1f}",
    )


def _apart(each: DifferenceReport) -> str:
    found = each.overall
    if math.isnan(found.relative) or found.relative == 0:
        return "" if math.isnan(found.relative) else "0"
    scale = found.relative / found.difference
    low, high = (100 * scale * end for end in found.interval)
    within = "" if math.isnan(low) else f" ({low:+.1f}, {high:+.1f})"
    colour = _COLOURS[found.verdict]
    return f"[{colour}]{100 * found.relative:+.1f}{within}[/{colour}]"


def _by_lead(report: BenchReport) -> Table:
    table = _plain_table(("leads", "pairs", report.table.score, "80 % holds", "best other model", "difference"))
    first = report.models[0]
    shown = [k for k, score in enumerate(first.by_lead) if score.n][:_MOST_GROUPS]
    for k in shown:
        score = first.by_lead[k]
        known = [(d.by_lead[k], d.model) for d in report.differences if not math.isnan(d.by_lead[k].relative)]
        best = max(known, key=lambda pair: pair[0].relative, default=None)
        table.add_row(
            score.leads,
            f"{score.n:,}",
            _number(score.score),
            "" if math.isnan(score.coverage_80) else f"{100 * score.coverage_80:.1f}",
            _short(best[1]) if best else "",
            f"[{_COLOURS[best[0].verdict]}]{100 * best[0].relative:+.1f} %[/{_COLOURS[best[0].verdict]}]"
            if best
            else "",
        )
    return table


def _plain_table(columns: tuple[str, ...]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for column in columns:
        left = column in {"model", "leads", "best other model"}
        table.add_column(column, justify="left" if left else "right", no_wrap=True)
    return table


def _short(name: str) -> str:
    return escape(name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…")


def _number(value: float, *, like: float | None = None, sign: str = "-") -> str:
    """Four digits that count (as many decimals as ``like`` has with four), never in powers of ten."""
    size = abs(value if like is None else like)
    digits = 3 if size == 0 else min(max(3 - math.floor(math.log10(size)), 0), 6)
    return f"{value:{sign}.{digits}f}"


def _last_if_nan(value: float) -> float:
    return math.inf if math.isnan(value) else value
