"""Writes docs/reference from the code, and how-to pages' snippets of protocols; ``--check`` only compares.

What can go stale is generated: commands from their ``--help``, settings, errors, protocols, the API and its semantic
contract, statistics, variables.
"""

from __future__ import annotations

import argparse
import inspect
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import typer

from skyproof.cycle.settings import Settings
from skyproof.domain import errors, protocols
from skyproof.domain.accounts import PLANS, SCOPES
from skyproof.domain.errors import SkyproofError
from skyproof.domain.scores import PIT_BINS, STATISTICS
from skyproof.domain.units import UNITS
from skyproof.domain.variables import VARIABLES
from skyproof.stages.deliver.parameters import PARAMETERS, REFUSED
from skyproof.surfaces.api.problems import CODES
from skyproof.surfaces.cli.app import EXIT_CODES, app

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = Path("docs/reference")
_HEADER = "<!-- Written by `make docs`; change the code, not this page. -->\n\n"
_SNIPPET = re.compile(r"(<!-- protocol: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)

#: For each protocol: what to copy, and the contract test to run.
CONTRACTS = {
    "clock": ("skyproof.cycle.clock.FixedClock", "skyproof.testing.clock_contract.check_clock"),
    "source": ("skyproof.stages.sources.null_source.NullSource", "skyproof.testing.source_contract.check_source"),
    "observation-feed": (
        "skyproof.stages.sources.null_source.NullObservationFeed",
        "skyproof.testing.source_contract.check_observation_feed",
    ),
    "record-model": (
        "skyproof.stages.forecast.null_record_model.NullRecordModel",
        "skyproof.testing.record_contract.check_record_model",
    ),
    "case-expert": (
        "skyproof.stages.forecast.null_case_expert.NullCaseExpert",
        "skyproof.testing.case_contract.check_case_expert",
    ),
    "blend": ("skyproof.science.equal_blend.EqualBlend", "skyproof.testing.blend_contract.check_blend"),
    "object-store": ("skyproof.archive.objects.MemoryObjectStore", "skyproof.testing.store_contract.check_store"),
}

_STATISTICS = {
    "n": "pairs of an issued value and its observation",
    "crps": "continuous ranked probability score, from the quantiles (Gneiting and Ranjan 2011, doi:10.1198/jbes.2010.08110)",
    "absolute_error": "of the median",
    "error": "median minus observation; its mean is the bias",
    "squared_error": "of the median",
    "covered_80": "observations inside the interval from 10 to 90 %; ties on its border count in part",
    "width_80": "width of that interval",
    "covered_50": "observations inside the interval from 25 to 75 %",
}


def pages() -> dict[Path, str]:
    """Every generated page by its path under the repository."""
    made = {
        "cli.md": _cli(),
        "settings.md": _settings(),
        "errors.md": _errors(),
        "protocols.md": _protocols(),
        "api.md": _api(),
        "statistics.md": _statistics(),
        "variables.md": _variables(),
    }
    found = {REFERENCE / name: text for name, text in made.items()}
    for path in sorted((ROOT / "docs").rglob("*.md")):
        text = path.read_text(encoding="utf-8")
        if _SNIPPET.search(text):
            found[path.relative_to(ROOT)] = _SNIPPET.sub(lambda m: m[1] + _snippet(m[2]) + m[3], text)
    return found


def stale() -> list[Path]:
    """Pages that are not what the code says."""
    return [path for path, text in pages().items() if not (ROOT / path).is_file() or (ROOT / path).read_text() != text]


def commands() -> Iterator[tuple[str, Any]]:
    """Every command with its full name."""
    yield from _walk("skyproof", typer.main.get_command(app))


def _walk(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    yield name, command
    for child, below in getattr(command, "commands", {}).items():
        yield from _walk(f"{name} {child}", below)


def _cli() -> str:
    lines = ["# The command line\n", "Exit codes: 0 done; 1 a fault of ours; 130 interrupted; and\n"]
    lines += [f"- {code}: {_first_line(kind)}" for kind, code in EXIT_CODES]
    lines.append("\nEvery command takes `--json` (an answer for machines) and `--home` before its name.\n")
    for name, command in commands():
        lines.append(f"\n## `{name}`\n")
        lines.append(f"{inspect.cleandoc(command.help or '')}\n")
        rows = [row for row in map(_option, command.params) if row]
        if rows:
            lines += ["| option | meaning | default |", "|---|---|---|", *rows, ""]
        if command.epilog:
            lines.append(f"{command.epilog.replace(': ', ': `', 1)}`\n")
    return _HEADER + "\n".join(lines)


def _option(parameter: Any) -> str:
    if "--help" in parameter.opts:
        return ""
    names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    named = names if parameter.param_type_name == "option" else f"`{parameter.name}`"
    default = parameter.default
    shown = "" if default is None or default is False or callable(default) else f"`{default}`"
    shown = "required" if parameter.required else shown
    return f"| {named} | {getattr(parameter, 'help', '') or ''} | {shown} |"


def _settings() -> str:
    lines = [
        "# Settings\n",
        "They stand in `skyproof.yaml` in the home; an environment variable `SKYPROOF_<NAME>` wins over the file, an "
        "option of a command over both. Unknown names are refused.\n",
        "| name | default | meaning |",
        "|---|---|---|",
    ]
    for name, field in Settings.model_fields.items():
        lines.append(f"| `{name}` | `{field.get_default()!r}` | {field.description} |")
    return _HEADER + "\n".join(lines) + "\n"


def _errors() -> str:
    tree = inspect.getdoc(errors) or ""
    lines = ["# Errors\n", "```text", tree[tree.index("SkyproofError") : tree.index("Each class")].rstrip(), "```\n"]
    lines += ["## Kinds\n", "| kind | class | meaning | exit code |", "|---|---|---|---|"]
    for kind in _error_classes(SkyproofError):
        code = next((code for group, code in EXIT_CODES if issubclass(kind, group)), 1)
        lines.append(f"| `{kind.kind}` | `{kind.__name__}` | {_first_line(kind)} | {code} |")
    lines += ["\n## On the wire\n", "| code | status | title | what to do |", "|---|---|---|---|"]
    lines += [f"| `{code.code}` | {code.status} | {code.title} | {code.meaning} |" for code in CODES]
    return _HEADER + "\n".join(lines) + "\n"


def _error_classes(kind: type[SkyproofError]) -> Iterator[type[SkyproofError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _error_classes(child)


def _protocols() -> str:
    lines = ["# Extension points\n", f"{inspect.cleandoc(protocols.__doc__ or '')}\n"]
    for name in _markers():
        copied, contract = (resolve_name(path) for path in CONTRACTS[name])
        lines += [f"## {name.replace('-', ' ').capitalize()}\n", _snippet(name)]
        lines.append(
            f"Copy `{copied.__module__}.{copied.__name__}`; run `{contract.__module__}.{contract.__name__}` on yours.\n"
        )
    return _HEADER + "\n".join(lines)


def _markers() -> list[str]:
    return re.findall(r"^# \[([a-z-]+)\]$", _protocol_source(), re.MULTILINE)


def _protocol_source() -> str:
    return Path(inspect.getfile(protocols)).read_text(encoding="utf-8")


def _snippet(name: str) -> str:
    """The protocol under a marker, as a code block."""
    parts = re.split(r"^# \[([a-z-]+)\]$", _protocol_source(), flags=re.MULTILINE)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    if name not in sections:
        raise SystemExit(f"no protocol is marked [{name}]; there are {', '.join(sections)}")
    return f"```python\n{sections[name].strip()}\n```\n"


def _api() -> str:
    lines = ["# `GET /v1/forecast`\n", "| parameter | meaning | default | example |", "|---|---|---|---|"]
    for each in PARAMETERS:
        choices = f" One of {', '.join(each.choices)}." if each.choices else ""
        lines.append(f"| `{each.name}` | {each.help}{choices} | {each.default} | `{each.example}` |")
    lines += ["\n## Parameters of other services that are refused\n", "| parameter | instead |", "|---|---|"]
    lines += [f"| `{name}` | {instead} |" for name, instead in REFUSED.items()]
    lines += ["\n## Other addresses\n", "| address | answer |", "|---|---|", *_routes(), *_scopes()]
    return _HEADER + "\n".join(lines) + "\n"


def _routes() -> list[str]:
    folder = Path(inspect.getfile(sys.modules["skyproof.surfaces.api.problems"])).parent
    rows = []
    for path in [folder / "app.py", *sorted(folder.glob("*_routes.py"))]:
        text = path.read_text(encoding="utf-8")
        prefix = "/v1" if 'APIRouter(prefix="/v1")' in text else ""
        for method, address, summary in re.findall(
            r'\.(get|post|patch|put|delete)\(\s*"([^"]+)",\s*summary="([^"]+)"', text
        ):
            rows.append(f"| `{method.upper()} {prefix}{address}` | {summary} |")
    return rows


def _scopes() -> list[str]:
    lines = ["\n## Scopes of keys\n", "| scope | opens |", "|---|---|"]
    lines += [f"| `{name}` | {meaning} |" for name, meaning in SCOPES.items()]
    lines += [
        "\n## Plans\n",
        "| plan | requests a minute | a day | sites | portfolios | webhooks |",
        "|---|---|---|---|---|---|",
    ]
    for name, plan in PLANS.items():
        limits = (plan.requests_per_minute, plan.requests_per_day, plan.sites, plan.portfolios, plan.webhooks)
        lines.append(f"| `{name}` | {' | '.join(f'{limit:,}' for limit in limits)} |")
    return lines


def _statistics() -> str:
    lines = [
        "# Statistics\n",
        "Kept as sums per release, valid day, model, variable, site and lead, so that days, sites and leads add up; every "
        "mean is a sum divided by `n`.\n",
        "| statistic | meaning |",
        "|---|---|",
    ]
    for name in STATISTICS:
        if name.startswith("brier"):
            meaning = f"Brier score of exceeding the variable's threshold {name[-1]}"
        elif name.startswith("event"):
            meaning = f"observations that exceeded threshold {name[-1]}"
        elif name.startswith("pinball"):
            meaning = f"quantile loss at level {int(name[-2:]) / 100:g}"
        else:
            meaning = _STATISTICS[name]
        lines.append(f"| `{name}` | {meaning} |")
    lines.append(f"\nBeside them, counts of the probability integral transform in {PIT_BINS} equal bins.")
    return _HEADER + "\n".join(lines) + "\n"


def _variables() -> str:
    lines = [
        "# Variables and units\n",
        "| name | CF standard name | unit | holds | limits | thresholds |",
        "|---|---|---|---|---|---|",
    ]
    for each in VARIABLES:
        limits = f"{_limit(each.lower)} to {_limit(each.upper)}"
        events = ", ".join(f"{event:g}" for event in each.events)
        lines.append(
            f"| `{each.name}` | `{each.standard_name}` | {each.unit} | {each.cell_method} | {limits} | {events} |"
        )
    lines += ["\n## Units\n", "| UCUM code | dimension | also understood |", "|---|---|---|"]
    lines += [
        f"| `{unit.code}` | {unit.dimension} | {', '.join(f'`{name}`' for name in unit.aliases)} |" for unit in UNITS
    ]
    return _HEADER + "\n".join(lines) + "\n"


def _limit(value: float | None) -> str:
    return "any" if value is None else f"{value:g}"


def _first_line(kind: type) -> str:
    return (inspect.getdoc(kind) or "").split("\n")[0]


def main() -> int:
    """Write the pages, or say which are stale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a page is stale")
    if parser.parse_args().check:
        for path in stale():
            print(f"{path}: is not what the code says; run make docs")
        return bool(stale())
    for path, text in pages().items():
        target = ROOT / path
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_suffix(".tmp")
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, target)
    from api_contract import write  # noqa: PLC0415 it lies beside this file, which tests load by path

    return write()


if __name__ == "__main__":
    sys.exit(main())
