"""API keys: ``sp_live_<keyid>_<secret>``. The secret leaves once, to the customer; we keep its hash.

A secret has 256 random bits, so one round of SHA-256 is enough: there is nothing to guess from a dictionary.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta

from skyproof.domain.accounts import FORECAST_SCOPE, check_scopes
from skyproof.domain.deliveries import ApiKey
from skyproof.domain.errors import AuthenticationError, ConflictError, InvalidValueError

PREFIX = "sp_live_"
#: Live keys of one customer. Two of them may be of one line: a key and the one it was rotated to.
MOST_KEYS = 20
#: How long a rotated key goes on opening, unless said otherwise, and at most.
OVERLAP = timedelta(hours=24)
LONGEST_OVERLAP = timedelta(days=30)
_KEY_ID_BYTES = 8
_SECRET_BYTES = 32
_TOKEN = re.compile(rf"{PREFIX}([0-9a-f]{{{2 * _KEY_ID_BYTES}}})_([0-9a-f]{{{2 * _SECRET_BYTES}}})")
_WANTED = f"{PREFIX}<{2 * _KEY_ID_BYTES} hex digits>_<{2 * _SECRET_BYTES} hex digits>"
_LONGEST = 200


def new_key(
    customer_id: str,
    *,
    created_at: datetime,
    lifetime: timedelta | None = None,
    scopes: tuple[str, ...] = (FORECAST_SCOPE,),
    replaces: str | None = None,
) -> tuple[str, ApiKey]:
    """Make a key: the token to hand over once, and the record to keep.

    Args:
        customer_id: whose key it is.
        created_at: the present, aware UTC.
        lifetime: how long it opens anything; None is until revoked.
        scopes: what it opens.
        replaces: the key it is rotated from.

    Raises:
        InvalidValueError: a lifetime that is over before it begins, or no scope.
        UnknownNameError: a scope that does not exist.
    """
    if lifetime is not None and lifetime <= timedelta(0):
        raise InvalidValueError(f"a key cannot live for {lifetime}", hint="give a positive lifetime, or none")
    key_id, secret = secrets.token_hex(_KEY_ID_BYTES), secrets.token_hex(_SECRET_BYTES)
    expires_at = None if lifetime is None else created_at + lifetime
    key = ApiKey(
        key_id, customer_id, hash_secret(secret), check_scopes(scopes), created_at, expires_at, replaces=replaces
    )
    return f"{PREFIX}{key_id}_{secret}", key


def check_room(keys: Iterable[ApiKey], now: datetime) -> None:
    """See that a customer may have one more key.

    Raises:
        ConflictError: too many are live.
    """
    live = sum(key.is_live(now) for key in keys)
    if live >= MOST_KEYS:
        raise ConflictError(f"{live} keys are live, at most {MOST_KEYS} may be", hint="revoke those you do not use")


def rotate_key(
    old: ApiKey, keys: Iterable[ApiKey], *, now: datetime, overlap: timedelta
) -> tuple[str, ApiKey, datetime]:
    """A key to follow ``old``, with its scopes and its length of life: token, record, and when the old one stops opening.

    Both open until then. A line has two live keys at most: the next rotation waits for the end of this one.

    Raises:
        ConflictError: ``old`` opens nothing any more, is being replaced already, or replaces a key that still opens.
        InvalidValueError: an overlap longer than a rotation may take.
    """
    if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
        raise InvalidValueError(
            f"an overlap of {overlap} is impossible", hint=f"give 0 to {LONGEST_OVERLAP // timedelta(hours=1)} hours"
        )
    if not old.is_live(now):
        raise ConflictError(f"key {old.key_id} opens nothing any more", hint="make a new key")
    for key in keys:
        if key.is_live(now) and (key.replaces == old.key_id or key.key_id == old.replaces):
            raise ConflictError(
                f"keys {old.key_id} and {key.key_id} are being rotated, and a line has two live keys at most",
                hint="wait until the older one expires, or revoke it",
            )
    lifetime = None if old.expires_at is None else old.expires_at - old.created_at
    token, key = new_key(old.customer_id, created_at=now, lifetime=lifetime, scopes=old.scopes, replaces=old.key_id)
    ends = now + overlap
    return token, key, ends if old.expires_at is None else min(ends, old.expires_at)


def hash_secret(secret: str) -> str:
    """SHA-256 of a secret, as hex: what is kept of it."""
    return hashlib.sha256(secret.encode()).hexdigest()


def split_token(token: str) -> tuple[str, str]:
    """Key id and secret of a token.

    Raises:
        AuthenticationError: it is not of our form. The message never repeats it.
    """
    match = _TOKEN.fullmatch(token) if len(token) <= _LONGEST else None
    if match is None:
        raise AuthenticationError("the key is malformed", hint=f"it looks like {_WANTED}; copy it whole")
    return match[1], match[2]


def check_secret(key: ApiKey | None, secret: str) -> ApiKey:
    """Return ``key`` if ``secret`` is its secret.

    Compared in constant time, and an unknown key takes as long as a wrong one and gets the same words: nobody learns
    from an answer which key ids exist.

    Raises:
        AuthenticationError: no such key, or another secret.
    """
    kept = hash_secret("") if key is None else key.secret_hash
    if not hmac.compare_digest(kept, hash_secret(secret)) or key is None:
        raise AuthenticationError("the key opens nothing", hint="check that it was copied whole, or make a new one")
    return key


def check_in_force(key: ApiKey, now: datetime) -> ApiKey:
    """Return ``key`` if it is in force at ``now``.

    Raises:
        AuthenticationError: revoked, or expired.
    """
    if key.revoked_at is not None and key.revoked_at <= now:
        raise AuthenticationError("the key was revoked", hint="use your other key, or make a new one")
    if key.expires_at is not None and key.expires_at <= now:
        raise AuthenticationError("the key has expired", hint="make a new one")
    return key
