"""Comparing what was issued with what happened, and showing it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from skyproof.cycle.wiring import Product
from skyproof.domain.errors import InvalidValueError
from skyproof.domain.forecasts import Release
from skyproof.domain.progress import Progress, silent
from skyproof.stages.verify.figures import scorecard_figure
from skyproof.stages.verify.html import render_html
from skyproof.stages.verify.scorecard import Scorecard, build_scorecard
from skyproof.stages.verify.terminal import render_terminal
from skyproof.stages.verify.verify_new import VerifyReport, verify_new


@dataclass(frozen=True, slots=True)
class ShownScorecard:
    """A scorecard for machines (``data``) and for the terminal (``tables``)."""

    data: dict[str, Any]
    tables: tuple[RenderableType, ...]


def verify_cycle(
    product: Product, *, as_of: datetime | None = None, release_id: str | None = None, progress: Progress = silent
) -> VerifyReport:
    """Score the days that new runs, observations or revisions touched."""
    known = as_of or product.clock.now()
    return verify_new(product.archive, _release(product, release_id, known).release_id, as_of=known, progress=progress)


def scorecard_cycle(
    product: Product, *, as_of: datetime | None = None, release_id: str | None = None, out: Path | None = None
) -> ShownScorecard:
    """The scorecard of a release, written to ``out`` (.html or .png) when given."""
    if out is not None and out.suffix not in (".html", ".png"):
        raise InvalidValueError(
            f"cannot write a scorecard as {out.suffix or out.name!r}", hint="name a file ending in .html or .png"
        )
    card = release_scorecard(product, as_of=as_of, release_id=release_id)
    try:
        if out is not None and out.suffix == ".html":
            out.write_text(render_html(card), encoding="utf-8")
        elif out is not None:
            scorecard_figure(card).savefig(out, dpi=144)
    except OSError as error:
        raise InvalidValueError(f"{out} cannot be written: {error.strerror}", hint="name another file") from error
    return ShownScorecard(card.to_dict(), tuple(render_terminal(card)))


def release_scorecard(product: Product, *, as_of: datetime | None = None, release_id: str | None = None) -> Scorecard:
    """How good a release was on everything it issued."""
    known = as_of or product.clock.now()
    release = _release(product, release_id, known)
    return build_scorecard(product.archive, release.release_id, as_of=known)


def _release(product: Product, release_id: str | None, known: datetime) -> Release:
    releases = product.archive.releases
    return releases.find(release_id) if release_id else releases.newest(as_of=known)
