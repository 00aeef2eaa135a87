"""Times the demo as a user meets it: cold and warm, peak memory, size of the environment and of the home.

    python benchmarks/demo_bench.py [--runs 3]

Each cold run begins with an empty home; the warm run repeats the demo on a finished one.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main() -> int:
    """Run the demo in child processes and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3, help="cold runs")
    parser.add_argument("--profile", default="demo", help="size of the planet")
    arguments = parser.parse_args()

    cold, warm, peaks, size = [], [], [], 0
    for _ in range(arguments.runs):
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder) / "home"
            seconds, peak = run_demo(home, arguments.profile)
            cold.append(seconds)
            peaks.append(peak)
            warm.append(run_demo(home, arguments.profile)[0])
            size = folder_bytes(home)
    print("| figure | value |\n|---|---|")
    print(f"| demo, empty home (median of {arguments.runs}; min to max) | {describe(cold)} |")
    print(f"| demo, finished home | {describe(warm)} |")
    print(f"| peak memory, largest process | {statistics.median(peaks) / 1024:.0f} MiB |")
    print(f"| home on disk | {size / 1e6:.0f} MB |")
    print(f"| installed environment | {folder_bytes(Path(sys.prefix)) / 1e6:.0f} MB |")
    return 0


def run_demo(home: Path, profile: str) -> tuple[float, int]:
    """Wall seconds and peak resident kilobytes (largest single process) of one demo."""
    command = [
        sys.executable,
        "-m",
        "skyproof",
        "--home",
        str(home),
        "--json",
        "demo",
        "--no-serve",
        "--profile",
        profile,
    ]
    began = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise SystemExit(f"the demo ended with exit code {child.returncode}")
    return time.perf_counter() - began, usage.ru_maxrss


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder, as allocated sizes are not portable."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def describe(seconds: list[float]) -> str:
    """Median with range."""
    return f"{statistics.median(seconds):.1f} s ({min(seconds):.1f} to {max(seconds):.1f})"


if __name__ == "__main__":
    sys.exit(main())
