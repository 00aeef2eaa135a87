"""What there is: sites, variables, runs, the state of the service, and the description of it all."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from starlette.routing import Route

from skyproof.archive.archive import Archive
from skyproof.domain.sites import Site
from skyproof.domain.units import find_unit
from skyproof.domain.variables import VARIABLES
from skyproof.stages.deliver.forms import FORMS
from skyproof.stages.deliver.parameters import PARAMETERS
from skyproof.surfaces.api import wire
from skyproof.surfaces.api.app import create_app
from skyproof.surfaces.api.description import OPEN
from tests.surfaces.api.served import ACME_SITE, NOW, SECOND_INIT, MovableClock, calling, draft, fill

#: Pages for people and this description itself.
UNDESCRIBED = {"/", "/docs", "/openapi.json", "/console.css", "/llms.txt", "/.well-known/api-catalog"}


def test_sites_are_told_as_they_are_registered(ask):
    mine, shared = ask("/v1/sites").json()["sites"]
    assert mine == {
        "site": ACME_SITE.site_id, "name": ACME_SITE.name, "latitude": 47.0, "longitude": 8.0, "elevation": 500.0,
        "timezone": "Asia/Kolkata", "shared": False, "state": "forecast",
    }  # fmt: skip
    assert (shared["name"], shared["shared"]) == ("Zürich", True)


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 1000])
def test_pages_of_sites_hold_each_once(sqlite_archive: Archive, limit):
    served = fill(sqlite_archive)
    sqlite_archive.sites.add([Site(f"s{k}", f"Site {k}", 0.0, float(k), 0.0) for k in range(5)])
    with calling(sqlite_archive, served.tokens) as ask:
        assert walk(ask, "/v1/sites", "sites", "site", limit) == ["acme-roof", "s0", "s1", "s2", "s3", "s4", "zurich"]


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 1000])
def test_pages_of_runs_hold_each_once_the_newest_first(archive: Archive, limit):
    served = fill(archive)
    more = [archive.runs.publish(draft(k, SECOND_INIT - timedelta(hours=k), "rel_b")) for k in (3, 4, 5)]
    with calling(archive, served.tokens) as ask:
        wanted = [served.second.run_id, *(run.run_id for run in more), served.first.run_id]
        assert walk(ask, "/v1/runs", "runs", "run_id", limit) == wanted
        assert walk(ask, "/v1/runs?since=2025-03-29T20:00:00Z", "runs", "run_id", limit) == wanted[:3]


def walk(ask, path: str, rows: str, name: str, limit: int) -> list[str]:
    """The names on all pages of a list."""
    found: list[str] = []
    cursor = ""
    for _ in range(20):
        page = ask(f"{path}{'&' if '?' in path else '?'}limit={limit}&cursor={cursor}").json()
        assert len(page[rows]) <= limit
        found += [row[name] for row in page[rows]]
        cursor = page["next_cursor"]
        if cursor is None:
            return found
    raise AssertionError("the pages never end")


def test_a_run_is_listed_when_it_is_published_and_not_before(sqlite_archive: Archive):
    served, clock = fill(sqlite_archive), MovableClock(SECOND_INIT + timedelta(minutes=29))
    with calling(sqlite_archive, served.tokens, clock=clock) as ask:
        assert ask("/v1/runs/latest").json()["run_id"] == served.first.run_id
        assert [run["run_id"] for run in ask("/v1/runs").json()["runs"]] == [served.first.run_id]
        clock.instant += timedelta(minutes=1)
        latest = ask("/v1/runs/latest").json()
        assert latest["run_id"] == served.second.run_id
        assert ask("/v1/runs").json()["runs"][0] == latest
        assert latest == {
            "run_id": served.second.run_id, "model_version": "rel_bbbbbbbbbbbbbbbb", "init_time": "2025-03-30T00:00:00Z",
            "issued_at": "2025-03-30T00:00:00Z", "available_at": "2025-03-30T00:30:00Z",
            "regime": {
                "id": "without-boreas", "missing": ["boreas"], "late": [], "band_widening": 1.25, "nominal_coverage": 0.8,
                "measured_coverage": 0.79, "n": 412,
            },
            "warnings": ["stale_source:boreas since 2025-03-29T00:00:00Z"],
        }  # fmt: skip


def test_variables_are_those_of_the_registry_and_their_units_can_be_asked_for(ask):
    told = ask("/v1/variables").json()["variables"]
    assert [entry["name"] for entry in told] == [variable.name for variable in VARIABLES]
    for entry, variable in zip(told, VARIABLES, strict=True):
        assert (entry["standard_name"], entry["unit"]) == (variable.standard_name, variable.unit)
        assert entry["symbol"] == find_unit(variable.unit).symbol
        assert entry["cell_methods"] == variable.cell_method
    units = {entry["name"]: entry["units"] for entry in told}
    days = {entry["name"]: entry["daily"] for entry in told}
    assert days["precipitation"] == ["precipitation_sum"]
    for name in days["temperature_2m"]:
        assert ask.forecast({"hourly": "", "daily": name}).status_code == 200
    for name, parameter in (("temperature_2m", "temperature_unit"), ("precipitation", "precipitation_unit")):
        for unit in units[name]:
            assert ask.forecast({"hourly": name, parameter: unit}).status_code == 200


def test_the_status_follows_the_newest_run(sqlite_archive: Archive):
    served, clock = fill(sqlite_archive), MovableClock()
    with calling(sqlite_archive, served.tokens, clock=clock) as ask:
        told = ask("/v1/status").json()
        assert (told["status"], told["run_age_hours"], told["now"]) == ("degraded", 3.0, "2025-03-30T03:00:00Z")
        assert told["newest_run"]["run_id"] == served.second.run_id
        clock.instant = SECOND_INIT
        told = ask("/v1/status").json()
        assert (told["status"], told["run_age_hours"]) == ("ok", 12.0)
        clock.instant = SECOND_INIT + timedelta(hours=24)  # twice the usual gap of 12 h
        assert ask("/v1/status").json()["status"] == "degraded"
        clock.instant += timedelta(seconds=1)
        assert ask("/v1/status").json()["status"] == "stale"


def test_a_source_that_never_sent_anything_is_overdue(ask):
    (alba,) = ask("/v1/status").json()["sources"]
    assert (alba["source"], alba["overdue"], alba["newest_init_time"]) == ("alba", True, None)
    assert alba["licence"] == "CC-BY-4.0"


def addresses_of(router: Any) -> Iterator[tuple[str, str]]:
    """(path, method) of every route, included routers' too."""
    for route in router.routes:
        if isinstance(route, Route):
            yield from ((route.path, method.lower()) for method in route.methods - {"HEAD"})
        else:
            yield from addresses_of(route.original_router)


def test_the_description_has_every_route_and_nothing_else(ask, served):
    document = ask("/openapi.json", key=None).json()
    routes = set(addresses_of(create_app(served.archive, clock=MovableClock(), console=True).app))
    described = {(path, method) for path, operations in document["paths"].items() for method in operations}
    assert described == {(path, method) for path, method in routes if path not in UNDESCRIBED}
    assert routes - described == {(path, "get") for path in UNDESCRIBED}


def test_every_operation_says_who_may_call_it_and_how_it_fails(ask):
    document = ask("/openapi.json", key=None).json()
    assert re.fullmatch(r"3\.1\.\d+", document["openapi"])
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert operation["summary"]
            assert operation["security"] == ([] if path in OPEN else [{"bearer": []}, {"header": []}])
            for failure in ("4XX", "5XX"):
                content = operation["responses"][failure]["content"]["application/problem+json"]
                assert content["schema"] == {"$ref": "#/components/schemas/ProblemOut"}
    assert set(document["components"]["securitySchemes"]) == {"bearer", "header"}


def test_every_reference_in_the_description_leads_somewhere(ask):
    document = ask("/openapi.json", key=None).json()
    references = set(re.findall(r'"#/components/schemas/(\w+)"', ask("/openapi.json", key=None).text))
    assert references
    assert references <= set(document["components"]["schemas"])


def test_the_forecast_is_described_with_the_parameters_it_reads(ask):
    operation = ask("/openapi.json", key=None).json()["paths"]["/v1/forecast"]["get"]
    assert [entry["name"] for entry in operation["parameters"]] == [parameter.name for parameter in PARAMETERS]
    for entry in operation["parameters"]:
        assert entry["in"] == "query"
        kind = {list: "array", int: "integer", str: "string"}[type(entry["example"])]
        assert entry["schema"]["type"] == kind
    assert set(operation["responses"]["200"]["content"]) == {
        form.media_type.partition(";")[0] for form in FORMS.values()
    }
    assert "304" in operation["responses"]


def test_a_problem_is_described_as_it_is_sent(ask):
    assert set(ask("/v1/nowhere").json()) == set(wire.ProblemOut.model_fields)


def test_health_is_told_without_a_key_or_the_archive(sqlite_archive: Archive):
    with calling(sqlite_archive, {}) as ask:
        sqlite_archive.engine.dispose()
        assert ask("/healthz", key=None).json() == {"status": "ok"}


def test_ready_means_that_the_newest_run_can_be_read(ask):
    assert ask("/readyz", key=None).json() == {"status": "ready"}


def test_what_is_html_cannot_run_scripts(ask):
    page = ask("/docs", key=None)
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "content-security-policy" not in ask("/healthz").headers


def test_the_present_is_the_clocks(ask):
    assert ask("/v1/status").json()["now"] == NOW.strftime("%Y-%m-%dT%H:%M:%SZ")
