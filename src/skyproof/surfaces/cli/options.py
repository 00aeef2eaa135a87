"""Arguments several commands take, translated once."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from skyproof.domain.times import parse_instant


def read_instant(text: str | None, name: str) -> datetime | None:
    """An instant from the command line, None when it was not given."""
    return None if text is None else parse_instant(text, name)


AsOf = Annotated[
    str | None, typer.Option("--as-of", help="Know only what was known then, e.g. 2026-01-31T12:00Z. Default: now.")
]
ReleaseId = Annotated[
    str | None, typer.Option("--release", help="Identifier of a release. Default: the newest stable one.")
]
