"""Schemathesis, which knows the API by its description alone, finds nothing: a bounded run. ``make bench-fuzz`` runs longer."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skyproof.archive.archive import Archive
from tests.conftest import prepare_home
from tests.surfaces.api.served import VARIABLES, fill
from tests.surfaces.api.serving import serving

CONFIG = Path(__file__).with_name("schemathesis.toml")
EXAMPLES = 12


@pytest.fixture
def own(tmp_path, sqlite_template):
    """An archive of its own: schemathesis makes and revokes keys."""
    prepare_home(tmp_path / "home", sqlite_template)
    with Archive.open(tmp_path / "home") as archive:
        yield fill(archive)


@pytest.mark.parametrize("seed", [1])
def test_schemathesis_finds_nothing(own, tmp_path, seed):
    with serving(own.archive) as address:
        command = [
            sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()", "--config-file", CONFIG, "run",
            f"{address}/openapi.json", "--max-examples", str(EXAMPLES), "--seed", str(seed), "--workers", "1", "--no-color",
            "--header", f"Authorization: Bearer {own.tokens['acme']}", "--generation-database", "none",
            "--exclude-path-regex", "^/v1/keys",  # it would revoke its own
        ]  # fmt: skip
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    said = "\n".join(line[:500] for line in done.stdout.splitlines())
    assert done.returncode == 0, said[-8000:] + done.stderr[-2000:]


@pytest.fixture(scope="module")
def validator(ask):
    """Holds answers against what the description says of them."""
    document = ask("/openapi.json", key=None).json()
    (shape,) = [
        content["schema"]
        for kind, content in document["paths"]["/v1/forecast"]["get"]["responses"]["200"]["content"].items()
        if kind == "application/json"
    ]
    return jsonschema_rs.Draft202012Validator({**shape, "components": document["components"]})


some = st.lists(st.sampled_from(VARIABLES), min_size=1, max_size=3, unique=True)
of_days = st.sampled_from(["temperature_2m_max", "wind_speed_10m_mean", "precipitation_sum"])
asked = st.fixed_dictionaries(
    {"hourly": some.map(",".join), "site": st.sampled_from(["zurich", "acme-roof", "acme-roof,zurich"])},
    optional={
        "daily": of_days,
        "quantiles": st.lists(st.integers(10, 9990), min_size=1, max_size=4).map(
            lambda ticks: ",".join(f"{tick / 10_000:.4f}" for tick in ticks)
        ),
        "members": st.integers(1, 3).map(str),
        "timezone": st.sampled_from(["auto", "Europe/Zurich", "America/Chicago"]),
        "timeformat": st.sampled_from(["iso8601", "unixtime"]),
        "provenance": st.sampled_from(["none", "summary", "steps"]),
        "temperature_unit": st.sampled_from(["celsius", "fahrenheit", "kelvin"]),
        "precipitation_unit": st.sampled_from(["mm", "inch"]),
        "forecast_hours": st.integers(6, 1000).map(str),
        "version": st.sampled_from(["stable", "latest"]),
    },
)


@settings(max_examples=60)
@given(asked=asked)
def test_every_valid_question_is_answered_as_described(ask, validator, asked):
    random.seed()  # each example begins with the same random numbers, and so would the ids of its receipts
    answer = ask("/v1/forecast", asked)
    assert answer.status_code == 200, answer.text
    made = answer.json()
    validator.validate(made)
    for place in made if isinstance(made, list) else [made]:
        for kind in ("hourly", "daily"):
            if kind in place:
                assert set(place[kind]) == set(place[f"{kind}_units"])
                assert len({len(column) for column in place[kind].values()}) == 1
                assert set(place[f"{kind}_cell_methods"]) == set(place[kind]) - {"time"}
                gaps = {name for name, column in place[kind].items() if None in column}
                told = place.get(f"{kind}_null_reasons", {})
                assert all(
                    any(name.startswith(reason) for reason in told) for name in gaps
                )  # no gap without its reason
