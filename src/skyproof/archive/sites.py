"""The register of places."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from skyproof.archive.database import Database, rows_as_dicts
from skyproof.archive.tables import customers, sites
from skyproof.domain.errors import UnknownNameError
from skyproof.domain.sites import Site

#: All a place is; whether it is retired is kept beside it.
_COLUMNS = tuple(column for column in sites.c if column.name != "retired_at")


class Sites:
    """Places we forecast for. A retired one keeps its observations, and no forecast names it any more."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, new_sites: Iterable[Site]) -> None:
        """Insert sites, or change those whose id is held; a retired one is in service again."""
        rows = [asdict(site) for site in new_sites]
        if rows:
            with self._database.writing() as connection:
                connection.execute(self._database.upsert(sites), rows)

    def all(self, *, customer_id: str | None = None, include_retired: bool = False) -> tuple[Site, ...]:
        """All sites by id; with ``customer_id`` those that customer may see: its own and the shared ones."""
        query = sa.select(*_COLUMNS)
        if not include_retired:
            query = query.where(sites.c.retired_at.is_(None))
        if customer_id is not None:
            query = query.where(sa.or_(sites.c.customer_id.is_(None), sites.c.customer_id == customer_id))
        with self._database.reading() as connection:
            return _to_sites(connection.execute(query).all())

    def find(self, site_id: str) -> Site:
        """The site of that id, retired or not.

        Raises:
            UnknownNameError: no such site.
        """
        with self._database.reading() as connection:
            row = connection.execute(sa.select(*_COLUMNS).where(sites.c.site_id == site_id)).one_or_none()
        if row is None:
            raise UnknownNameError(
                f"site {site_id[:64]!r} is not known", hint="skyproof site list shows those that are"
            )
        return _to_sites([row])[0]

    def own(self, connection: Connection, customer_id: str, *, lock: bool = False) -> tuple[Site, ...]:
        """A customer's own sites in service, within a transaction; ``lock`` lets no other one change them until it ends."""
        if lock:
            owner = sa.select(customers).where(customers.c.customer_id == customer_id)
            connection.execute(owner.with_for_update())
        query = sa.select(*_COLUMNS).where(sites.c.customer_id == customer_id, sites.c.retired_at.is_(None))
        return _to_sites(connection.execute(query).all())

    def put(self, connection: Connection, site: Site) -> None:
        """Insert a site or change it, within a transaction."""
        connection.execute(self._database.upsert(sites), asdict(site))

    def retire(self, connection: Connection, site_id: str, at: datetime) -> None:
        """Take a site out of service, within a transaction."""
        connection.execute(sa.update(sites).where(sites.c.site_id == site_id).values(retired_at=at))


def _to_sites(rows: Iterable[Any]) -> tuple[Site, ...]:
    found = (Site(**row) for row in rows_as_dicts(list(rows)))
    return tuple(sorted(found, key=lambda site: site.site_id))
