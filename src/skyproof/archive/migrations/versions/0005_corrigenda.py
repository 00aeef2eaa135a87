"""Corrigenda. Once released this file never changes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add where corrections are kept."""
    op.create_table(
        "corrigenda",
        sa.Column("sequence", sa.Integer, nullable=False),
        sa.Column("corrigendum_id", sa.Text, nullable=False),
        sa.Column("published_at", sa.BigInteger, nullable=False, autoincrement=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("title", "text", "run_ids", "variables")),
        *(
            sa.Column(name, sa.BigInteger, nullable=True, autoincrement=False)
            for name in ("issued_from", "issued_until")
        ),
        sa.PrimaryKeyConstraint("sequence", name="pk_corrigenda"),
        sa.UniqueConstraint("corrigendum_id", name="uq_corrigenda_corrigendum_id"),
    )
