"""News of runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class RunAvailable:
    """A run was published. ``cursor`` waits for the next one after it; ``data`` is all that the event says."""

    run_id: str
    occurred_at: str
    cursor: str
    data: Mapping[str, Any]
