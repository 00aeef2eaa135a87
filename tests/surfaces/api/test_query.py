"""Research queries: many runs at once, every row that of the run, every byte with its receipt, nobody else's places."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from skyproof.archive.archive import Archive
from skyproof.stages.deliver import research
from tests.surfaces.api.served import FIRST_INIT, LEADS, NOW, SECOND_INIT, SHARED, calling, draft, fill
from tests.surfaces.api.test_problems import check_problem

RANGE = {"start": "2025-03-29T00:00:00Z", "end": "2025-03-31T00:00:00Z"}
ASKED = {
    "geo": {"type": "site", "value": ["zurich", "acme-roof"]},
    "init_time": RANGE,
    "variables": ["temperature_2m", "precipitation"],
}


def read_arrow(body: bytes) -> pa.Table:
    return pa.ipc.open_stream(body).read_all()


def ask_arrow(ask, **more) -> pa.Table:
    answer = ask.post("/v1/query", ASKED | {"format": "arrow"} | more)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/vnd.apache.arrow.stream"
    return read_arrow(answer.content)


def walk(ask, **more) -> tuple[dict[str, list], int]:
    """All pages of a query, as columns, and how many there were."""
    columns: dict[str, list] = {}
    cursor, pages = None, 0
    while pages < 50:
        page = ask.post("/v1/query", ASKED | more | {"cursor": cursor}).json()
        assert {len(column) for column in page["columns"].values()} == {page["rows"]}
        for name, column in page["columns"].items():
            columns.setdefault(name, []).extend(column)
        cursor, pages = page["next_cursor"], pages + 1
        if cursor is None:
            return columns, pages
    raise AssertionError("the pages never end")


def test_every_row_is_that_of_its_run(ask, served):
    table = ask_arrow(
        ask,
        statistics=["mean", "q0.1", "median", {"exceedance": {"op": ">", "value": 20, "variable": "temperature_2m"}}],
    )
    assert table.num_rows == 2 * 2 * len(LEADS)
    assert [row["init_time"] for row in table.to_pylist()] == [FIRST_INIT] * 10 + [SECOND_INIT] * 10
    for run in (served.first, served.second):
        rows = [row for row in table.to_pylist() if row["run_id"] == run.run_id]
        reader = served.archive.runs.open(run)
        for place, name in enumerate(("zurich", "acme-roof")):
            mine = [row for row in rows if row["place"] == place]
            site = reader.site(name)
            assert {row["site"] for row in mine} == {name}
            assert [row["lead_hours"] for row in mine] == list(LEADS)
            assert [row["valid_time"] for row in mine] == [run.init_time + timedelta(hours=lead) for lead in LEADS]
            assert [row["temperature_2m"] for row in mine] == site.mean[0].round(1).tolist()
            assert [row["temperature_2m_p10"] for row in mine] == site.quantiles[0, :, 2].round(1).tolist()
            assert [row["temperature_2m_p50"] for row in mine] == site.quantiles[0, :, 10].round(1).tolist()
            assert [row["precipitation"] is None for row in mine] == [False, False, True, False, False]
            assert [row["null_reason"] for row in mine] == [None, None, "precipitation:no_expert_awake", None, None]
            assert all(0 <= row["temperature_2m_prob_gt_20"] <= 1 for row in mine)
            assert {row["model_version"] for row in mine} == {run.release_id}
            assert {row["available_at"] for row in mine} == {run.published_at}
    assert table.schema.field("temperature_2m_p10").metadata[b"unit"] == b"Cel"


@pytest.mark.parametrize("limit", [1, 3, 7, 10, 10_000])
def test_pages_of_json_hold_the_rows_of_the_stream_each_once(ask, limit):
    table = ask_arrow(ask)
    columns, pages = walk(ask, limit=limit)
    assert list(columns) == table.schema.names
    for name in table.schema.names:
        wanted = table[name].to_pylist()
        if pa.types.is_timestamp(table.schema.field(name).type):
            wanted = [value.strftime("%Y-%m-%dT%H:%M:%SZ") for value in wanted]
        assert columns[name] == wanted
    assert pages == 2 * -(-10 // limit)


def test_leads_init_times_releases_and_as_of_choose(ask, served):
    assert set(ask_arrow(ask, lead_time={"start": "PT12H", "end": "P1D"})["lead_hours"].to_pylist()) == {12, 18, 24}
    check_problem(ask.post("/v1/query", ASKED | {"lead_time": {"start": 7, "end": 11}}), 422, "invalid_value")
    one = ask_arrow(ask, init_time={"start": "2025-03-29T12:00:00Z", "end": "2025-03-29T12:00:00Z"})
    assert set(one["run_id"].to_pylist()) == {served.first.run_id}
    for more in ({"version": "rel_aaaaaaaaaaaaaaaa"}, {"as_of": "2025-03-30T00:29:59Z"}):
        assert set(ask_arrow(ask, **more)["run_id"].to_pylist()) == {served.first.run_id}


def test_of_one_init_time_the_newest_run_published_by_then_counts(archive: Archive):
    served = fill(archive)
    again = archive.runs.publish(draft(9, SECOND_INIT, "rel_cccccccccccccccc"))
    with calling(archive, served.tokens) as ask:
        runs = list(dict.fromkeys(ask_arrow(ask)["run_id"].to_pylist()))
        assert runs == [
            served.first.run_id,
            max(again, served.second, key=lambda run: (run.published_at, run.run_id)).run_id,
        ]
        released = ask_arrow(ask, version="rel_bbbbbbbbbbbbbbbb")
        assert set(released["run_id"].to_pylist()) == {served.second.run_id}


def test_places_are_named_near_or_all_and_only_the_callers(ask):
    near = ask_arrow(ask, geo={"type": "point", "value": [[47.39, 8.55], [47.01, 8.0]]})
    assert list(dict.fromkeys(near["site"].to_pylist())) == ["zurich", "acme-roof"]
    assert list(dict.fromkeys(near["latitude"].to_pylist())) == [47.39, 47.01]
    for key, wanted in (("acme", {"acme-roof", "zurich"}), ("bolt", {"bolt-farm", "zurich"})):
        answer = ask.post("/v1/query", ASKED | {"geo": {"type": "all"}, "format": "arrow"}, key=key)
        assert set(read_arrow(answer.content)["site"].to_pylist()) == wanted
    for name in ("bolt-farm", "nowhere"):
        made = check_problem(
            ask.post("/v1/query", ASKED | {"geo": {"type": "site", "value": [name]}}), 422, "unknown_name"
        )
        assert made["detail"] == f"site '{name}' is not known"


def test_a_place_that_a_run_has_not_has_no_rows_in_it(sqlite_archive: Archive):
    served = fill(sqlite_archive)
    sqlite_archive.sites.add([replace(SHARED, site_id="new", latitude=40.0)])
    with calling(sqlite_archive, served.tokens) as ask:
        assert ask_arrow(ask, geo={"type": "site", "value": ["new"]}).num_rows == 0
        assert set(ask_arrow(ask, geo={"type": "all"})["site"].to_pylist()) == {"acme-roof", "zurich"}


def test_every_part_of_a_stream_has_a_receipt_of_its_bytes_before_they_leave(archive: Archive):
    served = fill(archive)
    with calling(archive, served.tokens) as ask:
        answer = ask.post("/v1/query", ASKED | {"format": "arrow"})
        kept = {receipt.run_id: receipt for receipt in archive.deliveries.receipts()}
        first, second = (kept[run.run_id] for run in (served.first, served.second))
        assert {first.customer_id, second.customer_id} == {"acme"}
        parts = [ask(f"/v1/forecasts/{receipt.forecast_id}").content for receipt in (first, second)]
        assert b"".join(parts) == answer.content
        for receipt, part in zip((first, second), parts, strict=True):
            assert receipt.bytes_digest == hashlib.sha256(part).hexdigest()
        # Again: the same ids, the same bytes.
        assert ask.post("/v1/query", ASKED | {"format": "arrow"}).content == answer.content
        assert len({receipt.forecast_id for receipt in archive.deliveries.receipts()}) == 2


def test_a_page_has_a_receipt_of_its_bytes(archive: Archive):
    served = fill(archive)
    with calling(archive, served.tokens) as ask:
        answer = ask.post("/v1/query", ASKED)
        (receipt,) = archive.deliveries.receipts()
        assert receipt.bytes_digest == hashlib.sha256(answer.content).hexdigest()
        assert answer.json()["meta"]["forecast_id"] == receipt.forecast_id
        assert ask(answer.json()["meta"]["links"]["self"]).content == answer.content


def test_the_values_have_one_digest_whatever_the_form(archive: Archive):
    served = fill(archive)
    with calling(archive, served.tokens) as ask:
        for form in ("json", "arrow"):
            ask.post(
                "/v1/query",
                ASKED | {"format": form, "init_time": {"start": "2025-03-30T00:00:00Z", "end": RANGE["end"]}},
            )
        one, other = archive.deliveries.receipts()
        assert one.value_digest == other.value_digest
        assert one.bytes_digest != other.bytes_digest


def test_the_cost_is_that_of_the_answer(ask):
    told = ask.post("/v1/query/cost", ASKED).json()
    assert told == {"runs": 2, "places": 2, "rows": 20, "values": 40, "allowed": True}
    assert ask_arrow(ask).num_rows == told["rows"]


@pytest.mark.parametrize("form", ["arrow", "json"])
def test_what_is_too_large_is_refused_before_a_byte(ask, served, monkeypatch, form):
    monkeypatch.setattr(research, "MOST_VALUES", 10)
    before = served.archive.deliveries.count()
    check_problem(ask.post("/v1/query", ASKED | {"format": form}), 422, "invalid_value")
    assert served.archive.deliveries.count() == before


#: What is wrong with a body, the code, and the members named.
WRONG = {
    "nothing": ({"geo": None}, "invalid_value", None),
    "unknown member": ({"colour": "red"}, "unknown_name", ["colour"]),
    "model": ({"models": ["gfs"]}, "invalid_value", ["models.0"]),
    "variable": ({"variables": ["ozone"]}, "unknown_name", []),
    "variable of no run": ({"variables": ["cloud_cover"]}, "unknown_name", []),
    "no variable": ({"variables": []}, "invalid_value", ["variables"]),
    "too many variables": ({"variables": ["temperature_2m"] * 65}, "invalid_value", ["variables"]),
    "statistic": ({"statistics": ["mode"]}, "invalid_value", None),
    "level": ({"statistics": ["q0.0001"]}, "invalid_value", []),
    "threshold of another": (
        {"statistics": [{"exceedance": {"op": ">", "value": 1, "variable": "cloud_cover"}}]}, "unknown_name", [],
    ),
    "threshold in words": ({"statistics": [{"exceedance": {"op": ">", "value": "1"}}]}, "invalid_value", None),
    "not a number": ({"statistics": [{"exceedance": {"op": ">", "value": 1e300}}]}, "invalid_value", None),
    "init time": ({"init_time": {"start": "yesterday", "end": "2025-03-31T00:00:00Z"}}, "invalid_value", ["init_time.start"]),
    "init time without zone": ({"init_time": RANGE | {"start": "2025-03-29T00:00:00"}}, "invalid_value", ["init_time.start"]),
    "init time in seconds": ({"init_time": RANGE | {"start": 0}}, "invalid_value", ["init_time.start"]),
    "backwards": ({"init_time": {"start": RANGE["end"], "end": RANGE["start"]}}, "invalid_value", []),
    "leads backwards": ({"lead_time": {"start": 24, "end": "PT12H"}}, "invalid_value", []),
    "lead": ({"lead_time": {"start": "12 h"}}, "invalid_value", ["lead_time.start"]),
    "future": ({"as_of": "2030-01-01T00:00:00Z"}, "invalid_value", []),
    "place": ({"geo": {"type": "point", "value": [[47.0]]}}, "invalid_value", ["geo.point.value.0"]),
    "off the globe": ({"geo": {"type": "point", "value": [[91.0, 8.0]]}}, "invalid_value", []),
    "far away": ({"geo": {"type": "point", "value": [[0.0, 0.0]]}}, "unknown_name", []),
    "too many places": ({"geo": {"type": "point", "value": [[47.0, 8.0]] * 1001}}, "invalid_value", ["geo.point.value"]),
    "site": ({"geo": {"type": "site", "value": ["../etc"]}}, "invalid_value", []),
    "cursor": ({"cursor": "first"}, "invalid_value", []),
    "cursor of another range": ({"cursor": "0-0"}, "invalid_value", []),
    "cursor behind the end": ({"cursor": f"{int(SECOND_INIT.timestamp())}-10"}, "invalid_value", []),
    "limit": ({"limit": 10_001}, "invalid_value", ["limit"]),
    "form": ({"format": "xml"}, "invalid_value", ["format"]),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_question_is_a_problem(ask, name):
    more, code, members = WRONG[name]
    made = check_problem(ask.post("/v1/query", ASKED | more), 422, code)
    if members is not None:
        assert [error["parameter"] for error in made["errors"]] == members


def test_a_range_without_a_run_is_not_available(ask):
    empty = {"init_time": {"start": "2020-01-01T00:00:00Z", "end": "2020-02-01T00:00:00Z"}}
    check_problem(ask.post("/v1/query", ASKED | empty), 404, "no_run")
    check_problem(ask.post("/v1/query", ASKED | {"as_of": "2025-03-29T12:29:00Z"}), 404, "no_run")
    assert NOW > SECOND_INIT


def test_written_numbers_are_those_of_the_familiar_face(ask):
    table = ask_arrow(
        ask, statistics=["mean", "q0.333", {"exceedance": {"op": "<", "value": 12.5}}], variables=["temperature_2m"]
    )
    familiar = ask.forecast({"quantiles": "0.333", "exceedance": "temperature_2m<12.5"}).json()["hourly"]
    rows = [row for row in table.to_pylist() if row["site"] == "zurich" and row["init_time"] == SECOND_INIT]
    for name in ("temperature_2m", "temperature_2m_p33_3", "temperature_2m_prob_lt_12_5"):
        np.testing.assert_array_equal([row[name] for row in rows], familiar[name])
