"""Receipts of answers: who got what, when, from which run."""

from __future__ import annotations

import random
from datetime import datetime

from skyproof.domain.deliveries import ApiKey, Receipt
from skyproof.stages.deliver.answers import Answer


def new_receipt_id(served_at: datetime) -> str:
    """A unique id that sorts by time: ``rc_``, microseconds since 1970 as 14 hex digits, 64 random bits."""
    # It has to be unique, not secret: a receipt opens nothing. Asking the kernel costs a tenth of an answer.
    return f"rc_{int(served_at.timestamp() * 1_000_000):014x}{random.getrandbits(64):016x}"


def make_receipt(answer: Answer, key: ApiKey, *, served_at: datetime) -> Receipt:
    """The receipt of an answer about to be sent to the holder of ``key``."""
    return Receipt(
        receipt_id=new_receipt_id(served_at),
        forecast_id=answer.forecast_id,
        customer_id=key.customer_id,
        key_id=key.key_id,
        canonical_request=answer.canonical_request,
        run_id=answer.run.run_id,
        newest_run_id=answer.newest_run_id,
        value_digest=answer.value_digest,
        bytes_digest=answer.bytes_digest,
        media_type=answer.media_type,
        status=200,
        served_at=served_at,
    )
