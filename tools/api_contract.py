"""The semantic contract of the API: what the wire means, as data, and whether a change of it needs a new major version.

    python tools/api_contract.py            compare the code with docs/reference/api-contract.json
    python tools/api_contract.py --write    write it anew; refuses a break without a new major version

A description says which fields there are, not what they mean. So beside the description's shapes the contract holds golden
answers: a fixed run, asked through the very code that serves, whose numbers show every unit, sign, label, accumulation, rounding,
null and default. Whatever changes one of them changes the contract.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from skyproof.archive.archive import Archive
from skyproof.archive.runs import RunDraft
from skyproof.cycle.clock import FixedClock
from skyproof.domain.accounts import SCOPES
from skyproof.domain.forecasts import ForecastGrid, ForecastValues, Regime, Run, RunInput
from skyproof.domain.notices import NOTICE_KINDS
from skyproof.domain.quantiles import LEVELS
from skyproof.domain.reasons import NO_EXPERT_AWAKE, REASONS
from skyproof.domain.scenarios import Scenarios
from skyproof.domain.sites import Site
from skyproof.domain.variables import VARIABLES, Variable
from skyproof.stages.deliver.desk import Desk
from skyproof.stages.deliver.parameters import PARAMETERS
from skyproof.stages.deliver.requests import parse_request
from skyproof.stages.forecast.scenarios import draw_scenarios
from skyproof.surfaces.api import lifecycle
from skyproof.surfaces.api.app import create_app
from skyproof.surfaces.api.description import describe
from skyproof.surfaces.api.problems import CODES

ROOT = Path(__file__).resolve().parents[1]
CONTRACT = Path("docs/reference/api-contract.json")
#: The evening before Zurich's clocks go forward: labels show how zones are told.
INIT = datetime(2025, 3, 29, 18, tzinfo=UTC)
LEADS = (6, 12, 18)
#: Means that tell units, signs, rounding and kinds of rounding apart; the last step has no value.
_MEANS = {"temperature_2m": (-12.34, 0.05), "pressure_msl": (987.65, 1013.25), "wind_direction_10m": (91.26, 359.5)}
_USUAL = (0.24, 12.36)
_SITE = Site("probe", "Probe", 47.38, 8.54, 410.0, "Europe/Zurich")
#: Questions by name; the variables are added.
QUESTIONS: dict[str, dict[str, str]] = {
    "as it is by default": {},
    "quantiles": {"quantiles": "0.1,0.9"},
    "other units": {"temperature_unit": "fahrenheit", "wind_speed_unit": "kmh", "precipitation_unit": "inch"},
    "local times": {"timezone": "Europe/Zurich"},
    "seconds": {"timeformat": "unixtime"},
    "a table": {"format": "csv"},
    "probabilities": {"exceedance": "temperature_2m>-12,precipitation>0.1"},
    "days": {"daily": "temperature_2m_max,precipitation_sum"},
}
_KEPT = (
    "hourly_units", "hourly", "hourly_cell_methods", "hourly_null_reasons", "utc_offset_seconds", "timezone", "daily_units",
    "daily_cell_methods",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Break:
    """A change that breaks whoever relies on what was. ``kind`` says what of the meaning changed."""

    kind: str
    where: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.where}: {self.kind} was {self.before}, is {self.after}"


def contract() -> dict[str, Any]:
    """What the wire means, by the code that is there."""
    with tempfile.TemporaryDirectory() as name, Archive.open(Path(name)) as archive:
        archive.sites.add([_SITE])
        archive.runs.publish(_draft())
        clock = FixedClock(INIT + timedelta(hours=1))
        app: Any = create_app(archive, clock=clock).app
        document = describe(app, lifecycle.API_VERSION)
        answers = {name: _answer(archive, asked, clock.now()) for name, asked in QUESTIONS.items()}
    return {
        "api_version": lifecycle.API_VERSION,
        "answers": answers,
        "variables": {variable.name: _facts(variable) for variable in VARIABLES},
        "defaults": {parameter.name: parameter.default for parameter in PARAMETERS},
        "choices": {parameter.name: sorted(parameter.choices) for parameter in PARAMETERS if parameter.choices},
        "operations": _operations(document),
        "shapes": {name: _shape(schema) for name, schema in document["components"]["schemas"].items()},
        "codes": {code.code: code.status for code in CODES},
        "scopes": sorted(SCOPES),
        "events": sorted(NOTICE_KINDS),
    }


def find_breaks(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Break]:
    """What would break whoever relies on ``before``; what was added breaks nobody."""
    return list(_differences("", before, after))


def check(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """One line for each break that the version does not announce; or that the file is not what the code says."""
    breaks = find_breaks(old, new)
    if breaks and _major(new["api_version"]) <= _major(old["api_version"]):
        return [f"{CONTRACT}: {each}; undo it, or raise the major version of the API" for each in breaks]
    return [] if old == new else [f"{CONTRACT}: is not what the code says, run python tools/api_contract.py --write"]


def faults() -> Iterator[str]:
    """What is wrong with the contract of this repository, as it lies here and as it was committed last."""
    new = contract()
    held = json.loads((ROOT / CONTRACT).read_text(encoding="utf-8"))
    yield from check(held, new)
    committed = _committed()
    if committed is not None and committed != held:
        # Whoever writes the file by hand still meets what was promised before.
        yield from (line for line in check(committed, new) if "--write" not in line)


def _draft() -> RunDraft:
    names = tuple(variable.name for variable in VARIABLES)
    means = np.array([[(*_MEANS.get(name, _USUAL), np.nan)] for name in names], dtype=np.float32)
    spread = np.array([4.0 * (level - 0.5) for level in LEVELS], dtype=np.float32)
    lower = np.array([-1e9 if v.lower is None else v.lower for v in VARIABLES], dtype=np.float32).reshape(-1, 1, 1, 1)
    quantiles = np.maximum(means[..., None] + spread, lower)
    reasons = np.where(np.isnan(means), NO_EXPERT_AWAKE, 0).astype(np.uint8)
    inputs = (RunInput("alba", INIT - timedelta(hours=6), INIT - timedelta(hours=2), 6.0, 0, "ok", 1.0, "abc"),)
    return RunDraft(
        "rel_" + "0" * 16, INIT, INIT, INIT, Regime("full", (), (), 1.0, 0.8, 100), inputs,
        ForecastGrid((_SITE,), names, LEADS, 6), ForecastValues(quantiles, means), reasons, "", 1.0, (), REASONS,
    )  # fmt: skip


def _draw(archive: Archive, run: Run, site_ids: Sequence[str], members: int) -> Scenarios:
    return draw_scenarios(archive, run, members=members, site_ids=site_ids, template="independent")


def _answer(archive: Archive, asked: Mapping[str, str], now: datetime) -> Any:
    names = ",".join(variable.name for variable in VARIABLES)
    request = parse_request({"site": "probe", "hourly": names, **asked}.items())
    desk = Desk(archive, draw=partial(_draw, archive))
    body = desk.answer(desk.ask("probe", request, now=now)).body
    if request.form == "csv":
        # Names of runs and forecasts change with every byte of the file that they name.
        return [line for line in body.decode().splitlines() if "fc_" not in line and "run_" not in line]
    document = json.loads(body)
    kept = {name: document[name] for name in _KEPT if name in document}
    if "daily" in document:
        # Their numbers come from scenarios, which may get better; what they are of, and which days, may not change.
        kept |= {"days": document["daily"]["time"], "columns of days": sorted(document["daily"])}
    return {**kept, "members": sorted(document), "members of meta": sorted(document["meta"])}


def _facts(variable: Variable) -> dict[str, Any]:
    return {
        "unit": variable.unit,
        "accumulation": variable.cell_method,
        "rounding": variable.decimals,
        # CF's standard names say which way is positive: upward, downward, from where.
        "sign": variable.standard_name,
        "limits": [variable.lower, variable.upper],
    }


def _operations(document: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            parameters = {each["name"]: each for each in operation.get("parameters", ())}
            found[f"{method.upper()} {path}"] = {
                "answers": sorted(str(status) for status in operation["responses"]),
                "defaults": {name: each["schema"].get("default") for name, each in parameters.items()},
                "required": sorted(name for name, each in parameters.items() if each.get("required")),
            }
    return found


def _shape(schema: Mapping[str, Any]) -> dict[str, Any]:
    members = schema.get("properties", {})
    return {
        "members": {name: _type(each) for name, each in members.items()},
        "defaults": {name: each["default"] for name, each in members.items() if "default" in each},
        "required": sorted(schema.get("required", ())),
    }


def _type(schema: Mapping[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(sorted(_type(each) for each in schema["anyOf"]))
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return str(schema.get("type", "any"))


def _differences(where: str, before: Any, after: Any) -> Iterator[Break]:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in before:
            inside = f"{where} / {name}" if where else name
            if inside == "api_version":
                continue
            if name not in after:
                yield Break("presence", inside, "there", "gone")
            else:
                yield from _differences(inside, before[name], after[name])
        return
    if before == after:
        return
    parts = where.split(" / ")
    if _is_set(parts):
        added, gone = sorted(set(after) - set(before)), sorted(set(before) - set(after))
        # What callers must send may become less, never more; what they may read or choose may become more, never less.
        broken = added if parts[-1] == "required" and not parts[1].endswith("Out") else gone
        if broken:
            yield Break("presence", where, str(before), str(after))
        return
    yield Break(_kind(parts, before, after), where, _short(before), _short(after))


def _is_set(parts: Sequence[str]) -> bool:
    is_list = parts[-1] in ("required", "answers", "members", "members of meta", "columns of days", "scopes", "events")
    return is_list or parts[0] == "choices"


def _kind(parts: Sequence[str], before: Any, after: Any) -> str:
    if parts[0] == "variables":
        return parts[-1]
    if "defaults" in parts:
        return "default"
    if parts[0] != "answers":
        return "type"
    if {"hourly_units", "daily_units"} & set(parts):
        return "unit"
    if {"hourly_cell_methods", "daily_cell_methods"} & set(parts):
        return "accumulation"
    if "hourly_null_reasons" in parts:
        return "null policy"
    if parts[-1] in ("time", "days", "timezone", "utc_offset_seconds"):
        return "label"
    return _kind_of_numbers(before, after) if parts[-2] == "hourly" else "form"


def _kind_of_numbers(before: Sequence[float | None], after: Sequence[float | None]) -> str:
    if len(before) != len(after):
        return "label"
    pairs = list(zip(before, after, strict=True))
    if any((a is None) != (b is None) for a, b in pairs):
        return "null policy"
    numbers = [(a, b) for a, b in pairs if a is not None and b is not None]
    if all(a == -b for a, b in numbers):
        return "sign"
    return "rounding" if all(abs(a - b) <= 0.5 for a, b in numbers) else "unit"


def _short(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)[:120]


def _major(version: str) -> int:
    return int(version.partition(".")[0])


def _committed() -> Any:
    """The contract as it was committed last; None where there is no repository, or no contract in it."""
    command = ["git", "-C", str(ROOT), "show", f"HEAD:{CONTRACT.as_posix()}"]
    try:
        shown = subprocess.run(command, capture_output=True, check=True)  # noqa: S603 words of our own
    except (OSError, subprocess.CalledProcessError):
        return None
    return json.loads(shown.stdout)


def write() -> int:
    """Write the contract anew; 1, and nothing is written, if that breaks it without a new major version."""
    new, path = contract(), ROOT / CONTRACT
    old = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"api_version": "0"}
    unannounced = [line for line in check(old, new) if "--write" not in line]
    if unannounced:
        print(*unannounced, sep="\n")
        return 1
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(new, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(temporary, path)
    return 0


def main() -> int:
    """Compare, or write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write the contract anew, unless that breaks it")
    if parser.parse_args().write:
        return write()
    found = list(faults())
    print(*found, sep="\n", end="\n" if found else "")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
