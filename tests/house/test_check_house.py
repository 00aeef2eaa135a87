"""Each rule of the house holds here, and each check can fail."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def load(name):
    specification = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    specification.loader.exec_module(module)
    return module


house, docs = load("check_house"), load("generate_docs")


@pytest.fixture
def repository(tmp_path):
    """A small repository that keeps every rule."""
    good = {
        "README.md": "make demo\nmake test\n![picture](picture.png)\n",
        "picture.png": "",
        "ARCHITECTURE.md": "`one`\n",
        "LICENSE": "",
        "GLOSSARY.md": "",
        "CONTRIBUTING.md": "",
        "CHANGELOG.md": "## 1.0\n",
        "docs/index.md": "[above](../README.md)\n",
        "docs/decisions/0001-first.md": "".join(f"## {part}\n" for part in house.RECORD_PARTS),
        "requirements/runtime.txt": "numpy==2.0 \\\n    --hash=sha256:00\n",
        "src/skyproof/__init__.py": '__version__ = "1.0"\n',
        "src/skyproof/domain/words.py": "",
        "src/skyproof/stages/one/__init__.py": "",
        "tools/nothing.py": "",
        "benchmarks/nothing.py": "",
        "examples/nothing.yaml": "",
    }
    for name, text in good.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def faults(root):
    return [fault for check in house.CHECKS for fault in check(root)]


def test_this_repository_keeps_every_rule():
    assert faults(ROOT) == []


def test_the_small_repository_keeps_every_rule(repository):
    assert faults(repository) == []


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("src/skyproof/domain/words.py", "x = 1\n" * 201, "has 201 lines, at most 200"),
        ("src/skyproof/long.py", "x = 1\n" * 401, "has 401 lines, at most 400"),
        ("README.md", "make demo\nmake test\n![](picture.png)\n" + "\n" * 200, "at most 199"),
        ("README.md", "make demo\n![](picture.png)\n", "'make test'"),
        ("ARCHITECTURE.md", "`one`\n" * 121, "at most 120"),
        ("ARCHITECTURE.md", "nothing\n", "stage `one`"),
        ("requirements/runtime.txt", "--index-url http://example.org\n", "names a registry"),
        ("requirements/runtime.txt", "numpy==2.0\n", "not pinned with a hash"),
        ("requirements/runtime.txt", "numpy>=2.0 \\\n    --hash=sha256:00\n", "not pinned with a hash"),
        ("uv.lock", "", "names a registry"),
        ("src/skyproof/late.py", "# TO" + "DO finish\n", "is unfinished"),
        ("examples/nothing.yaml", "data: /ho" + "me/somebody/data\n", "path of one machine"),
        ("CHANGELOG.md", "## 0.9\n", "no heading for version 1.0"),
        ("docs/decisions/0003-gap.md", "", "wanted number 0002"),
        ("docs/decisions/0001-first.md", "## Status\n", "has no part '## Question'"),
        ("docs/index.md", "[gone](gone.md)\n", "gone.md does not exist"),
    ],
)
def test_a_broken_rule_is_named(repository, name, text, told):
    (repository / name).write_text(text)
    assert any(told in fault for fault in faults(repository))


def test_a_missing_page_is_named(repository):
    (repository / "GLOSSARY.md").unlink()
    assert any("GLOSSARY.md: is missing" in fault for fault in faults(repository))


def test_a_stale_reference_page_is_named(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    monkeypatch.setattr(docs, "ROOT", tmp_path)
    assert docs.stale() == []
    (tmp_path / "docs/reference/settings.md").write_text("old")
    assert docs.stale() == [Path("docs/reference/settings.md")]


def test_every_part_of_the_surface_is_documented():
    pages = {path.name: text for path, text in docs.pages().items()}
    assert all(f"`{name}`" in pages["settings.md"] for name in docs.Settings.model_fields)
    assert all(f"`{name}`" in pages["cli.md"] for name, _ in docs.commands())
    assert all(f"`{kind.kind}`" in pages["errors.md"] for kind in docs._error_classes(docs.SkyproofError))
    assert pages["protocols.md"].count("```python") == len(docs._markers()) >= 6
    assert set(docs.CONTRACTS) == set(docs._markers())
    assert all(address in pages["api.md"] for address in ("/v1/forecasts/{forecast_id}", "/v1/status", "/readyz"))


def test_an_unknown_marker_is_refused():
    with pytest.raises(SystemExit, match="no protocol is marked"):
        docs._snippet("nothing")
