"""Every command explains itself, and nothing points to a command that does not exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import skyproof
from skyproof.surfaces.cli import main
from skyproof.surfaces.cli.app import app

ROOT = typer.main.get_command(app)


def walk(words: tuple[str, ...], command: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield words, command
    for name, child in getattr(command, "commands", {}).items():
        yield from walk((*words, name), child)


TREE = dict(walk((), ROOT))
COMMANDS = {words: command for words, command in TREE.items() if not hasattr(command, "commands")}


def test_every_command_of_the_product_is_there():
    life = (
        "demo", "bench", "ingest", "learn", "forecast", "backtest", "verify", "scorecard", "scenarios", "derive", "serve",
    )  # fmt: skip
    names = (*life, "site", "customer", "key", "source", "release", "corrigendum", "doctor")
    assert {words[0] for words in TREE if words} == set(names)


@pytest.mark.parametrize("words", TREE, ids=" ".join)
def test_every_command_shows_its_help_and_every_option_is_explained(words, capfd, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert main([*words, "--help"]) == 0
    shown = capfd.readouterr().out
    assert "Usage:" in shown
    assert TREE[words].help
    for parameter in TREE[words].params:
        if "--help" not in parameter.opts:
            assert parameter.help, f"{' '.join(words)} {parameter.name} has no help"
    if words in COMMANDS:
        assert "Example: skyproof" in shown


def read_example(command: Any) -> list[str]:
    (example,) = re.findall(r"^Example: skyproof (.+)$", command.epilog)
    return [word for word in shlex.split(example) if word != "--json"]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_example_names_its_command_and_options_it_has(words):
    example = read_example(COMMANDS[words])
    assert tuple(example[: len(words)]) == words
    options = {
        option for parameter in COMMANDS[words].params for option in (*parameter.opts, *parameter.secondary_opts)
    }
    assert {word for word in example if word.startswith("--")} <= options


def test_hints_and_pages_name_only_commands_that_exist():
    """Any ``skyproof word`` in a message where word could be a command, through all the sources."""
    folder, unknown = Path(skyproof.__file__).parent, set()
    groups = {words[0] for words in TREE if len(words) == 2}
    for path in folder.rglob("*.py"):
        for literal in re.findall(r"(?:hint|remedy|Finding).*", path.read_text(encoding="utf-8")):
            for first, second in re.findall(r"skyproof ([a-z]+)(?: ([a-z]+))?", literal):
                known = (first,) in TREE and (first not in groups or (first, second) in TREE)
                if not known:
                    unknown.add(f"{path.name}: skyproof {first} {second}")
    assert not unknown


def test_the_version_is_the_packages(capfd):
    assert main(["--version"]) == 0
    assert capfd.readouterr().out.strip() == f"skyproof {skyproof.__version__}"


def test_without_a_command_the_help_is_shown(capfd):
    assert main([]) == 2
    shown = capfd.readouterr()
    assert "Begin with: skyproof demo" in shown.out + shown.err
    assert "error" not in shown.err
