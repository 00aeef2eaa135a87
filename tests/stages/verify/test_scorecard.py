"""The scorecard: its totals, its comparisons on the same pairs, and what it knows as of when."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scoringrules
from numpy.testing import assert_allclose

from skyproof.archive.archive import Archive
from skyproof.domain.errors import NotAvailableError
from skyproof.domain.quantiles import INDEX_MEDIAN, INDEX_P10, INDEX_P90, LEVELS
from skyproof.domain.scores import STATISTICS
from skyproof.domain.variables import find_variable
from skyproof.science.quantile_functions import probability_of_exceeding
from skyproof.science.scores import LEVEL_WEIGHTS
from skyproof.stages.verify.collect import collect_scores
from skyproof.stages.verify.scorecard import ScoreRow, baselines, build_scorecard, lead_groups
from skyproof.stages.verify.verify_new import verify_new
from tests.stages.verify import issued_world as world
from tests.stages.verify.issued_world import EXPERTS, LEADS, RELEASE, VARIABLES, at, day

DAYS = 6
END = at(24 * (DAYS + 2))
N = STATISTICS.index("n")
CRPS = STATISTICS.index("crps")


def fill(archive: Archive, *, days: int = DAYS) -> None:
    for number in range(days):
        world.publish(archive, number)
        # Every seventh report never came.
        world.observe(archive, [row for place, row in enumerate(world.truth(number)) if place % 7])
    verify_new(archive, RELEASE, as_of=END)


def raw_pairs(archive: Archive) -> tuple[np.ndarray, np.ndarray]:
    """Every pair by plain loops: quantiles (run, model, variable, site, lead, level), observed (run, variable, site, lead)."""
    seen = {}
    for number in range(DAYS):
        for place, (site, variable, valid, _, value) in enumerate(world.truth(number)):
            if place % 7:
                seen[site, variable, valid] = value
    runs = archive.runs.between(issue_from=at(0), issue_until=END, as_of=END)
    said = [
        np.concatenate([archive.runs.open(run).values().quantiles[None], archive.experts.read_key(run.experts_key)[1]])
        for run in runs
    ]
    observed = [
        [
            [[seen.get((site, variable, 24 * number + lead), np.nan) for lead in LEADS] for site in ("a", "b")]
            for variable in VARIABLES
        ]
        for number in range(DAYS)
    ]
    return np.stack(said).astype(np.float64), np.array(observed)


def row_of(rows: tuple[ScoreRow, ...], variable: str, leads: str = "all") -> ScoreRow:
    return next(row for row in rows if (row.variable, row.leads) == (variable, leads))


# Totals


def test_totals_agree_with_scoringrules_on_the_raw_arrays(archive: Archive) -> None:
    fill(archive)
    found = collect_scores(archive, RELEASE, as_of=END)
    assert found.models == ("skyproof", *EXPERTS)
    quantiles, observed = raw_pairs(archive)
    for model in range(len(found.models)):
        for variable, name in enumerate(VARIABLES):
            q, y = quantiles[:, model, variable], observed[:, variable]
            known = np.isfinite(y)
            q, y = q[known], y[known].astype(np.float32).astype(np.float64)
            losses = np.stack(
                [scoringrules.quantile_score(y, q[:, k], level) for k, level in enumerate(LEVELS)], axis=-1
            )
            totals = dict(zip(STATISTICS, found.totals[model, variable].sum(axis=0), strict=True))
            expected = {
                "n": len(y),
                "crps": 2 * (losses @ LEVEL_WEIGHTS).sum(),
                "absolute_error": np.abs(q[:, INDEX_MEDIAN] - y).sum(),
                "error": (q[:, INDEX_MEDIAN] - y).sum(),
                "squared_error": np.square(q[:, INDEX_MEDIAN] - y).sum(),
                "width_80": (q[:, INDEX_P90] - q[:, INDEX_P10]).sum(),
                "pinball_p90": losses[:, INDEX_P90].sum(),
            }
            for number, threshold in enumerate(find_variable(name).events, start=1):
                probability, happened = probability_of_exceeding(q, threshold), (y > threshold).astype(float)
                expected[f"brier_{number}"] = scoringrules.brier_score(happened, probability).sum()
                expected[f"event_{number}"] = happened.sum()
            for statistic, value in expected.items():
                assert totals[statistic] == pytest.approx(value, rel=1e-5, abs=1e-4), (name, statistic)
            assert found.pit[model, variable].sum() == pytest.approx(len(y), rel=1e-5)


def test_coverage_and_means_by_lead_agree_with_plain_counting(sqlite_archive: Archive) -> None:
    fill(sqlite_archive)
    quantiles, observed = raw_pairs(sqlite_archive)
    q, y = quantiles[:, 0, 0], observed[:, 0]
    rows = build_scorecard(sqlite_archive, RELEASE, as_of=END).rows
    for label, leads in lead_groups(LEADS).items():
        row, some = row_of(rows, "temperature_2m", label), np.isfinite(y[..., leads])
        inside = (y >= q[..., INDEX_P10]) & (y <= q[..., INDEX_P90])
        error = q[..., INDEX_MEDIAN] - y
        assert row.n == some.sum()
        assert row.coverage == pytest.approx(inside[..., leads][some].mean(), abs=0.01)
        assert row.bias == pytest.approx(error[..., leads][some].mean(), rel=1e-4)
        assert row.mae == pytest.approx(np.abs(error[..., leads][some]).mean(), rel=1e-4)
        assert list(row.brier) == ["> 0 Cel", "> 25 Cel"]


def test_unevenly_spaced_leads_meet_the_observations_of_their_own_hours(sqlite_archive: Archive) -> None:
    leads = (2, 5, 9, 16)
    world.publish(sqlite_archive, 0, grid=replace(world.GRID, lead_hours=leads, step_hours=1))
    world.observe(sqlite_archive, [("a", "temperature_2m", float(hour), hour + 0.5, float(hour)) for hour in range(24)])
    verify_new(sqlite_archive, RELEASE, as_of=END)
    found = collect_scores(sqlite_archive, RELEASE, as_of=END)
    (run,) = sqlite_archive.runs.between(issue_from=at(0), issue_until=END, as_of=END)
    median = sqlite_archive.runs.open(run).values().quantiles[0, 0, :, INDEX_MEDIAN]
    # The observation of an hour is that hour.
    error = found.totals[0, 0, :, STATISTICS.index("error")]
    assert_allclose(error, median - np.array(leads), rtol=1e-5)


def test_the_score_shown_is_the_mean_of_the_days_and_its_interval_counts_days(sqlite_archive: Archive) -> None:
    fill(sqlite_archive)
    card = build_scorecard(sqlite_archive, RELEASE, as_of=END)
    daily = []
    for scores in world.kept(sqlite_archive, END).values():
        sums = scores.sums[0, 0].sum(axis=(0, 1))
        if sums[N]:
            daily.append(sums[CRPS] / sums[N])
    row = row_of(card.rows, "temperature_2m")
    assert row.crps.value == pytest.approx(np.mean(daily))
    assert row.crps.n == len(daily) == DAYS
    assert row.crps.low < row.crps.value < row.crps.high
    assert (card.day_from, card.day_until) == (day(0), day(DAYS - 1))


def test_leads_are_grouped_by_the_day_ahead() -> None:
    assert lead_groups((6, 24, 25, 48, 49)) == {"all": [0, 1, 2, 3, 4], "day 1": [0, 1], "day 2": [2, 3], "day 3": [4]}


def test_claims_are_made_against_all_but_single_calibrated_sources() -> None:
    assert baselines(("skyproof", *EXPERTS)) == ("climatology", "raw:ens", "equal_weight")


# The same pairs on both sides


def test_a_comparison_counts_only_pairs_that_both_sides_have(sqlite_archive: Archive) -> None:
    # The raw source (expert 1) says nothing of site b at lead 12 h in the second run, and nothing at all in the third.
    gaps = {1: [(1, 1, 1)], 2: [(1, site, lead) for site in (0, 1) for lead in range(len(LEADS))]}
    for number in range(4):
        world.publish(sqlite_archive, number, silent=gaps.get(number, ()))
        world.observe(sqlite_archive, world.truth(number))
    verify_new(sqlite_archive, RELEASE, as_of=END)
    found = collect_scores(sqlite_archive, RELEASE, as_of=END)
    product, climatology, raw = (found.models.index(name) for name in ("skyproof", "climatology", "raw:ens"))
    pairs = found.pairs.sum(axis=(0, 2))
    # Runs of days 0 to 3 against four observed days: leads of 6, 12 and 18 h four times, of 24 to 36 h three times.
    assert pairs[product].tolist() == [8 * 3, 8 * 3, 8 * 3, 6 * 3, 6 * 3, 6 * 3]
    assert pairs[climatology].tolist() == pairs[product].tolist()
    # The silent run takes two pairs per lead and variable, the gap one more at 12 h.
    assert pairs[raw].tolist() == [6 * 3, 5 * 3, 6 * 3, 4 * 3, 4 * 3, 4 * 3]

    kept = world.kept(sqlite_archive, END)
    mine = sum(scores.sums[0, ..., CRPS][scores.sums[raw, ..., N] > 0].sum() for scores in kept.values())
    assert found.shared[:, raw].sum() == pytest.approx(mine)
    assert found.own[:, raw].sum() == pytest.approx(sum(s.sums[raw, ..., CRPS].sum() for s in kept.values()))
    rows = build_scorecard(sqlite_archive, RELEASE, as_of=END).rows
    compared = {c.baseline: c for c in row_of(rows, "temperature_2m").comparisons}
    assert compared["climatology"].product_crps == pytest.approx(row_of(rows, "temperature_2m").crps.value)
    assert compared["raw:ens"].product_crps != compared["climatology"].product_crps


def test_a_baseline_that_is_always_silent_is_compared_with_nothing(sqlite_archive: Archive) -> None:
    always = [(1, site, lead) for site in (0, 1) for lead in range(len(LEADS))]
    for number in range(4):
        world.publish(sqlite_archive, number, silent=always)
        world.observe(sqlite_archive, world.truth(number))
    verify_new(sqlite_archive, RELEASE, as_of=END)
    row = row_of(build_scorecard(sqlite_archive, RELEASE, as_of=END).rows, "temperature_2m")
    raw = next(c for c in row.comparisons if c.baseline == "raw:ens")
    assert np.isnan([raw.crps, raw.product_crps, raw.skill.value]).all()
    assert raw.verdict == "cannot decide"


# Sums that merge


def test_periods_add_up_to_the_whole(sqlite_archive: Archive) -> None:
    fill(sqlite_archive)
    whole = collect_scores(sqlite_archive, RELEASE, as_of=END)
    parts = [
        collect_scores(sqlite_archive, RELEASE, as_of=END, day_until=day(2)),
        collect_scores(sqlite_archive, RELEASE, as_of=END, day_from=day(3)),
    ]
    assert parts[0].days + parts[1].days == whole.days
    assert_allclose(parts[0].totals + parts[1].totals, whole.totals, rtol=1e-12)
    assert_allclose(parts[0].pit + parts[1].pit, whole.pit, rtol=1e-12)
    for name in ("own", "shared", "pairs"):
        joined = np.concatenate([getattr(part, name) for part in parts])
        np.testing.assert_array_equal(joined, getattr(whole, name))


def test_models_in_another_order_are_added_by_name(sqlite_archive: Archive) -> None:
    fill(sqlite_archive)
    expected = collect_scores(sqlite_archive, RELEASE, as_of=END)
    last = world.kept(sqlite_archive, END)[day(DAYS - 1)]
    order = [0, 3, 1, 4, 2]
    turned = replace(last, models=tuple(last.models[k] for k in order), sums=last.sums[order], pit=last.pit[order])
    sqlite_archive.scores.add(turned, scored_at=at(24 * (DAYS + 3)))
    found = collect_scores(sqlite_archive, RELEASE, as_of=at(24 * (DAYS + 3)))
    assert found.models == expected.models
    np.testing.assert_array_equal(found.totals, expected.totals)
    np.testing.assert_array_equal(found.pit, expected.pit)


# As of when


def test_what_is_known_later_does_not_change_an_earlier_scorecard(archive: Archive) -> None:
    for number in range(4):
        world.publish(archive, number)
        world.observe(archive, world.truth(number))
    earlier = at(24 * 4)
    verify_new(archive, RELEASE, as_of=earlier)
    before = build_scorecard(archive, RELEASE, as_of=earlier).to_dict()
    revised = [(*row[:3], 24 * 4 + 3, row[4] + 20) for row in world.truth(1)]
    world.observe(archive, revised)
    world.publish(archive, 4)
    verify_new(archive, RELEASE, as_of=END)
    np.testing.assert_equal(build_scorecard(archive, RELEASE, as_of=earlier).to_dict(), before)
    later = build_scorecard(archive, RELEASE, as_of=END)
    assert row_of(later.rows, "temperature_2m").bias < before["rows"][0]["bias"]


def test_a_verification_as_of_the_past_does_not_see_the_future(sqlite_archive: Archive) -> None:
    fill(sqlite_archive)
    report = verify_new(sqlite_archive, RELEASE, as_of=at(30))
    assert report.last_day == day(1)
    # By hour 30 the reports of hours 0 to 24 are known, 30.5 h is not; of the first run's leads 6 to 24 h.
    found = collect_scores(sqlite_archive, RELEASE, as_of=at(30))
    assert found.totals[0, 0, :, N].tolist()[4:] == [0, 0]
    assert (found.totals[0, 0, :4, N] > 0).all()


def test_nothing_scored_is_a_clear_error(archive: Archive) -> None:
    with pytest.raises(NotAvailableError, match=f"nothing of release {RELEASE} was scored yet") as caught:
        build_scorecard(archive, RELEASE, as_of=END)
    assert "skyproof verify" in caught.value.hint
    fill(archive)
    with pytest.raises(NotAvailableError):
        build_scorecard(archive, RELEASE, as_of=at(0))
    with pytest.raises(NotAvailableError):
        build_scorecard(archive, RELEASE, as_of=END, day_from=day(DAYS + 5))
