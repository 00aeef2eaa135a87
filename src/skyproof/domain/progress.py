"""How long work reports that it goes on."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called with what is being done, how much is done and how much there is."""

    def __call__(self, what: str, done: int, total: int) -> None:
        """Report progress; must return quickly."""
        ...


def silent(what: str, done: int, total: int) -> None:
    """Report nothing."""
