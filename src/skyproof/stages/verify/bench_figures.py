"""Pictures of a bench. Each panel says in its docstring what it does not show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from skyproof.stages.verify.bench_report import BenchReport
from skyproof.stages.verify.bench_sums import PIT_BINS
from skyproof.stages.verify.figures import finish_axes, plain_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_OURS, _GREY = "#0b6e99", "#8a8f98"
_COLOURS = ("#d1495b", "#edae49", "#66a182", "#8d6a9f", "#2e4057", "#b07d62", "#4f6d7a")
_MOST_MODELS = 14


def bench_figure(report: BenchReport) -> Figure:
    """All panels on one sheet: score by model, skill by lead, coverage by lead, calibration."""
    from matplotlib.figure import Figure  # noqa: PLC0415 half a second at every start, and few commands draw

    figure = Figure(figsize=(17, 4.2), layout="constrained")
    axes = figure.subplots(1, 4)
    for panel, draw in zip(axes, (draw_scores, draw_skill, draw_coverage, draw_calibration), strict=True):
        draw(panel, report)
    table = report.table
    figure.suptitle(
        f"{plain_text(table.name)}: {str(table.evaluate_from)[:10]} to {str(table.evaluate_until)[:10]}, "
        f"{report.models[0].overall.n:,} pairs. Not shown: extremes, single sites.",
        fontsize=10,
    )
    return figure


def draw_scores(axes: Axes, report: BenchReport) -> None:
    """Mean score of each model with its 95 % interval. Does not show which differences are sure: they are paired."""
    known = [model for model in report.models if np.isfinite(model.overall.score)]
    known = sorted(known, key=lambda model: model.overall.score)[:_MOST_MODELS]
    for place, model in enumerate(known):
        score = model.overall
        colour = _OURS if model.kind == "product" else _GREY
        half = np.nan_to_num(score.interval[1] - score.score)
        axes.errorbar(score.score, -place, xerr=half, fmt="o", color=colour, capsize=2, markersize=5)
    axes.set_yticks([-place for place in range(len(known))], [plain_text(model.name) for model in known], fontsize=7)
    finish_axes(axes, f"{report.table.score} ({plain_text(report.table.unit)})", "lower is better")


def draw_skill(axes: Axes, report: BenchReport) -> None:
    """How much smaller our score is than each other model's, by lead. Does not show its interval; the report does."""
    shown = sorted(report.differences, key=lambda each: -np.nan_to_num(each.overall.relative, nan=-np.inf))
    for colour, each in zip(_COLOURS, shown, strict=False):
        relative = [-100 * part.relative for part in each.by_lead]
        axes.plot(_leads(report), relative, marker="o", markersize=3, color=colour, label=plain_text(each.model))
    axes.axhline(0, color=_GREY, linewidth=0.8)
    if shown:
        axes.legend(fontsize=7, frameon=False)
    finish_axes(axes, "smaller than other models (%)", "lead to (h)")


def draw_coverage(axes: Axes, report: BenchReport) -> None:
    """Share of observations inside the 80 % interval by lead. Does not show on which side they fell out."""
    axes.axhspan(77, 83, color=_GREY, alpha=0.15, linewidth=0)
    axes.axhline(80, color=_GREY, linewidth=0.8)
    share = [100 * score.coverage_80 for score in report.models[0].by_lead]
    axes.plot(_leads(report), share, color=_OURS, marker="o", markersize=4)
    axes.set_ylim(60, 100)
    finish_axes(axes, "inside the 80 % interval (%)", "lead to (h)")


def draw_calibration(axes: Axes, report: BenchReport) -> None:
    """Probability integral transform (bars, flat is calibrated) and how often each quantile was not passed (line).

    Does not show where or when a forecast is off.
    """
    counts = report.sums.pit
    share = counts / max(counts.sum(), 1.0) * PIT_BINS
    axes.bar((np.arange(PIT_BINS) + 0.5) / PIT_BINS, share, width=0.9 / PIT_BINS, color=_OURS, alpha=0.5)
    axes.axhline(1, color=_GREY, linewidth=0.8)
    axes.set_ylim(0, max(1.6, float(share.max()) * 1.1))
    beside = axes.twinx()
    beside.plot([0, 1], [0, 1], color=_GREY, linewidth=0.8, linestyle=":")
    beside.plot(report.table.levels, report.sums.below, color=_OURS, marker=".", markersize=4, linewidth=1)
    beside.set_ylim(0, 1)
    beside.tick_params(labelsize=8)
    finish_axes(axes, "PIT (1 is calibrated), and observed share below", "probability")


def _leads(report: BenchReport) -> list[int]:
    return [group.to_hours for group in report.sums.groups]
