"""The isotonic expert: corrected for each site, alike with and without a source, asleep where it should be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from skyproof.domain.cases import Cases
from skyproof.domain.quantiles import LEVEL_ARRAY
from skyproof.science.recent import with_recent
from skyproof.science.scores import crps_from_quantiles
from skyproof.stages.forecast.isotonic import IsotonicExpert
from skyproof.testing.case_contract import check_case_expert
from tests.science.engine_cases import make_cases
from tests.stages.prepared_cases import two_sources, without

_EARLY = 40


def fitted(cases: Cases, as_of: int = _EARLY) -> IsotonicExpert:
    expert = IsotonicExpert()
    expert.fit(cases.take(slice(0, as_of)), cases.issue_times[as_of])
    return expert


def test_it_keeps_the_contract_for_rain_and_temperature() -> None:
    for variable in ("temperature_2m", "precipitation"):
        cases = with_recent(two_sources(variable=variable, delay_hours=3.0))
        check_case_expert(IsotonicExpert, cases, cases.issue_times[_EARLY])


def test_it_beats_what_is_usual_and_the_sources_as_they_come() -> None:
    cases = with_recent(two_sources(sites=6))
    late = cases.take(slice(_EARLY, None))
    answer = fitted(cases).predict(late, LEVEL_ARRAY)
    usual = np.broadcast_to(np.quantile(cases.observed[:_EARLY], LEVEL_ARRAY).astype(np.float32), answer.shape)
    crps = crps_from_quantiles(answer, late.observed).mean()
    assert crps < 0.6 * crps_from_quantiles(usual, late.observed).mean()
    assert crps < np.abs(late.members["corvus"][..., 0] - late.observed).mean()


def test_a_site_that_is_always_warmer_than_forecast_is_told_apart() -> None:
    # One forecast for both sites; the second is 4 K warmer, always: pooled quantiles without correction could not know.
    chance = np.random.default_rng(4)
    said = np.repeat(chance.normal(10, 3, (120, 1, 1)), 2, axis=2)
    observed = said + np.array([0.0, 4.0]) + chance.normal(0, 0.5, said.shape)
    cases = with_recent(make_cases(observed, members={"alba": said}))
    median = fitted(cases, 100).predict(cases.take(slice(100, None)), np.array([0.5]))[..., 0]
    assert np.abs(median[..., 1] - median[..., 0] - 4.0).max() < 1.0


def test_without_one_source_it_speaks_and_without_any_it_sleeps() -> None:
    cases = with_recent(two_sources())
    expert = fitted(cases)
    one_gone = expert.predict(without(cases, "alba", slice(50, 52)), LEVEL_ARRAY)
    assert np.isfinite(one_gone).all()
    gone = without(without(cases, "alba", slice(50, 52)), "corvus", slice(50, 52))
    answer = expert.predict(gone, LEVEL_ARRAY)
    assert np.isnan(answer[50:52]).all()
    assert np.isfinite(answer[:50]).all()


def test_a_lead_not_learned_is_answered_as_the_nearest_one() -> None:
    cases = with_recent(two_sources())
    expert = fitted(cases)
    other = replace(cases, lead_hours=(25, 50))
    np.testing.assert_array_equal(expert.predict(other, LEVEL_ARRAY), expert.predict(cases, LEVEL_ARRAY))


def test_leads_of_which_nothing_was_observed_are_answered_as_the_nearest_group() -> None:
    cases = with_recent(two_sources())
    observed = cases.observed.copy()
    observed[:, 1] = np.nan
    unknown = with_recent(replace(cases, observed=observed))
    answer = fitted(unknown).predict(unknown, LEVEL_ARRAY)
    assert np.isfinite(answer).all()
    # Told the same at both leads, and no error of either known, both leads get the same.
    same = {name: np.repeat(values[:, :1], 2, axis=1) for name, values in cases.members.items()}
    alike = fitted(unknown).predict(replace(unknown, members=same, recent={}), LEVEL_ARRAY)
    np.testing.assert_array_equal(alike[:, 0], alike[:, 1])


def test_it_sleeps_with_few_cases_without_sources_and_for_a_direction() -> None:
    cases = with_recent(two_sources())
    nothing = replace(cases, members={})
    turning = with_recent(
        make_cases(cases.observed * 9, leads=(24, 48), members=cases.members, variable="wind_direction_10m")
    )
    for expert, asked in ((fitted(cases, 5), cases), (fitted(nothing), nothing), (fitted(turning), turning)):
        assert np.isnan(expert.predict(asked, LEVEL_ARRAY)).all()
    assert np.isnan(IsotonicExpert().predict(cases, LEVEL_ARRAY)).all()
