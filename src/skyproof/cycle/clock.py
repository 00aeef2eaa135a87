"""What time it is. Live homes ask the system; a sandbox home carries its own present, which ticks on from an anchor."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from skyproof.domain.errors import InvalidValueError, StoreUnavailableError
from skyproof.domain.times import format_instant, parse_instant


class SystemClock:
    """The machine's clock, in UTC, never running backwards within one process."""

    def __init__(self) -> None:
        self._latest = datetime.min.replace(tzinfo=UTC)

    def now(self) -> datetime:
        """The present; if the machine's clock jumped back, the latest instant already told."""
        self._latest = max(self._latest, datetime.now(UTC))
        return self._latest


@dataclass(frozen=True, slots=True)
class FixedClock:
    """Always the same instant: for backtests and tests."""

    instant: datetime

    def now(self) -> datetime:
        """The instant."""
        return self.instant


class SimulatedClock:
    """The sandbox planet's present: an anchor kept in the home, plus the system time passed since it was set."""

    def __init__(self, path: Path, *, system: SystemClock | None = None) -> None:
        self._path = path
        self._system = system or SystemClock()

    def now(self) -> datetime:
        """The simulated present.

        Raises:
            StoreUnavailableError: the anchor is missing or damaged.
        """
        simulated, system = self._anchor()
        return simulated + max(self._system.now() - system, timedelta(0))

    def stands_still_for(self) -> timedelta:
        """How far the machine's clock lies behind the instant of the anchor; until then the present stands still.

        Raises:
            StoreUnavailableError: the anchor is missing or damaged.
        """
        return max(self._anchor()[1] - self._system.now(), timedelta(0))

    def _anchor(self) -> tuple[datetime, datetime]:
        try:
            anchor = json.loads(self._path.read_text())
            return parse_instant(anchor["simulated"]), parse_instant(anchor["system"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError, InvalidValueError) as error:
            raise StoreUnavailableError(
                f"the simulated clock {self._path.name} cannot be read", hint="run skyproof demo again"
            ) from error

    def set(self, instant: datetime) -> None:
        """Move the simulated present to ``instant``, durably."""
        anchor = {"simulated": format_instant(instant), "system": format_instant(self._system.now())}
        temporary = self._path.with_suffix(".tmp")
        with temporary.open("w") as file:
            json.dump(anchor, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._path)
