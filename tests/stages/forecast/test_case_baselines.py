"""What every model must beat says exactly what plain quantiles say, of the past alone."""

from __future__ import annotations

import numpy as np
import pytest

from skyproof.domain.cases import Cases
from skyproof.domain.quantiles import LEVEL_ARRAY
from skyproof.science.recent import with_recent
from skyproof.stages.forecast.case_baselines import CaseClimatology, CasePersistence, CaseRaw
from skyproof.testing.case_contract import check_case_expert
from tests.science.engine_cases import DAY, HOUR, START, make_cases
from tests.stages.prepared_cases import two_sources


def record(issues: int, *, leads: tuple[int, ...] = (12, 24), start: np.datetime64 = START) -> Cases:
    chance = np.random.default_rng(1)
    observed = chance.normal(10, 3, (issues, len(leads), 2)) + np.array([0.0, 6.0])
    return make_cases(observed, leads=leads, issue_times=start + np.arange(issues) * DAY)


def climatology(cases: Cases, as_of: np.datetime64) -> np.ndarray:
    expert = CaseClimatology()
    expert.fit(cases, as_of)
    return expert.predict(cases, LEVEL_ARRAY)


def test_climatology_is_the_quantiles_of_the_hour_and_site_known_by_then() -> None:
    cases = record(60)
    answer = climatology(cases, cases.issue_times[40])
    # At 12 UTC of day 39 the last noon was seen, at 24 h ahead the observation for day 40 just arrived.
    for lead, known in ((0, 40), (1, 40)):
        for site in range(2):
            wanted = np.quantile(cases.observed[:known, lead, site].astype(float), LEVEL_ARRAY)
            np.testing.assert_allclose(answer[0, lead, site], wanted, rtol=1e-6)
    assert np.ptp(answer, axis=0).max() == 0


def test_climatology_of_a_long_record_keeps_to_the_season() -> None:
    cases = record(800, leads=(24,))
    warm = 10 * np.cos(2 * np.pi * np.arange(801) / 365.25)[1:, None, None]
    cases = make_cases(cases.observed * 0.1 + warm, leads=(24,))
    answer = climatology(cases, cases.issue_times[-1])
    median = answer[:, 0, 0, 10]
    wanted = (warm + 1)[:, 0, 0]
    assert np.abs(median - wanted).max() < 3
    assert np.ptp(median) > 15


def test_a_winter_over_the_turn_of_the_year_is_no_year() -> None:
    # From December to February all days of the record tell of March, not only those within 40 days of it.
    cases = record(100, leads=(24,), start=np.datetime64("2023-12-01T00:00:00", "s"))
    answer = climatology(cases, cases.issue_times[90])
    wanted = np.quantile(cases.observed[:90, 0, 0].astype(float), LEVEL_ARRAY)
    np.testing.assert_allclose(answer[-1, 0, 0], wanted, rtol=1e-6)


def test_a_site_without_a_record_borrows_everyones_and_one_with_a_short_record_some() -> None:
    cases = record(80, leads=(24,))
    observed = cases.observed.copy()
    observed[5:, 0, 1] = np.nan
    cases = make_cases(observed, leads=(24,))
    answer = climatology(cases, cases.issue_times[-1])
    own = np.quantile(observed[:5, 0, 1].astype(float), LEVEL_ARRAY)
    everyone = np.quantile(np.concatenate([observed[:79, 0, 0], observed[:5, 0, 1]]).astype(float), LEVEL_ARRAY)
    np.testing.assert_allclose(answer[0, 0, 1], 0.2 * own + 0.8 * everyone, rtol=1e-5)


def test_before_anything_is_known_climatology_and_persistence_sleep() -> None:
    cases = with_recent(record(5))
    for expert in (CaseClimatology(), CasePersistence()):
        expert.fit(cases.take(slice(0, 1)), cases.issue_times[0])
        assert np.isnan(expert.predict(cases, LEVEL_ARRAY)).all()
        expert.fit(cases.take(slice(0, 0)), cases.issue_times[0])
        assert np.isnan(expert.predict(cases, LEVEL_ARRAY)).all()


def test_persistence_is_the_same_hour_of_the_last_day_known_with_the_errors_it_had() -> None:
    # A rise of 1 a day: the observation of a day before is always 1 too low, whatever the level.
    observed = (np.arange(30.0)[:, None, None] + np.array([1.0])[:, None]) * np.ones((1, 1, 2))
    cases = with_recent(make_cases(observed))
    expert = CasePersistence()
    expert.fit(cases, cases.issue_times[20])
    answer = expert.predict(cases, LEVEL_ARRAY)
    np.testing.assert_allclose(answer[20:, 0, 0], np.broadcast_to(observed[20:, 0, :1], (10, 21)), rtol=1e-6)
    assert np.isnan(answer[0]).all()


def test_persistence_spreads_by_the_quantiles_of_its_errors_known_by_then() -> None:
    cases = with_recent(record(50, leads=(24,)))
    expert = CasePersistence()
    expert.fit(cases, cases.issue_times[30])
    # Issue 30 knows what was observed until then: the differences of 29 days at two sites.
    errors = np.diff(cases.observed[:30, 0], axis=0).ravel()
    wanted = cases.observed[39, 0, :, None] + np.quantile(errors, LEVEL_ARRAY)
    np.testing.assert_allclose(expert.predict(cases, LEVEL_ARRAY)[40, 0], wanted, rtol=1e-5)


def test_a_raw_source_is_the_quantiles_of_its_members() -> None:
    cases = two_sources(issues=4)
    answer = CaseRaw("alba").predict(cases, LEVEL_ARRAY)
    wanted = np.moveaxis(np.quantile(cases.members["alba"], LEVEL_ARRAY, axis=-1), 0, -1)
    np.testing.assert_allclose(answer, wanted, rtol=1e-6)
    assert np.ptp(CaseRaw("corvus").predict(cases, LEVEL_ARRAY), axis=-1).max() == 0


@pytest.mark.parametrize("make", [CaseClimatology, CasePersistence, lambda: CaseRaw("alba")])
def test_baselines_keep_the_contract(make) -> None:
    cases = with_recent(two_sources(delay_hours=3))
    observed = cases.observed.copy()
    observed[4, 0, 1] = np.nan
    check_case_expert(make, with_recent(two_sources()), cases.issue_times[40] + 5 * HOUR)
