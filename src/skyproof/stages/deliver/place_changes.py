"""What a customer changes about its places and portfolios, each in the transaction it is given."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from skyproof.archive.archive import Archive
from skyproof.archive.writes import Outcome, Transaction
from skyproof.domain.accounts import AuditEntry, Plan
from skyproof.domain.deliveries import ApiKey
from skyproof.domain.errors import (
    ConflictError,
    NotFoundError,
    PermissionDeniedError,
    QuotaError,
    UnknownNameError,
)
from skyproof.domain.portfolios import Aggregate, Portfolio
from skyproof.domain.sites import Site
from skyproof.domain.times import format_instant


def site_facts(site: Site, *, is_forecast: bool) -> dict[str, Any]:
    """What a customer is told about a place."""
    return {
        "site": site.site_id,
        "name": site.name,
        "latitude": site.latitude,
        "longitude": site.longitude,
        "elevation": site.elevation_m,
        "timezone": site.timezone,
        "shared": site.customer_id is None,
        "state": "forecast" if is_forecast else "waiting",
    }


def portfolio_facts(portfolio: Portfolio) -> dict[str, Any]:
    """What a customer is told about one of its portfolios."""
    return {
        "portfolio": portfolio.portfolio_id,
        "name": portfolio.name,
        "aggregate": portfolio.aggregate,
        "members": [{"site": site_id, "weight": weight} for site_id, weight in portfolio.members.items()],
        "created_at": format_instant(portfolio.created_at),
    }


def visible_site(archive: Archive, customer_id: str, site_id: str) -> Site:
    """A place the customer may ask about.

    Raises:
        NotFoundError: it does not exist, is retired, or is another's; the words are the same.
    """
    for site in archive.sites.all(customer_id=customer_id):
        if site.site_id == site_id:
            return site
    raise _no_site(site_id)


def own_site(archive: Archive, transaction: Transaction, customer_id: str, site_id: str, *, lock: bool = False) -> Site:
    """A place of the customer's own.

    Raises:
        NotFoundError: it does not exist, is retired, or is another's.
        PermissionDeniedError: everyone sees it, so no customer changes it.
    """
    for site in archive.sites.own(transaction, customer_id, lock=lock):
        if site.site_id == site_id:
            return site
    visible_site(archive, customer_id, site_id)
    raise PermissionDeniedError(f"site {site_id} is shared with everyone", hint="create a site of your own there")


def create_site(
    archive: Archive, transaction: Transaction, by: ApiKey, plan: Plan, facts: Mapping[str, Any], now: datetime
) -> Outcome:
    """Register a place of the customer's own; forecast from the next run on in which a source speaks of it.

    Raises:
        QuotaError: the plan allows no more.
        InvalidValueError: an impossible coordinate or elevation.
        UnknownNameError: an unknown time zone.
    """
    held = archive.sites.own(transaction, by.customer_id, lock=True)
    if len(held) >= plan.sites:
        raise QuotaError(f"your plan allows {plan.sites:,} sites", hint="retire one, or take a larger plan")
    # Our own name: a chosen one would tell which names others have taken.
    site = Site(site_id=f"st_{secrets.token_hex(8)}", customer_id=by.customer_id, **facts)
    archive.sites.put(transaction, site)
    return Outcome(201, site_facts(site, is_forecast=False), _entry(by, "site.created", site.site_id, now))


def change_site(
    archive: Archive,
    transaction: Transaction,
    by: ApiKey,
    site_id: str,
    facts: Mapping[str, Any],
    now: datetime,
    *,
    is_forecast: bool,
) -> Outcome:
    """Change what is said of a place; where it lies never changes, because its observations would mean another place.

    Raises:
        NotFoundError, PermissionDeniedError: see :func:`own_site`.
        InvalidValueError, UnknownNameError: see :func:`create_site`.
    """
    before = own_site(archive, transaction, by.customer_id, site_id, lock=True)
    site = replace(before, **facts)
    archive.sites.put(transaction, site)
    changed = sorted(name for name in facts if getattr(site, name) != getattr(before, name))
    audit = _entry(by, "site.changed", site_id, now, {"changed": changed})
    return Outcome(200, site_facts(site, is_forecast=is_forecast), audit)


def retire_site(archive: Archive, transaction: Transaction, by: ApiKey, site_id: str, now: datetime) -> Outcome:
    """Take a place out of service; its observations and what was delivered of it stay.

    Raises:
        NotFoundError, PermissionDeniedError: see :func:`own_site`.
        ConflictError: a portfolio holds it.
    """
    site = own_site(archive, transaction, by.customer_id, site_id, lock=True)
    holding = [each for each in archive.portfolios.own(transaction, by.customer_id) if site_id in each.members]
    if holding:
        raise ConflictError(
            f"portfolio {holding[0].portfolio_id} holds site {site_id}", hint="take it out of the portfolio first"
        )
    archive.sites.retire(transaction, site_id, now)
    answer = {**site_facts(site, is_forecast=False), "state": "retired"}
    return Outcome(200, answer, _entry(by, "site.retired", site_id, now))


def own_portfolio(portfolios: tuple[Portfolio, ...], portfolio_id: str) -> Portfolio:
    """One of the customer's portfolios.

    Raises:
        NotFoundError: it does not exist, or is another's.
    """
    for portfolio in portfolios:
        if portfolio.portfolio_id == portfolio_id:
            return portfolio
    raise NotFoundError(f"portfolio {portfolio_id[:64]!r} does not exist", hint="GET /v1/portfolios lists yours")


def put_portfolio(
    archive: Archive,
    transaction: Transaction,
    by: ApiKey,
    plan: Plan,
    now: datetime,
    *,
    name: str,
    aggregate: Aggregate,
    members: Mapping[str, float],
    portfolio_id: str = "",
) -> Outcome:
    """Make a portfolio, or replace the one of that id.

    Raises:
        QuotaError: the plan allows no more.
        NotFoundError: no such portfolio to replace.
        UnknownNameError: a site that does not exist, or is another's.
        InvalidValueError: impossible weights.
    """
    held = archive.portfolios.own(transaction, by.customer_id, lock=True)
    before = own_portfolio(held, portfolio_id) if portfolio_id else None
    if before is None and len(held) >= plan.portfolios:
        raise QuotaError(f"your plan allows {plan.portfolios:,} portfolios", hint="delete one, or take a larger plan")
    seen = {site.site_id for site in archive.sites.all(customer_id=by.customer_id)}
    unknown = [site_id for site_id in members if site_id not in seen]
    if unknown:
        raise UnknownNameError(f"site {unknown[0][:64]!r} is not known", hint="GET /v1/sites lists yours")
    portfolio = Portfolio(
        before.portfolio_id if before else f"pf_{secrets.token_hex(8)}",
        by.customer_id,
        name,
        aggregate,
        members,
        before.created_at if before else now,
    )
    archive.portfolios.put(transaction, portfolio)
    action = "portfolio.changed" if before else "portfolio.created"
    audit = _entry(by, action, portfolio.portfolio_id, now, {"sites": len(members)})
    return Outcome(200 if before else 201, portfolio_facts(portfolio), audit)


def delete_portfolio(
    archive: Archive, transaction: Transaction, by: ApiKey, portfolio_id: str, now: datetime
) -> Outcome:
    """Drop a portfolio; what was delivered of it stays.

    Raises:
        NotFoundError: it does not exist, or is another's.
    """
    portfolio = own_portfolio(archive.portfolios.own(transaction, by.customer_id, lock=True), portfolio_id)
    archive.portfolios.delete(transaction, portfolio_id)
    return Outcome(200, portfolio_facts(portfolio), _entry(by, "portfolio.deleted", portfolio_id, now))


def _no_site(site_id: str) -> NotFoundError:
    return NotFoundError(f"site {site_id[:64]!r} does not exist", hint="GET /v1/sites lists yours")


def _entry(
    by: ApiKey, action: str, subject: str, now: datetime, detail: Mapping[str, object] | None = None
) -> AuditEntry:
    return AuditEntry(now, by.customer_id, by.key_id, action, subject, detail or {})
