"""A connection to PostgreSQL for those who answer callers: a server that neither answers nor refuses is given up."""

from __future__ import annotations

from typing import Any

import psycopg


class ImpatientConnection(psycopg.Connection[Any]):
    """psycopg's connection, closed where a statement gets no answer within ``within_s`` seconds."""

    within_s = 60.0

    def wait(self, gen: Any, *arguments: Any, **named: Any) -> Any:
        """Wait for the server.

        Raises:
            psycopg.OperationalError: it does not answer.
        """
        named.setdefault("timeout", self.within_s)
        try:
            return super().wait(gen, *arguments, **named)
        except psycopg.errors._WaitTimeout as error:
            self.close()
            raise psycopg.OperationalError(f"no answer within {self.within_s:g} s") from error
