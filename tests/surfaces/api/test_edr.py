"""OGC API - EDR: documents that its own validators accept, and coverages that say what the familiar face says."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import datetime

import numpy as np
import pytest
from covjson_pydantic.coverage import Coverage, CoverageCollection
from edr_pydantic.capabilities import ConformanceModel, LandingPageModel
from edr_pydantic.collections import Collection, Collections, Instance, Instances

from tests.surfaces.api.served import LEADS, SITES, VARIABLES
from tests.surfaces.api.test_problems import check_problem

BASE = "/edr/collections/skyproof"
ZURICH = "POINT(8.54 47.38)"
ALL = "POLYGON((7 46,9 46,9 48,7 48,7 46))"


def seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


def test_the_documents_are_valid(ask):
    LandingPageModel.model_validate_json(ask("/edr", key=None).content)
    ConformanceModel.model_validate_json(ask("/edr/conformance", key=None).content)
    Collections.model_validate_json(ask("/edr/collections").content)
    Collection.model_validate_json(ask(BASE).content)
    found = Instances.model_validate_json(ask(f"{BASE}/instances").content)
    Instance.model_validate_json(ask(f"{BASE}/instances/{found.instances[0].id}").content)


def test_every_link_of_the_documents_leads_somewhere(ask):
    for path in ("/edr", "/edr/collections", BASE):
        text = ask(path).text
        for href in set(re.findall(r'"href":"([^"]+)"', text)):
            more = {"position": f"?coords={ZURICH}", "area": f"?coords={ALL}",
                    "trajectory": "?coords=LINESTRING(8 47,8.5 47.3)&datetime=2025-03-30T12:00Z"}  # fmt: skip
            query = next((query for name, query in more.items() if href.endswith(f"/{name}")), "")
            assert ask(href + query).status_code == 200, href


def test_the_collection_tells_what_its_newest_run_has(ask, served):
    told = ask(BASE).json()
    assert told["id"] == "skyproof"
    assert served.second.run_id in told["description"]
    assert told["extent"]["spatial"]["bbox"] == [[8.0, 47.0, 8.54, 47.38]]  # acme's places, and no others
    assert told["extent"]["temporal"]["values"][0] == "2025-03-30T06:00:00Z"
    assert len(told["extent"]["temporal"]["values"]) == len(LEADS)
    assert set(told["parameter_names"]) == {
        f"{name}{end}" for name in VARIABLES for end in ("", "_p10", "_p50", "_p90")
    }
    rain = told["parameter_names"]["precipitation"]
    assert rain["measurementType"] == {"method": "sum", "duration": "-PT6H"}
    assert rain["unit"]["symbol"] == {"value": "mm", "type": "http://www.opengis.net/def/uom/UCUM/"}
    assert set(told["data_queries"]) == {"position", "area", "trajectory", "locations", "instances"}


def test_instances_are_runs_by_id_or_init_time(ask, served):
    ids = [instance["id"] for instance in ask(f"{BASE}/instances").json()["instances"]]
    assert ids == [served.second.run_id, served.first.run_id]
    for name in (served.first.run_id, "2025-03-29T12:00Z", "2025-03-29T12Z"):
        told = ask(f"{BASE}/instances/{name}").json()
        assert told["id"] == served.first.run_id
        assert "instances" not in told["data_queries"]
        made = ask(f"{BASE}/instances/{name}/position?coords={ZURICH}").json()
        assert made["skyproof:meta"]["run_id"] == served.first.run_id


def test_a_position_says_what_the_familiar_face_says(ask):
    asked = {"latitude": "47.38", "longitude": "8.54", "hourly": ",".join(VARIABLES), "quantiles": "0.1"}
    (familiar,) = [ask.forecast(asked).json()]
    made = Coverage.model_validate_json(ask(f"{BASE}/position?coords={ZURICH}&quantiles=0.1").content)
    assert (made.domain.axes.x.values, made.domain.axes.y.values) == ([8.54], [47.38])
    assert made.domain.axes.t.values == [datetime.fromisoformat(text) for text in familiar["hourly"]["time"]]
    for name, column in familiar["hourly"].items():
        if name != "time":
            assert made.ranges[name].values == column


def test_only_the_parameters_asked_for_are_sent_in_their_order(ask):
    names = ["precipitation", "temperature_2m_p90", "temperature_2m_p2_5", "temperature_2m"]
    made = ask(f"{BASE}/position?coords={ZURICH}&parameter-name={','.join(names)}").json()
    assert list(made["ranges"]) == list(made["parameters"]) == names
    assert made["skyproof:nullReasons"] == {"precipitation": {"2": "no_expert_awake"}}
    made = ask(f"{BASE}/position?coords={ZURICH}&parameter-name=temperature_2m").json()
    assert list(made["ranges"]) == ["temperature_2m"]
    assert "skyproof:nullReasons" not in made


@pytest.mark.parametrize(
    ("datetime", "count"),
    [("2025-03-30T12:00Z", 1), ("2025-03-30T12:00Z/2025-03-31T00:00Z", 3), ("../2025-03-30T12:00Z", 2),
     ("2025-03-30T12:00Z/..", 4), ("2025-03-30T14:00 02:00", 1), ("2025-03-30T12:00Z/", 4), ("", 5), ("../..", 5)],
)  # fmt: skip
def test_times_are_an_instant_or_an_interval(ask, datetime, count):
    made = ask(f"{BASE}/position?coords={ZURICH}&datetime={datetime}").json()
    assert len(made["domain"]["axes"]["t"]["values"]) == count


def test_an_area_holds_the_callers_places_inside_and_no_others(ask):
    for key, wanted in (("acme", ["acme-roof", "zurich"]), ("bolt", ["bolt-farm", "zurich"])):
        made = ask(f"{BASE}/area?coords={ALL}", key=key)
        CoverageCollection.model_validate_json(made.content)
        assert [coverage["skyproof:site"] for coverage in made.json()["coverages"]] == wanted
    only = ask(f"{BASE}/area?coords=POLYGON((8.5 47.3,8.6 47.3,8.6 47.4,8.5 47.4))").json()
    assert [coverage["skyproof:site"] for coverage in only["coverages"]] == ["zurich"]
    hole = "POLYGON((7 46,9 46,9 48,7 48),(8.5 47.3,8.6 47.3,8.6 47.4,8.5 47.4))"
    assert [c["skyproof:site"] for c in ask(f"{BASE}/area?coords={hole}").json()["coverages"]] == ["acme-roof"]
    two = "MULTIPOLYGON(((8.5 47.3,8.6 47.3,8.6 47.4,8.5 47.4)),((7.9 46.9,8.1 46.9,8.1 47.1,7.9 47.1)))"
    assert len(ask(f"{BASE}/area?coords={two}").json()["coverages"]) == 2
    check_problem(ask(f"{BASE}/area?coords=POLYGON((0 0,1 0,1 1,0 1))"), 404, "not_found")


def test_several_positions_are_a_collection(ask):
    made = CoverageCollection.model_validate_json(
        ask(f"{BASE}/position?coords=MULTIPOINT((8.5 47.4),(8.1 47.0))").content
    )
    assert [coverage.domain.axes.x.values for coverage in made.coverages] == [[8.5], [8.1]]


def test_a_trajectory_takes_each_place_at_its_time(ask, served):
    published = {name: served.archive.runs.open(served.second).site(name) for name in ("zurich", "acme-roof")}
    times = ["2025-03-30T06:00Z", "2025-03-30T13:00Z", "2025-03-31T10:00Z"]
    line = ",".join(
        f"{x} {y} {seconds(t)}" for (x, y), t in zip([(8.54, 47.38), (8.0, 47.0), (8.5, 47.4)], times, strict=True)
    )
    answer = ask(f"{BASE}/trajectory?coords=LINESTRINGM({line})")
    made = Coverage.model_validate_json(answer.content)
    assert made.domain.domainType.value == "Trajectory"
    assert [tuple(value) for value in made.domain.axes.composite.values] == [
        ("2025-03-30T06:00:00Z", 8.54, 47.38), ("2025-03-30T13:00:00Z", 8.0, 47.0), ("2025-03-31T10:00:00Z", 8.5, 47.4),
    ]  # fmt: skip
    # 13:00 is nearest to the step of 12:00 and lies in the interval that ends at 18:00; 10:00 the day after is behind the run.
    warm = [published["zurich"].mean[0, 0], published["acme-roof"].mean[0, 1]]
    rain = [published["zurich"].mean[2, 0], None]
    assert made.ranges["temperature_2m"].values == [*np.round(warm, 1).tolist(), None]
    assert made.ranges["precipitation"].values == [round(rain[0], 2), None, None]
    reasons = answer.json()["skyproof:nullReasons"]
    assert reasons["precipitation"] == {"1": "no_expert_awake", "2": "outside_run"}
    assert reasons["temperature_2m"] == {"2": "outside_run"}
    at_once = ask(f"{BASE}/trajectory?coords=LINESTRING(8.54 47.38,8 47)&datetime=2025-03-30T12:00Z").json()
    assert at_once["ranges"]["temperature_2m"]["shape"] == [2]


def test_locations_are_features_and_each_answers(ask):
    told = ask(f"{BASE}/locations")
    assert told.headers["content-type"] == "application/geo+json"
    features = {feature["id"]: feature for feature in told.json()["features"]}
    assert set(features) == {"acme-roof", "zurich"}
    zurich = next(site for site in SITES if site.site_id == "zurich")
    assert features["zurich"]["geometry"] == {
        "type": "Point",
        "coordinates": [zurich.longitude, zurich.latitude, 410.0],
    }
    made = ask(features["zurich"]["properties"]["edrqueryendpoint"])
    assert made.json()["skyproof:site"] == "zurich"
    check_problem(ask(f"{BASE}/locations/bolt-farm"), 404, "not_found")


@pytest.mark.parametrize("query", [f"position?coords={ZURICH}", f"area?coords={ALL}", "locations/zurich",
                                   "trajectory?coords=LINESTRING(8.54 47.38,8 47)&datetime=2025-03-30T12:00Z"])  # fmt: skip
def test_every_answer_has_a_receipt_and_can_be_had_again(ask, served, query):
    before = {receipt.receipt_id for receipt in served.archive.deliveries.receipts()}
    answer = ask(f"{BASE}/{query}")
    (receipt,) = [new for new in served.archive.deliveries.receipts() if new.receipt_id not in before]
    assert receipt.bytes_digest == hashlib.sha256(answer.content).hexdigest()
    assert answer.headers["content-type"] == receipt.media_type == "application/vnd.cov+json"
    assert ask(f"/v1/forecasts/{receipt.forecast_id}").content == answer.content
    assert ask(f"{BASE}/{query}", If_None_Match=answer.headers["etag"]).status_code == 304


#: Query, status, code.
WRONG = {
    "no coords": ("position", 400, "invalid_value"),
    "no geometry": ("position?coords=here", 400, "invalid_value"),
    "another geometry": (f"position?coords={ALL}", 400, "invalid_value"),
    "a line without times": ("trajectory?coords=LINESTRING(8 47,9 47)", 400, "invalid_value"),
    "a line through ages": ("trajectory?coords=LINESTRINGM(8 47 9999999999999)", 400, "invalid_value"),
    "an interval for a line": (
        "trajectory?coords=LINESTRING(8 47,9 47)&datetime=2025-03-30T12:00Z/..",
        400,
        "invalid_value",
    ),
    "off the globe": ("position?coords=POINT(47.38 108.54)", 400, "invalid_value"),
    "three numbers": ("position?coords=POINT(8 47 410)", 400, "invalid_value"),
    "no number": ("position?coords=POINT(8 nan)", 400, "invalid_value"),
    "a triangle of two": ("area?coords=POLYGON((8 47,9 47))", 400, "invalid_value"),
    "nested for ever": ("area?coords=" + "(" * 200 + "8 47" + ")" * 200, 400, "invalid_value"),
    "too many vertices": ("area?coords=POLYGON((" + ",".join(["8 47"] * 1001) + "))", 400, "invalid_value"),
    "far away": ("position?coords=POINT(0 0)", 400, "unknown_name"),
    "parameter": (f"position?coords={ZURICH}&parameter-name=ozone", 400, "unknown_name"),
    "parameter not in run": (f"position?coords={ZURICH}&parameter-name=cloud_cover", 400, "unknown_name"),
    "quantile of none": (f"position?coords={ZURICH}&parameter-name=ozone_p10", 400, "unknown_name"),
    "impossible quantile": (f"position?coords={ZURICH}&parameter-name=temperature_2m_p0", 400, "unknown_name"),
    "quantiles": (f"position?coords={ZURICH}&quantiles=2", 400, "invalid_value"),
    "time": (f"position?coords={ZURICH}&datetime=noon", 400, "invalid_value"),
    "time of no step": (f"position?coords={ZURICH}&datetime=2025-03-30T12:30Z", 400, "invalid_value"),
    "time of another age": (f"position?coords={ZURICH}&datetime=0001-01-01T00:00Z", 400, "invalid_value"),
    "backwards": (f"position?coords={ZURICH}&datetime=2025-03-31T00:00Z/2025-03-30T00:00Z", 400, "invalid_value"),
    "crs": (f"position?coords={ZURICH}&crs=EPSG:2056", 400, "unknown_name"),
    "form of nothing": (f"position?coords={ZURICH}&f=", 400, "unknown_name"),
    "form": (f"position?coords={ZURICH}&f=GeoTIFF", 400, "unknown_name"),
    "form of metadata": ("?f=html", 400, "unknown_name"),
    "height": (f"position?coords={ZURICH}&z=850", 400, "unknown_name"),
    "twice": (f"position?coords={ZURICH}&coords={ZURICH}", 400, "invalid_value"),
    "run": ("instances/run_0000000000000000", 404, "not_found"),
    "run of no time": ("instances/2025-03-29T13:00Z", 404, "not_found"),
    "no run": ("instances/yesterday", 404, "not_found"),
    "run of an endless name": ("instances/" + "9" * 3000, 404, "not_found"),
    "location": ("locations/nowhere", 404, "not_found"),
    "query": ("cube?bbox=8,47,9,48", 404, "not_found"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_query_is_a_problem(ask, name):
    query, status, code = WRONG[name]
    check_problem(ask(f"{BASE}/{query}".replace("/?", "?")), status, code)


def test_another_collection_is_not_here(ask):
    for path in ("", "/instances", "/locations", f"/position?coords={ZURICH}"):
        check_problem(ask(f"/edr/collections/gfs{path}"), 404, "not_found")


def test_an_independent_reader_reads_areas_and_trajectories(node, ask):
    for query in (f"area?coords={ALL}", "trajectory?coords=LINESTRING(8.54 47.38,8 47)&datetime=2025-03-30T12:00Z"):
        made = ask(f"{BASE}/{query}&quantiles=0.1").json()
        found = node("read-coverages.cjs", given=json.dumps(made))
        coverages = made.get("coverages", [made])
        assert len(found) == len(coverages)
        for read, coverage in zip(found, coverages, strict=True):
            assert read["profile"].endswith(coverage["domain"]["domainType"])
            for name, values in coverage["ranges"].items():
                assert read["values"][name] == values["values"]
                assert read["units"][name] == made["parameters"][name]["unit"]["symbol"]["value"]
