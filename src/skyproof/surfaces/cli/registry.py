"""Commands on what is registered: sites, customers, keys, sources, releases."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import Annotated

import typer
from rich.markup import escape

from skyproof.cycle.customers import change_customer
from skyproof.cycle.keys import create_key, revoke_key
from skyproof.domain.accounts import FORECAST_SCOPE, SCOPES
from skyproof.domain.sites import Site
from skyproof.surfaces.cli.options import AsOf, read_instant
from skyproof.surfaces.cli.output import Session, count, make_list, make_table

site_app = typer.Typer(help="Places we forecast for.", no_args_is_help=True)
customer_app = typer.Typer(help="Who we deliver to.", no_args_is_help=True)
key_app = typer.Typer(help="Keys customers ask with.", no_args_is_help=True)
source_app = typer.Typer(help="Where forecasts and observations come from.", no_args_is_help=True)
release_app = typer.Typer(help="What was learned.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    """Hang the groups into the command tree."""
    for name, group in (
        ("site", site_app), ("customer", customer_app), ("key", key_app), ("source", source_app), ("release", release_app)
    ):  # fmt: skip
        app.add_typer(group, name=name)


@site_app.command(
    "add",
    epilog="Example: skyproof site add harbour --latitude 47.4 --longitude 8.5 --elevation 410 --timezone Europe/Zurich",
)
def add_site(
    context: typer.Context,
    site_id: Annotated[str, typer.Argument(help="Identifier: a-z, 0-9, '_', '.', '-'.")],
    latitude: Annotated[float, typer.Option(help="Degrees north.")],
    longitude: Annotated[float, typer.Option(help="Degrees east.")],
    elevation: Annotated[float, typer.Option(help="Metres above sea level.")] = 0.0,
    name: Annotated[str, typer.Option(help="What people call it.")] = "",
    timezone: Annotated[str, typer.Option(help="IANA time zone.")] = "UTC",
    customer: Annotated[str | None, typer.Option(help="Only this customer sees it.")] = None,
) -> None:
    """Add a place, or change one."""
    session: Session = context.obj
    site = Site(site_id, name or site_id, latitude, longitude, elevation, timezone, customer)
    with session.product() as product:
        if customer is not None:
            product.archive.customers.find(customer)
        product.archive.sites.add([site])
    session.answer(asdict(site), f"site [bold]{site_id}[/bold] is registered; learn a release to forecast for it")


@site_app.command("list", epilog="Example: skyproof site list --json")
def list_sites(context: typer.Context) -> None:
    """List all places."""
    session: Session = context.obj
    with session.product() as product:
        sites = product.archive.sites.all()
    rows = [
        (s.site_id, s.name, s.latitude, s.longitude, s.elevation_m, s.timezone, s.customer_id or "everyone")
        for s in sites
    ]
    columns = ("site", "name", "latitude", "longitude", "elevation m", "time zone", "seen by")
    session.answer([asdict(site) for site in sites], make_table(count(len(sites), "site"), columns, rows))


@customer_app.command("add", epilog="Example: skyproof customer add harbour-authority --name 'Harbour authority'")
def add_customer(
    context: typer.Context,
    customer_id: Annotated[str, typer.Argument(help="Identifier: a-z, 0-9, '_', '.', '-'.")],
    name: Annotated[str, typer.Option(help="What people call it.")] = "",
    plan: Annotated[str, typer.Option(help="Its limits, by name; see the setting plans.")] = "",
) -> None:
    """Add a customer, or change name and plan of one."""
    session: Session = context.obj
    with session.product() as product:
        customer = change_customer(product, customer_id, name=name, plan=plan)
    session.answer(
        asdict(customer), f"customer [bold]{customer_id}[/bold] is registered; next: skyproof key create {customer_id}"
    )


@customer_app.command("list", epilog="Example: skyproof customer list")
def list_customers(context: typer.Context) -> None:
    """List all customers."""
    session: Session = context.obj
    with session.product() as product:
        customers = product.archive.customers.all()
    rows = [(customer.customer_id, customer.name, customer.plan) for customer in customers]
    columns = ("customer", "name", "plan")
    session.answer([asdict(c) for c in customers], make_table(count(len(customers), "customer"), columns, rows))


@key_app.command("create", epilog="Example: skyproof key create harbour-authority --days 365")
def create(
    context: typer.Context,
    customer_id: Annotated[str, typer.Argument(help="Whose key.")],
    days: Annotated[int | None, typer.Option(min=1, help="Days until it expires. Default: never.")] = None,
    scope: Annotated[
        list[str] | None,
        typer.Option(help="What it opens; may be given several times, or all. Default: forecast:read."),
    ] = None,
) -> None:
    """Make a key. It is shown once: only its hash is kept."""
    session: Session = context.obj
    scopes = tuple(SCOPES) if scope == ["all"] else tuple(scope or (FORECAST_SCOPE,))
    lifetime = None if days is None else timedelta(days=days)
    with session.product() as product:
        token, key = create_key(product, customer_id, lifetime=lifetime, scopes=scopes)
    data = {
        "key": token,
        "key_id": key.key_id,
        "customer_id": customer_id,
        "scopes": key.scopes,
        "expires_at": key.expires_at,
    }
    session.answer(
        data, token, "[dim]Keep it now: it cannot be shown again. Send it as: Authorization: Bearer <key>[/dim]"
    )


@key_app.command("list", epilog="Example: skyproof key list harbour-authority")
def list_keys(context: typer.Context, customer_id: Annotated[str, typer.Argument(help="Whose keys.")]) -> None:
    """List a customer's keys, without their secrets."""
    session: Session = context.obj
    with session.product() as product:
        product.archive.customers.find(customer_id)
        keys = product.archive.customers.keys(customer_id)
    rows = [
        (
            key.key_id,
            key.created_at,
            key.expires_at or "never",
            "revoked" if key.revoked_at else "live",
            ", ".join(key.scopes),
        )
        for key in keys
    ]
    data = [{name: value for name, value in asdict(key).items() if name != "secret_hash"} for key in keys]
    session.answer(
        data,
        make_table(
            f"{count(len(keys), 'key')} of {customer_id}", ("key", "created", "expires", "state", "opens"), rows
        ),
    )


@key_app.command("revoke", epilog="Example: skyproof key revoke 3f9c2ab1")
def revoke(context: typer.Context, key_id: Annotated[str, typer.Argument(help="Identifier of the key.")]) -> None:
    """Revoke a key at once."""
    session: Session = context.obj
    with session.product() as product:
        revoke_key(product, key_id)
    session.answer({"revoked": key_id}, f"key [bold]{escape(key_id)}[/bold] is revoked")


@source_app.command("list", epilog="Example: skyproof source list")
def list_sources(context: typer.Context, as_of: AsOf = None) -> None:
    """List sources with the age of their newest cycle."""
    session: Session = context.obj
    with session.product() as product:
        known = read_instant(as_of, "as-of") or product.clock.now()
        found = []
        for spec in product.archive.sources.all():
            cycles = product.archive.cycles.catalogue(spec.source_id, as_of=known, usable_only=False)
            found.append((spec, cycles))
    rows = [
        (s.source_id, s.title, s.upstream_group, s.licence, s.members, len(c), c[-1].init_time if c else "none",
         c[-1].quality if c else "")
        for s, c in found
    ]  # fmt: skip
    columns = ("source", "title", "group", "licence", "members", "cycles", "newest init", "quality")
    data = [{**asdict(s), "cycles": len(c), "newest": asdict(c[-1]) if c else None} for s, c in found]
    session.answer(data, make_table(count(len(found), "source"), columns, rows))


@release_app.command("list", epilog="Example: skyproof release list")
def list_releases(context: typer.Context, as_of: AsOf = None) -> None:
    """List releases, newest last."""
    session: Session = context.obj
    with session.product() as product:
        releases = product.archive.releases.all(as_of=read_instant(as_of, "as-of") or product.clock.now())
    rows = [
        (r.release_id, r.state, r.created_at, r.trained_from, r.trained_until,
         ", ".join(r.sources))
        for r in releases
    ]  # fmt: skip
    columns = ("release", "state", "created", "trained from", "until", "sources")
    session.answer([asdict(r) for r in releases], make_table(count(len(releases), "release"), columns, rows))


@release_app.command("show", epilog="Example: skyproof release show rel_0123456789abcdef")
def show_release(
    context: typer.Context, release_id: Annotated[str, typer.Argument(help="Identifier of the release.")]
) -> None:
    """Show a release's card."""
    session: Session = context.obj
    with session.product() as product:
        release = product.archive.releases.find(release_id)
    session.answer(asdict(release), make_list({"release": release.release_id, "state": release.state, **release.card}))
