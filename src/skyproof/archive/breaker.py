"""Says at once that the database is away, so that not everyone who asks finds out by waiting.

The first that fails opens the breaker; from then on nobody else tries but a thread of the breaker's own, until it succeeds.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from skyproof.domain.errors import DatabaseAwayError

logger = logging.getLogger(__name__)

#: Between two tries, in seconds.
RETRY_S = 0.5


class Breaker:
    """One way of using the database; safe to share between threads."""

    def __init__(self, what: str, probe: Callable[[], None], *, retry_s: float = RETRY_S) -> None:
        """Make a closed breaker.

        Args:
            what: what it stands for, in the words of the error.
            probe: tries; raises :class:`DatabaseAwayError` while it does not work.
            retry_s: between two tries, in seconds.
        """
        self.is_open = False
        self._what = what
        self._probe = probe
        self._retry_s = retry_s
        self._lock = threading.Lock()
        self._closing = threading.Event()

    def check(self) -> None:
        """Pass while the breaker is closed.

        Raises:
            DatabaseAwayError: it is open.
        """
        if self.is_open:
            raise DatabaseAwayError(
                f"the database {self._what}", hint="try again in a moment; skyproof doctor tells more"
            )

    def open(self, error: Exception) -> None:
        """Open it, and try from time to time whether it may be closed."""
        with self._lock:
            if self.is_open or self._closing.is_set():
                return
            self.is_open = True
        logger.error("the database %s: %s", self._what, error)
        threading.Thread(target=self._try, name="breaker", daemon=True).start()

    def close(self) -> None:
        """Try no more: the database is not needed any longer."""
        self._closing.set()

    def try_now(self) -> bool:
        """Try whether it may be closed; whether it is."""
        if not self.is_open:
            return True
        try:
            self._probe()
        except DatabaseAwayError:
            return False
        except Exception:
            logger.exception("whether the database %s could not be found out", self._what)
            return False
        self.is_open = False
        logger.error("the database is back")
        return True

    def _try(self) -> None:
        while not self._closing.wait(self._retry_s):
            if self.try_now():
                return
