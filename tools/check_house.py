"""The rules of the house that no other tool holds: lengths, locks, links, versions, decision records, generated pages.

Each check is a function of the repository's root that yields one line per fault: ``file:line: what, what to do``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LONGEST = {"src/skyproof/domain": 200, "src": 400, "packages": 400}
PAGES = {"README.md": 199, "ARCHITECTURE.md": 120}
WANTED = ("LICENSE", "GLOSSARY.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs/index.md", *PAGES)
RECORD_PARTS = (
    "Status",
    "Question",
    "What we know",
    "Options",
    "Decision",
    "What would change our mind",
    "Consequences",
)
LONGEST_RECORD = 100
SKIPPED = {
    ".venv",
    ".venv-bench",
    ".venv-peers",
    ".git",
    ".mypy_cache",
    ".ruff_cache",
    ".hypothesis",
    "__pycache__",
    "node_modules",
    "skyproof-home",
}
_UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|NotImplementedError)\b|pragma: no cover")
_MACHINE_PATH = re.compile(r"(?<![\w.~:/])/(home|root|work|Users|mnt|opt|tmp)/\w")
_INDEX = re.compile(r"(--(extra-)?index-url|--find-links|https?://)", re.IGNORECASE)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")
_STAGES = "src/skyproof/stages"


def check_wanted_files(root: Path) -> Iterator[str]:
    """The pages every reader looks for exist."""
    for name in WANTED:
        if not (root / name).is_file():
            yield f"{name}: is missing, write it"


def check_lengths(root: Path) -> Iterator[str]:
    """No source file and no page is longer than it may be."""
    for path in (*_files(root, "src", ".py"), *_files(root, "packages", ".py")):
        limit = next(limit for folder, limit in LONGEST.items() if path.relative_to(root).is_relative_to(folder))
        yield from _too_long(root, path, limit, "find the second idea in it and give it a file")
    for name, limit in PAGES.items():
        if (root / name).is_file():
            yield from _too_long(root, root / name, limit, "move detail into docs/")


def check_readme(root: Path) -> Iterator[str]:
    """The README names the two commands and shows a picture."""
    text = _read(root / "README.md")
    for wanted in ("make demo", "make test", "!["):
        if wanted not in text:
            yield f"README.md: does not hold {wanted!r}, add it"


def check_locks(root: Path) -> Iterator[str]:
    """Lock files name no registry, and every requirement is pinned with a hash."""
    locks = sorted((root / "requirements").glob("*.txt"))
    if not locks:
        yield "requirements: holds no lock file, run requirements/compile.sh"
    for path in locks:
        text = _read(path)
        for number, line in enumerate(text.splitlines(), 1):
            if _INDEX.search(line.partition(" #")[0]):
                yield f"{_at(root, path, number)}: names a registry, compile without index addresses"
        for requirement in re.split(r"\n(?=[A-Za-z0-9])", re.sub(r"^\s*#.*\n?", "", text, flags=re.MULTILINE)):
            name = requirement.strip().split("\n")[0].rstrip(" \\")
            if name and ("==" not in name or "--hash=sha256:" not in requirement):
                yield f"{_at(root, path)}: {name!r} is not pinned with a hash, run requirements/compile.sh"
    if (root / "uv.lock").exists():
        yield "uv.lock: names a registry, delete it"


def check_unfinished(root: Path) -> Iterator[str]:
    """Nothing in the sources is left for later, and no path of one machine stands in them."""
    for folder in ("src", "packages", "tools", "benchmarks", "examples", "docs"):
        for path in _files(root, folder, ".py", ".md", ".yaml", ".sh"):
            if path.name == Path(__file__).name:
                continue
            for number, line in enumerate(_read(path).splitlines(), 1):
                if _UNFINISHED.search(line):
                    yield f"{_at(root, path, number)}: is unfinished, finish it"
                if _MACHINE_PATH.search(line):
                    yield f"{_at(root, path, number)}: holds a path of one machine, make it relative"


def check_version(root: Path) -> Iterator[str]:
    """The version has its heading in the changelog."""
    found = re.search(r'__version__ = "([^"]+)"', _read(root / "src/skyproof/__init__.py"))
    if found is None:
        yield "src/skyproof/__init__.py: holds no __version__, add it"
    elif not re.search(rf"^## \[?{re.escape(found[1])}\]?", _read(root / "CHANGELOG.md"), re.MULTILINE):
        yield f"CHANGELOG.md: has no heading for version {found[1]}, add it"


def check_decisions(root: Path) -> Iterator[str]:
    """Decision records are numbered without gaps, short, and have all parts."""
    records = sorted((root / "docs/decisions").glob("*.md"))
    if not records:
        yield "docs/decisions: is empty, record what costs more than a day to undo"
    for number, path in enumerate(records, 1):
        if not path.name.startswith(f"{number:04d}-"):
            yield f"{_at(root, path)}: wanted number {number:04d}, number records without gaps"
        yield from _too_long(root, path, LONGEST_RECORD, "a record is a page")
        for part in RECORD_PARTS:
            if not re.search(rf"^## {part}", _read(path), re.MULTILINE):
                yield f"{_at(root, path)}: has no part '## {part}', add it"


def check_links(root: Path) -> Iterator[str]:
    """Every relative link in a page leads somewhere."""
    for path in _files(root, ".", ".md"):
        for number, line in enumerate(_read(path).splitlines(), 1):
            for target in _LINK.findall(line):
                address = target.partition("#")[0]
                if "://" in target or target.startswith("mailto:") or not address:
                    continue
                if not (path.parent / address).exists():
                    yield f"{_at(root, path, number)}: {target} does not exist, mend the link"


def check_stages(root: Path) -> Iterator[str]:
    """Every stage is named in ARCHITECTURE.md."""
    text = _read(root / "ARCHITECTURE.md")
    for folder in sorted((root / _STAGES).iterdir()):
        if (folder / "__init__.py").is_file() and f"`{folder.name}`" not in text:
            yield f"ARCHITECTURE.md: does not name the stage `{folder.name}`, describe it"


def check_reference(root: Path) -> Iterator[str]:
    """Generated pages are what the code says; settings, protocols, errors, routes and commands stand in them."""
    if root != ROOT:
        return
    sys.path.insert(0, str(root / "tools"))
    from generate_docs import stale  # noqa: PLC0415 - needs the package installed, which the other checks do not

    for path in stale():
        yield f"{path}: is not what the code says, run make docs"


def check_examples(root: Path) -> Iterator[str]:
    """Every command of the CLI shows an example."""
    if root != ROOT:
        return
    sys.path.insert(0, str(root / "tools"))
    from generate_docs import commands  # noqa: PLC0415

    for name, command in commands():
        if not getattr(command, "commands", None) and "Example: " not in (command.epilog or ""):
            yield f"src/skyproof/surfaces/cli: {name} --help shows no example, give it an epilog"


def check_contract(root: Path) -> Iterator[str]:
    """What the wire means is what was promised, unless a new major version says otherwise."""
    if root != ROOT:
        return
    sys.path.insert(0, str(root / "tools"))
    from api_contract import faults  # noqa: PLC0415

    yield from faults()


CHECKS: tuple[Callable[[Path], Iterator[str]], ...] = (
    check_wanted_files,
    check_lengths,
    check_readme,
    check_locks,
    check_unfinished,
    check_version,
    check_decisions,
    check_links,
    check_stages,
    check_reference,
    check_examples,
    check_contract,
)


def main() -> int:
    """Run all checks on this repository."""
    faults = [fault for check in CHECKS for fault in check(ROOT)]
    for fault in faults:
        print(fault)
    print(f"{len(CHECKS)} checks of the house, {len(faults)} faults")
    return bool(faults)


def _files(root: Path, folder: str, *endings: str) -> Iterator[Path]:
    for path in sorted((root / folder).rglob("*")):
        if path.suffix in endings and path.is_file() and not SKIPPED & set(path.relative_to(root).parts):
            yield path


def _too_long(root: Path, path: Path, limit: int, advice: str) -> Iterator[str]:
    count = len(_read(path).splitlines())
    if count > limit:
        yield f"{_at(root, path)}: has {count} lines, at most {limit}: {advice}"


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _at(root: Path, path: Path, line: int = 1) -> str:
    return f"{path.relative_to(root)}:{line}"


if __name__ == "__main__":
    sys.exit(main())
