"""How far the experts at hand could reach on a table: mixes and corrections chosen in hindsight, which no forecast can.

    python -m benchmarks.skill.ceiling benchmarks/skill/specs/SET.yaml --data ../shared/data

Prints, as shares of the product's score, those of: the best single expert; the best mean of up to six experts (chosen one after
another, each may come more than once), the same mean for all cases; such a mean for each site alone; the product with each
site's mean error of the judged period taken away.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from skyproof.cycle.experts import table_experts
from skyproof.domain.cases import RolledForecasts
from skyproof.stages.learn.rolling import PRODUCT, roll_forecasts
from skyproof.stages.sources.case_cubes import load_bench_table

MOST_EXPERTS = 6
Floats = np.ndarray


def score(quantiles: Floats, observed: Floats, levels: Floats) -> float:
    """Mean quantile loss over all levels; of even levels half of the CRPS."""
    miss = observed[:, None] - quantiles
    return float(np.maximum(levels * miss, (levels - 1) * miss).mean())


def best_mix(answers: Floats, observed: Floats, levels: Floats) -> tuple[float, list[int]]:
    """The best mean of up to six experts (expert, case, level), one after another, and which they are."""
    chosen: list[int] = []
    total, best = np.zeros(answers.shape[1:]), np.inf
    for count in range(1, MOST_EXPERTS + 1):
        losses = [score((total + answer) / count, observed, levels) for answer in answers]
        winner = int(np.argmin(losses))
        if losses[winner] >= best:
            break
        best, total = losses[winner], total + answers[winner]
        chosen.append(winner)
    return best, chosen


def ceilings(rolled: RolledForecasts) -> dict[str, tuple[float, str]]:
    """Each bound's score, and a word on it; over the cases at which the product and every other expert kept speak."""
    spoken = np.isfinite(rolled.quantiles).all(axis=-1) & np.isfinite(rolled.cases.observed)
    ours = rolled.names.index(PRODUCT)
    # Experts that sleep on a tenth of the product's cases or more take no part.
    part = [k for k in range(len(rolled.names)) if (spoken[k] & spoken[ours]).sum() >= 0.9 * spoken[ours].sum()]
    use = spoken[part].all(axis=0)
    answers = rolled.quantiles[part][:, use].astype(np.float64)
    observed = rolled.cases.observed[use].astype(np.float64)
    site = np.broadcast_to(np.arange(use.shape[2]), use.shape)[use]
    names = [rolled.names[k] for k in part]
    product = answers[names.index(PRODUCT)]
    levels = rolled.levels
    alone = [score(answer, observed, levels) for answer in answers]
    others = [k for k in range(len(names)) if names[k] != PRODUCT]
    best = min(others, key=alone.__getitem__)
    mixed, chosen = best_mix(answers, observed, levels)
    by_site = shifted = 0.0
    middle = int(np.abs(levels - 0.5).argmin())
    for number in np.unique(site):
        here = site == number
        by_site += best_mix(answers[:, here], observed[here], levels)[0] * here.sum()
        error = (observed[here] - product[here, middle]).mean()
        shifted += score(product[here] + error, observed[here], levels) * here.sum()
    return {
        "the product": (alone[names.index(PRODUCT)], f"{len(observed):,} cases"),
        "the best expert alone": (alone[best], names[best]),
        "the best mean of up to six": (mixed, ", ".join(names[k] for k in chosen)),
        "the same chosen for each site": (by_site / len(observed), f"{len(np.unique(site))} sites"),
        "each site's mean error known": (shifted / len(observed), ""),
    }


def main() -> None:
    """Forecast, then look back."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spec", type=Path)
    parser.add_argument("--data", type=Path, action="append", default=[])
    options = parser.parse_args()
    table = load_bench_table(options.spec, data_folders=options.data)
    rolled = roll_forecasts(
        table.cases, table_experts, levels=table.levels, evaluate_from=table.first_issue, refit=table.refit
    )
    found = ceilings(rolled)
    product = found["the product"][0]
    print(f"{options.spec.stem}\n| what | of the product's score | |\n|---|---|---|")
    for what, (value, word) in found.items():
        print(f"| {what} | {value / product:.4f} | {word} |")


if __name__ == "__main__":
    main()
