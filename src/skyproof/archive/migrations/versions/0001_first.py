"""The first tables. Once released this file never changes: what it made is in people's homes."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _text(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, nullable=False) for name in names]


def _big(*names: str, null: bool = False) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger, nullable=null, autoincrement=False) for name in names]


def _int(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.Integer, nullable=False, autoincrement=False) for name in names]


def _real(*names: str) -> list[sa.Column[float]]:
    return [sa.Column(name, sa.Double, nullable=False) for name in names]


def _table(name: str, key: Sequence[str], *parts: sa.schema.SchemaItem, rowid: bool = True) -> None:
    op.create_table(name, *parts, sa.PrimaryKeyConstraint(*key, name=f"pk_{name}"), sqlite_with_rowid=rowid)


def upgrade() -> None:
    """Make all tables of an empty database."""
    _make_registers()
    _make_inputs()
    _make_products()
    _make_deliveries()


def _make_registers() -> None:
    _table("customers", ["customer_id"], *_text("customer_id", "name"))
    _table(
        "sites",
        ["site_id"],
        *_text("site_id", "name"),
        *_real("latitude", "longitude", "elevation_m"),
        *_text("timezone"),
        sa.Column("customer_id", sa.Text, nullable=True),
    )
    _table(
        "api_keys",
        ["key_id"],
        *_text("key_id", "customer_id", "secret_hash", "scopes"),
        *_big("created_at"),
        *_big("expires_at", "revoked_at", null=True),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.customer_id"], name="fk_api_keys_customer_id"),
    )
    op.create_index("ix_api_keys_customer_id", "api_keys", ["customer_id"])
    _table("sources", ["source_id"], *_text("source_id", "register_row"))
    _table(
        "names",
        ["name_id"],
        sa.Column("name_id", sa.Integer, nullable=False),
        *_text("name"),
        sa.UniqueConstraint("name", name="uq_names_name"),
    )


def _make_inputs() -> None:
    _table(
        "cycles",
        ["source_id", "init_time", "digest", "available_at"],
        *_text("source_id"),
        *_big("init_time"),
        *_text("digest"),
        *_big("available_at", "recorded_at"),
        *_text("object_key"),
        *_int("position"),
        *_big("got", "expected"),
        *_text("quality", "reasons"),
    )
    _table(
        "observations",
        ["variable_id", "valid_time", "site_id", "recorded_at", "source_id", "value"],
        *_int("variable_id"),
        *_big("valid_time"),
        *_int("site_id"),
        *_big("recorded_at"),
        *_int("source_id"),
        *_real("value"),
        *_text("flag"),
        rowid=False,
    )
    _table(
        "observation_days",
        ["recorded_at", "valid_day"],
        *_big("recorded_at"),
        *_int("valid_day"),
        rowid=False,
    )


def _make_products() -> None:
    _table(
        "releases",
        ["release_id"],
        *_text("release_id"),
        *_big("created_at", "trained_from", "trained_until"),
        *_text("sources", "state", "object_key", "digest", "card"),
    )
    _table(
        "runs",
        ["run_id"],
        *_text("run_id", "release_id"),
        *_big("issue_time", "init_time", "published_at"),
        *_text("regime", "inputs", "object_key", "experts_key", "digest"),
        *_real("generation_ms"),
        *_text("warnings"),
    )
    for column in ("issue_time", "init_time", "experts_key"):
        op.create_index(f"ix_runs_{column}", "runs", [column])
    for name in ("experts", "checkpoints"):
        _table(name, ["release_id", "issue_time"], *_text("release_id"), *_big("issue_time"), *_text("object_key"))
    _table(
        "scores",
        ["release_id", "valid_day", "scored_at", "digest"],
        *_text("release_id"),
        *_int("valid_day"),
        *_big("scored_at"),
        *_text("digest", "object_key"),
        *_big("pairs"),
    )


def _make_deliveries() -> None:
    _table(
        "bodies",
        ["forecast_id"],
        *_text("forecast_id", "digest"),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    _table(
        "receipts",
        ["receipt_id"],
        *_text("receipt_id", "forecast_id", "customer_id", "key_id", "canonical_request", "run_id", "newest_run_id"),
        *_text("value_digest", "bytes_digest", "media_type"),
        *_int("status"),
        *_big("served_at"),
        sa.ForeignKeyConstraint(["forecast_id"], ["bodies.forecast_id"], name="fk_receipts_forecast_id"),
    )
    op.create_index("ix_receipts_forecast_id_customer_id", "receipts", ["forecast_id", "customer_id"])
    op.create_index("ix_receipts_served_at", "receipts", ["served_at"])
    _table(
        "events",
        ["event_id"],
        sa.Column("event_id", sa.Integer, nullable=False),
        *_big("recorded_at"),
        *_text("kind", "payload"),
    )
    op.create_index("ix_events_recorded_at", "events", ["recorded_at"])
