"""Each of the seven ways to change what the wire means, planted into the code that serves, is found and named."""

from __future__ import annotations

import copy
import importlib.util
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import pytest

from skyproof.domain import variables
from skyproof.stages.deliver import columns, desk, forms, parameters
from skyproof.surfaces.api import forecast_description, lifecycle

ROOT = Path(__file__).parents[2]
specification = importlib.util.spec_from_file_location("api_contract", ROOT / "tools/api_contract.py")
gate = importlib.util.module_from_spec(specification)
sys.modules["api_contract"] = gate
specification.loader.exec_module(gate)

HELD = json.loads((ROOT / gate.CONTRACT).read_text())
Plant = Callable[[pytest.MonkeyPatch], None]


def change_variable(patch: pytest.MonkeyPatch, name: str, **facts: object) -> None:
    """Give a variable other facts, wherever it is looked up."""
    changed = replace(variables.find_variable(name), **facts)
    patch.setitem(variables._BY_NAME, name, changed)
    patch.setattr(gate, "VARIABLES", tuple(changed if v.name == name else v for v in variables.VARIABLES))


def plant_unit(patch: pytest.MonkeyPatch) -> None:
    words = parameters.UNIT_CHOICES["temperature"][1]
    patch.setitem(words, "celsius", "K")
    change_variable(patch, "temperature_2m", unit="K")


def plant_unit_silently(patch: pytest.MonkeyPatch) -> None:
    """Other numbers under the same symbol."""
    make = columns.make_scale

    def kmh(codes, units, decimals):
        scale = make(codes, units, decimals)
        factors = np.array([3.6 if code == "m/s" else 1.0 for code in codes]).reshape(-1, 1, 1)
        return replace(scale, scale=scale.scale * factors)

    patch.setattr(columns, "make_scale", kmh)


def plant_sign(patch: pytest.MonkeyPatch) -> None:
    make = columns.make_scale
    patch.setattr(columns, "make_scale", lambda *parts: (s := make(*parts), replace(s, scale=-s.scale))[1])


def plant_label(patch: pytest.MonkeyPatch) -> None:
    """The time of an interval is its beginning."""
    make = desk.make_axis

    def beginning(init_time, lead_hours, zone, request):
        return make(init_time, tuple(lead - 6 for lead in lead_hours), zone, request)

    patch.setattr(desk, "make_axis", beginning)


def plant_accumulation(patch: pytest.MonkeyPatch) -> None:
    change_variable(patch, "precipitation", cell_method="preceding mean")


def plant_rounding(patch: pytest.MonkeyPatch) -> None:
    change_variable(patch, "precipitation", decimals=1)


def plant_null_policy(patch: pytest.MonkeyPatch) -> None:
    """What is missing is a number that means it."""
    form = forms.FORMS["json"]

    def filled(content):
        body = orjson.loads(form.render(content))
        body["hourly"] = {
            name: [-999.0 if value is None else value for value in values] for name, values in body["hourly"].items()
        }
        return orjson.dumps(body)

    patch.setitem(forms.FORMS, "json", replace(form, render=filled))


def plant_default(patch: pytest.MonkeyPatch) -> None:
    changed = tuple(
        replace(each, default="kmh") if each.name == "wind_speed_unit" else each for each in parameters.PARAMETERS
    )
    patch.setattr(gate, "PARAMETERS", changed)
    patch.setattr(forecast_description, "PARAMETERS", changed)
    for each in changed:
        patch.setitem(parameters.BY_NAME, each.name, each)


PLANTS: dict[str, tuple[Plant, str]] = {
    "unit": (plant_unit, "unit"),
    "unit, silently": (plant_unit_silently, "unit"),
    "sign": (plant_sign, "sign"),
    "label": (plant_label, "label"),
    "accumulation": (plant_accumulation, "accumulation"),
    "rounding": (plant_rounding, "rounding"),
    "null policy": (plant_null_policy, "null policy"),
    "default": (plant_default, "default"),
}


def test_the_contract_is_what_the_code_says():
    assert list(gate.faults()) == []


@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_change_of_meaning_fails_unless_the_major_version_rises(name, monkeypatch):
    plant, kind = PLANTS[name]
    plant(monkeypatch)
    new = gate.contract()
    breaks = gate.find_breaks(HELD, new)
    assert kind in {each.kind for each in breaks}, breaks
    faults = gate.check(HELD, new)
    assert faults
    assert all("raise the major version" in fault for fault in faults)
    assert any(f": {kind} was " in fault for fault in faults)
    # A new minor version does not excuse it, a new major one does.
    assert gate.check(HELD, new | {"api_version": "1.1.0"}) == faults
    (stale,) = gate.check(HELD, new | {"api_version": "2.0.0"})
    assert "--write" in stale


def test_the_writer_refuses_a_break_and_writes_with_a_new_major_version(monkeypatch, tmp_path, capsys):
    (tmp_path / "docs/reference").mkdir(parents=True)
    path = tmp_path / gate.CONTRACT
    path.write_text(json.dumps(HELD))
    monkeypatch.setattr(gate, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "argv", ["api_contract.py", "--write"])
    plant_default(monkeypatch)
    assert gate.main() == 1
    assert "default" in capsys.readouterr().out
    assert json.loads(path.read_text()) == HELD
    monkeypatch.setattr(lifecycle, "API_VERSION", "2.0.0")
    assert gate.main() == 0
    assert json.loads(path.read_text())["api_version"] == "2.0.0"


def test_a_contract_written_by_hand_still_meets_what_was_committed(monkeypatch):
    plant_rounding(monkeypatch)
    new = gate.contract()
    monkeypatch.setattr(gate, "contract", lambda: new)
    monkeypatch.setattr(gate, "_committed", lambda: HELD)
    monkeypatch.setattr(gate.json, "loads", lambda text: new)  # the file says what the code says
    assert any("rounding" in fault for fault in gate.faults())


@pytest.mark.parametrize(
    ("where", "change", "breaks"),
    [
        (("shapes", "SiteOut", "members", "colour"), "string", False),
        (("shapes", "SiteOut", "members", "name"), None, True),
        (("shapes", "SiteOut", "members", "name"), "integer", True),
        (("shapes", "SiteOut", "required"), ["site"], True),
        (("shapes", "SiteIn", "required"), [], False),
        (("shapes", "SiteIn", "required"), ["name", "latitude", "longitude", "elevation", "timezone"], True),
        (("shapes", "PortfolioIn", "defaults", "aggregate"), "mean", True),
        (("operations", "GET /v1/new"), {}, False),
        (("operations", "GET /v1/sites"), None, True),
        (("operations", "GET /v1/sites", "defaults", "limit"), 100, True),
        (("operations", "GET /v1/sites", "required"), ["limit"], True),
        (("operations", "GET /v1/sites", "answers"), ["200"], True),
        (("choices", "format"), ["json"], True),
        (("choices", "timeformat"), ["iso8601", "julian", "unixtime"], False),
        (("codes", "quota"), 503, True),
        (("codes", "teapot"), 418, False),
        (("scopes",), ["forecast:read"], True),
        (("events",), [*HELD["events"], "run.new"], False),
        (("variables", "new_variable"), {}, False),
        (("variables", "temperature_2m", "sign"), "negative_temperature", True),
        (("answers", "as it is by default", "hourly", "temperature_2m"), [-12.3, None, None], True),
        (("answers", "as it is by default", "hourly", "new_variable"), [1.0, 2.0, None], False),
        (("answers", "a table"), ["other"], True),
        (("answers", "days", "days"), ["2025-03-29"], True),
    ],
)
def test_what_is_added_breaks_nobody_and_what_is_taken_away_does(where, change, breaks):
    new = copy.deepcopy(HELD)
    inside = new
    for part in where[:-1]:
        inside = inside[part]
    if change is None:
        del inside[where[-1]]
    else:
        inside[where[-1]] = change
    assert bool(gate.find_breaks(HELD, new)) == breaks
    assert gate.check(HELD, new)  # either way the file has to be written anew
