"""Hostile callers against the API: ``python benchmarks/fuzz_bench.py`` sends 100,000 hostile requests and more.

A server as operators run it, two workers, two customers. One customer's everything holds a canary; the other asks: schemathesis
from the description, requests made of nasty parts, bytes that are hardly HTTP, heads and bodies without an end, connections that
drip. No answer may be a 5xx, hold the canary or be no HTTP; no worker may die; a good caller is answered all the while. Beside it
the parsers are called with changed input.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.hostile_client import Hostile  # noqa: E402
from benchmarks.hostile_parsers import fuzz_parsers  # noqa: E402
from skyproof.archive.archive import Archive  # noqa: E402
from skyproof.archive.health import check_archive  # noqa: E402
from tests.surfaces.api.server_processes import ASKED, Serving, fill_home, serving_home  # noqa: E402

CANARY = "Kanarienvogel"
_CONNECTIONS = 8
_DRIPPING = 200
_DRIP_S = 75.0


def own_things(base: str, token: str) -> dict[str, str]:
    """Let a customer have one of everything, each with the canary in it; returns the names that addresses use."""
    with httpx.Client(base_url=base, headers={"Authorization": f"Bearer {token}"}, timeout=60) as client:

        def post(path: str, body: object) -> dict:
            answer = client.post(path, json=body)
            assert answer.status_code < 300, answer.text
            return answer.json()

        site = post("/v1/sites", {"name": CANARY, "latitude": 47.1, "longitude": 8.1, "elevation": 450.0})["site"]
        forecast = client.get("/v1/forecast?site=bolt-farm&hourly=temperature_2m").json()["meta"]["forecast_id"]
        hook = post("/v1/webhooks", {"url": f"https://93.184.216.34/{CANARY}", "events": ["run.late"]})["webhook"]
        portfolio = post("/v1/portfolios", {"name": CANARY, "members": [{"site": "bolt-farm"}]})["portfolio"]
        key_id = post("/v1/keys", {"scopes": ["forecast:read"]})["key_id"]
    names = {"forecast_id": forecast, "webhook_id": hook, "portfolio_id": portfolio, "key_id": key_id}
    return {"site_id": site, "location": site, **names}


async def beside(work: Coroutine[object, object, object], port: int, token: str) -> tuple[float, int]:
    """Do the work while a good caller asks; returns the longest he waited, in seconds, and how often he got no forecast."""
    longest, refused = 0.0, 0
    task = asyncio.ensure_future(work)
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60) as client:
        while not task.done():
            began = time.monotonic()
            refused += (await client.get(ASKED)).status_code != 200
            longest = max(longest, time.monotonic() - began)
            await asyncio.sleep(0.2)
    await task
    return longest, refused


def run_schemathesis(base: str, token: str, folder: Path, *, examples: int, seed: int) -> int:
    """Schemathesis, with its own checks; returns its exit code."""
    command = [
        sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()",
        "--config-file", str(ROOT / "tests/surfaces/api/schemathesis.toml"), "run", f"{base}/openapi.json",
        "--max-examples", str(examples), "--seed", str(seed), "--workers", "1",
        "--header", f"Authorization: Bearer {token}", "--generation-database", "none",
        "--exclude-path-regex", "^/v1/keys",  # it would revoke its own
    ]  # fmt: skip
    return subprocess.run(command, cwd=folder, check=False).returncode


def main() -> int:
    """Serve, attack, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=100_000, help="hostile requests, a fifth of them hardly HTTP")
    parser.add_argument("--calls", type=int, default=300_000, help="calls of the parsers")
    parser.add_argument("--examples", type=int, default=100, help="schemathesis' cases for each operation; 0: none")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tokens = fill_home(folder / "home")
        with serving_home(folder / "home", "--workers", "2", log=folder / "log") as serving:
            rows, wrong = attack(serving, tokens, folder, options)
            exit_code = serving.end()
        said = (folder / "log").read_text()
        with Archive.open(folder / "home") as archive:
            findings = [each for each in check_archive(archive, minimum_free_bytes=0) if each.severity != "info"]
    made, longest, broken = fuzz_parsers(options.calls, options.seed)
    rows["calls of the parsers"] = f"{made:,}, the longest {longest * 1000:.0f} ms"
    wrong["exit code of the server"] = abs(exit_code)
    wrong["workers that died"] = said.count("is replaced")
    wrong["tracebacks in the log"] = said.count("Traceback")
    wrong["findings of the doctor"] = len(findings)
    wrong["parsers that raised something else"] = len(broken)
    for table, head in ((rows, "what"), (wrong, "must not happen")):
        print(f"\n| {head} | |\n|---|---|")
        for what, value in table.items():
            print(f"| {what} | {value} |")
    if any(wrong.values()):
        print("\n".join((*broken[:10], *map(str, findings), said[-6000:])))
    return int(any(wrong.values()))


def attack(
    serving: Serving, tokens: dict[str, str], folder: Path, options: argparse.Namespace
) -> tuple[dict[str, object], dict[str, int]]:
    """Everything that goes over the wire; returns what was done, and what must not be, counted."""
    base = f"http://127.0.0.1:{serving.port}"
    names = own_things(base, tokens["bolt"])
    document = httpx.get(f"{base}/openapi.json", timeout=60).json()
    hostile = Hostile(serving.port, document, tokens["acme"], canary=CANARY.encode(), names=names, seed=options.seed)
    good, rows, wrong = tokens["bolt"], {}, {"schemathesis": 0}
    garbled = options.requests // 5
    let_go = 0

    async def drip() -> None:
        nonlocal let_go
        let_go = await hostile.drip(_DRIP_S, _DRIPPING)

    works: dict[str, Callable[[], Coroutine[object, object, object]]] = {
        "requests of nasty parts": lambda: hostile.ask_many(options.requests - garbled, _CONNECTIONS),
        "bytes that are hardly HTTP": lambda: hostile.garble_many(garbled, _CONNECTIONS),
        "without an end": hostile.oversize,
        "dripping": drip,
    }
    refused = 0
    for what, work in works.items():
        began, before = time.monotonic(), hostile.report.sent
        waited, missed = asyncio.run(beside(work(), serving.port, good))
        refused += missed
        sent = _DRIPPING if what == "dripping" else hostile.report.sent - before
        rows[what] = f"{sent:,} in {time.monotonic() - began:.0f} s; a good caller waited {waited:.2f} s at most"
    if options.examples:
        wrong["schemathesis"] = run_schemathesis(
            base, tokens["acme"], folder, examples=options.examples, seed=options.seed
        )
    rows["answers"] = ", ".join(f"{kind} {count:,}" for kind, count in sorted(hostile.report.statuses.items()))
    rows["slowest hostile exchange"] = f"{hostile.report.slowest_s:.1f} s"
    wrong["answers that break the rules"] = len(hostile.report.wrong)
    wrong["forecasts a good caller did not get"] = refused
    wrong["dripping connections that were kept"] = _DRIPPING - let_go
    for each in hostile.report.wrong[:20]:
        print(each)
    return rows, wrong


if __name__ == "__main__":
    sys.exit(main())
