"""Statistics of local days: by hand, against plain loops, and on the days clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skyproof.archive.runs import SiteSeries
from skyproof.domain.errors import UnknownNameError
from skyproof.domain.reasons import NO_EXPERT_AWAKE, REASONS
from skyproof.domain.times import to_datetime64
from skyproof.domain.variables import VARIABLES
from skyproof.stages.deliver.daily_names import DAILY
from skyproof.stages.deliver.days import SiteMembers, make_day_axis, make_days, plan_days
from skyproof.stages.deliver.requests import parse_request
from skyproof.stages.deliver.time_axis import make_axis

RUN_VARIABLES = ("temperature_2m", "precipitation", "shortwave_radiation")
#: Clocks in Zurich: 2025-03-30 has 23 hours, 2025-10-26 has 25.
SPRING = datetime(2025, 3, 29, 23, tzinfo=UTC)
AUTUMN = datetime(2025, 10, 25, 22, tzinfo=UTC)


def ask(members, /, *, init=SPRING, leads=range(1, 49), zone="Europe/Zurich", shown=None, reasons=None, **asked):
    """Plan, axis of days and columns of one site whose members (variable, lead, member) are given."""
    request = parse_request([("site", "zurich"), *({"daily": "temperature_2m_max"} | asked).items()])
    members, leads = np.asarray(members, dtype=np.float32), tuple(leads)
    step = min(np.diff(leads))
    plan = plan_days(RUN_VARIABLES, REASONS, int(step), request)
    axis = make_axis(init, leads, zone, request)
    days = make_day_axis(axis, request)
    mean = members.mean(axis=-1, dtype=np.float64)
    codes = np.zeros(mean.shape, dtype=np.uint8) if reasons is None else reasons
    series = SiteSeries(mean, np.empty((*mean.shape, 21)), codes)
    times = to_datetime64(init) + np.array(leads) * np.timedelta64(3600, "s")
    return plan, days, make_days(series, SiteMembers(members, shown), plan, days, axis, times)


def same(value: float, leads: int = 48, members: int = 3):
    """Members of three variables that never change."""
    return np.full((3, leads, members), value)


@pytest.mark.parametrize(
    ("init", "day", "hours"), [(SPRING, "2025-03-30", 23), (AUTUMN, "2025-10-26", 25)], ids=["spring", "autumn"]
)
def test_a_day_on_which_clocks_change_is_added_up_over_its_own_hours(init, day, hours):
    _, days, columns = ask(same(1.0), init=init, daily="precipitation_sum,shortwave_radiation_sum")
    assert days.dates[0] == day
    assert days.ends[0] - days.starts[0] == hours * 3600
    # A millimetre an hour; a watt per square metre is 3600 J an hour.
    assert columns.values[:, 0].tolist() == [float(hours), round(hours * 0.0036, 2)]


def test_by_hand():
    members = np.zeros((3, 48, 2))
    members[0, 5], members[0, 20] = (3.0, 5.0), (-1.0, -7.0)  # 05:00Z and 20:00Z of the first day in UTC
    asked = {"daily": "temperature_2m_max,temperature_2m_min,temperature_2m_mean", "quantiles": "0.5"}
    plan, days, columns = ask(members, init=datetime(2025, 5, 1, 0, tzinfo=UTC), zone="UTC", leads=range(48), **asked)
    assert plan.heads.names == tuple(f"{name}{suffix}" for name in asked["daily"].split(",") for suffix in ("", "_p50"))
    assert plan.heads.symbols == ("°C",) * 6
    assert plan.heads.cell_methods[0] == "maximum within days"
    assert days.labels == ("2025-05-01", "2025-05-02")
    assert columns.values[:, 0].tolist() == [4.0, 4.0, -4.0, -4.0, 0.0, 0.0]
    assert columns.values[:, 1].tolist() == [0.0] * 6


def test_a_threshold_is_in_the_units_asked_for_and_counts_members():
    members = same(0.0, members=4)
    members[1, :24] = np.array([0.0, 0.5, 1.0, 2.0]) / 24
    more = {"daily": "precipitation_sum", "exceedance": "precipitation_sum>0.02", "precipitation_unit": "inch"}
    plan, _, columns = ask(members, init=datetime(2025, 5, 1, 0, tzinfo=UTC), zone="UTC", leads=range(1, 49), **more)
    assert plan.heads.names == ("precipitation_sum", "precipitation_sum_prob_gt_0_02")
    assert columns.values[1].tolist() == [0.5, 0.0]  # 0.508 mm: two of four


def test_a_day_that_the_run_does_not_cover_is_missing_with_its_reason():
    members, reasons = same(5.0), np.zeros((3, 48), dtype=np.uint8)
    members[1, 30], reasons[1, 30] = np.nan, NO_EXPERT_AWAKE
    asked = {"daily": "temperature_2m_max,precipitation_sum", "quantiles": "0.1"}
    init = datetime(2025, 5, 1, 12, tzinfo=UTC)
    _, days, columns = ask(members, init=init, zone="UTC", reasons=reasons, **asked)
    assert days.dates == ("2025-05-01", "2025-05-02", "2025-05-03")
    assert columns.missing == {
        "temperature_2m_max": {"0": "day_incomplete", "2": "day_incomplete"},
        "precipitation_sum": {"0": "day_incomplete", "1": "no_expert_awake", "2": "day_incomplete"},
    }
    np.testing.assert_array_equal(np.isnan(columns.values[:2]), [[True, False, True]] * 2)
    assert np.isnan(columns.values[2:]).all()


def test_hours_asked_for_choose_days_and_do_not_shorten_them():
    init = datetime(2025, 5, 1, 0, tzinfo=UTC)
    members = same(0.0)
    members[0, 22] = 9.0
    for more in ({"forecast_hours": "6"}, {"start_date": "2025-05-01", "end_date": "2025-05-01"}):
        _, days, columns = ask(members, init=init, zone="UTC", leads=range(48), **more)
        assert days.dates == ("2025-05-01",)
        assert columns.values.tolist() == [[9.0]]


def test_the_midnight_that_closes_a_day_opens_no_other():
    _, days, columns = ask(same(1.0, leads=24), leads=range(1, 25), init=datetime(2025, 5, 1, tzinfo=UTC), zone="UTC",
                           daily="precipitation_sum")  # fmt: skip
    assert days.dates == ("2025-05-01",)
    assert columns.values.tolist() == [[24.0]]


def test_days_in_epoch_seconds_begin_at_local_midnight():
    _, days, _ = ask(same(0.0), leads=range(48), timeformat="unixtime")
    assert days.labels == (1743289200, 1743372000)  # 2025-03-29T23:00Z, and 23 hours later
    assert days.labels[1] - days.labels[0] == 23 * 3600


def test_members_are_days_of_their_own():
    shown = np.zeros((3, 48, 2), dtype=np.float32)
    shown[0, 3, 1] = 7.0
    plan, _, columns = ask(same(1.0), init=AUTUMN, leads=range(48), shown=shown, members="2")
    assert plan.heads.names == ("temperature_2m_max", "temperature_2m_max_member01", "temperature_2m_max_member02")
    assert columns.values[:, 0].tolist() == [1.0, 0.0, 7.0]


def test_a_statistic_of_a_variable_that_the_run_has_not_is_refused():
    with pytest.raises(UnknownNameError, match="variable cloud_cover is not in this run"):
        ask(same(0.0), daily="cloud_cover_mean")


def test_the_names_are_open_meteos_and_directions_have_none():
    assert {"temperature_2m_max", "temperature_2m_min", "precipitation_sum", "shortwave_radiation_sum", "wind_gusts_10m_max",
            "wind_speed_10m_max", "pressure_msl_mean", "cloud_cover_mean", "relative_humidity_2m_min"} <= set(DAILY)  # fmt: skip
    assert not [name for name in DAILY if name.startswith("wind_direction")]
    assert {statistic.variable.name for statistic in DAILY.values()} == {
        variable.name for variable in VARIABLES if variable.family != "circular"
    }


@settings(max_examples=40)
@given(st.integers(0, 3 * 365 * 24), st.sampled_from(["UTC", "Europe/Zurich", "Asia/Kathmandu", "America/Santiago"]),
       st.integers(0, 2**32 - 1))  # fmt: skip
def test_plain_loops_over_local_dates_say_the_same(hours, zone, seed):
    init = datetime(2023, 1, 1, tzinfo=UTC) + timedelta(hours=hours)
    members = np.random.default_rng(seed).integers(-20, 20, (3, 97, 5)).astype(float)
    _, days, columns = ask(members, init=init, zone=zone, leads=range(97), daily="temperature_2m_max,precipitation_sum")
    tz = ZoneInfo(zone)
    local = [(init + timedelta(hours=lead)).astimezone(tz) for lead in range(97)]
    for number, day in enumerate(days.dates):
        start, end = (np.int64(border) for border in (days.starts[number], days.ends[number]))
        if zone == "Asia/Kathmandu":  # quarter hours: the steps never meet midnight
            length = 24
        else:
            length = int((end - start) // 3600)
        at = [k for k, instant in enumerate(local) if instant.date().isoformat() == day]
        warmest = members[0, at].max(axis=0).mean() if len(at) == length else np.nan
        before = [k for k, t in enumerate(local) if start < t.timestamp() <= end]
        rain = members[1, before].sum(axis=0).mean() if len(before) == length else np.nan
        np.testing.assert_allclose(columns.canonical[:, number], [warmest, rain], rtol=1e-6)
