"""Registering customers, as the operator does."""

from __future__ import annotations

from skyproof.cycle.wiring import Product
from skyproof.domain.accounts import DEFAULT_PLAN
from skyproof.domain.errors import UnknownNameError
from skyproof.domain.sites import Customer


def change_customer(product: Product, customer_id: str, *, name: str = "", plan: str = "") -> Customer:
    """Add a customer, or change what is given of one.

    Raises:
        UnknownNameError: a plan that does not exist.
    """
    plans = product.settings.all_plans
    if plan and plan not in plans:
        raise UnknownNameError(f"plan {plan[:40]!r} is not known", hint=f"use one of {', '.join(plans)}")
    known = {customer.customer_id: customer for customer in product.archive.customers.all()}
    before = known.get(customer_id, Customer(customer_id, customer_id, DEFAULT_PLAN))
    customer = Customer(customer_id, name or before.name, plan or before.plan)
    product.archive.customers.add(customer)
    return customer
