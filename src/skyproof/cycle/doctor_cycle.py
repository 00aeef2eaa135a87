"""Examining a home: settings, store, objects, clock."""

from __future__ import annotations

from pathlib import Path

from skyproof.archive.health import Finding, check_archive
from skyproof.cycle.settings import Settings, load_settings
from skyproof.cycle.wiring import open_product
from skyproof.domain.errors import SkyproofError


def examine_home(home: Path, *, mend: bool = False) -> tuple[tuple[Finding, ...], Settings]:
    """What is wrong with a home; with ``mend``, leftovers of interrupted work are removed first."""
    if not home.is_dir():
        finding = Finding("no-home", "error", f"{home} is no folder", "run skyproof demo, or name the home with --home")
        return (finding,), Settings()
    settings = load_settings(home)
    findings: list[Finding] = []
    try:
        with open_product(home) as product:
            if mend:
                product.archive.sweep()
            findings.extend(check_archive(product.archive))
            product.clock.now()
    except SkyproofError as error:
        findings.append(Finding(error.kind, "error", error.message, error.hint or "see the message"))
    return tuple(findings), settings
