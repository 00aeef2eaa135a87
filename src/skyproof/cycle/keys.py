"""Making and revoking customers' keys, as the operator does."""

from __future__ import annotations

from datetime import timedelta

from skyproof.cycle.wiring import Product
from skyproof.domain.accounts import FORECAST_SCOPE, OPERATOR, AuditEntry
from skyproof.domain.deliveries import ApiKey
from skyproof.stages.deliver.keys import new_key


def create_key(
    product: Product, customer_id: str, *, lifetime: timedelta | None, scopes: tuple[str, ...] = (FORECAST_SCOPE,)
) -> tuple[str, ApiKey]:
    """A new key of a registered customer: the token to hand over once, and what we keep of it."""
    product.archive.customers.find(customer_id)
    now = product.clock.now()
    token, key = new_key(customer_id, created_at=now, lifetime=lifetime, scopes=scopes)
    audit = AuditEntry(now, customer_id, OPERATOR, "key.created", key.key_id, {"scopes": list(key.scopes)})
    product.archive.customers.add_key(key, audit=audit)
    return token, key


def revoke_key(product: Product, key_id: str) -> None:
    """Close a key at once.

    Raises:
        UnknownNameError: no such key.
    """
    now, key = product.clock.now(), product.archive.customers.find_key(key_id)
    audit = None if key is None else AuditEntry(now, key.customer_id, OPERATOR, "key.revoked", key_id)
    product.archive.customers.revoke_key(key_id, now, audit=audit)
