"""API keys: ``sp_live_<keyid>_<secret>``. The secret leaves once, to the customer; we keep its hash.

A secret has 256 random bits, so one round of SHA-256 is enough: there is nothing to guess from a dictionary.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from datetime import datetime, timedelta

from skyproof.domain.deliveries import ApiKey
from skyproof.domain.errors import AuthenticationError, InvalidValueError

PREFIX = "sp_live_"
#: What a key may open. One scope so far; a key names its scopes, so that a later one is never opened by accident.
FORECAST_SCOPE = "forecast:read"
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
) -> tuple[str, ApiKey]:
    """Make a key: the token to hand over once, and the record to keep.

    Args:
        customer_id: whose key it is.
        created_at: the present, aware UTC.
        lifetime: how long it opens anything; None is until revoked.
        scopes: what it opens.

    Raises:
        InvalidValueError: a lifetime that is over before it begins.
    """
    if lifetime is not None and lifetime <= timedelta(0):
        raise InvalidValueError(f"a key cannot live for {lifetime}", hint="give a positive lifetime, or none")
    key_id, secret = secrets.token_hex(_KEY_ID_BYTES), secrets.token_hex(_SECRET_BYTES)
    expires_at = None if lifetime is None else created_at + lifetime
    key = ApiKey(key_id, customer_id, hash_secret(secret), scopes, created_at, expires_at)
    return f"{PREFIX}{key_id}_{secret}", key


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
