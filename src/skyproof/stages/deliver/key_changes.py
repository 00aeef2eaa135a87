"""What a customer changes about its keys: making, rotating and revoking them, each in the transaction it is given."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from skyproof.archive.archive import Archive
from skyproof.archive.writes import Outcome, Transaction
from skyproof.domain.accounts import AuditEntry, check_scopes
from skyproof.domain.deliveries import ApiKey
from skyproof.domain.errors import NotFoundError, PermissionDeniedError
from skyproof.domain.times import format_instant
from skyproof.stages.deliver.keys import check_room, new_key, rotate_key


def key_facts(key: ApiKey, now: datetime) -> dict[str, object]:
    """What a customer is told about one of its keys; never its secret, nor the hash of it."""
    return {
        "key_id": key.key_id,
        "scopes": list(key.scopes),
        "created_at": format_instant(key.created_at),
        "expires_at": None if key.expires_at is None else format_instant(key.expires_at),
        "revoked_at": None if key.revoked_at is None else format_instant(key.revoked_at),
        "replaces": key.replaces,
        "live": key.is_live(now),
    }


def create_key(
    archive: Archive,
    transaction: Transaction,
    by: ApiKey,
    *,
    scopes: tuple[str, ...],
    lifetime: timedelta | None,
    now: datetime,
) -> Outcome:
    """Make a key for the customer of ``by``, with no scope that ``by`` lacks.

    Raises:
        PermissionDeniedError: a scope beyond those of ``by``.
        ConflictError: the customer has as many live keys as it may.
    """
    wanted = check_scopes(scopes)
    beyond = [scope for scope in wanted if scope not in by.scopes]
    if beyond:
        raise PermissionDeniedError(
            f"your key has no scope {beyond[0]}, so it cannot give it", hint=f"it has {', '.join(by.scopes)}"
        )
    check_room(archive.customers.keys_within(transaction, by.customer_id, lock=True), now)
    token, key = new_key(by.customer_id, created_at=now, lifetime=lifetime, scopes=wanted)
    archive.customers.insert_key(transaction, key)
    audit = _entry(by, "key.created", key.key_id, now, {"scopes": list(key.scopes)})
    return Outcome(201, key_facts(key, now), audit, {"key": token})


def rotate(
    archive: Archive, transaction: Transaction, by: ApiKey, key_id: str, *, overlap: timedelta, now: datetime
) -> Outcome:
    """Make the key that follows another one; both open until the overlap ends.

    Raises:
        NotFoundError: the customer has no such key.
        PermissionDeniedError: it has scopes that ``by`` lacks.
        ConflictError: it is being rotated already, or opens nothing any more.
        InvalidValueError: an impossible overlap.
    """
    keys = archive.customers.keys_within(transaction, by.customer_id, lock=True)
    old = _own(keys, key_id)
    if not set(old.scopes) <= set(by.scopes):
        raise PermissionDeniedError(f"key {key_id} has scopes that yours has not", hint="rotate it with a key that has")
    check_room(keys, now)
    token, key, ends = rotate_key(old, keys, now=now, overlap=overlap)
    archive.customers.insert_key(transaction, key)
    archive.customers.change_key(transaction, old.key_id, expires_at=ends)
    audit = _entry(by, "key.rotated", old.key_id, now, {"to": key.key_id, "old_expires_at": format_instant(ends)})
    answer = {**key_facts(key, now), "old_expires_at": format_instant(ends)}
    return Outcome(201, answer, audit, {"key": token})


def revoke(archive: Archive, transaction: Transaction, by: ApiKey, key_id: str, *, now: datetime) -> Outcome:
    """Close a key at once, ``by`` itself if need be; a key that is closed stays as it is.

    Raises:
        NotFoundError: the customer has no such key.
    """
    old = _own(archive.customers.keys_within(transaction, by.customer_id, lock=True), key_id)
    if old.revoked_at is None:
        archive.customers.change_key(transaction, key_id, revoked_at=now)
    revoked_at = old.revoked_at or now
    answer = {**key_facts(old, now), "revoked_at": format_instant(revoked_at), "live": False}
    return Outcome(200, answer, _entry(by, "key.revoked", key_id, now))


def _own(keys: tuple[ApiKey, ...], key_id: str) -> ApiKey:
    for key in keys:
        if key.key_id == key_id:
            return key
    raise NotFoundError(f"key {key_id[:64]!r} does not exist", hint="GET /v1/keys lists yours")


def _entry(
    by: ApiKey, action: str, subject: str, now: datetime, detail: Mapping[str, object] | None = None
) -> AuditEntry:
    return AuditEntry(now, by.customer_id, by.key_id, action, subject, detail or {})
