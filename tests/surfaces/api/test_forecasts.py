"""Forecasts over HTTP: what is sent, when nothing need be sent, and that each answer can be had and proven again."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import timedelta
from email.utils import parsedate_to_datetime

import numpy as np
import pytest

from skyproof.archive.archive import Archive
from tests.surfaces.api.served import NOW, SECOND_INIT, MovableClock, calling, draft, draw_alone, fill

ASKED = {"hourly": "temperature_2m,precipitation", "quantiles": "0.1,0.33,0.9"}


def digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


@pytest.mark.parametrize(
    ("form", "media_type"),
    [
        ("json", "application/json"),
        ("csv", "text/csv; charset=utf-8"),
        ("arrow", "application/vnd.apache.arrow.stream"),
        ("parquet", "application/vnd.apache.parquet"),
        ("covjson", "application/vnd.cov+json"),
        ("flatbuffers", "application/x-flatbuffers"),
    ],
)
def test_every_answer_leaves_a_receipt_of_its_bytes(archive: Archive, form, media_type):
    served = fill(archive)
    with calling(archive, served.tokens) as ask:
        asked = ASKED | {"quantiles": "0.1,0.9"} if form == "flatbuffers" else ASKED
        answer = ask.forecast(asked | {"format": form})
        (receipt,) = archive.deliveries.receipts()
        assert answer.headers["content-type"] == receipt.media_type == media_type
        assert receipt.bytes_digest == digest(answer.content)
        assert f'"{receipt.forecast_id}"' == answer.headers["etag"]
        assert (receipt.customer_id, receipt.status, receipt.served_at) == ("acme", 200, NOW)
        assert (receipt.run_id, receipt.newest_run_id) == (served.second.run_id, served.second.run_id)
        assert "site=zurich" in receipt.canonical_request
        # And again: its exact bytes, with a receipt of their own.
        again = ask(f"/v1/forecasts/{receipt.forecast_id}")
        assert (again.content, again.headers["content-type"]) == (answer.content, media_type)
        assert again.headers["etag"] == answer.headers["etag"]
        assert again.headers["cache-control"] == "private, max-age=31536000, immutable"
        first, second = sorted(archive.deliveries.receipts(), key=lambda kept: kept.receipt_id)
        assert first.receipt_id != second.receipt_id
        assert (first.bytes_digest, first.value_digest, first.forecast_id) == (
            second.bytes_digest, second.value_digest, second.forecast_id,
        )  # fmt: skip


def test_an_answer_outlives_the_server_the_site_and_the_newest_run(archive: Archive):
    served, clock = fill(archive), MovableClock()
    with calling(archive, served.tokens, clock=clock) as ask:
        answers = [ask.forecast(ASKED | more) for more in ({}, {"format": "csv"}, {"site": "acme-roof"})]
        archive.runs.publish(draft(3, SECOND_INIT + timedelta(hours=1), "rel_bbbbbbbbbbbbbbbb"))
    with archive.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM sites")
    with calling(archive, served.tokens, clock=clock) as ask:
        for answer in answers:
            assert ask("/v1/forecasts/" + answer.headers["etag"].strip('"')).content == answer.content
    newest = [receipt.newest_run_id for receipt in archive.deliveries.receipts()]
    assert newest.count(served.second.run_id) == newest.count(archive.runs.newest(as_of=NOW).run_id) == len(answers)


def test_the_body_names_itself_and_where_to_find_it(ask):
    answer = ask.forecast(ASKED)
    meta = answer.json()["meta"]
    assert answer.headers["etag"] == f'"{meta["forecast_id"]}"'
    assert ask(meta["links"]["self"]).content == answer.content


def test_headers_say_when_it_was_published_how_long_it_holds_and_how_degraded_it_is(ask, served):
    newest = ask.forecast()
    assert parsedate_to_datetime(newest.headers["last-modified"]) == served.second.published_at
    assert newest.headers["cache-control"] == "private, max-age=60"
    assert newest.headers["vary"] == "Authorization, X-API-Key"
    assert newest.headers["forecast-regime"] == "without-boreas"
    named = ask.forecast({"run": served.first.run_id})
    assert named.headers["cache-control"] == "private, max-age=31536000, immutable"
    assert named.headers["forecast-regime"] == "full"


@pytest.mark.parametrize("tag", ["{etag}", "W/{etag}", '"other", {etag}', ' {etag} ,"x"', "*"])
def test_who_holds_the_answer_gets_304_and_no_receipt(ask, served, tag):
    answer = ask.forecast(ASKED)
    before = served.archive.deliveries.count()
    held = tag.format(etag=answer.headers["etag"])
    addresses = [("/v1/forecast", {"site": "zurich"} | ASKED), (answer.json()["meta"]["links"]["self"], None)]
    for path, params in addresses:
        again = ask(path, params, If_None_Match=held)
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == answer.headers["etag"]
        assert "content-type" not in again.headers
    assert served.archive.deliveries.count() == before


@pytest.mark.parametrize("tag", ['"other"', "", "fc_", '"fc_aaaaaaaaaaaaaaaaaaaaaaaaaa"'])
def test_who_holds_another_answer_gets_this_one(ask, tag):
    assert ask.forecast(If_None_Match=tag).status_code == 200


def test_the_tag_changes_with_the_run_and_with_what_is_asked(sqlite_archive: Archive):
    served = fill(sqlite_archive)
    with calling(sqlite_archive, served.tokens) as ask:
        tag = ask.forecast().headers["etag"]
        assert ask.forecast(If_None_Match=tag).status_code == 304
        assert ask.forecast({"timezone": "auto"}, If_None_Match=tag).status_code == 200
        sqlite_archive.runs.publish(draft(3, SECOND_INIT.replace(hour=1), "rel_bbbbbbbbbbbbbbbb"))
        renewed = ask.forecast(If_None_Match=tag)
        assert renewed.status_code == 200
        assert renewed.headers["etag"] != tag


def test_head_says_what_get_would_without_a_body_or_a_receipt(ask, served):
    got = ask.forecast(ASKED)
    before = served.archive.deliveries.count()
    paths = [("/v1/forecast", {"site": "zurich"} | ASKED), (got.json()["meta"]["links"]["self"], None)]
    for path, params in paths:
        get, head = ask(path, params), ask(path, params, method="HEAD")
        assert (head.status_code, head.content) == (200, b"")
        kept = {"etag", "content-type", "content-length", "last-modified", "cache-control", "vary"}
        assert {k: v for k, v in head.headers.items() if k in kept} == {
            k: v for k, v in get.headers.items() if k in kept
        }
    assert served.archive.deliveries.count() == before + len(paths)
    for path in ("/v1/sites", "/v1/runs/latest", "/healthz", "/openapi.json", "/docs"):
        head = ask(path, method="HEAD")
        assert (head.status_code, head.content) == (200, b"")
    missing = ask("/v1/nowhere", method="HEAD")
    assert (missing.status_code, missing.content) == (404, b"")
    assert missing.headers["content-type"] == "application/problem+json"


def test_head_hands_no_byte_of_the_body_to_the_server(ask):
    for path in ("/v1/forecast?site=zurich&hourly=temperature_2m", "/v1/sites", "/v1/nowhere", "/v1/sites?limit=0"):
        assert ask.sent_bytes(path, method="GET")
        assert ask.sent_bytes(path, method="HEAD") == b""


def test_run_and_as_of_go_back_in_time(ask, served):
    runs = {
        name: ask.forecast(more).json()["meta"]["run_id"]
        for name, more in {
            "newest": {},
            "latest": {"run": "latest"},
            "id": {"run": served.first.run_id},
            "init": {"run": "2025-03-29T12:00Z"},
            "zone": {"run": "2025-03-29T13:00+01:00"},
            "as of": {"as_of": "2025-03-30T00:29:59Z"},
            "as of now": {"as_of": "2025-03-30T03:00Z"},
            "release": {"version": "rel_aaaaaaaaaaaaaaaa"},
        }.items()
    }
    first = {name for name, run_id in runs.items() if run_id == served.first.run_id}
    assert first == {"id", "init", "zone", "as of", "release"}
    assert {runs[name] for name in set(runs) - first} == {served.second.run_id}


def test_what_would_have_been_answered_then_is_what_was_answered_then(sqlite_archive: Archive):
    served, clock = fill(sqlite_archive), MovableClock(SECOND_INIT)
    with calling(sqlite_archive, served.tokens, clock=clock) as ask:
        then = ask.forecast(ASKED)
        clock.instant = NOW
        assert ask.forecast(ASKED).content != then.content
        assert ask.forecast(ASKED | {"as_of": "2025-03-30T00:00Z"}).content == then.content


def test_provenance_grows(ask):
    sizes = [len(ask.forecast({"provenance": size}).content) for size in ("none", "summary", "steps")]
    assert sizes == sorted(set(sizes))
    none = ask.forecast({"provenance": "none"}).json()
    assert "inputs" not in none["meta"]
    assert none["meta"]["run_id"]


def test_one_question_in_many_spellings_has_one_answer(ask):
    spelled = [
        "site=zurich&hourly=temperature_2m,precipitation&quantiles=0.1,0.9",
        "quantiles=.90,0.1000&hourly=temperature_2m&site=zurich&hourly=precipitation",
        "site=zurich&hourly=temperature_2m%2Cprecipitation&quantiles=0.1%2C0.9&timezone=&temperature_unit=celsius",
        "site=zurich&&hourly=temperature_2m,+precipitation&quantiles=0.1,0.9,0.1&models=best_match&version=latest",
    ]
    assert len({ask(f"/v1/forecast?{query}").content for query in spelled}) == 1


def test_many_places_at_once_are_answered_in_order(ask):
    north, east = [str(47 + k / 100) for k in range(40)], [str(8 + k / 100) for k in range(40)]
    made = ask.forecast({"latitude": ",".join(north), "longitude": ",".join(east)}).json()
    assert [place["latitude"] for place in made] == [float(text) for text in north]
    assert {place["grid"]["site"] for place in made} == {"acme-roof", "zurich"}


def test_the_nearest_site_answers_as_far_as_the_server_allows(served):
    place = {"latitude": "47.5", "longitude": "8.54"}  # 13.3 km north of Zurich
    with calling(served.archive, served.tokens, nearest_site_km=13.4) as ask:
        assert ask.forecast(place).json()["grid"]["distance_km"] == 13.3
    with calling(served.archive, served.tokens, nearest_site_km=13.3) as ask:
        assert ask.forecast(place).status_code == 422


def test_a_question_remembered_never_answers_for_a_pinned_one_nor_the_other_way_round(served):
    with calling(served.archive, served.tokens, refresh_s=60.0) as ask:
        pinned = {"run": served.second.run_id}
        for params in ({}, pinned, {}, pinned):
            answer = ask.forecast(params)
            assert answer.status_code == 200
            assert ("immutable" in answer.headers["cache-control"]) == bool(params)


def test_days_and_members_come_from_scenarios_and_what_was_delivered_is_delivered_again(archive: Archive):
    served = fill(archive)
    asked = {"daily": "temperature_2m_max", "members": "3", "site": "zurich,acme-roof", "timezone": "America/Chicago"}
    with calling(archive, served.tokens) as ask:
        first = ask.forecast(asked)
    made = first.json()
    for place in made:
        drawn = {name: column for name, column in place["hourly"].items() if "_member0" in name}
        assert list(drawn) == [f"temperature_2m_member0{k}" for k in (1, 2, 3)]
        for name, column in drawn.items():
            (whole,) = [value for value in place["daily"][name.replace("2m_", "2m_max_")] if value is not None]
            assert whole in column  # a member's day is made of the same member's hours
        assert place["daily_null_reasons"]["temperature_2m_max"]

    def other(run, site_ids, members):
        drawn = draw_alone(archive)(run, site_ids, members)
        return replace(drawn, values=drawn.values + np.float32(1.0))

    # Another machine may draw a little differently: whoever asks again gets what was delivered, and is never refused.
    with calling(archive, served.tokens, draw=other) as ask:
        assert ask.forecast(asked).content == first.content
        bolt = ask.forecast(asked | {"site": "zurich"}, key="bolt").json()
        assert bolt["daily"] != made[0]["daily"]
    assert len({receipt.value_digest for receipt in archive.deliveries.receipts(customer_id="acme")}) == 1


def test_too_many_members_are_refused_before_they_are_drawn(ask):
    def refused(**asked):
        answer = ask.forecast(asked)
        assert answer.status_code == 422, answer.text
        return answer.json()["detail"]

    assert "members '1001' is impossible" in refused(members="1001")
    many = ",".join(["47.38"] * 450)
    assert "more than 2000000 values" in refused(
        latitude=many, longitude=",".join(["8.54"] * 450), hourly="temperature_2m", members="1000"
    )
