"""What experts over cases say on the demo's archive, beside the runs its release published: scores on the same pairs.

The experts learn once, as of the release's own date, and answer every issue time after it; their blend learns as observations
arrive. Run it on a finished demo:

    python benchmarks/case_experts_bench.py --home ~/.skyproof [--trees]
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skyproof.archive.release_content import ReleaseContent
from skyproof.cycle.experts import table_experts
from skyproof.cycle.settings import DEFAULT_HOME
from skyproof.cycle.wiring import Product, open_product
from skyproof.domain.cases import Cases
from skyproof.domain.quantiles import INDEX_P10, INDEX_P90, LEVEL_ARRAY
from skyproof.domain.times import schedule, to_datetime64
from skyproof.science.first_guess import guess_quantiles, with_first_guess
from skyproof.science.rolling_blend import arrival_order, blend_rolling
from skyproof.science.scores import crps_from_quantiles
from skyproof.stages.learn.rolling import FIRST_GUESS, PRODUCT, within

Floats = NDArray[np.float32]
BLEND = "blend over cases"
#: Issue times from which the first guess takes its units.
SETTLED = 60
#: First issue times after the release that are not scored: the fresh blend has seen nothing then.
SKIPPED = 12


@dataclass(frozen=True)
class Answer:
    """What one expert said of (issue, lead, site, level), and processor seconds it took to learn and to say it."""

    quantiles: Floats
    fit_s: float
    predict_s: float


def read_cases(product: Product, content: ReleaseContent) -> tuple[Cases, ...]:
    """The whole history of a demo as cases."""
    now = product.clock.now()
    first = content.trained_from + timedelta(days=1)
    issue_times = list(schedule(first, now, content.issue_every_hours, content.issue_hour_utc))
    return tuple(product.archive.inputs.cases(content.grid, content.source_ids, issue_times, as_of=now))


def read_runs(product: Product, content: ReleaseContent, release_id: str, late: Cases) -> Floats:
    """The published quantiles on the same cells: (variable, issue, lead, site, level), NaN where there was no run."""
    archive, now = product.archive, product.clock.now()
    place = {instant: number for number, instant in enumerate(late.issue_times.tolist())}
    shape = (len(content.grid.variables), *late.observed.shape, len(LEVEL_ARRAY))
    said = np.full(shape, np.nan, dtype=np.float32)
    for run in archive.runs.between(issue_from=content.learned_at, issue_until=now, as_of=now, release_id=release_id):
        number = place.get(to_datetime64(run.init_time).item())
        if number is not None:
            said[:, number] = archive.runs.open(run).values().quantiles.swapaxes(1, 2)
    return said


def ask(cases: Cases, cut: int, *, trees: bool) -> dict[str, Answer]:
    """Every expert learns from the cases before ``cut`` and answers those after it."""
    answers: dict[str, Answer] = {}
    if trees:
        began = time.process_time()
        cases, guess = with_first_guess(cases, settled=SETTLED)
        walked = within(cases, guess_quantiles(guess, LEVEL_ARRAY))[cut:]
        answers[FIRST_GUESS] = Answer(walked, time.process_time() - began, 0.0)
    past, late = cases.take(slice(0, cut)), cases.take(slice(cut, None))
    for expert in table_experts(cases):
        if not trees and not expert.name.startswith(("emos:", "raw:")):
            continue
        began = time.process_time()
        expert.fit(past, cases.issue_times[cut])
        fitted = time.process_time()
        quantiles = within(late, expert.predict(late, LEVEL_ARRAY))
        answers[expert.name] = Answer(quantiles, fitted - began, time.process_time() - fitted)
    arrivals = arrival_order(late.issue_times, late.valid_times, late.delay_hours)
    began = time.process_time()
    stacked = np.stack([answer.quantiles for answer in answers.values()])
    joined = within(late, blend_rolling(stacked, late.observed, arrivals, LEVEL_ARRAY).blended)
    return {BLEND: Answer(joined, 0.0, time.process_time() - began), **answers}


def report(late: Cases, published: Floats, answers: dict[str, Answer]) -> None:
    """Print a table of scores on the cells that the product filled; a model that sleeps in some is scored on the rest."""
    use = np.isfinite(published[..., 0]) & np.isfinite(late.observed)
    use[:SKIPPED] = False
    rows = {f"{PRODUCT}, as published": Answer(published, 0.0, 0.0), **answers}
    print(f"\n{late.variable.name} ({late.variable.unit})\n")
    print("| model | CRPS | 80 % holds | pairs | learned in, s | answered in, s |\n|---|---|---|---|---|---|")
    for name, answer in rows.items():
        both = use & np.isfinite(answer.quantiles[..., 0])
        quantiles, seen = answer.quantiles[both], late.observed[both]
        crps = float(crps_from_quantiles(quantiles, seen).mean())
        held = float(((seen >= quantiles[:, INDEX_P10]) & (seen <= quantiles[:, INDEX_P90])).mean())
        seconds = f"{answer.fit_s:.1f} | {answer.predict_s:.2f}" if answer.fit_s + answer.predict_s else " | "
        print(f"| {name} | {crps:.4f} | {100 * held:.1f} % | {int(both.sum())} | {seconds} |")


def main() -> None:
    """Read, learn, answer, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, default=DEFAULT_HOME)
    parser.add_argument(
        "--trees", action="store_true", help="with trees, first guess and baselines; a minute or two for each variable"
    )
    options = parser.parse_args()
    with open_product(options.home) as product:
        release = product.archive.releases.newest(as_of=product.clock.now())
        content = product.archive.releases.read(release)
        every = read_cases(product, content)
        cut = int(np.searchsorted(every[0].issue_times, to_datetime64(content.learned_at)))
        published = read_runs(product, content, release.release_id, every[0].take(slice(cut, None)))
    for cases, said in zip(every, published, strict=True):
        report(cases.take(slice(cut, None)), said, ask(cases, cut, trees=options.trees))


if __name__ == "__main__":
    main()
