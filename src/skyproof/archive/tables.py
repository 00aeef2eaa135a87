"""The tables, once. The migrations must produce exactly these; a test compares.

Instants are whole epoch seconds in UTC, days are days since 1970-01-01, JSON is canonical text: the same on SQLite and
PostgreSQL, comparable as integers and as bytes. Arrays are never here: rows name objects by key.
"""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from skyproof.domain.errors import InvalidValueError
from skyproof.domain.times import from_epoch_seconds, to_epoch_seconds

_DAY_ZERO = date(1970, 1, 1)


def canonical_json(value: Any) -> str:
    """JSON text with sorted keys and no spaces: equal values give equal text.

    Raises:
        InvalidValueError: something JSON has no word for, such as NaN.
    """
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidValueError(
            f"a record cannot be written as JSON: {error}", hint="use finite numbers, text, lists"
        ) from error


def to_epoch_days(day: date) -> int:
    """Days since 1970-01-01."""
    return (day - _DAY_ZERO).days


def from_epoch_days(days: int) -> date:
    """The day of :func:`to_epoch_days`."""
    return _DAY_ZERO + timedelta(days=days)


class Instant(TypeDecorator[datetime]):
    """An aware UTC instant, kept as whole epoch seconds."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002 the base class names it
        """To epoch seconds."""
        return None if value is None else to_epoch_seconds(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """From epoch seconds."""
        return None if value is None else from_epoch_seconds(value)


class Day(TypeDecorator[date]):
    """A calendar day in UTC, kept as days since 1970-01-01."""

    impl = sa.Integer
    cache_ok = True

    def process_bind_param(self, value: date | None, dialect: Dialect) -> int | None:  # noqa: ARG002
        """To epoch days."""
        return None if value is None else to_epoch_days(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> date | None:  # noqa: ARG002
        """From epoch days."""
        return None if value is None else from_epoch_days(value)


class CanonicalJson(TypeDecorator[Any]):
    """Plain JSON, kept as canonical text."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str:  # noqa: ARG002
        """To text."""
        return canonical_json(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:  # noqa: ARG002
        """From text."""
        return None if value is None else json.loads(value)


def make_column(name: str, kind: Any, *, key: bool = False, null: bool = False) -> sa.Column[Any]:
    """A column that holds a value unless ``null``; part of the table's key if ``key``."""
    return sa.Column(name, kind, primary_key=key, nullable=null, autoincrement=False)


metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
    }
)

customers = sa.Table(
    "customers",
    metadata,
    make_column("customer_id", sa.Text, key=True),
    make_column("name", sa.Text),
    sa.Column("plan", sa.Text, nullable=False, server_default="standard"),
)

sites = sa.Table(
    "sites",
    metadata,
    make_column("site_id", sa.Text, key=True),
    make_column("name", sa.Text),
    make_column("latitude", sa.Double),
    make_column("longitude", sa.Double),
    make_column("elevation_m", sa.Double),
    make_column("timezone", sa.Text),
    make_column("customer_id", sa.Text, null=True),
    make_column("retired_at", Instant, null=True),
)

api_keys = sa.Table(
    "api_keys",
    metadata,
    make_column("key_id", sa.Text, key=True),
    sa.Column("customer_id", sa.Text, sa.ForeignKey("customers.customer_id"), nullable=False, index=True),
    make_column("secret_hash", sa.Text),
    make_column("scopes", CanonicalJson),
    make_column("created_at", Instant),
    make_column("expires_at", Instant, null=True),
    make_column("revoked_at", Instant, null=True),
    make_column("replaces", sa.Text, null=True),
)

sources = sa.Table(
    "sources",
    metadata,
    make_column("source_id", sa.Text, key=True),
    make_column("register_row", CanonicalJson),
)

#: Small integers for the names that millions of observation rows repeat.
names = sa.Table(
    "names",
    metadata,
    sa.Column("name_id", sa.Integer, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
)

cycles = sa.Table(
    "cycles",
    metadata,
    make_column("source_id", sa.Text, key=True),
    make_column("init_time", Instant, key=True),
    make_column("digest", sa.Text, key=True),
    make_column("available_at", Instant, key=True),
    make_column("recorded_at", Instant),
    make_column("object_key", sa.Text),
    make_column("position", sa.Integer),
    make_column("got", sa.BigInteger),
    make_column("expected", sa.BigInteger),
    make_column("quality", sa.Text),
    make_column("reasons", CanonicalJson),
)

#: The key holds the value, so that nothing is lost when one second brings two statements about one cell. A missing
#: value is minus infinity, because a key holds no NULL and SQLite no NaN.
observations = sa.Table(
    "observations",
    metadata,
    make_column("variable_id", sa.Integer, key=True),
    make_column("valid_time", sa.BigInteger, key=True),
    make_column("site_id", sa.Integer, key=True),
    make_column("recorded_at", sa.BigInteger, key=True),
    make_column("source_id", sa.Integer, key=True),
    make_column("value", sa.Double, key=True),
    make_column("flag", sa.Text),
    sqlite_with_rowid=False,
)

#: Which valid days had rows recorded when: what verification asks, without a second index over all observations.
observation_days = sa.Table(
    "observation_days",
    metadata,
    make_column("recorded_at", Instant, key=True),
    make_column("valid_day", Day, key=True),
    sqlite_with_rowid=False,
)

releases = sa.Table(
    "releases",
    metadata,
    make_column("release_id", sa.Text, key=True),
    make_column("created_at", Instant),
    make_column("trained_from", Instant),
    make_column("trained_until", Instant),
    make_column("sources", CanonicalJson),
    make_column("state", sa.Text),
    make_column("object_key", sa.Text),
    make_column("digest", sa.Text),
    make_column("card", CanonicalJson),
)

runs = sa.Table(
    "runs",
    metadata,
    make_column("run_id", sa.Text, key=True),
    make_column("release_id", sa.Text),
    sa.Column("issue_time", Instant, nullable=False, index=True),
    sa.Column("init_time", Instant, nullable=False, index=True),
    make_column("published_at", Instant),
    make_column("regime", CanonicalJson),
    make_column("inputs", CanonicalJson),
    make_column("object_key", sa.Text),
    sa.Column("experts_key", sa.Text, nullable=False, index=True),
    make_column("digest", sa.Text),
    make_column("generation_ms", sa.Double),
    make_column("warnings", CanonicalJson),
)

experts = sa.Table(
    "experts",
    metadata,
    make_column("release_id", sa.Text, key=True),
    make_column("issue_time", Instant, key=True),
    make_column("object_key", sa.Text),
)

checkpoints = sa.Table(
    "checkpoints",
    metadata,
    make_column("release_id", sa.Text, key=True),
    make_column("issue_time", Instant, key=True),
    make_column("object_key", sa.Text),
)

scores = sa.Table(
    "scores",
    metadata,
    make_column("release_id", sa.Text, key=True),
    make_column("valid_day", Day, key=True),
    make_column("scored_at", Instant, key=True),
    make_column("digest", sa.Text, key=True),
    make_column("object_key", sa.Text),
    make_column("pairs", sa.BigInteger),
)

bodies = sa.Table(
    "bodies",
    metadata,
    make_column("forecast_id", sa.Text, key=True),
    make_column("digest", sa.Text),
    make_column("body", sa.LargeBinary),
)

receipts = sa.Table(
    "receipts",
    metadata,
    make_column("receipt_id", sa.Text, key=True),
    sa.Column("forecast_id", sa.Text, sa.ForeignKey("bodies.forecast_id"), nullable=False),
    make_column("customer_id", sa.Text),
    make_column("key_id", sa.Text),
    make_column("canonical_request", sa.Text),
    make_column("run_id", sa.Text),
    make_column("newest_run_id", sa.Text),
    make_column("value_digest", sa.Text),
    make_column("bytes_digest", sa.Text),
    make_column("media_type", sa.Text),
    make_column("status", sa.Integer),
    sa.Column("served_at", Instant, nullable=False, index=True),
    sa.Index(None, "forecast_id", "customer_id"),
)

#: Days of which no receipt is taken any more; the hashes follow once they are worked out.
ledger_days = sa.Table(
    "ledger_days",
    metadata,
    make_column("day", Day, key=True),
    make_column("count", sa.BigInteger, null=True),
    make_column("tree_root", sa.Text, null=True),
    make_column("previous_root", sa.Text, null=True),
    make_column("root", sa.Text, null=True),
)

events = sa.Table(
    "events",
    metadata,
    sa.Column("event_id", sa.Integer, primary_key=True),
    sa.Column("recorded_at", Instant, nullable=False, index=True),
    make_column("kind", sa.Text),
    make_column("payload", CanonicalJson),
)

#: Columns that name an object which must exist.
OBJECT_COLUMNS: tuple[sa.Column[str], ...] = tuple(
    table.c.object_key for table in (cycles, releases, runs, experts, checkpoints, scores)
)
