"""Receipts of answers: who got what, when, from which run."""

from __future__ import annotations

import hashlib
import os
import secrets
from datetime import datetime
from itertools import count

from skyproof.domain.deliveries import ApiKey, Receipt
from skyproof.stages.deliver.answers import Answer

_KEY = secrets.token_bytes(32)
_NUMBERS = count()


def new_receipt_id(served_at: datetime) -> str:
    """A unique id that sorts by time: ``rc_``, microseconds since 1970 as 14 hex digits, 64 bits nobody can guess.

    The ledger's leaves hold it, so that nobody can try out what others may have been sent. The bits are a keyed hash of a
    running number, because asking the kernel for every receipt costs a tenth of an answer.
    """
    number = b"%d %d" % (os.getpid(), next(_NUMBERS))
    return f"rc_{int(served_at.timestamp() * 1_000_000):014x}{hashlib.blake2b(number, key=_KEY, digest_size=8).hexdigest()}"


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
