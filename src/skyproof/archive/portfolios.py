"""The portfolios of customers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from skyproof.archive.account_tables import portfolios
from skyproof.archive.database import Database, rows_as_dicts
from skyproof.archive.tables import customers
from skyproof.domain.portfolios import Portfolio


class Portfolios:
    """What customers take together."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self, customer_id: str) -> tuple[Portfolio, ...]:
        """A customer's portfolios by id."""
        with self._database.reading() as connection:
            return self.own(connection, customer_id)

    def own(self, connection: Connection, customer_id: str, *, lock: bool = False) -> tuple[Portfolio, ...]:
        """The same within a transaction; ``lock`` lets no other one change them until it ends."""
        if lock:
            owner = sa.select(customers).where(customers.c.customer_id == customer_id)
            connection.execute(owner.with_for_update())
        query = sa.select(portfolios).where(portfolios.c.customer_id == customer_id)
        return _to_portfolios(connection.execute(query.order_by(portfolios.c.portfolio_id)).all())

    def put(self, connection: Connection, portfolio: Portfolio) -> None:
        """Insert a portfolio or change it, within a transaction."""
        # Pairs, because JSON objects do not keep their order here.
        row = asdict(portfolio) | {"members": list(portfolio.members.items())}
        connection.execute(self._database.upsert(portfolios), row)

    def delete(self, connection: Connection, portfolio_id: str) -> None:
        """Drop a portfolio, within a transaction; what was delivered of it stays."""
        connection.execute(sa.delete(portfolios).where(portfolios.c.portfolio_id == portfolio_id))


def _to_portfolios(rows: Iterable[Any]) -> tuple[Portfolio, ...]:
    return tuple(Portfolio(**{**row, "members": dict(row["members"])}) for row in rows_as_dicts(list(rows)))
