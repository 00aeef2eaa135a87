"""The numbers of an answer: levels between those kept, units, decimals, gaps, and the digest of values."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from skyproof.archive.runs import SiteSeries
from skyproof.domain.errors import UnknownNameError
from skyproof.domain.quantiles import LEVEL_ARRAY, LEVELS
from skyproof.domain.reasons import REASONS
from skyproof.stages.deliver.columns import ValueDigest, level_name, make_columns, plan_columns
from skyproof.stages.deliver.requests import parse_request
from skyproof.stages.deliver.time_axis import make_axis

INIT = datetime(2025, 1, 1, tzinfo=UTC)
LEADS = (6, 12)
RUN_VARIABLES = ("temperature_2m", "wind_speed_10m", "precipitation")


def ask(kept, mean, /, *, hourly="temperature_2m", reasons=None, run_variables=RUN_VARIABLES, **asked):
    """Columns of one site whose quantiles (variable, lead, level) and mean (variable, lead) are given."""
    request = parse_request([("site", "zurich"), ("hourly", hourly), *asked.items()])
    plan = plan_columns(run_variables, REASONS, request)
    mean = np.asarray(mean, dtype=np.float64)
    codes = np.zeros(mean.shape, dtype=np.uint8) if reasons is None else np.asarray(reasons, dtype=np.uint8)
    axis = make_axis(INIT, LEADS, "UTC", request)
    columns = make_columns(SiteSeries(mean, np.asarray(kept, dtype=np.float64), codes), plan, axis)
    shape = (len(plan.variables), -1, len(axis))  # (variable, statistic, step)
    return plan, axis, replace(
        columns, values=columns.values.reshape(shape), canonical=columns.canonical.reshape(shape)
    )  # fmt: skip


def flat(*values: float):
    """Quantiles and mean of variables that are certain."""
    mean = np.tile(np.array(values, dtype=np.float64)[:, None], (1, len(LEADS)))
    return np.repeat(mean[..., None], len(LEVELS), axis=-1), mean


def normal(mean: float, sd: float):
    """Quantiles and mean of three variables, each normal and the same."""
    quantiles = np.broadcast_to(mean + sd * norm.ppf(LEVEL_ARRAY), (3, len(LEADS), len(LEVELS)))
    return quantiles, np.full((3, len(LEADS)), mean)


def test_columns_are_named_variable_by_variable_the_mean_first():
    plan, _, columns = ask(
        *flat(1.0, 2.0, 3.0), hourly="precipitation,temperature_2m", quantiles="0.025,0.1,0.5,0.999", forecast_hours="6"
    )
    assert plan.names == tuple(
        f"{name}{suffix}" for name in ("precipitation", "temperature_2m") for suffix in ("", "_p2_5", "_p10", "_p50", "_p99_9")
    )  # fmt: skip
    assert plan.symbols == ("mm",) * 5 + ("°C",) * 5
    assert plan.heads.cell_methods == ("preceding sum",) * 5 + ("instant",) * 5
    assert columns.values.ravel().tolist() == [3.0] * 5 + [1.0] * 5


@pytest.mark.parametrize(
    ("level", "name"), [(0.1, "p10"), (0.025, "p2_5"), (0.001, "p0_1"), (0.5, "p50"), (0.9999, "p99_99"), (0.07, "p7")]
)
def test_a_level_has_its_percent_for_a_name(level, name):
    assert level_name(level) == name


def test_all_levels_that_can_be_asked_have_different_names():
    assert len({level_name(k / 10_000) for k in range(10, 9_991)}) == 9_981


def test_kept_levels_are_given_as_kept():
    quantiles, mean = normal(10.0, 3.0)
    asked = ",".join(f"{level:g}" for level in LEVELS)
    _, _, columns = ask(quantiles, mean, quantiles=asked)
    np.testing.assert_array_equal(columns.canonical[0, 1:], quantiles[0].T.astype(np.float32))
    _, _, mixed = ask(quantiles, mean, quantiles="0.1,0.33,0.5")
    np.testing.assert_array_equal(mixed.canonical[0, [1, 3]], quantiles[0].T[[2, 10]].astype(np.float32))


def test_levels_between_and_beyond_those_kept_are_exact_for_a_normal_distribution():
    levels = (0.001, 0.01, 0.033, 0.42, 0.777, 0.99, 0.999)
    _, _, columns = ask(*normal(10.0, 3.0), quantiles=",".join(map(str, levels)))
    np.testing.assert_allclose(columns.canonical[0, 1:, 0], norm.ppf(levels, 10.0, 3.0), rtol=1e-6)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(10, 9990), min_size=2, max_size=20, unique=True))
def test_quantiles_never_cross_as_written_and_stay_inside_limits(seed, ticks):
    chance = np.random.default_rng(seed)
    quantiles = np.sort(chance.gamma(0.5, 2.0, (3, len(LEADS), len(LEVELS))), axis=-1)
    levels = ",".join(f"{tick / 10_000:.4f}" for tick in ticks)
    for unit in ("mm", "inch"):
        _, _, columns = ask(
            quantiles, quantiles.mean(axis=-1), hourly="precipitation,wind_speed_10m", quantiles=levels, precipitation_unit=unit
        )  # fmt: skip
        assert (np.diff(columns.values[:, 1:], axis=1) >= 0).all()
        assert columns.values.min() >= 0


@pytest.mark.parametrize(
    ("unit", "wanted"),
    [
        ({}, [20.0, 10.0, 25.4]),
        ({"temperature_unit": "fahrenheit"}, [68.1, 10.0, 25.4]),
        ({"temperature_unit": "kelvin"}, [293.2, 10.0, 25.4]),
        ({"wind_speed_unit": "kmh"}, [20.0, 36.0, 25.4]),
        ({"wind_speed_unit": "mph"}, [20.0, 22.4, 25.4]),  # 10 / 0.44704
        ({"wind_speed_unit": "kn"}, [20.0, 19.4, 25.4]),  # 10 * 3600 / 1852
        ({"precipitation_unit": "inch"}, [20.0, 10.0, 1.0]),
    ],
    ids=str,
)
def test_units_are_converted_as_by_hand(unit, wanted):
    _, _, columns = ask(*flat(20.04, 10.0, 25.4), hourly=",".join(RUN_VARIABLES), **unit)
    assert columns.values[:, 0, 0].tolist() == wanted


def test_an_inch_is_written_with_as_much_to_say_as_a_millimetre():
    plan, _, columns = ask(*flat(0.0, 0.0, 0.02), hourly="precipitation", precipitation_unit="inch")
    assert plan.symbols == ("inch",)
    assert columns.values[0, 0, 0] == 0.0008  # 0.02 / 25.4 = 0.000787


def test_written_numbers_are_short_decimals_and_never_minus_zero():
    _, _, columns = ask(*flat(-0.04, 3.149, 0.005), hourly=",".join(RUN_VARIABLES))
    assert [repr(float(value)) for value in columns.values[:, 0, 0]] == ["0.0", "3.1", "0.0"]


def test_the_digest_of_values_does_not_hang_on_units_or_form_but_on_every_value():
    def digest(scale: float = 1.0, **asked: str) -> str:
        quantiles, mean = normal(10.0, 3.0)
        plan, axis, columns = ask(quantiles * scale, mean * scale, quantiles="0.1,0.33", **asked)
        made = ValueDigest()
        made.add("zurich", plan.names, axis.valid_seconds, columns)
        return made.hexdigest()

    same = {
        digest(),
        digest(temperature_unit="kelvin"),
        digest(format="csv"),
        digest(timezone="Asia/Tokyo"),
        digest(timeformat="unixtime"),
        digest(provenance="none"),
    }
    assert len(same) == 1
    assert len(same | {digest(scale=1.000_01), digest(forecast_hours="6"), digest(hourly="precipitation")}) == 4


def test_the_digest_of_values_is_the_sha256_it_says_it_is():
    plan, axis, columns = ask(*flat(1.5, 0.0, 0.0), quantiles="0.5", forecast_hours="6")
    made = ValueDigest()
    made.add("zurich", plan.names, axis.valid_seconds, columns)
    seconds = np.array([INIT.timestamp() + 6 * 3600], dtype="<i8")
    values = np.array([1.5, 1.5], dtype="<f4")
    by_hand = b"zurich\ntemperature_2m\ntemperature_2m_p50\n" + seconds.tobytes() + values.tobytes()
    assert made.hexdigest() == hashlib.sha256(by_hand).hexdigest()


def test_a_gap_has_its_reason_and_only_where_it_is():
    quantiles, mean = flat(1.0, 2.0, 3.0)
    mean[2, 1] = np.nan
    quantiles[2, 1] = np.nan
    reasons = np.zeros(mean.shape)
    reasons[2, 1] = REASONS.index("no_expert_awake")
    more = {"hourly": "temperature_2m,precipitation", "quantiles": "0.33,0.5"}
    _, _, columns = ask(quantiles, mean, reasons=reasons, **more)
    assert columns.missing == {"precipitation": {"1": "no_expert_awake"}}
    assert np.isnan(columns.values[1, :, 1]).all()
    assert not np.isnan(columns.values[1, :, 0]).any()
    _, _, later = ask(quantiles, mean, reasons=reasons, start_hour="2025-01-01T12:00", **more)
    assert later.missing == {"precipitation": {"0": "no_expert_awake"}}  # steps count within the answer
    _, _, unexplained = ask(quantiles, mean, **more)
    assert unexplained.missing == {"precipitation": {"1": "not_in_run"}}
    _, _, unknown = ask(quantiles, mean, reasons=np.full(mean.shape, 200), **more)
    assert unknown.missing == {"precipitation": {"1": "not_in_run"}}


def test_a_variable_that_exists_but_not_in_the_run_is_refused_with_what_the_run_has():
    with pytest.raises(UnknownNameError, match="wind_gusts_10m is not in this run") as caught:
        ask(*flat(1.0, 2.0, 3.0), hourly="wind_gusts_10m")
    assert "wind_speed_10m" in caught.value.hint
    with pytest.raises(UnknownNameError, match="it has temperature_2m, wind_speed_10m, precipitation"):
        ask(*flat(1.0, 2.0, 3.0), hourly="cloud_cover")
