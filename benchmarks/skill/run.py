"""Our model beside the published methods on every set: ``skyproof bench`` and the baselines, paired, as ratios with intervals.

From the root of the project: ``python -m benchmarks.skill.run --data DIR --out DIR [--set NAME] [--again]``. What was run
before is kept in the folder and taken again. Writes ``skill.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import time
from pathlib import Path

from benchmarks.skill.baselines import choose, keep
from benchmarks.skill.compare import against_all, as_markdown, read_product
from benchmarks.skill.sets import LOADERS
from benchmarks.skill.tables import Table

SPECS = Path(__file__).parent / "specs"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--out", type=Path, required=True, help="where forecasts, scores and the tables are kept")
    parser.add_argument("--set", action="append", choices=list(LOADERS), help="default: all")
    parser.add_argument("--product", default=".venv/bin/skyproof", help="the command of the product")
    parser.add_argument("--kept", action="store_true", help="run no baseline: compare with those that are kept")
    parser.add_argument("--again", action="store_true", help="run the product again, also where its forecasts are kept")
    arguments = parser.parse_args()
    parts = []
    for name in arguments.set or LOADERS:
        for table in LOADERS[name](arguments.data):
            for title, baseline in choose(table).items():
                if not arguments.kept and not (arguments.out / table.name / f"{title}.json").exists():
                    keep(table, title, baseline, arguments.out)
            quantiles = _product(table, arguments.data / name, arguments.out, arguments.product, arguments.again)
            ratios = against_all(read_product(quantiles), arguments.out / table.name, table.lead_groups)
            parts.append(as_markdown(table.name, ratios))
            print(parts[-1], flush=True)
    (arguments.out / "skill.md").write_text("\n".join(parts))


def _product(table: Table, data: Path, out: Path, command: str, again: bool) -> Path:
    """The product's forecasts, run if they are not kept."""
    folder = out / table.name / "product"
    quantiles = folder / "quantiles.parquet"
    if again or not quantiles.exists():
        folder.mkdir(parents=True, exist_ok=True)
        spec, joined = SPECS / f"{table.name}.yaml", SPECS / f"{table.name}-both.yaml"
        if joined.exists():
            # Providers in files of their own: the product is given the table that the baselines are given.
            data = folder / "data"
            data.mkdir(exist_ok=True)
            spec = joined
            table.frame.to_parquet(data / f"{table.name}.parquet")
        began = time.perf_counter()
        subprocess.run(
            [command, "bench", str(spec), "--json", "--out", str(folder)],
            check=True, stdout=subprocess.DEVNULL, env={**os.environ, "SKYPROOF_BENCH_DATA": str(data)},
        )  # fmt: skip
        (folder / "seconds.json").write_text(json.dumps(round(time.perf_counter() - began, 1)))
    return quantiles


if __name__ == "__main__":
    main()
