"""Reading a forecast request: what is understood, and every fault named with its parameter."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skyproof.domain.errors import InvalidValueError, UnknownNameError
from skyproof.stages.deliver.parameters import BY_NAME, PARAMETERS, REFUSED, UNIT_CHOICES
from skyproof.stages.deliver.requests import (
    MOST_LEVELS,
    MOST_PARAMETERS,
    MOST_PLACES,
    ForecastRequest,
    Place,
    check_request,
    parse_request,
)

GOOD = {"site": "zurich", "hourly": "temperature_2m"}


def read(**changes: str) -> ForecastRequest:
    return parse_request((GOOD | changes).items())


def faults(*pairs: tuple[str, str], without: str = "") -> list[tuple[str, str]]:
    """(parameter, kind) of each fault of the good request with ``pairs`` added or replaced."""
    kept = {name: value for name, value in GOOD.items() if name != without and name not in dict(pairs)}
    outcome = check_request([*kept.items(), *pairs])
    assert isinstance(outcome, tuple), outcome
    assert all(fault.message and fault.hint for fault in outcome)
    return [(fault.parameter, fault.kind) for fault in outcome]


def test_the_smallest_request_gets_the_defaults():
    request = read()
    assert request.places == (Place("zurich"),)
    assert request.variables == ("temperature_2m",)
    assert (request.levels, request.run, request.as_of, request.release_id) == ((), None, None, None)
    assert (request.timezone, request.timeformat, request.form, request.provenance) == (
        "UTC", "iso8601", "json", "summary",
    )  # fmt: skip
    assert request.units == {"temperature": "Cel", "speed": "m/s", "precipitation": "mm"}
    assert not request.is_pinned


def test_everything_can_be_asked_at_once():
    request = read(
        hourly="precipitation, wind_speed_10m,precipitation",
        quantiles="0.9,0.1,.5,0.10",
        run="run_0123abcd",
        as_of="2026-01-31T19:00+01:00",
        version="rel_0123abcd",
        timezone="Europe/Zurich",
        timeformat="unixtime",
        temperature_unit="kelvin",
        wind_speed_unit="kn",
        precipitation_unit="inch",
        start_hour="2026-01-31T06:00",
        end_hour="2026-02-01T06:00Z",
        provenance="steps",
        format="csv",
        models="best_match",
    )
    assert request.variables == ("precipitation", "wind_speed_10m")
    assert request.levels == (0.1, 0.5, 0.9)
    assert request.run == "run_0123abcd"
    assert request.as_of == datetime(2026, 1, 31, 18, tzinfo=UTC)
    assert request.release_id == "rel_0123abcd"
    assert request.units == {"temperature": "K", "speed": "[kn_i]", "precipitation": "[in_i]"}
    assert request.start == datetime(2026, 1, 31, 6)  # naive: local to the time zone
    assert request.end == datetime(2026, 2, 1, 6, tzinfo=UTC)
    assert request.is_pinned


def test_lists_may_be_repeated_and_single_values_may_not():
    pairs = [*GOOD.items(), ("hourly", "precipitation"), ("site", "basel")]
    request = parse_request(pairs)
    assert request.variables == ("temperature_2m", "precipitation")
    assert request.places == (Place("zurich"), Place("basel"))
    assert faults(("timezone", "UTC"), ("timezone", "UTC")) == [("timezone", "invalid_value")]


@pytest.mark.parametrize(
    ("pair", "kind"),
    [
        (("hourly", "temprature_2m"), "unknown_name"),
        (("hourly", "temperature_2m,"), "unknown_name"),
        (("hourly", ""), "invalid_value"),
        (("hourly", ",".join(f"v{k}" for k in range(MOST_PARAMETERS))), "unknown_name"),
        (("site", "Zürich"), "invalid_value"),
        (("site", "../etc/passwd"), "invalid_value"),
        (("site", "a" * 65), "invalid_value"),
        (("site", "a\x00b"), "invalid_value"),
        (("site", ""), "invalid_value"),
        (("temperature_unit", "rankine"), "unknown_name"),
        (("wind_speed_unit", "m/s"), "unknown_name"),
        (("precipitation_unit", "mm/h"), "unknown_name"),
        (("quantiles", "0"), "invalid_value"),
        (("quantiles", "1"), "invalid_value"),
        (("quantiles", "0.0001"), "invalid_value"),
        (("quantiles", "0.12345"), "invalid_value"),
        (("quantiles", "nan"), "invalid_value"),
        (("quantiles", "1e-1"), "invalid_value"),
        (("quantiles", "-0.5"), "invalid_value"),
        (("quantiles", "50"), "invalid_value"),
        (("quantiles", "٠.٥"), "invalid_value"),  # digits, but not ours
        (("run", "yesterday"), "invalid_value"),
        (("run", "2026-02-30T00:00Z"), "invalid_value"),
        (("run", "run_xyz"), "invalid_value"),
        (("as_of", "2026-01-31T25:00Z"), "invalid_value"),
        (("as_of", "1" * 5000), "invalid_value"),
        (("as_of", "0001-01-01T00:00+14:00"), "invalid_value"),
        (("as_of", "9999-12-31T23:59-14:00"), "invalid_value"),
        (("version", "2.0"), "unknown_name"),
        (("models", "gfs"), "unknown_name"),
        (("provenance", "all"), "unknown_name"),
        (("timezone", "Mars/Olympus"), "unknown_name"),
        (("timezone", "../../etc/passwd"), "unknown_name"),
        (("timezone", "/etc/localtime"), "unknown_name"),
        (("timezone", "Europe"), "unknown_name"),
        (("timezone", "a\x00b"), "unknown_name"),
        (("timezone", "x" * 5000), "unknown_name"),
        (("timeformat", "unix"), "unknown_name"),
        (("format", "xml"), "unknown_name"),
        (("temporal_resolution", "hourly_1"), "unknown_name"),
        (("forecast_hours", "0"), "invalid_value"),
        (("forecast_hours", "-6"), "invalid_value"),
        (("forecast_hours", "1001"), "invalid_value"),
        (("forecast_hours", "6.5"), "invalid_value"),
        (("forecast_hours", "²"), "invalid_value"),
        (("forecast_hours", "9" * 5000), "invalid_value"),
        (("forecast_days", "43"), "invalid_value"),
        (("start_hour", "noon"), "invalid_value"),
        (("start_hour", "0001-01-01T00:00"), "invalid_value"),
        (("end_hour", "9999-12-31T00:00"), "invalid_value"),
        (("end_hour", "0001-01-01T00:00+14:00"), "invalid_value"),
    ],
    ids=lambda value: "=".join(value)[:40] if isinstance(value, tuple) else value,
)
def test_a_wrong_value_is_named_with_its_parameter(pair, kind):
    found = faults(pair)
    assert set(found) == {(pair[0], kind)}


@pytest.mark.parametrize(
    ("latitude", "longitude"),
    [("91", "8"), ("-90.1", "8"), ("47", "180.5"), ("nan", "8"), ("47", "inf"), ("4e1", "8"), ("", "8"), ("47,48", "8"),
     ("47,,48", "8,8,8"), ("47", "8 E"), ("0x10", "8"), ("4_7", "8"), ("47" * 3000, "8")],
)  # fmt: skip
def test_an_impossible_coordinate_is_refused(latitude, longitude):
    found = faults(("latitude", latitude), ("longitude", longitude), without="site")
    assert {kind for _, kind in found} == {"invalid_value"}
    assert {name for name, _ in found} <= {"latitude", "longitude"}


def test_places_are_asked_in_one_way():
    assert faults(without="site") == [("site", "invalid_value")]
    assert faults(("latitude", "47"), ("longitude", "8")) == [("site", "invalid_value")]
    assert faults(("latitude", "47"), without="site") == [("latitude", "invalid_value")]


def test_the_window_is_given_in_one_way():
    assert faults(("forecast_hours", "6"), ("forecast_days", "1")) == [("forecast_hours", "invalid_value")]
    assert faults(("forecast_days", "1"), ("end_hour", "2026-01-31T06:00")) == [("forecast_days", "invalid_value")]


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_others_offer_and_we_do_not_is_refused_with_what_to_do_instead(name):
    outcome = check_request([*GOOD.items(), (name, "1")])
    assert [(fault.parameter, fault.kind, fault.hint) for fault in outcome] == [(name, "unknown_name", REFUSED[name])]


def test_a_slip_of_the_pen_is_answered_with_the_right_word():
    (fault,) = check_request([*GOOD.items(), ("time_zone", "UTC")])
    assert fault.hint == "did you mean timezone?"
    (fault,) = check_request([("site", "zurich"), ("hourly", "temprature_2m")])
    assert fault.hint == "did you mean temperature_2m?"


def test_all_faults_are_told_at_once():
    found = faults(("hourly", "ozone"), ("timezone", "Nowhere"), ("quantiles", "2"), ("color", "red"))
    assert sorted(name for name, _ in found) == ["color", "hourly", "quantiles", "timezone"]
    with pytest.raises(UnknownNameError, match=r"'color' is not known \(and 1 more\)"):
        read(color="red", quantiles="2")
    with pytest.raises(InvalidValueError, match="quantile '2' is impossible"):
        read(quantiles="2")


def test_too_much_of_anything_is_refused_by_name_and_echoed_briefly():
    many = ",".join(f"s{k}" for k in range(MOST_PLACES + 1))
    assert faults(("site", many)) == [("site", "invalid_value")]
    north, east = ",".join(["47"] * (MOST_PLACES + 1)), ",".join(["8"] * (MOST_PLACES + 1))
    assert faults(("latitude", north), ("longitude", east), without="site") == [("latitude", "invalid_value")]
    levels = ",".join(f"0.{k:03d}" for k in range(1, MOST_LEVELS + 2))
    assert faults(("quantiles", levels)) == [("quantiles", "invalid_value")]
    assert faults(("hourly", "temperature_2m," * 70 + "temperature_2m")) == [("hourly", "invalid_value")]
    outcome = check_request([*GOOD.items(), *((f"x{k}", "1") for k in range(1000))])
    assert len(outcome) == MOST_PARAMETERS - len(GOOD) + 1
    assert outcome[MOST_PARAMETERS - len(GOOD)].message == f"more than {MOST_PARAMETERS} parameters"
    (fault,) = check_request([*GOOD.items(), ("x" * 10_000, "y" * 10_000)])
    assert max(len(fault.parameter), len(fault.value)) == 80
    assert len(fault.message) < 200


def test_the_most_that_is_allowed_is_allowed():
    assert len(read(site=",".join(f"s{k}" for k in range(MOST_PLACES))).places) == MOST_PLACES
    assert len(read(quantiles=",".join(f"0.{k:02d}" for k in range(1, 100))).levels) == 99
    assert read(forecast_hours="1000").forecast_hours == 1000
    assert read(quantiles="0.001,0.999").levels == (0.001, 0.999)


def test_an_unescaped_plus_in_an_offset_is_mended():
    assert read(as_of="2026-01-31T19:00 01:00").as_of == datetime(2026, 1, 31, 18, tzinfo=UTC)
    assert read(end_hour="2026-01-31T19:00:00 01:00").end == datetime(2026, 1, 31, 18, tzinfo=UTC)


@pytest.mark.parametrize(
    "other",
    [
        {"hourly": "temperature_2m,temperature_2m"},
        {"models": "best_match"},
        {"temperature_unit": "celsius"},
        {"timezone": "UTC"},
        {"version": "latest"},
        {"run": "latest"},
        {"run": "2026-01-31T12:00Z"},
        {"as_of": "2026-01-31T12:00Z"},
    ],
    ids=str,
)
def test_questions_that_mean_the_same_of_a_run_have_one_canonical_form(other):
    assert read(**other).canonical == read().canonical


@pytest.mark.parametrize(
    "other",
    [
        {"site": "basel"},
        {"hourly": "precipitation"},
        {"quantiles": "0.5"},
        {"timezone": "Europe/Zurich"},
        {"timeformat": "unixtime"},
        {"wind_speed_unit": "kn"},
        {"forecast_hours": "6"},
        {"forecast_days": "6"},
        {"start_hour": "2026-01-31T06:00"},
        {"start_hour": "2026-01-31T06:00Z"},
        {"end_hour": "2026-01-31T06:00"},
        {"provenance": "none"},
        {"format": "csv"},
    ],
    ids=str,
)
def test_questions_with_other_answers_have_other_canonical_forms(other):
    forms = {read().canonical, read(**other).canonical}
    assert len(forms) == 2


def test_minus_zero_is_the_equator():
    places = [{"latitude": sign + "0", "longitude": sign + "0.0", "hourly": "precipitation"} for sign in ("", "-", "+")]
    assert len({parse_request(place.items()).canonical for place in places}) == 1


def test_the_table_of_parameters_is_true():
    for parameter in PARAMETERS:
        if parameter.name in {"latitude", "longitude"}:
            asked = {"latitude": "47.38", "longitude": "8.54", "hourly": "temperature_2m"}
        else:
            asked = GOOD | {parameter.name: parameter.example}
        assert isinstance(check_request(asked.items()), ForecastRequest), parameter
        for choice in (*parameter.choices, *filter(None, [parameter.default])):
            assert isinstance(check_request((GOOD | {parameter.name: choice}).items()), ForecastRequest)
    assert not set(REFUSED) & set(BY_NAME)
    assert {name for name, _ in UNIT_CHOICES.values()} <= set(BY_NAME)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.sampled_from([*BY_NAME, "daily", "?"]), st.text(max_size=30)), max_size=6))
def test_no_text_whatever_makes_the_reader_stumble(pairs):
    outcome = check_request([("hourly", "temperature_2m"), *pairs])
    if isinstance(outcome, ForecastRequest):
        assert outcome.canonical
    else:
        assert outcome
