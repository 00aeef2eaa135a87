"""Making a customer's key."""

from __future__ import annotations

from datetime import timedelta

from skyproof.cycle.wiring import Product
from skyproof.domain.deliveries import ApiKey
from skyproof.stages.deliver.keys import new_key


def create_key(product: Product, customer_id: str, *, lifetime: timedelta | None) -> tuple[str, ApiKey]:
    """A new key of a registered customer: the token to hand over once, and what we keep of it."""
    product.archive.customers.find(customer_id)
    token, key = new_key(customer_id, created_at=product.clock.now(), lifetime=lifetime)
    product.archive.customers.add_key(key)
    return token, key
