"""Implementations by name, through entry points: ours and anyone's by the same door, one at a time.

A plug-in that cannot be loaded breaks only what needs it, and the error says which package to install.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from skyproof.domain.cases import Cases
from skyproof.domain.errors import NotAvailableError, UnknownNameError
from skyproof.domain.protocols import CaseExpert

#: Factories of experts: called with the cases of a variable, they make those that have something to say of them.
EXPERTS = "skyproof.experts"


def load_plugin(group: str, name: str) -> Any:
    """The object registered as ``name`` in an entry point group.

    Raises:
        UnknownNameError: nothing of that name.
        NotAvailableError: it is registered but cannot be imported.
    """
    known = {point.name: point for point in entry_points(group=group)}
    if name not in known:
        raise UnknownNameError(
            f"{group} knows no {name[:60]!r}", hint=f"installed: {', '.join(sorted(known)) or 'none'}"
        )
    return _load(known[name])


@cache
def load_experts(names: tuple[str, ...] = ()) -> tuple[Callable[[Cases], Sequence[CaseExpert]], ...]:
    """The installed factories of those names, or all of them, in the order of their names.

    Raises:
        UnknownNameError: nothing of that name is installed.
    """
    installed = sorted({point.name for point in entry_points(group=EXPERTS)})
    return tuple(load_plugin(EXPERTS, name) for name in sorted(names or installed))


def _load(point: EntryPoint) -> Any:
    try:
        return point.load()
    except ImportError as error:
        raise NotAvailableError(
            f"plug-in {point.name} ({point.value}) cannot be imported: {error}",
            hint=f"pip install {error.name or 'what it needs'}",
        ) from error
