"""Answers as a whole: which run, which bytes, which name, and the receipt that proves them."""

from __future__ import annotations

import csv
import hashlib
import io
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import timedelta

import numpy as np
import orjson
import pytest

from skyproof.archive.archive import Archive
from skyproof.domain.deliveries import ApiKey
from skyproof.domain.errors import InvalidValueError, NoRunError, UnknownNameError
from skyproof.domain.sites import Site
from skyproof.stages.deliver import rendering
from skyproof.stages.deliver.answers import Answer
from skyproof.stages.deliver.desk import Desk
from skyproof.stages.deliver.receipts import make_receipt
from skyproof.stages.deliver.requests import parse_request
from tests.surfaces.api.served import (
    ACME_SITE,
    BOLT_SITE,
    FIRST_INIT,
    LEADS,
    NOW,
    SECOND_INIT,
    SHARED,
    Served,
    draft,
    fill,
)  # fmt: skip

KEY = ApiKey("0123456789abcdef", "acme", "hash", ("forecast:read",), NOW, None)


def ask(served: Served, *, customer: str = "acme", now=NOW, desk: Desk | None = None, **asked: str) -> Answer:
    place = {} if {"site", "latitude"} & set(asked) else {"site": "zurich"}
    request = parse_request(({"hourly": "temperature_2m"} | place | asked).items())
    desk = desk or Desk(served.archive)
    return desk.answer(desk.ask(customer, request, now=now))


def document(served: Served, **asked):
    return orjson.loads(ask(served, **asked).body)


def rows_of(body: bytes) -> list[list[list[str]]]:
    """The blocks of a CSV answer."""
    return [list(csv.reader(io.StringIO(block))) for block in body.decode().split("\n\n")]


def test_the_json_has_open_meteos_keys_and_ours_beside_them(served):
    made = document(served, hourly="temperature_2m,wind_speed_10m", quantiles="0.1,0.9", wind_speed_unit="kmh")
    open_meteo = {
        "latitude", "longitude", "elevation", "generationtime_ms", "utc_offset_seconds", "timezone",
        "timezone_abbreviation", "hourly_units", "hourly",
    }  # fmt: skip
    assert set(made) == open_meteo | {"hourly_cell_methods", "grid", "meta"}
    assert (made["latitude"], made["longitude"], made["elevation"]) == (47.38, 8.54, 410.0)
    names = [f"{name}{suffix}" for name in ("temperature_2m", "wind_speed_10m") for suffix in ("", "_p10", "_p90")]
    assert list(made["hourly"]) == list(made["hourly_units"]) == ["time", *names]
    assert list(made["hourly_cell_methods"]) == names
    assert made["hourly_units"] == {"time": "iso8601", **dict(zip(names, ["°C"] * 3 + ["km/h"] * 3, strict=True))}
    assert {len(column) for column in made["hourly"].values()} == {len(LEADS)}


def test_the_numbers_are_those_that_were_published(served):
    made = document(served, hourly="wind_speed_10m", quantiles="0.1,0.5")
    published = served.archive.runs.open(served.second).site("zurich")
    assert made["hourly"]["wind_speed_10m"] == published.mean[1].round(1).tolist()
    assert made["hourly"]["wind_speed_10m_p10"] == published.quantiles[1, :, 2].round(1).tolist()
    assert made["hourly"]["wind_speed_10m_p50"] == published.quantiles[1, :, 10].round(1).tolist()


def test_what_is_missing_is_null_with_a_reason_and_never_nan(served):
    answer = ask(served, hourly="temperature_2m,precipitation", quantiles="0.33")
    made = orjson.loads(answer.body)
    assert b"NaN" not in answer.body
    assert made["hourly"]["precipitation"][2] is made["hourly"]["precipitation_p33"][2] is None
    assert made["hourly_null_reasons"] == {"precipitation": {"2": "no_expert_awake"}}
    assert "hourly_null_reasons" not in document(served)


def test_the_origin_is_told_in_three_sizes(served):
    none, summary, steps = (document(served, provenance=size) for size in ("none", "summary", "steps"))
    assert set(none["meta"]) == {
        "forecast_id", "run_id", "model", "model_version", "channel", "init_time", "issued_at", "as_of", "published_at",
        "calibration", "links",
    }  # fmt: skip
    assert set(none["meta"]) < set(summary["meta"])
    assert summary["meta"]["regime"]["id"] == "without-boreas"
    assert [entry["source"] for entry in summary["meta"]["inputs"]] == ["alba", "boreas"]
    assert summary["meta"]["warnings"] == [
        {"code": "stale_source", "source": "boreas", "since": "2025-03-29T00:00:00Z"}
    ]
    assert summary["meta"]["attribution"] == ["Contains Alba data"]
    assert "hourly_source" not in summary
    assert {name: set(column) for name, column in steps["hourly_source"].items()} == {
        "model": {"skyproof"}, "version": {"rel_bbbbbbbbbbbbbbbb"}, "init_time": {"2025-03-30T00:00:00Z"},
        "fallback": {"without-boreas"},
    }  # fmt: skip
    assert {len(column) for column in steps["hourly_source"].values()} == {len(LEADS)}
    assert set(document(served, provenance="steps", run="2025-03-29T12:00Z")["hourly_source"]["fallback"]) == {None}


def test_local_times_follow_the_site_or_the_zone_asked_for(served):
    assert document(served, timezone="auto")["hourly"]["time"][0] == "2025-03-30T08:00+02:00"
    assert document(served, timezone="auto", site="acme-roof")["hourly"]["time"][0] == "2025-03-30T11:30+05:30"
    made = document(served, timezone="America/New_York")
    assert (made["timezone"], made["timezone_abbreviation"], made["utc_offset_seconds"]) == (
        "America/New_York", "EDT", -14400,
    )  # fmt: skip
    # The run before, over the night the clocks go forward: one answer, two offsets.
    night = document(served, timezone="auto", run="2025-03-29T12:00Z", forecast_hours="24")["hourly"]["time"]
    assert night == [
        "2025-03-29T19:00+01:00", "2025-03-30T01:00+01:00", "2025-03-30T08:00+02:00", "2025-03-30T14:00+02:00",
    ]  # fmt: skip


def test_several_places_are_an_array_in_the_order_asked(served):
    made = document(served, latitude="47.0,47.4", longitude="8.0,8.5")
    assert [place["grid"]["site"] for place in made] == ["acme-roof", "zurich"]
    assert [place.get("location_id") for place in made] == [None, 1]
    assert [place["latitude"] for place in made] == [47.0, 47.4]
    assert [place["grid"]["distance_km"] for place in made] == [0.0, 3.7]
    assert {place["grid"]["method"] for place in made} == {"nearest_site"}
    assert [place["grid"]["site"] for place in document(served, site="zurich,acme-roof")] == ["zurich", "acme-roof"]


def test_the_csv_says_the_same_as_the_json(served):
    asked = {
        "hourly": "temperature_2m,precipitation",
        "quantiles": "0.1,0.33",
        "timezone": "auto",
        "site": "zurich,acme-roof",
    }
    made, answer = document(served, **asked), ask(served, format="csv", **asked)
    places, series, reasons = rows_of(answer.body)
    assert places[0][:4] == ["location_id", "latitude", "longitude", "elevation"]
    assert [dict(zip(places[0], row, strict=True))["site"] for row in places[1:]] == ["zurich", "acme-roof"]
    assert series[0][:3] == ["location_id", "time", "temperature_2m (°C)"]
    for number, place in enumerate(made):
        columns = [[row[k] for row in series[1:] if row[0] == str(number)] for k in range(1, len(series[0]))]
        for text, (name, column) in zip(columns, place["hourly"].items(), strict=True):
            wanted = column if name == "time" else ["" if value is None else str(value) for value in column]
            assert text == wanted
    assert reasons == [
        ["location_id", "variable", "time", "reason"],
        ["0", "precipitation", "2025-03-30T20:00+02:00", "no_expert_awake"],
        ["1", "precipitation", "2025-03-30T23:30+05:30", "no_expert_awake"],
    ]
    assert answer.media_type == "text/csv; charset=utf-8"


def test_the_csv_of_one_place_without_gaps_has_two_blocks_and_no_location(served):
    places, series = rows_of(ask(served, format="csv").body)
    facts = dict(zip(*places, strict=True))
    assert (facts["site"], facts["regime"], facts["run_id"]) == ("zurich", "without-boreas", served.second.run_id)
    assert series[0] == ["time", "temperature_2m (°C)"]
    assert len(series) == 1 + len(LEADS)


def test_the_same_question_is_the_same_answer_byte_for_byte_from_any_desk(served):
    one, other = Desk(served.archive), Desk(served.archive, cache_bytes=0)
    answers = [ask(served, desk=desk) for desk in (one, one, other, other)]
    assert len({(answer.forecast_id, answer.body, answer.bytes_digest, answer.value_digest) for answer in answers}) == 1


def test_what_shapes_the_answer_shapes_its_name(served):
    names = [
        ask(served).forecast_id,
        ask(served, customer="bolt").forecast_id,
        ask(served, run=served.first.run_id).forecast_id,
        ask(served, format="csv").forecast_id,
        ask(served, quantiles="0.5").forecast_id,
        ask(served, latitude="47.38", longitude="8.54").forecast_id,
    ]
    assert len(set(names)) == len(names)
    assert ask(served, run=served.second.run_id).forecast_id == names[0]  # named or newest: the same answer
    assert ask(served, as_of="2025-03-30T01:00Z").forecast_id == names[0]


def test_a_site_that_is_changed_gets_new_names_for_new_answers(sqlite_archive: Archive):
    served = fill(sqlite_archive)
    before = ask(served)
    sqlite_archive.sites.add([replace(SHARED, elevation_m=411.0)])
    after = ask(served)
    assert after.forecast_id != before.forecast_id
    assert after.value_digest == before.value_digest


def test_values_have_one_digest_whatever_the_form(served):
    asked = [{}, {"format": "csv"}, {"temperature_unit": "kelvin"}, {"timezone": "Asia/Tokyo"}, {"provenance": "none"}]
    answers = [ask(served, **more) for more in asked]
    assert len({answer.value_digest for answer in answers}) == 1
    assert len({answer.bytes_digest for answer in answers}) == len(asked)


def test_the_receipt_proves_the_body(served):
    answer = ask(served, quantiles="0.1,0.9")
    receipt = make_receipt(answer, KEY, served_at=NOW)
    assert receipt.bytes_digest == hashlib.sha256(answer.body).hexdigest()
    assert receipt.forecast_id == orjson.loads(answer.body)["meta"]["forecast_id"]
    assert (receipt.customer_id, receipt.key_id, receipt.status) == ("acme", KEY.key_id, 200)
    assert (receipt.run_id, receipt.newest_run_id) == (served.second.run_id, served.second.run_id)
    assert receipt.value_digest == answer.value_digest
    old = make_receipt(ask(served, run=served.first.run_id), KEY, served_at=NOW)
    assert (old.run_id, old.newest_run_id) == (served.first.run_id, served.second.run_id)


def test_receipts_have_ids_of_their_own_that_sort_by_time(served):
    answer = ask(served)
    instants = [NOW + timedelta(milliseconds=k) for k in range(50)]
    made = [make_receipt(answer, KEY, served_at=instant).receipt_id for instant in instants]
    assert made == sorted(set(made))
    assert make_receipt(answer, KEY, served_at=NOW).receipt_id != make_receipt(answer, KEY, served_at=NOW).receipt_id


def test_run_and_as_of_choose_the_run(served):
    chosen = {
        "newest": ask(served),
        "by id": ask(served, run=served.first.run_id),
        "by init time": ask(served, run="2025-03-29T12:00Z"),
        "by release": ask(served, version="rel_aaaaaaaaaaaaaaaa"),
        "just published": ask(served, as_of="2025-03-30T00:30Z"),
        "not yet published": ask(served, as_of="2025-03-30T00:29:59Z"),
    }
    first = {name for name, answer in chosen.items() if answer.run == served.first}
    assert first == {"by id", "by init time", "by release", "not yet published"}
    assert {answer.newest_run_id for answer in chosen.values()} == {served.second.run_id}


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        ({"as_of": "2025-03-29T12:29Z"}, NoRunError, "no run was published by"),
        ({"as_of": "0001-01-01T00:00Z"}, NoRunError, "no run was published by"),
        ({"as_of": "2025-03-30T03:00:01Z"}, InvalidValueError, "lies in the future"),
        ({"run": "2025-03-29T13:00Z"}, NoRunError, "no run with init time"),
        ({"run": "9999-12-31T23:59Z"}, NoRunError, "no run with init time"),
        ({"run": "run_0000000000000000"}, UnknownNameError, "is not known"),
        ({"run": "2025-03-30T00:00Z", "as_of": "2025-03-30T00:15Z"}, NoRunError, "no run with init time"),
        ({"version": "rel_cccccccccccccccc"}, NoRunError, "no run was published"),
        ({"run": "2025-03-30T00:00Z", "version": "rel_aaaaaaaaaaaaaaaa"}, UnknownNameError, "was not made by"),
        ({"hourly": "cloud_cover"}, UnknownNameError, "is not in this run"),
        ({"site": "nowhere"}, UnknownNameError, "'nowhere' is not known"),
        ({"latitude": "0", "longitude": "0"}, UnknownNameError, "no site within 50 km"),
        ({"forecast_hours": "1"}, InvalidValueError, "no step of the run"),
    ],
    ids=str,
)
def test_a_question_without_an_answer_is_told_why(served, asked, error, message):
    with pytest.raises(error, match=message):
        ask(served, **asked)


def test_a_run_by_id_is_not_shown_before_it_was_published(served):
    with pytest.raises(NoRunError, match="was not published by"):
        ask(served, run=served.second.run_id, as_of="2025-03-30T00:15Z")
    with pytest.raises(NoRunError, match="was not published by"):
        ask(served, run=served.second.run_id, now=SECOND_INIT)


def test_a_clock_set_back_shows_no_run_that_is_not_yet_published(served):
    desk = Desk(served.archive, refresh_s=1e9)
    assert ask(served, desk=desk).run == served.second
    assert ask(served, desk=desk, now=SECOND_INIT).run == served.first
    with pytest.raises(NoRunError):
        ask(served, desk=desk, now=FIRST_INIT)


def test_a_new_run_and_a_new_site_are_seen_after_the_refresh_and_not_before(sqlite_archive: Archive):
    served, ticks = fill(sqlite_archive), [0.0]
    desk = Desk(sqlite_archive, refresh_s=5.0, ticks=lambda: ticks[0])
    assert ask(served, desk=desk).run == served.second
    third = sqlite_archive.runs.publish(draft(3, SECOND_INIT + timedelta(hours=1), "rel_bbbbbbbbbbbbbbbb"))
    sqlite_archive.sites.add([Site("basel", "Basel", 47.56, 7.59, 260.0)])
    ticks[0] = 4.9
    assert ask(served, desk=desk).run == served.second
    ticks[0] = 5.0
    assert ask(served, desk=desk).run == third
    with pytest.raises(UnknownNameError, match="is not in this run"):
        ask(served, desk=desk, site="basel")


def test_a_renamed_site_is_seen_after_five_refreshes_and_the_questions_of_unchanged_ones_are_kept(
    sqlite_archive: Archive,
):
    served, ticks = fill(sqlite_archive), [0.0]
    desk = Desk(sqlite_archive, refresh_s=1.0, ticks=lambda: ticks[0])

    def name() -> str:
        return orjson.loads(ask(served, desk=desk).body)["grid"]["name"]

    first = name()
    ticks[0] = 5.0
    assert name() == first
    (known,) = desk._indexes.values()
    assert (known.told, len(known.questions)) == (5.0, 1)
    sqlite_archive.sites.add([replace(SHARED, name="Zürich West")])
    ticks[0] = 9.9
    assert name() == first
    ticks[0] = 10.0
    assert name() == "Zürich West"


def test_while_one_caller_refreshes_the_others_go_on_with_what_they_may_know(served):
    desk = Desk(served.archive, refresh_s=0.0)
    ask(served, desk=desk)
    with ThreadPoolExecutor(1) as pool:
        with desk._refreshing:
            assert ask(served, desk=desk).run == served.second
            # What is known was not yet published for this one: it waits.
            waiting = pool.submit(ask, served, desk=desk, now=SECOND_INIT)
            assert not wait([waiting], timeout=0.2).done
        assert waiting.result().run == served.first


def test_nobody_goes_on_with_what_was_known_long_ago(sqlite_archive: Archive):
    served, ticks = fill(sqlite_archive), [0.0]
    request = parse_request([("site", "zurich"), ("hourly", "temperature_2m")])
    desk = Desk(served.archive, refresh_s=1.0, ticks=lambda: ticks[0])
    assert ask(served, desk=desk).run == served.second
    newest = served.archive.runs.publish(draft(5, SECOND_INIT + timedelta(hours=1), "rel_bbbbbbbbbbbbbbbb"))
    later = SECOND_INIT + timedelta(hours=9)
    with ThreadPoolExecutor(2) as pool:
        with desk._refreshing:
            ticks[0] = 2.0
            assert desk.is_quick("acme", request)
            assert ask(served, desk=desk, now=later).run == served.second
            ticks[0] = 60.0  # idle for a minute, then many at once
            assert not desk.is_quick("acme", request)
            assert desk.recall("acme", request, now=later) is None
            waiting = [pool.submit(ask, served, desk=desk, now=later) for _ in range(2)]
            assert not wait(waiting, timeout=0.2).done
        assert [each.result().run.run_id for each in waiting] == [newest.run_id] * 2


def test_only_what_is_at_hand_is_quick(served):
    desk = Desk(served.archive)
    request = parse_request([("site", "zurich"), ("hourly", "temperature_2m")])
    assert not desk.is_quick("acme", request)
    ask(served, desk=desk)
    assert desk.is_quick("acme", request)
    assert not desk.is_quick("bolt", request)
    for more in ({"run": "2025-03-29T12:00Z"}, {"as_of": "2025-03-29T13:00Z"}, {"version": "rel_aa"}):
        assert not desk.is_quick(
            "acme", parse_request([*more.items(), ("site", "zurich"), ("hourly", "temperature_2m")])
        )


def test_an_answer_too_large_is_refused_by_size(served, monkeypatch):
    monkeypatch.setattr(rendering, "MOST_VALUES", 3 * len(LEADS))
    assert ask(served, quantiles="0.1,0.9")
    with pytest.raises(InvalidValueError, match="would hold more than 15 values"):
        ask(served, quantiles="0.1,0.5,0.9")
    with pytest.raises(InvalidValueError, match="ask for fewer places"):
        ask(served, site="zurich,acme-roof", quantiles="0.1")


def test_remembered_bodies_stay_within_their_limit_and_are_made_again_alike(served):
    zones = ("UTC", "Asia/Tokyo", "America/Lima", "Europe/Paris")
    size = max(len(ask(served, timezone=zone).body) for zone in zones)
    desk = Desk(served.archive, cache_bytes=2 * size)
    bodies = [[ask(served, desk=desk, timezone=zone).body for zone in zones] for _ in range(2)]
    assert bodies[0] == bodies[1]
    assert desk._held_bytes == sum(len(rendered.body) for rendered in desk._bodies.values()) <= 2 * size


def test_each_customer_sees_shared_sites_and_its_own(served):
    for customer, own, foreign in (("acme", ACME_SITE, BOLT_SITE), ("bolt", BOLT_SITE, ACME_SITE)):
        assert ask(served, customer=customer, site=own.site_id)
        assert ask(served, customer=customer)
        with pytest.raises(UnknownNameError) as known:
            ask(served, customer=customer, site=foreign.site_id)
        with pytest.raises(UnknownNameError) as unknown:
            ask(served, customer=customer, site="nowhere")
        assert str(known.value).replace(foreign.site_id, "nowhere") == str(unknown.value)
        at = {"latitude": str(foreign.latitude), "longitude": str(foreign.longitude)}
        (found,) = {orjson.loads(ask(served, customer=customer, **at).body)["grid"]["site"]}
        assert found == own.site_id


def test_answers_do_not_depend_on_the_order_in_which_desks_are_asked(served):
    chance = np.random.default_rng(5)
    asked = [{"quantiles": q, "timezone": zone} for q in ("0.1", "0.1,0.9", "0.33") for zone in ("UTC", "auto")]
    wanted = [ask(served, **more).body for more in asked]
    desk = Desk(served.archive, cache_bytes=10_000)
    for index in chance.integers(0, len(asked), 60):
        assert ask(served, desk=desk, **asked[index]).body == wanted[index]
