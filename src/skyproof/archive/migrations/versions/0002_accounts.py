"""Accounts: plans, rotated keys, usage, the audit log, writes done. Once released this file never changes."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def _column(name: str, kind: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False, autoincrement=False)


def upgrade() -> None:
    """Add what accounts need."""
    op.add_column("customers", sa.Column("plan", sa.Text, nullable=False, server_default="standard"))
    op.add_column("api_keys", sa.Column("replaces", sa.Text, nullable=True))
    op.create_table(
        "usage",
        _column("customer_id", sa.Text),
        _column("span_s", sa.Integer),
        _column("starts_at", sa.BigInteger),
        _column("requests", sa.BigInteger),
        _column("refused", sa.BigInteger),
        sa.PrimaryKeyConstraint("customer_id", "span_s", "starts_at", name="pk_usage"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "audit",
        sa.Column("audit_id", sa.Integer, nullable=False),
        _column("recorded_at", sa.BigInteger),
        *(_column(name, sa.Text) for name in ("customer_id", "key_id", "action", "subject", "detail")),
        sa.PrimaryKeyConstraint("audit_id", name="pk_audit"),
    )
    op.create_index("ix_audit_customer_id_audit_id", "audit", ["customer_id", "audit_id"])
    op.create_table(
        "writes_done",
        *(_column(name, sa.Text) for name in ("customer_id", "idempotency_key", "digest")),
        _column("created_at", sa.BigInteger),
        _column("status", sa.Integer),
        _column("answer", sa.Text),
        sa.PrimaryKeyConstraint("customer_id", "idempotency_key", name="pk_writes_done"),
        sqlite_with_rowid=False,
    )
