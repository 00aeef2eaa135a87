"""Models, releases and sources as they are told, and what machines read before they ask."""

from __future__ import annotations

from datetime import timedelta

import pytest

from skyproof.archive.archive import Archive
from skyproof.domain.quantiles import LEVELS
from tests.surfaces.api.served import LEADS, NOW, VARIABLES, calling, fill


def add_release(archive: Archive, content: bytes, *, days: int, state: str = "stable", **card: object) -> str:
    release = archive.releases.add(
        content, created_at=NOW - timedelta(days=days), trained_from=NOW - timedelta(days=400),
        trained_until=NOW - timedelta(days=days), sources=["alba"], card=card, state=state,
    )  # fmt: skip
    return release.release_id


def test_a_model_tells_what_its_newest_run_has_and_its_newest_stable_release(archive: Archive):
    served = fill(archive)
    with calling(archive, served.tokens) as ask:
        (before,) = ask("/v1/models").json()["models"]
        assert (before["latest"], ask("/v1/models/skyproof").json()["card"]) == (None, {})
        old = add_release(archive, b"one", days=9)
        newest = add_release(archive, b"two", days=2, sites=64, observations={"x": 1}, limitations="none known")
        shadow = add_release(archive, b"three", days=1, state="shadow")
        told = ask("/v1/models/best_match").json()
        assert (told["variables"], told["lead_hours"]) == (list(VARIABLES), list(LEADS))
        assert told["quantile_levels"] == list(LEVELS)
        assert "precipitation_sum" in told["daily"]
        assert "cloud_cover_max" not in told["daily"]
        assert told["latest"]["version"] == newest
        # How many places all customers have together is nobody's business.
        assert told["card"] == {"limitations": "none known"}
        versions, cursor = [], ""
        while cursor is not None:
            page = ask(f"/v1/models/skyproof/versions?limit=1&cursor={cursor}").json()
            versions += [(version["version"], version["state"]) for version in page["versions"]]
            cursor = page["next_cursor"]
        assert versions == [(shadow, "shadow"), (newest, "stable"), (old, "stable")]


def test_a_release_is_told_when_it_is_made_and_not_before(sqlite_archive: Archive):
    served = fill(sqlite_archive)
    add_release(sqlite_archive, b"tomorrow", days=-1)
    with calling(sqlite_archive, served.tokens) as ask:
        assert ask("/v1/models/skyproof").json()["latest"] is None
        assert ask("/v1/models/skyproof/versions").json() == {"versions": [], "next_cursor": None}


def test_a_source_tells_its_terms_what_it_promises_and_how_fresh_it_is(ask):
    (told,) = ask("/v1/sources").json()["sources"]
    assert ask("/v1/sources/alba").json() == told
    assert told == {
        "source": "alba", "title": "Alba ensemble", "licence": "CC-BY-4.0", "attribution": "Contains Alba data",
        "commercial_use": True, "redistribution": True, "upstream_group": "alba", "cadence_hours": 12.0,
        "latency_p50_hours": 4.0, "latency_p95_hours": 5.0, "members": 5, "lead_hours": list(LEADS),
        "units": {"temperature_2m": "Cel"}, "url": "", "newest_init_time": None, "newest_available_at": None,
        "age_hours": None, "overdue": True,
    }  # fmt: skip


def test_the_newest_run_that_reaches_far_enough_is_found(ask, served):
    for hours in (0, 1, LEADS[-1]):
        assert ask(f"/v1/runs/latest?min_lead_hours={hours}").json()["run_id"] == served.second.run_id
    assert ask(f"/v1/runs/latest?min_lead_hours={LEADS[-1] + 1}").status_code == 404


def test_language_models_are_told_every_address_and_nothing_private(ask, served):
    answer = ask("/llms.txt", key=None)
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text.startswith("# Skyproof\n\n> ")
    for path in ask("/openapi.json", key=None).json()["paths"]:
        assert f" {path}: " in answer.text
    for private in ("acme", "bolt", served.second.run_id):
        assert private not in answer.text


@pytest.mark.parametrize("name", ["service-desc", "service-doc", "status"])
def test_what_the_catalog_links_to_is_there(ask, name):
    answer = ask("/.well-known/api-catalog", key=None)
    assert answer.headers["content-type"].startswith("application/linkset+json")
    (links,) = answer.json()["linkset"]
    (link,) = links[name]
    assert ask(link["href"], key=None).status_code == 200
