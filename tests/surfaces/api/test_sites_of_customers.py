"""A customer's own places and what it measured there, over HTTP, on either database."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from datetime import timedelta

import numpy as np
import orjson
import pytest

from skyproof.archive.archive import Archive
from skyproof.domain.accounts import Plan
from skyproof.domain.times import format_instant
from tests.surfaces.api.served import ACME_SITE, BOLT_SITE, NOW, Caller, MovableClock, calling, fill
from tests.surfaces.api.test_problems import check_problem

YARD = {"name": "Yard", "latitude": 47.1, "longitude": 8.1, "elevation": 450.0, "timezone": "Europe/Zurich"}
HOUR = "2025-03-29T{:02d}:00:00Z"
OWN = f"/v1/sites/{ACME_SITE.site_id}/observations"
COUNTS = ("received", "accepted", "flagged", "revised", "duplicate", "rejected")


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
def ask(archive: Archive, clock: MovableClock) -> Iterator[Caller]:
    """Asks an archive of its own, on either database: these tests write."""
    with calling(archive, fill(archive).tokens, clock=clock) as caller:
        yield caller


def test_a_site_is_created_changed_and_retired(ask, archive):
    made = ask.post("/v1/sites", YARD)
    site = made.json()
    assert made.status_code == 201
    assert {name: site[name] for name in YARD} == YARD
    assert (site["shared"], site["state"]) == (False, "waiting")
    assert ask(f"/v1/sites/{site['site']}").json() == site
    path = f"/v1/sites/{site['site']}"
    changed = ask(path, method="PATCH", body={"name": "The yard", "elevation": 451.5})
    assert changed.json() == site | {"name": "The yard", "elevation": 451.5}
    assert [each["site"] for each in ask("/v1/sites").json()["sites"]] == sorted(
        [ACME_SITE.site_id, site["site"], "zurich"]
    )
    assert ask(path, method="DELETE").json()["state"] == "retired"
    check_problem(ask(path), 404, "not_found")
    check_problem(ask(path, method="DELETE"), 404, "not_found")
    assert site["site"] not in ask("/v1/sites").text
    assert archive.sites.find(site["site"]).name == "The yard"
    assert [entry["action"] for entry in ask("/v1/audit").json()["entries"]] == [
        "site.retired", "site.changed", "site.created"
    ]  # fmt: skip


def test_a_retired_site_is_forecast_no_more_and_what_was_delivered_stays(ask):
    delivered = ask.forecast({"site": ACME_SITE.site_id})
    ask(f"/v1/sites/{ACME_SITE.site_id}", method="DELETE")
    check_problem(ask.forecast({"site": ACME_SITE.site_id}), 422, "unknown_name")
    again = ask(f"/v1/forecasts/{delivered.json()['meta']['forecast_id']}")
    assert again.content == delivered.content


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"latitude": 90.1}, "invalid_value"),
        ({"longitude": -181}, "invalid_value"),
        ({"elevation": 9001}, "invalid_value"),
        ({"elevation": None}, "invalid_value"),
        ({"timezone": "Mars/Olympus"}, "unknown_name"),
        ({"name": ""}, "invalid_value"),
        ({"name": "x" * 121}, "invalid_value"),
        ({"name": "two\nlines"}, "invalid_value"),
        ({"site": "mine"}, "unknown_name"),
        ({"customer_id": "bolt"}, "unknown_name"),
    ],
)
def test_an_impossible_site_is_refused(ask, change, code):
    check_problem(ask.post("/v1/sites", YARD | change), 422, code)


@pytest.mark.parametrize("change", [{}, {"latitude": 47.2}, {"customer_id": "bolt"}, {"shared": True}])
def test_a_place_never_moves_and_never_changes_hands(ask, change):
    assert ask(f"/v1/sites/{ACME_SITE.site_id}", method="PATCH", body=change).status_code == 422


def test_sites_are_limited_by_the_plan(archive):
    plans = {"standard": Plan(10**6, 10**6, 2, 1, 1)}
    with calling(archive, fill(archive).tokens, plans=plans) as ask:
        assert ask.post("/v1/sites", YARD).status_code == 201
        problem = check_problem(ask.post("/v1/sites", YARD), 429, "quota")
        assert "2 sites" in problem["detail"]
        ask(f"/v1/sites/{ACME_SITE.site_id}", method="DELETE")
        assert ask.post("/v1/sites", YARD).status_code == 201


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_nobody_changes_a_site_that_everyone_sees(ask, method):
    answer = ask("/v1/sites/zurich", method=method, body={"name": "mine"} if method == "PATCH" else None)
    check_problem(answer, 403, "permission_denied")


def row(hour: int, value: float | None, variable: str = "temperature_2m", **more: str) -> dict:
    return {"time": HOUR.format(hour), "variable": variable, "value": value, **more}


def counts(answer) -> tuple[int, ...]:
    return tuple(answer.json()[name] for name in COUNTS)


def test_every_row_gets_a_verdict(ask):
    rows = [
        row(1, 5.25), row(2, 278.4, unit="K"), row(3, 150.0), row(4, None), row(5, -3.0, "precipitation"),
        row(6, 5.0, "ozone"), row(7, 5.0, unit="hPa"), {"time": "2025-03-29T08:00:00", "variable": "temperature_2m", "value": 1},
        row(9, -999.0), row(1, 6.0), "nothing", row(10, 1.0) | {"site": "bolt-farm"}, row(11, 7.0) | {"value": "x"},
    ]  # fmt: skip
    answer = ask.post(OWN, {"observations": rows})
    assert answer.status_code == 200
    verdicts = [(each["verdict"], each.get("flag", "")) for each in answer.json()["rows"]]
    assert verdicts == [
        ("accepted", ""), ("accepted", ""), ("flagged", "range"), ("accepted", "missing"), ("flagged", "negative"),
        ("rejected", ""), ("rejected", ""), ("rejected", ""), ("flagged", "fill"), ("rejected", ""), ("rejected", ""),
        ("rejected", ""), ("rejected", ""),
    ]  # fmt: skip
    assert counts(answer) == (13, 3, 3, 0, 0, 7)
    assert all(each["reason"] for each in answer.json()["rows"] if each["verdict"] != "accepted")
    assert [each["row"] for each in answer.json()["rows"]] == list(range(13))


def test_what_passed_is_truth_and_what_is_flagged_is_not(ask, archive):
    ask.post(OWN, [row(0, 5.25), row(6, 150.0), row(12, 284.15, unit="K")])
    _, values = archive.observations.grid(
        variables=("temperature_2m",), site_ids=(ACME_SITE.site_id,), valid_from=NOW - timedelta(hours=27),
        valid_until=NOW - timedelta(hours=15), step_hours=6, as_of=NOW,
    )  # fmt: skip
    np.testing.assert_allclose(values[0, :, 0], [5.25, np.nan, 11.0], rtol=1e-6)


def test_sending_again_changes_nothing_and_another_value_is_a_revision(ask, archive, clock):
    rows = [row(1, 5.0), row(2, None), row(3, 281.15, unit="K")]
    assert counts(ask.post(OWN, rows)) == (3, 3, 0, 0, 0, 0)
    clock.instant = NOW + timedelta(hours=1)
    assert counts(ask.post(OWN, rows)) == (3, 0, 0, 0, 3, 0)
    assert counts(ask.post(OWN, [row(3, 8.0)])) == (1, 0, 0, 0, 1, 0)  # the same in another unit
    assert counts(ask.post(OWN, [row(1, 5.5), row(2, 4.0), row(4, 1.0)])) == (3, 1, 0, 2, 0, 0)
    # Within the same second, and to a lower value: the later statement counts.
    assert counts(ask.post(OWN, [row(1, 2.0)])) == (1, 0, 0, 1, 0, 0)
    assert counts(ask.post(OWN, [row(1, 2.0)])) == (1, 0, 0, 0, 1, 0)
    clock.instant = NOW + timedelta(hours=2)
    _, values = archive.observations.grid(
        variables=("temperature_2m",), site_ids=(ACME_SITE.site_id,), valid_from=NOW - timedelta(hours=26),
        valid_until=NOW - timedelta(hours=23), step_hours=1, as_of=clock.instant,
    )  # fmt: skip
    np.testing.assert_allclose(values[0, :, 0], [2.0, 4.0, 8.0, 1.0])
    window = f"?variable=temperature_2m&start={HOUR.format(0)}&end={HOUR.format(23)}"
    told = ask(OWN + window).json()
    assert [each["value"] for each in told["observations"]] == [5.0, 5.5, 2.0, None, 4.0, 8.0, 1.0]
    assert [each["flag"] for each in told["observations"]] == ["", "", "", "missing", "", "", ""]
    paged, cursor = [], ""
    for _ in range(4):
        page = ask(f"{OWN}{window}&limit=2&cursor={cursor}").json()
        paged += page["observations"]
        cursor = page["next_cursor"]
    assert (paged, cursor) == (told["observations"], None)
    assert len(ask(f"{OWN}{window}&qc=flagged").json()["observations"]) == 1
    assert len(ask(f"{OWN}{window}&qc=passed").json()["observations"]) == 6


def test_an_idempotency_key_gives_the_first_verdicts_again(ask):
    first = ask.post(OWN, [row(1, 5.0)], Idempotency_Key="batch-1")
    again = ask.post(OWN, [row(1, 5.0)], Idempotency_Key="batch-1")
    assert first.json() == again.json()
    assert again.headers["idempotent-replayed"] == "true"


def send(ask: Caller, content: bytes, form: str, path: str = OWN, **headers: str):
    return ask(path, method="POST", content=content, Content_Type=form, **headers)


def test_all_forms_say_the_same(ask):
    rows = [row(1, 5.25), row(2, None), row(3, 281.0, unit="K")]
    lines = b"\n".join(orjson.dumps(each) for each in rows) + b"\n\n"
    table = "\ufefftime,variable,value,unit\r\n" + "".join(
        f"{each['time']},{each['variable']},{'' if each['value'] is None else each['value']},{each.get('unit', '')}\r\n"
        for each in rows
    )
    first = ask.post(OWN, rows)
    assert counts(first) == (3, 3, 0, 0, 0, 0)
    for content, form in ((lines, "application/x-ndjson"), (table.encode(), "text/csv; charset=utf-8")):
        assert counts(send(ask, content, form)) == (3, 0, 0, 0, 3, 0)
    packed = gzip.compress(table.encode())
    assert counts(send(ask, packed, "text/csv", Content_Encoding="gzip")) == (3, 0, 0, 0, 3, 0)


@pytest.mark.parametrize(
    ("content", "form", "status", "code"),
    [
        (b"{", "application/json", 422, "input"),
        (b'{"rows": []}', "application/json", 422, "input"),
        (b"3", "application/json", 422, "input"),
        (b"", "application/json", 422, "input"),
        (b"time,value\n", "text/csv", 422, "input"),
        (b"time,variable,value,value\n", "text/csv", 422, "input"),
        (b"time,variable,value,colour\n", "text/csv", 422, "input"),
        (b"\xff\xfe", "text/csv", 422, "input"),
        (b'time,variable,value\n"open', "text/csv", 422, "input"),
        (b"", "text/csv", 422, "input"),
        (b"[]", "", 415, "unsupported_media_type"),
        (b"<xml/>", "application/xml", 415, "unsupported_media_type"),
        (b"{}\n" * 10_001, "application/x-ndjson", 413, "too_large"),
        (b" " * ((4 << 20) + 1), "application/json", 413, "too_large"),
    ],
)
def test_what_is_not_of_its_form_is_refused_whole(ask, content, form, status, code):
    check_problem(send(ask, content, form), status, code)


@pytest.mark.parametrize(
    "spoiled",
    [
        b"2025-03-29T01:00Z,temperature_2m,nan", b"2025-03-29T01:00Z,temperature_2m,inf", b"2025-03-29T01:00Z,temperature_2m,1_0",
        b"2025-03-29T01:00Z,temperature_2m,5,x", b"2025-03-29T01:00Z", b"yesterday,temperature_2m,5",
        b"2025-03-29T01:00:00.5Z,temperature_2m,5", b"1800-01-01T00:00Z,temperature_2m,5", b"2025-04-09T01:00Z,temperature_2m,5",
        b"0001-01-01T00:00+14:00,temperature_2m,5", b"2025-03-29T01:00Z,temperature_2m,1e99", b"2025-03-29,temperature_2m,1",
    ],
)  # fmt: skip
def test_a_wrong_row_is_rejected_and_the_others_go_on(ask, spoiled):
    table = b"time,variable,value\n2025-03-29T00:00Z,temperature_2m,5\n" + spoiled + b"\n"
    answer = send(ask, table, "text/csv")
    assert counts(answer) == (2, 1, 0, 0, 0, 1)


def test_an_empty_request_is_no_trouble(ask):
    assert counts(ask.post(OWN, [])) == (0, 0, 0, 0, 0, 0)


def test_observations_go_to_own_sites_only_and_are_read_by_who_sent_them(ask):
    ask.post(OWN, [row(1, 5.0)])
    foreign = check_problem(ask.post(OWN, [row(1, 9.0)], key="bolt"), 404, "not_found")
    unknown = check_problem(ask.post("/v1/sites/nowhere/observations", [row(1, 9.0)], key="bolt"), 404, "not_found")
    assert foreign["detail"].replace(ACME_SITE.site_id, "nowhere") == unknown["detail"]
    check_problem(ask.post("/v1/sites/zurich/observations", [row(1, 9.0)]), 403, "permission_denied")
    window = f"?variable=temperature_2m&start={HOUR.format(0)}&end={HOUR.format(23)}"
    check_problem(ask(OWN + window, key="bolt"), 404, "not_found")
    assert ask("/v1/sites/zurich/observations" + window, key="bolt").json()["observations"] == []
    assert ask(f"/v1/sites/{BOLT_SITE.site_id}/observations{window}", key="bolt").json()["observations"] == []


@pytest.mark.parametrize(
    ("window", "code"),
    [
        ("", "invalid_value"),
        (f"?variable=temperature_2m&start={HOUR.format(5)}&end={HOUR.format(4)}", "invalid_value"),
        (f"?variable=temperature_2m&start={format_instant(NOW - timedelta(days=32))}&end={format_instant(NOW)}", "invalid_value"),
        (f"?variable=ozone&start={HOUR.format(0)}&end={HOUR.format(4)}", "unknown_name"),
        (f"?variable=temperature_2m&start={HOUR.format(0)}&end={HOUR.format(4)}&cursor=x", "invalid_value"),
        (f"?variable=temperature_2m&start={HOUR.format(0)}&end={HOUR.format(4)}&cursor=x,y", "invalid_value"),
        ("?variable=temperature_2m&start=2025-03-29T00:00:00&end=2025-03-29T01:00:00", "invalid_value"),
    ],
)  # fmt: skip
def test_reading_observations_is_bounded(ask, window, code):
    check_problem(ask(OWN + window), 422, code)
