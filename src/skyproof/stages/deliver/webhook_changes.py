"""What a customer changes about its webhooks, each in the transaction it is given."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from skyproof.archive.archive import Archive
from skyproof.archive.writes import Outcome, Transaction
from skyproof.domain.accounts import AuditEntry, Plan
from skyproof.domain.deliveries import ApiKey
from skyproof.domain.errors import ConflictError, NotFoundError, QuotaError
from skyproof.domain.notices import Push, Webhook, check_kinds
from skyproof.domain.times import format_instant
from skyproof.stages.deliver.signatures import Signer

#: How long the secret before a rotation signs too.
SECRET_OVERLAP = timedelta(hours=24)


def webhook_facts(webhook: Webhook, now: datetime) -> dict[str, Any]:
    """What a customer is told about one of its webhooks; never its secret."""
    overlap = webhook.previous_until
    return {
        "webhook": webhook.webhook_id,
        "url": webhook.url,
        "events": list(webhook.kinds),
        "created_at": format_instant(webhook.created_at),
        "active": not webhook.disabled_reason,
        "disabled_reason": webhook.disabled_reason,
        "previous_secret_until": format_instant(overlap) if overlap is not None and overlap > now else None,
    }


def push_facts(push: Push) -> dict[str, Any]:
    """What a customer is told about one delivery."""
    return {
        "delivery": push.delivery_id,
        "event": push.event_id,
        "type": f"skyproof.{push.kind}",
        "state": push.state,
        "attempts": push.attempts,
        "created_at": format_instant(push.created_at),
        "next_attempt_at": format_instant(push.due_at) if push.state == "pending" else None,
        "finished_at": None if push.finished_at is None else format_instant(push.finished_at),
        "last_status": push.last_status,
        "last_error": push.last_error,
    }


def own_webhook(webhooks: tuple[Webhook, ...], webhook_id: str) -> Webhook:
    """One of the customer's webhooks.

    Raises:
        NotFoundError: it does not exist, or is another's.
    """
    for webhook in webhooks:
        if webhook.webhook_id == webhook_id:
            return webhook
    raise NotFoundError(f"webhook {webhook_id[:64]!r} does not exist", hint="GET /v1/webhooks lists yours")


def create_webhook(
    archive: Archive,
    transaction: Transaction,
    by: ApiKey,
    plan: Plan,
    signer: Signer,
    now: datetime,
    *,
    url: str,
    kinds: tuple[str, ...],
) -> Outcome:
    """Make a webhook; ``url`` was checked. Its secret leaves with the answer, once.

    Raises:
        QuotaError: the plan allows no more.
        UnknownNameError: an event that does not exist.
    """
    held = archive.webhooks.own(transaction, by.customer_id, lock=True)
    if len(held) >= plan.webhooks:
        raise QuotaError(f"your plan allows {plan.webhooks:,} webhooks", hint="delete one, or take a larger plan")
    webhook = Webhook(f"wh_{secrets.token_hex(8)}", by.customer_id, url, check_kinds(kinds), now)
    archive.webhooks.put(transaction, webhook)
    audit = _entry(by, "webhook.created", webhook.webhook_id, now, {"events": list(webhook.kinds)})
    return Outcome(201, webhook_facts(webhook, now), audit, {"secret": signer.secret(webhook)})


def change_webhook(
    archive: Archive,
    transaction: Transaction,
    by: ApiKey,
    webhook_id: str,
    now: datetime,
    *,
    url: str | None = None,
    kinds: tuple[str, ...] | None = None,
    is_active: bool | None = None,
) -> Outcome:
    """Change what is given; ``url`` was checked.

    Raises:
        NotFoundError: see :func:`own_webhook`.
        UnknownNameError: an event that does not exist.
    """
    before = own_webhook(archive.webhooks.own(transaction, by.customer_id, lock=True), webhook_id)
    reason = before.disabled_reason
    if is_active is not None:
        reason = "" if is_active else reason or "switched off by its owner"
    webhook = replace(
        before,
        url=url or before.url,
        kinds=before.kinds if kinds is None else check_kinds(kinds),
        disabled_reason=reason,
    )
    archive.webhooks.put(transaction, webhook)
    changed = [name for name in ("url", "kinds", "disabled_reason") if getattr(webhook, name) != getattr(before, name)]
    return Outcome(
        200, webhook_facts(webhook, now), _entry(by, "webhook.changed", webhook_id, now, {"changed": changed})
    )


def rotate_secret(
    archive: Archive, transaction: Transaction, by: ApiKey, signer: Signer, webhook_id: str, now: datetime
) -> Outcome:
    """Give a webhook a new secret; for a day both sign.

    Raises:
        NotFoundError: see :func:`own_webhook`.
        ConflictError: the rotation before has not ended.
    """
    before = own_webhook(archive.webhooks.own(transaction, by.customer_id, lock=True), webhook_id)
    if before.previous_until is not None and before.previous_until > now:
        raise ConflictError(
            "two secrets sign already",
            hint=f"wait until {format_instant(before.previous_until)}, when the older one ends",
        )
    webhook = replace(before, secret_version=before.secret_version + 1, previous_until=now + SECRET_OVERLAP)
    archive.webhooks.put(transaction, webhook)
    audit = _entry(by, "webhook.secret_rotated", webhook_id, now)
    return Outcome(200, webhook_facts(webhook, now), audit, {"secret": signer.secret(webhook)})


def delete_webhook(archive: Archive, transaction: Transaction, by: ApiKey, webhook_id: str, now: datetime) -> Outcome:
    """Drop a webhook and what is on its way to it.

    Raises:
        NotFoundError: see :func:`own_webhook`.
    """
    webhook = own_webhook(archive.webhooks.own(transaction, by.customer_id, lock=True), webhook_id)
    archive.webhooks.delete(transaction, webhook_id)
    return Outcome(200, webhook_facts(webhook, now), _entry(by, "webhook.deleted", webhook_id, now))


def replay(
    archive: Archive,
    transaction: Transaction,
    by: ApiKey,
    webhook_id: str,
    delivery_id: str,
    now: datetime,
    *,
    due_at: datetime,
) -> Outcome:
    """Set the event of a delivery on its way once more, under the same event id; ``due_at`` is by the machine's clock.

    Raises:
        NotFoundError: no such webhook or delivery, or it is another's.
        ConflictError: it is still on its way.
    """
    webhook = own_webhook(archive.webhooks.own(transaction, by.customer_id, lock=True), webhook_id)
    push = archive.webhooks.delivery(transaction, webhook_id, delivery_id)
    if push is None:
        raise NotFoundError(
            f"delivery {delivery_id[:64]!r} does not exist", hint=f"GET /v1/webhooks/{webhook_id}/deliveries lists them"
        )
    if push.state == "pending":
        raise ConflictError(f"delivery {delivery_id} is still on its way", hint="wait until it is delivered or dead")
    new_id = archive.webhooks.push_again(transaction, webhook, push.event_id, due_at)
    new = archive.webhooks.delivery(transaction, webhook_id, new_id)
    assert new is not None
    return Outcome(201, push_facts(new), _entry(by, "webhook.replayed", webhook_id, now, {"delivery": delivery_id}))


def _entry(
    by: ApiKey, action: str, subject: str, now: datetime, detail: Mapping[str, object] | None = None
) -> AuditEntry:
    return AuditEntry(now, by.customer_id, by.key_id, action, subject, detail or {})
