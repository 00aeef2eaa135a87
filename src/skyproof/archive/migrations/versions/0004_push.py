"""Notices, webhooks and their deliveries. Once released this file never changes."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def _text(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.Text, nullable=False) for name in names]


def _number(name: str, kind: Any, *, null: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=null, autoincrement=False)


def upgrade() -> None:
    """Add what pushing needs."""
    op.create_table(
        "notices",
        sa.Column("sequence", sa.Integer, nullable=False),
        *_text("event_id", "customer_id", "kind"),
        _number("occurred_at", sa.BigInteger),
        *_text("data"),
        sa.PrimaryKeyConstraint("sequence", name="pk_notices"),
    )
    op.create_index("ix_notices_customer_id_sequence", "notices", ["customer_id", "sequence"])
    op.create_index("ix_notices_event_id_customer_id", "notices", ["event_id", "customer_id"], unique=True)
    op.create_table(
        "webhooks",
        *_text("webhook_id", "customer_id", "url", "kinds"),
        _number("created_at", sa.BigInteger),
        _number("secret_version", sa.Integer),
        _number("previous_until", sa.BigInteger, null=True),
        *_text("disabled_reason"),
        sa.PrimaryKeyConstraint("webhook_id", name="pk_webhooks"),
    )
    op.create_index("ix_webhooks_customer_id", "webhooks", ["customer_id"])
    op.create_table(
        "pushes",
        *_text("delivery_id", "webhook_id", "customer_id", "event_id", "kind", "state"),
        _number("attempts", sa.Integer),
        *(_number(name, sa.BigInteger) for name in ("due_at", "claimed_until", "created_at")),
        _number("last_status", sa.Integer, null=True),
        *_text("last_error"),
        _number("finished_at", sa.BigInteger, null=True),
        sa.PrimaryKeyConstraint("delivery_id", name="pk_pushes"),
    )
    op.create_index("ix_pushes_state_due_at", "pushes", ["state", "due_at"])
    op.create_index("ix_pushes_webhook_id_delivery_id", "pushes", ["webhook_id", "delivery_id"])
