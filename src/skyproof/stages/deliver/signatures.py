"""Signatures of webhooks after Standard Webhooks (symmetric, ``v1``; github.com/standard-webhooks/standard-webhooks).

No secret is kept: each is derived from one key of the installation, the webhook's id and a version. Whoever reads the database
can sign nothing.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import datetime

from skyproof.domain.errors import InvalidValueError
from skyproof.domain.notices import Webhook

SECRET_PREFIX = "whsec_"  # noqa: S105 what secrets begin with
KEY_BYTES = 32


class Signer:
    """Signs what is pushed."""

    def __init__(self, key: bytes) -> None:
        """Take the installation's key.

        Raises:
            InvalidValueError: it is shorter than 32 bytes.
        """
        if len(key) < KEY_BYTES:
            raise InvalidValueError(
                f"the webhook key has {len(key)} bytes", hint=f"give at least {KEY_BYTES} random ones"
            )
        self._key = key

    def secret(self, webhook: Webhook, version: int | None = None) -> str:
        """The secret its owner checks signatures with, as ``whsec_<base64>``; shown once."""
        return SECRET_PREFIX + base64.b64encode(self._derive(webhook, version or webhook.secret_version)).decode()

    def headers(
        self, webhook: Webhook, event_id: str, body: bytes, *, sent_at: datetime, now: datetime
    ) -> dict[str, str]:
        """The three headers of a push; while a rotated secret overlaps, both sign.

        Args:
            webhook: where it goes.
            event_id: names the event, the same at every attempt.
            body: what is sent.
            sent_at: by the machine's clock: verifiers refuse what is older than some minutes.
            now: by the product's clock, by which secrets overlap.
        """
        timestamp = str(int(sent_at.timestamp()))
        versions = [webhook.secret_version]
        if webhook.previous_until is not None and now < webhook.previous_until:
            versions.append(webhook.secret_version - 1)
        signed = f"{event_id}.{timestamp}.".encode() + body
        signatures = [
            "v1," + base64.b64encode(hmac.digest(self._derive(webhook, version), signed, "sha256")).decode()
            for version in versions
        ]
        return {"webhook-id": event_id, "webhook-timestamp": timestamp, "webhook-signature": " ".join(signatures)}

    def _derive(self, webhook: Webhook, version: int) -> bytes:
        # HMAC of a fixed-form message under a random key is a pseudorandom function: one secret tells nothing of another.
        return hmac.digest(self._key, f"webhook\n{webhook.webhook_id}\n{version}".encode(), hashlib.sha256)
