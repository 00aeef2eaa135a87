"""Sites, customers, keys, sources and events."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from archive_samples import at, make_sites

from skyproof.archive.archive import Archive
from skyproof.domain.cycles import SourceSpec
from skyproof.domain.deliveries import ApiKey, LedgerEvent
from skyproof.domain.errors import InvalidValueError, UnknownNameError
from skyproof.domain.sites import Customer


def make_spec(source_id: str = "alba") -> SourceSpec:
    return SourceSpec(
        source_id=source_id,
        title="Alba ensemble",
        upstream_group="alba",
        licence="CC-BY-4.0",
        attribution="Alba",
        commercial_use=True,
        redistribution=False,
        cadence=timedelta(hours=24),
        latency_p50=timedelta(hours=6),
        latency_p95=timedelta(hours=7, seconds=30),
        members=12,
        lead_hours=(0, 6, 12),
        units={"wind_speed_10m": "m/s", "temperature_2m": "K"},
    )


def test_sites_come_sorted_and_may_be_changed(archive: Archive) -> None:
    sites = make_sites(3)
    archive.sites.add(reversed(sites))
    assert archive.sites.all() == sites
    moved = replace(sites[1], elevation_m=999.0, timezone="Europe/Zurich")
    archive.sites.add([moved])
    archive.sites.add([])
    assert archive.sites.find(sites[1].site_id) == moved
    assert len(archive.sites.all()) == 3


def test_a_customer_sees_its_own_sites_and_the_shared_ones(archive: Archive) -> None:
    shared, own, other = make_sites(3)
    own, other = replace(own, customer_id="acme"), replace(other, customer_id="bolt")
    archive.sites.add([shared, own, other])
    assert archive.sites.all(customer_id="acme") == (shared, own)
    assert archive.sites.all(customer_id="nobody") == (shared,)
    assert archive.sites.all() == (shared, own, other)


def test_unknown_names_say_which(archive: Archive) -> None:
    for find in (
        archive.sites.find,
        archive.customers.find,
        archive.sources.find,
        archive.releases.find,
        archive.runs.find,
    ):
        with pytest.raises(UnknownNameError, match="'nothing' is not known"):
            find("nothing")


def test_keys_belong_to_customers_and_can_be_revoked_once(archive: Archive) -> None:
    archive.customers.add(Customer("acme", "Acme"))
    archive.customers.add(Customer("acme", "Acme Energy"))
    assert archive.customers.all() == (Customer("acme", "Acme Energy"),)
    key = ApiKey("k1", "acme", "hash", ("forecast",), at(0), None)
    archive.customers.add_key(key)
    archive.customers.add_key(replace(key, key_id="k2", created_at=at(1), expires_at=at(9)))
    assert archive.customers.find_key("k1") == key
    assert archive.customers.find_key("none") is None
    archive.customers.revoke_key("k1", at(2))
    archive.customers.revoke_key("k1", at(5))
    assert [found.revoked_at for found in archive.customers.keys("acme")] == [at(2), None]
    with pytest.raises(InvalidValueError, match="exists already"):
        archive.customers.add_key(key)
    with pytest.raises(UnknownNameError, match="customer 'bolt'"):
        archive.customers.add_key(replace(key, key_id="k3", customer_id="bolt"))
    with pytest.raises(UnknownNameError, match="key 'none'"):
        archive.customers.revoke_key("none", at(1))


def test_a_register_row_comes_back_whole_with_its_variables_in_order(archive: Archive) -> None:
    archive.sources.register(make_spec("boreas"))
    archive.sources.register(make_spec())
    assert archive.sources.find("alba") == make_spec()
    assert archive.sources.find("alba").variables == ("wind_speed_10m", "temperature_2m")
    assert [spec.source_id for spec in archive.sources.all()] == ["alba", "boreas"]
    archive.sources.register(replace(make_spec(), title="New"))
    assert archive.sources.find("alba").title == "New"


def test_events_are_read_as_of_and_in_order(archive: Archive) -> None:
    archive.events.add("run.published", {"run": "run_1", "sites": [1, 2]}, recorded_at=at(2))
    archive.events.add("source.late", {}, recorded_at=at(1))
    archive.events.add("run.published", {"run": "run_2"}, recorded_at=at(2))
    assert [event.kind for event in archive.events.all(as_of=at(1))] == ["source.late"]
    assert archive.events.all(as_of=at(2), kind="run.published") == (
        LedgerEvent(at(2), "run.published", {"run": "run_1", "sites": [1, 2]}),
        LedgerEvent(at(2), "run.published", {"run": "run_2"}),
    )
