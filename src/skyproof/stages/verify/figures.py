"""Pictures of a scorecard. Each function returns a figure and says in one sentence what it does not show."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from skyproof.domain.scores import PIT_BINS, STATISTICS
from skyproof.domain.variables import find_variable
from skyproof.science.significance import skill_with_interval
from skyproof.stages.verify.scorecard import Scorecard, baselines

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_OURS, _GREY = "#0b6e99", "#8a8f98"
_COLOURS = ("#d1495b", "#edae49", "#66a182", "#8d6a9f", "#2e4057", "#b07d62", "#4f6d7a")
_N = STATISTICS.index("n")


def scorecard_figure(card: Scorecard) -> Figure:
    """All panels on one sheet: score by lead, skill by lead, coverage by lead, calibration."""
    from matplotlib.figure import Figure  # noqa: PLC0415 half a second at every start, and few commands draw

    panels: tuple[Callable[[Axes, Scorecard, int], None], ...] = (draw_score, draw_skill, draw_coverage, draw_pit)
    count = len(card.collected.variables)
    figure = Figure(figsize=(4.4 * len(panels), 3.2 * count), layout="constrained")
    axes = figure.subplots(count, len(panels), squeeze=False)
    for variable in range(count):
        for panel, draw in enumerate(panels):
            draw(axes[variable][panel], card, variable)
    figure.suptitle(
        f"{card.release_id}: {card.day_from} to {card.day_until}, {len(card.site_ids)} sites. "
        "Not shown: extremes, single sites, and days that were not observed.",
        fontsize=10,
    )
    return figure


def draw_score(axes: Axes, card: Scorecard, variable: int) -> None:
    """Mean CRPS by lead of the product and every baseline. Does not show how sure the differences are."""
    found = card.collected
    crps = STATISTICS.index("crps")
    for model, name in enumerate(found.models):
        total = found.totals[model, variable]
        mean = np.where(total[:, _N] > 0, total[:, crps] / np.maximum(total[:, _N], 1), np.nan)
        if name == found.models[0]:
            axes.plot(found.lead_hours, mean, color=_OURS, linewidth=2.5, label=plain_text(name), zorder=5)
        elif name in baselines(found.models):
            colour = _COLOURS[baselines(found.models).index(name) % len(_COLOURS)]
            axes.plot(found.lead_hours, mean, color=colour, linewidth=1.2, label=plain_text(name))
    unit = find_variable(found.variables[variable]).unit
    axes.set_ylim(0, None)
    finish_axes(axes, f"{found.variables[variable]}: CRPS ({unit})", "lead (h)")
    if variable == 0:
        axes.legend(fontsize=7, frameon=False)


def draw_skill(axes: Axes, card: Scorecard, variable: int) -> None:
    """Skill over the best raw source by lead with 95 % intervals. Does not show skill over single calibrated sources."""
    found = card.collected
    raw = [index for index, name in enumerate(found.models) if name.startswith("raw:")]
    own = found.own[:, raw, variable].sum(axis=(0, 2)) / np.maximum(found.pairs[:, raw, variable].sum(axis=(0, 2)), 1)
    best = raw[int(np.argmin(np.where(own > 0, own, np.inf)))] if raw else 1
    estimates = []
    for lead in range(len(found.lead_hours)):
        count = found.pairs[:, best, variable, lead]
        days = count > 0
        mine = found.shared[days, best, variable, lead] / count[days]
        estimates.append(skill_with_interval(mine, found.own[days, best, variable, lead] / count[days]))
    value = np.array([e.value for e in estimates])
    low, high = np.array([e.low for e in estimates]), np.array([e.high for e in estimates])
    axes.fill_between(found.lead_hours, 100 * low, 100 * high, color=_OURS, alpha=0.2, linewidth=0)
    axes.plot(found.lead_hours, 100 * value, color=_OURS, linewidth=2)
    axes.axhline(0, color=_GREY, linewidth=0.8)
    finish_axes(axes, f"skill over {plain_text(found.models[best])} (%)", "lead (h)")


def draw_coverage(axes: Axes, card: Scorecard, variable: int) -> None:
    """Share of observations inside the 80 % interval by lead. Does not show on which side they fell out."""
    found = card.collected
    total = found.totals[0, variable]
    share = total[:, STATISTICS.index("covered_80")] / np.maximum(total[:, _N], 1)
    axes.axhspan(75, 85, color=_GREY, alpha=0.15, linewidth=0)
    axes.axhline(80, color=_GREY, linewidth=0.8)
    axes.plot(found.lead_hours, 100 * share, color=_OURS, marker="o", markersize=3)
    axes.set_ylim(60, 100)
    finish_axes(axes, "inside the 80 % interval (%)", "lead (h)")


def draw_pit(axes: Axes, card: Scorecard, variable: int) -> None:
    """Histogram of the probability integral transform: flat is calibrated. Does not show where or when it is not."""
    found = card.collected
    counts = found.pit[0, variable]
    share = counts / max(counts.sum(), 1.0) * PIT_BINS
    axes.bar((np.arange(PIT_BINS) + 0.5) / PIT_BINS, share, width=0.95 / PIT_BINS, color=_OURS, alpha=0.8)
    axes.axhline(1, color=_GREY, linewidth=0.8)
    axes.set_ylim(0, max(1.6, float(share.max()) * 1.1))
    finish_axes(axes, "PIT (1 is calibrated)", "probability")


def plain_text(name: str) -> str:
    """A name as text: matplotlib would read what stands between two dollars as a formula."""
    return name.replace("$", r"\$")


def finish_axes(axes: Axes, title: str, below: str) -> None:
    """Title, label below and a frame without its upper and right side."""
    axes.set_title(title, fontsize=9, loc="left")
    axes.set_xlabel(below, fontsize=8)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
