"""The register of customers and their keys."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from skyproof.archive.audit import write_audit
from skyproof.archive.database import Database, rows_as_dicts
from skyproof.archive.tables import api_keys, customers
from skyproof.domain.accounts import AuditEntry
from skyproof.domain.deliveries import ApiKey
from skyproof.domain.errors import InvalidValueError, UnknownNameError
from skyproof.domain.sites import Customer


class Customers:
    """Who we deliver to, and which keys open their door."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, customer: Customer) -> None:
        """Insert a customer, or change its name and plan."""
        with self._database.writing() as connection:
            connection.execute(self._database.upsert(customers), asdict(customer))

    def all(self) -> tuple[Customer, ...]:
        """All customers by id."""
        with self._database.reading() as connection:
            rows = rows_as_dicts(connection.execute(sa.select(customers)).all())
        return tuple(sorted((Customer(**row) for row in rows), key=lambda customer: customer.customer_id))

    def find(self, customer_id: str) -> Customer:
        """The customer of that id.

        Raises:
            UnknownNameError: no such customer.
        """
        query = sa.select(customers).where(customers.c.customer_id == customer_id)
        with self._database.reading() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise UnknownNameError(
                f"customer {customer_id[:64]!r} is not known", hint="skyproof customer list shows all"
            )
        return Customer(**rows_as_dicts([row])[0])

    def add_key(self, key: ApiKey, *, audit: AuditEntry | None = None) -> None:
        """Keep a new key.

        Raises:
            UnknownNameError: its customer does not exist.
            InvalidValueError: the key id is already taken.
        """
        self.find(key.customer_id)
        with self._database.writing() as connection:
            self.insert_key(connection, key)
            if audit is not None:
                write_audit(connection, audit)

    def insert_key(self, connection: Connection, key: ApiKey) -> None:
        """Keep a new key of a known customer, within a transaction.

        Raises:
            InvalidValueError: the key id is already taken.
        """
        insert = self._database.insert_new(api_keys).values(**asdict(key)).returning(api_keys.c.key_id)
        if connection.execute(insert).first() is None:
            raise InvalidValueError(f"key {key.key_id[:64]!r} exists already", hint="make a new one")

    def find_holder(self, key_id: str) -> tuple[ApiKey, Customer] | None:
        """The key of that id and its customer, revoked and expired keys included; None if there is none."""
        query = (
            sa.select(api_keys, customers.c.name, customers.c.plan)
            .join(customers, customers.c.customer_id == api_keys.c.customer_id)
            .where(api_keys.c.key_id == key_id)
        )
        with self._database.reading() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        values = rows_as_dicts([row])[0]
        customer = Customer(values["customer_id"], values.pop("name"), values.pop("plan"))
        return _to_key(values), customer

    def find_key(self, key_id: str) -> ApiKey | None:
        """The key of that id, revoked and expired ones included; None if there is none."""
        with self._database.reading() as connection:
            row = connection.execute(sa.select(api_keys).where(api_keys.c.key_id == key_id)).one_or_none()
        return None if row is None else _to_key(rows_as_dicts([row])[0])

    def keys(self, customer_id: str) -> tuple[ApiKey, ...]:
        """All keys of a customer, oldest first."""
        with self._database.reading() as connection:
            return self.keys_within(connection, customer_id)

    def keys_within(self, connection: Connection, customer_id: str, *, lock: bool = False) -> tuple[ApiKey, ...]:
        """The same within a transaction; ``lock`` lets no other transaction change a key of the customer until it ends."""
        query = sa.select(api_keys).where(api_keys.c.customer_id == customer_id)
        if lock:
            owner = sa.select(customers).where(customers.c.customer_id == customer_id)
            connection.execute(owner.with_for_update())
        rows = rows_as_dicts(connection.execute(query.order_by(api_keys.c.created_at, api_keys.c.key_id)).all())
        return tuple(_to_key(row) for row in rows)

    def change_key(self, connection: Connection, key_id: str, **values: datetime | None) -> None:
        """Change ``expires_at`` or ``revoked_at`` of a key, within a transaction."""
        connection.execute(sa.update(api_keys).where(api_keys.c.key_id == key_id).values(**values))

    def revoke_key(self, key_id: str, at: datetime, *, audit: AuditEntry | None = None) -> None:
        """Close a key from ``at`` on; a key already revoked keeps its first instant.

        Raises:
            UnknownNameError: no such key.
        """
        if self.find_key(key_id) is None:
            raise UnknownNameError(
                f"key {key_id[:64]!r} is not known", hint="skyproof key list shows a customer's keys"
            )
        change = sa.update(api_keys).where(api_keys.c.key_id == key_id, api_keys.c.revoked_at.is_(None))
        with self._database.writing() as connection:
            connection.execute(change.values(revoked_at=at))
            if audit is not None:
                write_audit(connection, audit)


def _to_key(row: dict[str, Any]) -> ApiKey:
    return ApiKey(**{**row, "scopes": tuple(row["scopes"])})
