"""How much may be under way at once: beyond it callers are told to come back, while others go on being served.

Two bounds. All requests of a process together, beyond which the newest is refused with 503 before anything is done for it. And
the turns of one customer: what takes a thread or long runs for each customer a few at a time. Further requests wait in the
customer's own line and hold no thread; beyond the line's length they are refused with 429. Hence no customer's load makes another
wait.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from dataclasses import dataclass, field

from skyproof.domain.errors import QuotaError

logger = logging.getLogger(__name__)

#: Requests under way in one process, and of one customer those that run, and those that wait for their turn.
MOST_UNDER_WAY = 1024
TURNS = 16
LONGEST_LINE = 112
RETRY_AFTER_S = 1


@dataclass(slots=True)
class _Line:
    running: int = 0
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque)


class Gate:
    """Counts what is under way; for one event loop."""

    def __init__(self, *, most: int = MOST_UNDER_WAY, turns: int = TURNS, longest_line: int = LONGEST_LINE) -> None:
        """Make a gate.

        Args:
            most: requests under way.
            turns: requests of one customer that run at once, of those that take a turn.
            longest_line: further ones that may wait.
        """
        self.under_way = self.shed = 0
        self._most, self._turns, self._longest_line = most, turns, longest_line
        self._lines: dict[str, _Line] = {}
        self._told = 0.0

    @property
    def is_full(self) -> bool:
        """Whether as many requests are under way as may be."""
        return self.under_way >= self._most

    def enter(self) -> bool:
        """Count a request in; False, and nothing counted, where as many are under way as may be."""
        if self.is_full:
            self.shed += 1
            if time.monotonic() - self._told > 1.0:  # a line a request would be a load of its own
                self._told = time.monotonic()
                logger.error("%d requests are under way: more are refused (%d so far)", self.under_way, self.shed)
            return False
        self.under_way += 1
        return True

    def leave(self, turns: list[str]) -> None:
        """Count a request out, and give its turns on."""
        self.under_way -= 1
        for customer_id in turns:
            self._give_on(customer_id)

    async def take_turn(self, turns: list[str], customer_id: str) -> None:
        """Wait for a turn of the customer, kept until the request leaves; ``turns`` are those it has, one at most.

        Raises:
            QuotaError: its line is full.
        """
        if turns:
            return
        line = self._lines.setdefault(customer_id, _Line())
        if line.running < self._turns:
            line.running += 1
        else:
            await self._wait(line, customer_id)
        turns.append(customer_id)

    async def _wait(self, line: _Line, customer_id: str) -> None:
        if len(line.waiting) >= self._longest_line:
            self.shed += 1
            raise QuotaError(
                f"{line.running + len(line.waiting)} of your requests are under way already",
                hint=f"send fewer at once; ask again in {RETRY_AFTER_S} s",
                retry_after_s=RETRY_AFTER_S,
            )
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line.waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._give_on(customer_id)
            raise

    def _give_on(self, customer_id: str) -> None:
        line = self._lines[customer_id]
        while line.waiting:
            turn = line.waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        line.running -= 1
        if not line.running:
            del self._lines[customer_id]
