"""Sites that retire, and portfolios. Once released this file never changes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what customers keep of their own."""
    op.add_column("sites", sa.Column("retired_at", sa.BigInteger, nullable=True))
    op.create_table(
        "portfolios",
        *(
            sa.Column(name, sa.Text, nullable=False)
            for name in ("portfolio_id", "customer_id", "name", "aggregate", "members")
        ),
        sa.Column("created_at", sa.BigInteger, nullable=False, autoincrement=False),
        sa.PrimaryKeyConstraint("portfolio_id", name="pk_portfolios"),
    )
    op.create_index("ix_portfolios_customer_id", "portfolios", ["customer_id"])
