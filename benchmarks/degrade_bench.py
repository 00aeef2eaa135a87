"""What every loss costs on the demo's backtest: coverage, width and CRPS of each regime, on days no release has learned from.

Each issue time of the newest release is forecast again as if some sources, or the observations, or all of them were gone,
with what its experts said then and what its blend had learned by then. Run it on a finished demo:

    python benchmarks/degrade_bench.py --home ~/.skyproof
"""

from __future__ import annotations

import argparse
import json
from datetime import timedelta
from pathlib import Path

import numpy as np

from skyproof.archive.release_content import ReleaseContent
from skyproof.cycle.settings import DEFAULT_HOME
from skyproof.cycle.wiring import Product, open_product
from skyproof.domain.quantiles import INDEX_P10, INDEX_P90
from skyproof.domain.regimes import known_losses, regime_id
from skyproof.domain.times import format_instant, hours, to_datetime64
from skyproof.science.coverage import coverage_80
from skyproof.science.panel import heard
from skyproof.science.scores import crps_from_quantiles
from skyproof.stages.forecast.assemble import calibrate


def measure(product: Product) -> dict[str, dict[str, list[float]]]:
    """Coverage, mean width and mean CRPS of each variable in each regime."""
    archive, now = product.archive, product.clock.now()
    release = archive.releases.newest(as_of=now)
    content = archive.releases.read(release)
    grid, blend = content.grid, product.blend()
    runs = archive.runs.between(
        issue_from=content.learned_at + timedelta(seconds=1), issue_until=now, as_of=now, release_id=release.release_id
    )
    issues, states, experts, observed = [], [], [], []
    for run in runs:
        held = archive.checkpoints.newest(release.release_id, before=run.issue_time)
        said = archive.experts.read(release.release_id, run.issue_time)
        if held is None or said is None:
            continue
        times, values = archive.observations.grid(
            variables=grid.variables,
            site_ids=grid.site_ids,
            valid_from=run.init_time,
            valid_until=run.init_time + hours(grid.lead_hours[-1]),
            step_hours=grid.step_hours,
            as_of=now,
        )
        wanted = to_datetime64(run.init_time) + np.array(grid.lead_hours) * np.timedelta64(3600, "s")
        issues.append(run.issue_time)
        states.append(held[1])
        experts.append(said[1][: len(content.expert_names)])
        observed.append(values[:, np.searchsorted(times, wanted)].swapaxes(1, 2))
    print(f"{len(issues)} issue times, {format_instant(issues[0])} to {format_instant(issues[-1])}")
    found: dict[str, dict[str, list[float]]] = {}
    for missing, observations in known_losses(content.source_ids):
        name = regime_id(content.source_ids, missing, observations=observations)
        sleeping = [_sleeps(expert, missing, content, observations=observations) for expert in content.expert_names]
        quantiles = []
        for state, said in zip(states, experts, strict=True):
            left = np.where(np.array(sleeping)[:, None, None, None, None], np.nan, said).astype(np.float32)
            blended = blend.combine(state, heard(left, content.usual))
            quantiles.append(calibrate(blended, content.regimes[name], grid.variables).quantiles)
        stacked, truth = np.stack(quantiles, axis=1), np.stack(observed, axis=1)
        found[name] = {
            "coverage": [coverage_80(stacked[v], truth[v])[0] for v in range(len(grid.variables))],
            "width": [float((q[..., INDEX_P90] - q[..., INDEX_P10]).mean()) for q in stacked],
            "crps": [float(np.nanmean(crps_from_quantiles(q, t))) for q, t in zip(stacked, truth, strict=True)],
        }
    return found


def _sleeps(expert: str, missing: frozenset[str], content: ReleaseContent, *, observations: bool) -> bool:
    if expert in content.expert_names[: content.usual]:
        return expert == "persistence" and not observations
    source_id = expert.partition(":")[2]
    return source_id in missing if source_id in content.source_ids else bool(missing)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, default=DEFAULT_HOME)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with open_product(options.home) as product:
        found = measure(product)
        names = product.settings.variables
    full = found["full"]
    print(f"{'regime':42} {'covers':>7} {'wider':>7}  " + "  ".join(f"{name[:13]:>13}" for name in names))
    for regime, values in found.items():
        wider = np.mean(np.array(values["width"]) / np.array(full["width"]))
        cells = "  ".join(f"{100 * c:5.1f} % {s:5.2f}" for c, s in zip(values["coverage"], values["crps"], strict=True))
        print(f"{regime:42} {100 * np.mean(values['coverage']):5.1f} % {wider:6.2f}x  {cells}")
    if options.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
