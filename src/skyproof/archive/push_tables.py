"""The tables of what customers are told without asking."""

from __future__ import annotations

import sqlalchemy as sa

from skyproof.archive.tables import CanonicalJson, Instant, make_column, metadata

notices = sa.Table(
    "notices",
    metadata,
    sa.Column("sequence", sa.Integer, primary_key=True),
    make_column("event_id", sa.Text),
    make_column("customer_id", sa.Text),
    make_column("kind", sa.Text),
    make_column("occurred_at", Instant),
    make_column("data", CanonicalJson),
    sa.Index(None, "customer_id", "sequence"),
    sa.Index(None, "event_id", "customer_id", unique=True),
)

webhooks = sa.Table(
    "webhooks",
    metadata,
    make_column("webhook_id", sa.Text, key=True),
    sa.Column("customer_id", sa.Text, nullable=False, index=True),
    make_column("url", sa.Text),
    make_column("kinds", CanonicalJson),
    make_column("created_at", Instant),
    make_column("secret_version", sa.Integer),
    make_column("previous_until", Instant, null=True),
    make_column("disabled_reason", sa.Text),
)

pushes = sa.Table(
    "pushes",
    metadata,
    make_column("delivery_id", sa.Text, key=True),
    make_column("webhook_id", sa.Text),
    make_column("customer_id", sa.Text),
    make_column("event_id", sa.Text),
    make_column("kind", sa.Text),
    make_column("state", sa.Text),
    make_column("attempts", sa.Integer),
    make_column("due_at", Instant),
    make_column("claimed_until", Instant),
    make_column("created_at", Instant),
    make_column("last_status", sa.Integer, null=True),
    make_column("last_error", sa.Text),
    make_column("finished_at", Instant, null=True),
    sa.Index(None, "state", "due_at"),
    sa.Index(None, "webhook_id", "delivery_id"),
)

corrigenda = sa.Table(
    "corrigenda",
    metadata,
    sa.Column("sequence", sa.Integer, primary_key=True),
    sa.Column("corrigendum_id", sa.Text, nullable=False, unique=True),
    make_column("published_at", Instant),
    make_column("title", sa.Text),
    make_column("text", sa.Text),
    make_column("run_ids", CanonicalJson),
    make_column("variables", CanonicalJson),
    make_column("issued_from", Instant, null=True),
    make_column("issued_until", Instant, null=True),
)
