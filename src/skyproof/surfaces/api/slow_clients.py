"""Callers who hold a connection and get nowhere: looked for once a second, and let go.

A head that does not end, a body that does not come, an answer that is not read: each has its time. No request sets a timer.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

#: Seconds for the head of a request, counted from the connection or from its first byte; for its body; for reading what waits to
#: be sent without taking anything of it.
HEAD_S = 10.0
BODY_S = 60.0
READING_S = 60.0
_LIMITS = {"head": HEAD_S, "body": BODY_S, "reading": READING_S}


class _Same:
    """Equal to itself: the same object, whatever it holds."""

    def __init__(self, what: object) -> None:
        self._what = what

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other._what is self._what

    __hash__ = None  # type: ignore[assignment]


class SlowClients:
    """Remembers since when each connection is where it is."""

    def __init__(self) -> None:
        self._since: dict[Any, tuple[str, object, float]] = {}

    def look(self, connections: Iterable[Any], now: float) -> int:
        """Let go of connections that are over their time; returns how many.

        Args:
            connections: uvicorn's connections.
            now: a clock that only moves forward, in seconds.
        """
        since: dict[Any, tuple[str, object, float]] = {}
        gone = 0
        for connection in connections:
            place = _place(connection)
            if place is None:
                continue
            what, which = place
            before = self._since.get(connection)
            began = now
            if before is not None and before[:2] == (what, which):
                began = before[2]
            if now - began >= _LIMITS[what]:
                connection.transport.abort()
                gone += 1
            else:
                since[connection] = (what, which, began)
        self._since = since
        return gone


def _place(connection: Any) -> tuple[str, object] | None:
    """What a connection waits for from its caller, and in which request; None where it is our turn, or it is idle."""
    cycle = connection.cycle
    if connection.flow.write_paused:
        return "reading", connection.transport.get_write_buffer_size()
    if cycle is None or cycle.response_complete:
        return None if connection.timeout_keep_alive_task is not None else ("head", _Same(connection.scope))
    return ("body", _Same(cycle)) if cycle.more_body and not connection.flow.read_paused else None
