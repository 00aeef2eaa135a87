"""Schemathesis against the API for as long as you like: ``python benchmarks/fuzz_bench.py --examples 2000``."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from skyproof.archive.archive import Archive  # noqa: E402
from tests.surfaces.api.served import fill  # noqa: E402
from tests.surfaces.api.serving import serving  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=500, help="cases for each operation")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Archive.open(Path(folder) / "home") as archive:
        served = fill(archive)
        with serving(archive) as address:
            command = [
                sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()",
                "--config-file", str(ROOT / "tests/surfaces/api/schemathesis.toml"), "run", f"{address}/openapi.json",
                "--max-examples", str(options.examples), "--seed", str(options.seed), "--workers", "1",
                "--header", f"Authorization: Bearer {served.tokens['acme']}", "--generation-database", "none",
                "--exclude-path-regex", "^/v1/keys",  # it would revoke its own
            ]  # fmt: skip
            done = subprocess.run(command, cwd=folder, check=False)
        print(f"{archive.deliveries.count()} receipts")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
