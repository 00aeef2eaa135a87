"""Small integers for names that rows repeat by the million."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from skyproof.archive.database import Database
from skyproof.archive.tables import names


class NameRegister:
    """Gives every name one integer, for ever. An integer, once given, is remembered in the process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[str, int] = {}

    def find(self, wanted: Iterable[str]) -> dict[str, int]:
        """The integers of the names that have one."""
        wanted = tuple(wanted)
        if any(name not in self._known for name in wanted):
            with self._database.reading() as connection:
                rows = connection.execute(sa.select(names.c.name, names.c.name_id)).all()
            self._known = {str(name): int(number) for name, number in rows}
        return {name: self._known[name] for name in wanted if name in self._known}

    def give(self, wanted: Iterable[str]) -> dict[str, int]:
        """The integers of all names; new ones are given where needed."""
        wanted = tuple(wanted)
        new = [name for name in wanted if name not in self.find(wanted)]
        if new:
            with self._database.writing() as connection:
                connection.execute(self._database.insert_new(names), [{"name": name} for name in new])
        return self.find(wanted)
