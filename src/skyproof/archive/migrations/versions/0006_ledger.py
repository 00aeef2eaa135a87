"""The ledger's days. Once released this file never changes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add where closed days are kept."""
    op.create_table(
        "ledger_days",
        sa.Column("day", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("count", sa.BigInteger, nullable=True, autoincrement=False),
        *(sa.Column(name, sa.Text, nullable=True) for name in ("tree_root", "previous_root", "root")),
        sa.PrimaryKeyConstraint("day", name="pk_ledger_days"),
    )
