"""What was wrong with a delivery: counts of everything, words for the first hundred."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

MOST_MESSAGES = 100


class Problems:
    """Collects what was refused, what was repeated and what is worth saying."""

    def __init__(self) -> None:
        self.rejected = 0
        self.duplicates = 0
        self._messages: list[str] = []
        self._unsaid = 0

    def reject(self, message: str, *, count: int = 1) -> None:
        """``count`` rows, messages or cycles were refused, for the reason in ``message``."""
        self.rejected += count
        self.note(message)

    def repeat(self, message: str, *, count: int) -> None:
        """``count`` rows say once more what an earlier row said."""
        self.duplicates += count
        if count:
            self.note(message)

    def note(self, message: str) -> None:
        """Say something without counting it."""
        if len(self._messages) < MOST_MESSAGES:
            self._messages.append(message)
        else:
            self._unsaid += 1

    def add(self, other: Problems) -> None:
        """Take over what another collector holds."""
        self.rejected += other.rejected
        self.duplicates += other.duplicates
        for message in other._messages:
            self.note(message)
        self._unsaid += other._unsaid

    @property
    def messages(self) -> tuple[str, ...]:
        """The first hundred messages, and how many more there are."""
        more = (f"and {self._unsaid} more messages",) if self._unsaid else ()
        return (*self._messages, *more)


@runtime_checkable
class ReportsProblems(Protocol):
    """A source or feed that knows what it could not read; the intake puts it into its report."""

    @property
    def problems(self) -> Problems:
        """What was refused so far."""
        ...
