"""Planted faults, one at a time, in an otherwise healthy month."""

from datetime import timedelta

import numpy as np
import pytest

from skyproof.domain.cycles import CycleBatch
from skyproof.domain.units import convert
from skyproof.domain.variables import find_variable
from skyproof.stages.sources.contract import (
    CheckedBatch,
    SourceMemory,
    check_cycles,
    keep_credible_times,
    keep_known_names,
)
from skyproof.stages.sources.problems import Problems
from skyproof.stages.sources.quality import constant_at, duplicate_members, frozen_variables
from tests.stages.sources.source_samples import NOW, T0, UNITS, make_batch, make_sites, make_spec, make_values

SITES = 8
NAMES = tuple(site.site_id for site in make_sites(SITES))


def month(seed: int = 1, cycles: int = 20) -> np.ndarray:
    return make_values(seed, cycles, sites=SITES)


def check(batch: CycleBatch, memory: SourceMemory | None = None) -> CheckedBatch:
    return check_cycles(batch, make_spec(), memory or SourceMemory(), site_ids=NAMES)


def qualities(checked: CheckedBatch) -> list[str]:
    return [quality for quality, _ in checked.verdicts]


def test_a_healthy_month_passes_without_a_word() -> None:
    checked = check(make_batch(month()))
    assert checked.verdicts == (("ok", ()),) * 20
    # Precipitation has no preceding interval at lead 0: 4 variables x 4 leads - 1.
    assert checked.expected == (15 * SITES * 4,) * 20


def test_units_become_canonical() -> None:
    values = month()
    said = {"temperature_2m": "K", "wind_speed_10m": "km/h", "precipitation": "m", "pressure_msl": "Pa"}
    given = np.stack([convert(values[:, i], UNITS[n], said[n]) for i, n in enumerate(said)], axis=1)
    checked = check(make_batch(given, units=said))
    np.testing.assert_allclose(checked.batch.values, values, rtol=2e-5, atol=1e-3)
    assert checked.batch.units == UNITS
    assert set(qualities(checked)) == {"ok"}


@pytest.mark.parametrize(
    ("index", "truly"), [(0, "K"), (1, "[kn_i]"), (1, "km/h"), (3, "Pa")], ids=["K", "knots", "km/h", "Pa"]
)
def test_a_cycle_in_another_unit_is_suspect_and_its_unit_named(index: int, truly: str) -> None:
    values, name = month(), tuple(UNITS)[index]
    values[15, index] = convert(values[15, index], UNITS[name], truly)
    checked = check(make_batch(values))
    assert [q for q in qualities(checked) if q != "ok"] == ["suspect"]
    found = checked.verdicts[15][1][0].partition("look like ")[2].partition(", said")[0]
    assert truly in found.split(" or ")
    np.testing.assert_array_equal(checked.batch.values[15, index], values[15, index])


def test_a_frozen_cycle_is_found_and_the_next_fresh_one_is_fine() -> None:
    values = month()
    values[7] = values[6]
    checked = check(make_batch(values))
    assert qualities(checked)[6:9] == ["ok", "frozen", "ok"]
    assert "2025-01-07T00:00:00Z" in checked.verdicts[7][1][0]


def test_one_frozen_variable_makes_the_cycle_suspect() -> None:
    values = month()
    values[7, 0] = values[6, 0]
    quality, reasons = check(make_batch(values)).verdicts[7]
    assert quality == "suspect"
    assert reasons[0].startswith("temperature_2m: every value is that of the cycle")


def test_a_frozen_cycle_is_found_across_batches() -> None:
    memory, values = SourceMemory(), month()
    check(make_batch(values[:10]), memory)
    assert qualities(check(make_batch(values[9:12], first_day=10), memory)) == ["frozen", "ok", "ok"]


def test_the_same_init_time_delivered_again_is_not_frozen() -> None:
    memory, values = SourceMemory(), month()
    check(make_batch(values[:10]), memory)
    assert qualities(check(make_batch(values[9:10], first_day=9), memory)) == ["ok"]


def test_a_dry_spell_is_not_frozen() -> None:
    dry = np.zeros((1, 4, 8, 4), dtype=np.float32)
    assert frozen_variables(dry, dry, (find_variable("precipitation"),)) == ((), ())


def test_few_values_that_repeat_by_chance_are_not_frozen() -> None:
    one = np.array([3.5, 4.5], dtype=np.float32).reshape(1, 1, 2, 1)
    assert frozen_variables(one, one, (find_variable("temperature_2m"),)) == ((), ())


def test_copied_members_are_named() -> None:
    values = month()
    values[3, ..., 2] = values[3, ..., 0]
    quality, reasons = check(make_batch(values)).verdicts[3]
    assert quality == "ok"
    assert reasons == ("1 of 4 members are copies: 3 repeats 1",)


def test_an_ensemble_of_copies_is_suspect() -> None:
    values = month()
    values[3] = values[3, ..., :1]
    assert qualities(check(make_batch(values)))[3] == "suspect"


def test_two_dry_members_are_no_copies() -> None:
    assert duplicate_members(np.zeros((4, 8, 3), dtype=np.float32)) == ()


def test_a_constant_field_is_suspect_but_no_rain_is_weather() -> None:
    values = month()
    values[4, 3], values[5, 2, 1:] = 1013.0, 0.0
    checked = check(make_batch(values))
    assert checked.verdicts[4] == ("suspect", ("pressure_msl: every value is 1013 hPa",))
    assert checked.verdicts[5] == ("ok", ())
    assert constant_at(np.full((4, 8, 1), 100.0, np.float32), find_variable("cloud_cover")) is None


@pytest.mark.parametrize("sentinel", [-999.0, 9999.0, 1e20, -32768.0, np.inf])
def test_numbers_that_stand_for_no_value_become_missing(sentinel: float) -> None:
    values = month()
    values[2, 0, 1, :3, 0] = sentinel
    checked = check(make_batch(values))
    quality, reasons = checked.verdicts[2]
    assert quality == "partial"
    assert "temperature_2m: 3 values were" in reasons[0]
    assert reasons[1] == f"got {15 * SITES * 4 - 3} of {15 * SITES * 4} values"
    assert np.isnan(checked.batch.values[2, 0, 1, :3, 0]).all()


def test_few_impossible_values_become_missing_many_make_the_cycle_suspect() -> None:
    values = make_values(1, 3, sites=30)
    values[0, 3, 0, 0, 0], values[1, 3, 0] = 600.0, 600.0
    batch = make_batch(values)
    checked = check_cycles(batch, make_spec(), SourceMemory(), site_ids=batch.site_ids)
    assert checked.verdicts[0][0] == "partial"
    assert "1 of 480 values outside 850 to 1090 hPa" in checked.verdicts[0][1][0]
    assert checked.verdicts[1][0] == "suspect"
    assert checked.batch.values[1, 3, 0, 0, 0] == 600.0


def test_a_rounding_error_below_zero_is_zero_and_no_fault() -> None:
    values = month()
    values[:, 2, 1, 0, 0] = -1e-6
    checked = check(make_batch(values))
    assert (checked.batch.values[:, 2, 1, 0, 0] == 0).all()
    assert set(qualities(checked)) == {"ok"}


def test_what_is_missing_makes_a_cycle_partial_and_is_named() -> None:
    values = month()
    values[1, ..., 3], values[2, 1] = np.nan, np.nan
    checked = check(make_batch(values))
    assert checked.verdicts[1] == (
        "partial",
        (f"got {15 * SITES * 3} of {15 * SITES * 4} values; nothing of member 4",),
    )
    assert checked.verdicts[2][1] == (
        f"got {11 * SITES * 4} of {15 * SITES * 4} values; nothing of variable wind_speed_10m",
    )


def test_an_empty_cycle_is_suspect() -> None:
    values = month()
    values[1] = np.nan
    assert qualities(check(make_batch(values)))[:3] == ["ok", "suspect", "ok"]


def test_leads_that_were_promised_and_did_not_come_count_as_missing() -> None:
    checked = check(make_batch(month()[:, :, :3]))
    assert checked.expected[0] == 15 * SITES * 4
    assert checked.verdicts[0][0] == "partial"


def test_impossible_times_are_refused_with_a_reason() -> None:
    problems, batch = Problems(), make_batch(month(cycles=4))
    inits = list(batch.init_times)
    known = list(batch.available_ats)
    inits[0], known[0] = NOW + timedelta(days=1), NOW + timedelta(days=1)
    known[1] = NOW + timedelta(hours=1)
    known[2] = T0
    batch = CycleBatch(
        "alba", tuple(inits), tuple(known), batch.variables, batch.units, batch.lead_hours, batch.site_ids, batch.values
    )
    kept = keep_credible_times(batch, until=NOW, problems=problems)
    assert kept.init_times == (inits[3],)
    assert kept.values.shape[0] == 1
    assert problems.rejected == 3
    words = " | ".join(problems.messages)
    assert "starts in the future" in words
    assert "available at 2025-06-01T01:00:00Z, in the future" in words
    assert "before it started" in words


def test_a_clock_a_few_minutes_ahead_is_forgiven() -> None:
    batch = make_batch(month(cycles=1))
    until = batch.available_ats[0] - timedelta(minutes=5)
    assert keep_credible_times(batch, until=until, problems=Problems()) is batch


def test_unknown_variables_units_and_sites_are_named_and_left_out() -> None:
    batch = make_batch(month(cycles=2), units={**UNITS, "pressure_msl": "furlong"})
    problems = Problems()
    kept = keep_known_names(batch, frozenset(NAMES[:6]), problems)
    assert kept.variables == tuple(UNITS)[:3]
    assert kept.site_ids == NAMES[:6]
    assert kept.values.shape == (2, 3, 4, 6, 4)
    assert any("'furlong' is not known" in message for message in problems.messages)
    assert sum("is not known here" in message for message in problems.messages) == 2


def test_judging_a_batch_leaves_the_batch_itself_alone() -> None:
    values = month()
    values[2, 0, 1, 0, 0] = -999
    batch = make_batch(values)
    before = batch.values.copy()
    check(batch)
    np.testing.assert_array_equal(batch.values, before)
