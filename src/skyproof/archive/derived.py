"""What can be computed again and is therefore dropped when the past it was made from changes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from skyproof.archive.tables import checkpoints, experts, runs, scores
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


def drop_scores(
    connection: Connection, known_since: Mapping[date, datetime], *, release_id: str | None = None
) -> list[str]:
    """Drop the scores of valid days that lack a fact they should have seen; returns the objects nobody names any more.

    Args:
        connection: a writing one, in the transaction that adds the facts.
        known_since: for each valid day the earliest instant at which its new facts count as known.
        release_id: only the scores of that release; all by default.
    """
    query = sa.select(scores.c.release_id, scores.c.valid_day, scores.c.scored_at, scores.c.digest, scores.c.object_key)
    query = query.where(
        scores.c.valid_day.between(min(known_since), max(known_since)),
        scores.c.scored_at >= min(known_since.values()),
    )
    if release_id is not None:
        query = query.where(scores.c.release_id == release_id)
    late = [
        row
        for row in connection.execute(query).all()
        if row.valid_day in known_since and row.scored_at >= known_since[row.valid_day].replace(microsecond=0)
    ]
    for row in late:
        same = (scores.c[name] == getattr(row, name) for name in ("release_id", "valid_day", "scored_at", "digest"))
        connection.execute(sa.delete(scores).where(*same))
    keys = {row.object_key for row in late}
    named = connection.execute(sa.select(scores.c.object_key).where(scores.c.object_key.in_(keys))).scalars()
    return sorted(keys.difference(named))


def delete_objects(objects: ObjectStore, keys: list[str]) -> None:
    """Delete dropped objects; call it after the commit that dropped their rows."""
    for key in keys:
        objects.delete(key)
