"""The forms of an answer, read by readers that are not ours, say the same as its JSON."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime

import numpy as np
import orjson
import pyarrow as pa
import pytest
from covjson_pydantic.coverage import Coverage, CoverageCollection
from openmeteo_sdk.Aggregation import Aggregation
from openmeteo_sdk.Probability import Probability
from openmeteo_sdk.Unit import Unit
from openmeteo_sdk.Variable import Variable
from openmeteo_sdk.WeatherApiResponse import WeatherApiResponse
from pyarrow import parquet

from skyproof.domain.units import find_unit
from skyproof.domain.variables import VARIABLES
from skyproof.stages.deliver import flatbuffer_words as words
from skyproof.stages.deliver.answers import Block
from skyproof.stages.deliver.columns import Columns, Heads
from skyproof.stages.deliver.desk import Desk
from skyproof.stages.deliver.flatbuffer_form import even_axis, spread_out
from skyproof.stages.deliver.forms import FORMS
from skyproof.stages.deliver.parameters import BY_NAME, UNIT_CHOICES
from skyproof.stages.deliver.requests import check_request, parse_request
from skyproof.stages.deliver.thresholds import Threshold
from tests.surfaces.api.served import LEADS, NOW, draw_alone

BOTH = {"hourly": "temperature_2m,precipitation", "daily": "temperature_2m_max,precipitation_sum"}
HOURLY = {"hourly": "temperature_2m,precipitation", "quantiles": "0.1,0.5"}
DAILY = {"daily": "temperature_2m_max,precipitation_sum", "quantiles": "0.9"}


@pytest.fixture(scope="module")
def desk(served):
    return Desk(served.archive, draw=draw_alone(served.archive))


@pytest.fixture(scope="module")
def ask(desk):
    def answer(**asked: str) -> bytes:
        place = {} if {"site", "latitude"} & set(asked) else {"site": "zurich"}
        return desk.answer(desk.ask("acme", parse_request((place | asked).items()), now=NOW)).body

    return answer


def documents(body: bytes) -> list[dict]:
    made = orjson.loads(body)
    return made if isinstance(made, list) else [made]


def read_table(form: str, body: bytes) -> pa.Table:
    return pa.ipc.open_stream(body).read_all() if form == "arrow" else parquet.read_table(io.BytesIO(body))


def read_flatbuffers(body: bytes) -> list[WeatherApiResponse]:
    messages, place = [], 0
    while place < len(body):
        messages.append(WeatherApiResponse.GetRootAs(body, place + 4))
        place += 4 + int.from_bytes(body[place : place + 4], "little")
    return messages


def test_every_form_that_can_be_asked_for_can_be_written():
    assert tuple(FORMS) == BY_NAME["format"].choices
    assert len({form.media_type for form in FORMS.values()}) == len(FORMS)


@pytest.mark.parametrize("form", ["arrow", "parquet"])
@pytest.mark.parametrize("asked", [HOURLY, DAILY], ids=["hourly", "daily"])
def test_a_table_says_what_the_json_says(ask, form, asked):
    asked = asked | {"site": "zurich,acme-roof", "timezone": "auto", "members": "2"}
    table = read_table(form, ask(**asked, format=form))
    (kind,) = {"hourly", "daily"} & set(asked)
    made = documents(ask(**asked))
    rows = table.to_pylist()
    assert [row["site"] for row in rows] == [
        place["grid"]["site"] for place in made for _ in place[kind]["time"]
    ]  # fmt: skip
    for number, place in enumerate(made):
        mine = [row for row in rows if row["location_id"] == number]
        for name, column in place[kind].items():
            if name != "time":
                assert [row[name] for row in mine] == column
        if kind == "daily":
            assert [row["date"].isoformat() for row in mine] == place["daily"]["time"]
        else:
            assert [row["valid_time"] for row in mine] == [datetime.fromisoformat(t) for t in place["hourly"]["time"]]
            assert [row["lead_hours"] for row in mine] == list(LEADS)


def test_a_table_says_where_it_comes_from_and_what_its_columns_are(ask):
    asked = HOURLY | {"exceedance": "precipitation>1", "wind_speed_unit": "kn"}
    schema = read_table("arrow", ask(**asked, format="arrow")).schema
    origin = json.loads(schema.metadata[b"skyproof"])
    meta = documents(ask(**asked))[0]["meta"]
    assert origin["calibrations"] == {"0": meta["calibration"]}
    same = set(meta) - {"forecast_id", "links", "calibration"}
    assert {name: origin[name] for name in same} == {name: meta[name] for name in same}
    assert origin["null_reasons"] == {"0": {"precipitation": {"2": "no_expert_awake"}}}
    facts = {field.name: field.metadata for field in schema if field.metadata}
    assert facts["precipitation_p10"] == {
        b"unit": b"mm", b"standard_name": b"lwe_thickness_of_precipitation_amount", b"cell_methods": b"preceding sum",
        b"statistic": b"quantile", b"quantile": b"0.1",
    }  # fmt: skip
    assert facts["precipitation_prob_gt_1"][b"threshold"] == b"precipitation>1"
    assert facts["precipitation_prob_gt_1"][b"unit"] == b"1"


def test_a_missing_value_in_a_table_is_null_and_not_nan(ask):
    column = read_table("parquet", ask(**HOURLY, format="parquet"))["precipitation"]
    assert column.null_count == 1
    assert not np.isnan(column.drop_null().to_numpy()).any()


@pytest.mark.parametrize("asked", [HOURLY, DAILY, BOTH], ids=["hourly", "daily", "both"])
@pytest.mark.parametrize("site", ["zurich", "zurich,acme-roof"], ids=["one", "several"])
def test_a_coverage_is_valid_and_says_what_the_json_says(ask, asked, site):
    asked = asked | {"site": site, "exceedance": next(iter(asked.values())).split(",")[0] + ">5", "members": "1"}
    body = ask(**asked, format="covjson")
    places = documents(ask(**asked))
    blocks = [(place, kind) for place in places for kind in ("hourly", "daily") if kind in place]
    if len(blocks) == 1:
        coverages = [Coverage.model_validate_json(body)]
        parameters = coverages[0].parameters
    else:
        collection = CoverageCollection.model_validate_json(body)
        coverages, parameters = collection.coverages, collection.parameters
    assert len(coverages) == len(blocks)
    for coverage, (place, kind) in zip(coverages, blocks, strict=True):
        axes = coverage.domain.axes
        assert (axes.x.values, axes.y.values) == ([place["longitude"]], [place["latitude"]])
        assert len(axes.t.values) == len(place[kind]["time"])
        if kind == "hourly":
            assert axes.t.values == [datetime.fromisoformat(text) for text in place["hourly"]["time"]]
        for name, column in place[kind].items():
            if name != "time":
                assert coverage.ranges[name].values == column
                assert parameters[name].unit.symbol.type == "http://www.opengis.net/def/uom/UCUM/"
    assert documents(body)[0]["skyproof:meta"]["run_id"] == places[0]["meta"]["run_id"]


def test_quantiles_of_one_quantity_are_a_group_and_a_day_has_its_bounds(ask):
    made = orjson.loads(ask(**DAILY, timezone="auto", format="covjson", start_date="2025-03-30", end_date="2025-03-30"))
    assert [group["members"] for group in made["parameterGroups"]] == [
        ["temperature_2m_max_p90"],
        ["precipitation_sum_p90"],
    ]
    assert made["domain"]["axes"]["t"] == {
        "values": ["2025-03-29T23:00:00Z"], "bounds": ["2025-03-29T23:00:00Z", "2025-03-30T22:00:00Z"],
    }  # fmt: skip
    assert made["parameters"]["temperature_2m_max_p90"]["observedProperty"]["id"].endswith(
        "/standard_name/air_temperature/"
    )
    assert made["skyproof:nullReasons"]["precipitation_sum"] == {"0": "day_incomplete"}


def test_flatbuffers_say_what_the_json_says(ask):
    asked = BOTH | {
        "site": "zurich,acme-roof", "timezone": "auto", "members": "2", "wind_speed_unit": "kn",
        "exceedance": "temperature_2m>20,precipitation>0.1,temperature_2m<-5,precipitation_sum>5",
    }  # fmt: skip
    messages, places = read_flatbuffers(ask(**asked, format="flatbuffers")), documents(ask(**asked))
    assert [message.LocationId() for message in messages] == [0, 1]
    for message, place in zip(messages, places, strict=True):
        assert (message.Timezone(), message.UtcOffsetSeconds()) == (
            place["timezone"].encode(),
            place["utc_offset_seconds"],
        )
        assert message.TimezoneAbbreviation() == place["timezone_abbreviation"].encode()
        np.testing.assert_allclose(
            [message.Latitude(), message.Longitude(), message.Elevation(), message.GenerationTimeMilliseconds()],
            [place["latitude"], place["longitude"], place["elevation"], place["generationtime_ms"]], rtol=1e-6,
        )  # fmt: skip
        for kind, block in (("hourly", message.Hourly()), ("daily", message.Daily())):
            columns = [np.array(column, dtype=float) for name, column in place[kind].items() if name != "time"]
            assert block.VariablesLength() == len(columns)
            for number, column in enumerate(columns):
                np.testing.assert_allclose(block.Variables(number).ValuesAsNumpy(), column, rtol=1e-6)
            assert (block.TimeEnd() - block.Time()) / block.Interval() == len(place[kind]["time"])
        first = datetime.fromisoformat(place["hourly"]["time"][0])
        assert datetime.fromtimestamp(message.Hourly().Time(), UTC) == first
        date = datetime.fromtimestamp(message.Daily().Time() + message.UtcOffsetSeconds(), UTC)
        assert (date.date().isoformat(), date.hour) == (place["daily"]["time"][0], 0)


def test_flatbuffers_name_variable_unit_statistic_and_member(ask):
    asked = {"hourly": "temperature_2m,wind_speed_10m", "quantiles": "0.1,0.5,0.9", "exceedance": "temperature_2m<0",
             "members": "1", "temperature_unit": "fahrenheit", "wind_speed_unit": "kmh", "format": "flatbuffers"}  # fmt: skip
    (message,) = read_flatbuffers(ask(**asked))
    block = message.Hourly()
    found = [block.Variables(number) for number in range(block.VariablesLength())]
    temperature, wind = (Variable.temperature, Unit.fahrenheit, 2), (Variable.wind_speed, Unit.kilometres_per_hour, 10)
    levels = [Aggregation.none, Aggregation.p10, Aggregation.median, Aggregation.p90]
    assert [(entry.Variable(), entry.Unit(), entry.Altitude(), entry.Aggregation()) for entry in found[:8]] == [
        (*what, level) for what in (temperature, wind) for level in levels
    ]
    assert (found[8].Unit(), found[8].Probability()) == (Unit.fraction, Probability.lt0)
    assert [entry.EnsembleMember() for entry in found] == [0] * 9 + [1, 1]
    (message,) = read_flatbuffers(ask(daily="temperature_2m_min,precipitation_sum", format="flatbuffers"))
    daily = message.Daily()
    assert [daily.Variables(number).Aggregation() for number in range(2)] == [Aggregation.minimum, Aggregation.sum]


def test_the_numbers_for_words_are_those_of_the_schema():
    for name, number in words.VARIABLE.items():
        bare = "_".join(part for part in name.split("_") if not part.endswith("m") or part == "max")
        assert getattr(Variable, bare) == number, name
    assert set(words.VARIABLE) == {variable.name for variable in VARIABLES}
    spelled = {
        "Cel": "celsius", "K": "kelvin", "[degF]": "fahrenheit", "m/s": "metre_per_second", "km/h": "kilometres_per_hour",
        "[kn_i]": "knots", "[mi_i]/h": "miles_per_hour", "mm": "millimetre", "[in_i]": "inch", "hPa": "hectopascal",
        "%": "percentage", "1": "fraction", "W/m2": "watt_per_square_metre", "MJ/m2": "megajoule_per_square_metre",
        "deg": "degree_direction",
    }  # fmt: skip
    assert {code: getattr(Unit, name) for code, name in spelled.items()} == words.UNIT
    asked = {code for _, choices in UNIT_CHOICES.values() for code in choices.values()}
    assert asked | {variable.unit for variable in VARIABLES} <= set(words.UNIT)
    assert all(find_unit(code) for code in words.UNIT)
    for how, number in words.AGGREGATION.items():
        assert getattr(Aggregation, how or "none") == number
    for level, number in words.AGGREGATION_OF_LEVEL.items():
        assert getattr(Aggregation, "median" if level == 0.5 else f"p{level * 100:g}") == number
    for above, sign in ((True, "gt"), (False, "lt")):
        for value in (-32, -20, -15, -10, -8, -5, -4, -3, -2, -1, 0, 0.1, 1, 2, 3, 4, 5, 8, 10, 15, 20, 25, 30, 35, 40, 50, 60,
                      75, 80, 100, 7):  # fmt: skip
            name = sign + f"{value:g}".replace("-", "m").replace(".", "p")
            assert words.probability_word(Threshold("x", above, value)) == getattr(Probability, name, None), name


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"quantiles": "0.05"}, "flatbuffers has no word for the quantile 0.05"),
        ({"exceedance": "temperature_2m>7"}, "flatbuffers has no word for the threshold temperature_2m>7"),
        ({"daily": "temperature_2m_max", "quantiles": "0.9"}, "flatbuffers has no word for quantiles of a day's"),
    ],
    ids=str,
)
def test_what_flatbuffers_cannot_say_is_refused_and_not_left_out(asked, message):
    (fault,) = check_request(({"site": "zurich", "hourly": "temperature_2m", "format": "flatbuffers"} | asked).items())
    assert (fault.parameter, fault.kind) == ("format", "invalid_value")
    assert fault.message.startswith(message)


def test_uneven_steps_stand_on_an_even_axis():
    seconds = np.array([0, 3, 6, 12, 24]) * 3600
    nothing = Columns(np.empty((0, 5)), np.empty((0, 5), dtype=np.float32), {})
    start, interval, places, count = even_axis(Block("hourly", Heads((), (), (), ()), (), seconds, None, nothing), 0)
    assert (start, interval, count) == (0, 3 * 3600, 9)
    spread = spread_out(np.arange(5.0), places, count)
    np.testing.assert_array_equal(spread, [0, 1, 2, np.nan, 3, np.nan, np.nan, np.nan, 4])


@pytest.mark.parametrize("form", ["arrow", "parquet"])
def test_a_table_has_one_axis_of_times(form):
    (fault,) = check_request(({"site": "zurich", "format": form} | BOTH).items())
    assert fault.message == f"{form} holds one table"


@pytest.mark.parametrize("form", FORMS)
def test_the_same_question_is_the_same_bytes_and_the_values_have_one_digest(served, form):
    asked = {"site": "zurich", "hourly": "temperature_2m", "quantiles": "0.1", "members": "3"}
    request = parse_request((asked | {"format": form}).items())
    plain = parse_request(asked.items())
    made = []
    for _ in range(2):
        desk = Desk(served.archive, draw=draw_alone(served.archive))
        made.append(desk.answer(desk.ask("acme", request, now=NOW)))
        assert made[-1].value_digest == desk.answer(desk.ask("acme", plain, now=NOW)).value_digest
    assert made[0] == made[1]
