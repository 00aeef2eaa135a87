"""The register of places."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict

import sqlalchemy as sa

from skyproof.archive.database import Database, rows_as_dicts
from skyproof.archive.tables import sites
from skyproof.domain.errors import UnknownNameError
from skyproof.domain.sites import Site


class Sites:
    """Places we forecast for."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, new_sites: Iterable[Site]) -> None:
        """Insert sites, or change those whose id is held."""
        rows = [asdict(site) for site in new_sites]
        if rows:
            with self._database.writing() as connection:
                connection.execute(self._database.upsert(sites), rows)

    def all(self, *, customer_id: str | None = None) -> tuple[Site, ...]:
        """All sites by id; with ``customer_id`` those that customer may see: its own and the shared ones."""
        query = sa.select(sites)
        if customer_id is not None:
            query = query.where(sa.or_(sites.c.customer_id.is_(None), sites.c.customer_id == customer_id))
        with self._database.reading() as connection:
            rows = rows_as_dicts(connection.execute(query).all())
        return tuple(sorted((Site(**row) for row in rows), key=lambda site: site.site_id))

    def find(self, site_id: str) -> Site:
        """The site of that id.

        Raises:
            UnknownNameError: no such site.
        """
        with self._database.reading() as connection:
            row = connection.execute(sa.select(sites).where(sites.c.site_id == site_id)).one_or_none()
        if row is None:
            raise UnknownNameError(
                f"site {site_id[:64]!r} is not known", hint="skyproof site list shows those that are"
            )
        return Site(**rows_as_dicts([row])[0])
