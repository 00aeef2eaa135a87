"""Implementations by name, through entry points: ours and anyone's by the same door, one at a time.

A plug-in that cannot be loaded breaks only what needs it, and the error says which package to install.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any, cast

from skyproof.domain.errors import NotAvailableError, UnknownNameError
from skyproof.domain.protocols import ForecastModel

#: Experts made once per release.
MODELS = "skyproof.models"
#: Experts made once per source; called with the source's identifier.
SOURCE_MODELS = "skyproof.source_models"


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


def load_models(source_ids: tuple[str, ...]) -> tuple[ForecastModel, ...]:
    """Every installed expert, in a fixed order: those of no source first, then by source."""
    single = [cast(Callable[[], ForecastModel], _load(point))() for point in _sorted(MODELS)]
    factories = [cast(Callable[[str], ForecastModel], _load(point)) for point in _sorted(SOURCE_MODELS)]
    return (*single, *(factory(source_id) for factory in factories for source_id in source_ids))


def _sorted(group: str) -> list[EntryPoint]:
    return sorted(entry_points(group=group), key=lambda point: point.name)


def _load(point: EntryPoint) -> Any:
    try:
        return point.load()
    except ImportError as error:
        raise NotAvailableError(
            f"plug-in {point.name} ({point.value}) cannot be imported: {error}",
            hint=f"pip install {error.name or 'what it needs'}",
        ) from error
