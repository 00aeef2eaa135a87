"""What went to whom: keys, requests in canonical form, receipts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A customer's key as we keep it: an identifier and a hash, never the secret.

    ``replaces`` names the key it was rotated from.
    """

    key_id: str
    customer_id: str
    secret_hash: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None = None
    replaces: str | None = None

    def is_live(self, now: datetime) -> bool:
        """Whether it opens anything at ``now``."""
        return not (
            (self.revoked_at is not None and self.revoked_at <= now)
            or (self.expires_at is not None and self.expires_at <= now)
        )


@dataclass(frozen=True, slots=True)
class Receipt:
    """Proof of one answer: durable before its first byte leaves.

    ``forecast_id`` names the content (same run, same canonical request: same bytes); ``receipt_id`` names the
    delivery. ``value_digest`` covers the values in canonical units and UTC, ``bytes_digest`` the body as sent.
    ``newest_run_id`` is the newest run that existed then, so that a stale answer is visible later.
    """

    receipt_id: str
    forecast_id: str
    customer_id: str
    key_id: str
    canonical_request: str
    run_id: str
    newest_run_id: str
    value_digest: str
    bytes_digest: str
    media_type: str
    status: int
    served_at: datetime


@dataclass(frozen=True, slots=True)
class LedgerDay:
    """All receipts of a UTC day under one hash, chained to the day before. Hashes are SHA-256 as hex.

    ``tree_root`` is over the receipts alone, ``root`` also over date, count and the ``previous_root``.
    """

    day: date
    count: int
    tree_root: str
    previous_root: str
    root: str


@dataclass(frozen=True, slots=True)
class InclusionProof:
    """That a receipt is among those of a day: the sibling hashes from its leaf to the day's ``tree_root``."""

    receipt: Receipt
    day: LedgerDay
    leaf_index: int
    audit_path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LedgerEvent:
    """Something that matters to the business. ``kind`` is dotted (``run.published``); ``payload`` is plain JSON."""

    recorded_at: datetime
    kind: str
    payload: Mapping[str, object]
