"""What changed: corrigenda told to every customer, the changelog as data and as a feed, and what goes away said in band."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from xml.etree import ElementTree

import pytest

from skyproof.archive.archive import Archive
from skyproof.cycle.clock import FixedClock
from skyproof.cycle.corrigendum_cycle import publish_corrigendum
from skyproof.cycle.settings import Settings
from skyproof.cycle.wiring import Product
from skyproof.domain.errors import InvalidValueError, UnknownNameError
from skyproof.surfaces.api.lifecycle import API_VERSION, CHANGES, Deprecation
from tests.surfaces.api.served import NOW, MovableClock, calling, fill
from tests.surfaces.api.test_problems import check_problem


def publish(archive: Archive, title: str = "Rain too low", **more):
    product = Product(Path("unused"), Settings(), archive, FixedClock(NOW))
    return publish_corrigendum(product, title=title, text="A gauge was read in inches.", **more)


def test_a_corrigendum_is_listed_and_told_to_every_customer(archive: Archive):
    served = fill(archive)
    made = publish(archive, run_ids=(served.first.run_id,), variables=("precipitation",))
    second = publish(archive, "All of a night", issued_from=NOW - timedelta(hours=9), issued_until=NOW)
    with calling(archive, served.tokens) as ask:
        told = ask("/v1/corrigenda").json()["corrigenda"]
        assert [each["corrigendum"] for each in told] == [second.corrigendum_id, made.corrigendum_id]
        assert told[1] == {
            "corrigendum": made.corrigendum_id, "published_at": "2025-03-30T03:00:00Z", "title": "Rain too low",
            "text": "A gauge was read in inches.", "runs": [served.first.run_id], "variables": ["precipitation"],
            "issued_from": None, "issued_until": None,
        }  # fmt: skip
        page = ask("/v1/corrigenda?limit=1").json()
        assert ask(f"/v1/corrigenda?limit=1&cursor={page['next_cursor']}").json()["corrigenda"] == told[1:]
        assert ask("/v1/corrigenda?since=2025-03-30T03:00:01Z").json()["corrigenda"] == []
        for key in ("acme", "bolt"):
            events = ask("/v1/events?type=corrigendum.published", key=key).json()["events"]
            assert [event["data"] for event in events] == told[::-1]
        assert '</v1/corrigenda>; rel="related"' in ask.forecast().headers["link"]
    with calling(archive, served.tokens, clock=MovableClock(NOW - timedelta(seconds=1))) as ask:
        assert ask("/v1/corrigenda").json()["corrigenda"] == []  # not yet


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"run_ids": ("run_0",)},
        {"issued_from": NOW},
        {"issued_from": NOW, "issued_until": NOW - timedelta(hours=1)},
        {"issued_from": NOW, "issued_until": NOW, "variables": ("ozone",)},
        {"issued_from": NOW, "issued_until": NOW, "title": ""},
        {"issued_from": NOW, "issued_until": NOW, "title": "x" * 201},
    ],
)
def test_an_impossible_corrigendum_is_refused_and_told_to_nobody(sqlite_archive: Archive, more):
    fill(sqlite_archive)
    with pytest.raises((InvalidValueError, UnknownNameError)):
        publish(sqlite_archive, **more)
    assert sqlite_archive.corrigenda.page(as_of=NOW) == ()
    assert sqlite_archive.notices.page("acme") == ()


def test_the_changelog_is_data_and_a_feed(ask):
    told = ask("/v1/changelog").json()
    assert told["api_version"] == API_VERSION
    assert len(told["changes"]) == len(CHANGES)
    assert told["changes"] == sorted(told["changes"], key=lambda change: change["date"], reverse=True)
    feed = ask("/v1/changelog?format=atom")
    assert feed.headers["content-type"].startswith("application/atom+xml")
    root = ElementTree.fromstring(feed.content)
    space = "{http://www.w3.org/2005/Atom}"
    # RFC 4287, section 4.1: what a feed and an entry must have.
    assert {child.tag for child in root} >= {f"{space}{name}" for name in ("id", "title", "updated", "author", "entry")}
    entries = root.findall(f"{space}entry")
    assert [entry.findtext(f"{space}summary") for entry in entries] == [change["text"] for change in told["changes"]]
    assert len({entry.findtext(f"{space}id") for entry in entries}) == len(CHANGES)
    assert all(entry.findtext(f"{space}updated").endswith("T00:00:00Z") for entry in entries)
    check_problem(ask("/v1/changelog?format=rss"), 422, "invalid_value")


GOING = (
    Deprecation("GET", "/v1/sites/{site_id}", date(2025, 1, 1), date(2026, 6, 1), "ask /v1/sites"),
    Deprecation("GET", "/v1/forecast", date(2025, 2, 1), date(2026, 3, 1), "leave it out", parameter="models"),
    Deprecation("GET", "/v1/forecast", date(2025, 2, 1), date(2026, 2, 15), "ask /v2", parameter="temporal_resolution"),
)


def test_what_goes_away_is_said_in_every_answer_that_it_concerns(served):
    with calling(served.archive, served.tokens, deprecations=GOING, refresh_s=1e9, remember_keys_s=1e9) as ask:
        for _ in range(3):  # the ordinary way, then the hot path
            answer = ask.forecast({"models": "skyproof"})
            assert answer.headers["deprecation"] == f"@{int(datetime(2025, 2, 1, tzinfo=UTC).timestamp())}"
            assert parsedate_to_datetime(answer.headers["sunset"]) == datetime(2026, 3, 1, tzinfo=UTC)
            assert '</v1/changelog>; rel="deprecation"' in answer.headers["link"]
        both = ask.forecast({"models": "skyproof", "temporal_resolution": "native"})
        assert parsedate_to_datetime(both.headers["sunset"]) == datetime(2026, 2, 15, tzinfo=UTC)
        for answer in (ask("/v1/sites/zurich"), ask("/v1/sites/zurich", method="HEAD"), ask("/v1/sites/nowhere")):
            assert "deprecation" in answer.headers
        for answer in (ask.forecast(), ask("/v1/sites"), ask("/v1/sites/zurich/observations"), ask("/v1/forecasts/x")):
            assert "deprecation" not in answer.headers
        document = ask("/openapi.json", key=None).json()
        assert document["paths"]["/v1/sites/{site_id}"]["get"]["deprecated"] is True
        marked = [
            each["name"] for each in document["paths"]["/v1/forecast"]["get"]["parameters"] if each.get("deprecated")
        ]
        assert marked == ["models", "temporal_resolution"]
        told = ask("/v1/changelog").json()["deprecations"]
        assert told[1] == {
            "operation": "GET /v1/forecast", "parameter": "models", "since": "2025-02-01", "sunset": "2026-03-01",
            "instead": "leave it out",
        }  # fmt: skip


def test_nothing_goes_away_sooner_than_the_policy_promises():
    with pytest.raises(InvalidValueError, match="364 days"):
        Deprecation("GET", "/v1/sites", date(2025, 1, 1), date(2025, 12, 31), "x")
    Deprecation("GET", "/v1/sites", date(2025, 1, 1), date(2026, 1, 1), "x")
    policy = (Path(__file__).parents[3] / "docs/reference/lifecycle.md").read_text()
    assert "365 days" in policy
    assert "Deprecation" in policy
