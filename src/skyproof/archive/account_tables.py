"""The tables of customers' accounts: what they used and changed, which writes were done already, their portfolios."""

from __future__ import annotations

import sqlalchemy as sa

from skyproof.archive.tables import CanonicalJson, Instant, make_column, metadata

#: Requests by customer in spans (a minute, a day) that begin at whole multiples of their length.
usage = sa.Table(
    "usage",
    metadata,
    make_column("customer_id", sa.Text, key=True),
    make_column("span_s", sa.Integer, key=True),
    make_column("starts_at", Instant, key=True),
    make_column("requests", sa.BigInteger),
    make_column("refused", sa.BigInteger),
    sqlite_with_rowid=False,
)

audit = sa.Table(
    "audit",
    metadata,
    sa.Column("audit_id", sa.Integer, primary_key=True),
    make_column("recorded_at", Instant),
    make_column("customer_id", sa.Text),
    make_column("key_id", sa.Text),
    make_column("action", sa.Text),
    make_column("subject", sa.Text),
    make_column("detail", CanonicalJson),
    sa.Index(None, "customer_id", "audit_id"),
)

#: Writes done under an Idempotency-Key: what was asked, as a digest, and what was answered, without secrets.
writes_done = sa.Table(
    "writes_done",
    metadata,
    make_column("customer_id", sa.Text, key=True),
    make_column("idempotency_key", sa.Text, key=True),
    make_column("digest", sa.Text),
    make_column("created_at", Instant),
    make_column("status", sa.Integer),
    make_column("answer", CanonicalJson),
    sqlite_with_rowid=False,
)

portfolios = sa.Table(
    "portfolios",
    metadata,
    make_column("portfolio_id", sa.Text, key=True),
    sa.Column("customer_id", sa.Text, nullable=False, index=True),
    make_column("name", sa.Text),
    make_column("aggregate", sa.Text),
    make_column("members", CanonicalJson),
    make_column("created_at", Instant),
)
