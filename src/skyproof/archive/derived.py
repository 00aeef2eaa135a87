"""What can be computed again and is therefore dropped when the past it was made from changes."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from skyproof.archive.tables import checkpoints, experts, runs
from skyproof.domain.protocols import ObjectStore


def drop_checkpoints(connection: Connection, instant: datetime) -> list[str]:
    """Drop the checkpoints that saw ``instant`` (issue time at or after it); returns their objects' keys."""
    late = sa.delete(checkpoints).where(checkpoints.c.issue_time >= instant)
    return list(connection.execute(late.returning(checkpoints.c.object_key)).scalars())


def drop_derived(connection: Connection, instant: datetime) -> list[str]:
    """Drop everything derived that a fact known since ``instant`` would have changed.

    Runs inside the transaction that adds the fact, so that no reader ever meets the fact and a state from before it.
    Published runs keep their experts: they say what was, not what would have been.
    """
    published = sa.select(runs.c.experts_key)
    late = sa.delete(experts).where(experts.c.issue_time >= instant, experts.c.object_key.not_in(published))
    keys = list(connection.execute(late.returning(experts.c.object_key)).scalars())
    return [*keys, *drop_checkpoints(connection, instant)]


def delete_objects(objects: ObjectStore, keys: list[str]) -> None:
    """Delete dropped objects; call it after the commit that dropped their rows."""
    for key in keys:
        objects.delete(key)
