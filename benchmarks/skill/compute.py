"""Run the published baselines of the benchmark sets and keep what they said.

From the root of the project: ``python -m benchmarks.skill.compute --data DIR --out DIR [--set NAME] [--baseline NAME]``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.skill.baselines import choose, keep
from benchmarks.skill.sets import LOADERS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--out", type=Path, required=True, help="where forecasts and scores are kept")
    parser.add_argument("--set", action="append", choices=list(LOADERS), help="default: all")
    parser.add_argument("--baseline", action="append", help="default: all that fit the set")
    parser.add_argument("--again", action="store_true", help="also those already kept")
    arguments = parser.parse_args()
    for name in arguments.set or LOADERS:
        for table in LOADERS[name](arguments.data):
            for title, baseline in choose(table).items():
                wanted = arguments.baseline is None or title in arguments.baseline
                if wanted and (arguments.again or not (arguments.out / table.name / f"{title}.json").exists()):
                    keep(table, title, baseline, arguments.out)
                    print(f"{table.name} {title}: done", flush=True)


if __name__ == "__main__":
    main()
