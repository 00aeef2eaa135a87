"""EMOS experts on simulated weather whose truth is known, and at the edges of their input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import ndtri

from skyproof.domain.cases import Cases, Place
from skyproof.domain.protocols import CaseExpert
from skyproof.domain.variables import find_variable
from skyproof.stages.forecast.case_blocks import group_leads, spread_out
from skyproof.stages.forecast.emos_choice import checkpoint, quantile_loss
from skyproof.stages.forecast.emos_expert import EmosExpert, traits_of
from skyproof.stages.forecast.emos_scales import CANDIDATES, Candidate, Scale

LEVELS = np.arange(0.05, 0.96, 0.05)
NOON = np.timedelta64(12, "h")


def weather(
    name: str = "temperature_2m",
    *,
    days: int = 60,
    sites: int = 12,
    members: int = 5,
    leads: tuple[int, ...] = (24,),
    seed: int = 0,
) -> Cases:
    """Forecasts with a bias of their own at every site, whose spread says how wrong they are."""
    rng = np.random.default_rng(seed)
    shape = (days, len(leads), sites)
    spread = np.exp(0.4 * rng.normal(size=shape))
    signal = 5 + 4 * rng.normal(size=shape)
    bias = 2.0 * rng.normal(size=sites)
    ensemble = (signal + bias)[..., None] + spread[..., None] * rng.normal(size=(*shape, members))
    truth = signal + spread * rng.normal(size=shape)
    variable = find_variable(name)
    lower, upper = variable.lower, variable.upper
    if variable.family == "censored":
        ensemble, truth = ensemble - 5, truth - 5
    if variable.family == "bounded":
        ensemble, truth = 12 * ensemble, 12 * truth
    issue = np.datetime64("2025-01-01T12", "s") + np.arange(days) * np.timedelta64(1, "D")
    return Cases(
        variable=variable,
        issue_times=issue,
        lead_hours=leads,
        sites=tuple(Place(f"s{index}", 45.0 + index / 10, 7.0, 100.0 * index) for index in range(sites)),
        members={"alba": np.clip(ensemble, lower, upper).astype(np.float32)},
        predictors={},
        observed=np.clip(truth, lower, upper).astype(np.float32),
    )


def split(cases: Cases, days: int) -> tuple[Cases, Cases, np.datetime64]:
    """Cases to learn from, cases to forecast, and the moment between them."""
    return cases.take(slice(0, days)), cases.take(slice(days, None)), cases.issue_times[days]


def same(first: np.ndarray, second: np.ndarray) -> bool:
    return np.array_equal(first, second, equal_nan=True)


@pytest.mark.parametrize(
    "name", ["temperature_2m", "wind_speed_10m", "precipitation", "cloud_cover", "shortwave_radiation"]
)
def test_every_family_is_calibrated_and_beats_its_ensemble(name: str) -> None:
    past, future, now = split(weather(name, days=150, seed=1), 90)
    expert = EmosExpert("alba")
    assert isinstance(expert, CaseExpert)
    expert.fit(past, now)
    quantiles = expert.predict(future, LEVELS)
    assert quantiles.shape == (*future.observed.shape, len(LEVELS))
    assert quantiles.dtype == np.float32
    assert (np.diff(quantiles, axis=-1) >= 0).all()
    raw = np.quantile(future.members["alba"], LEVELS, axis=-1).transpose(1, 2, 3, 0)
    assert quantile_loss(quantiles, future.observed) < 0.85 * quantile_loss(raw, future.observed)
    variable = find_variable(name)
    inside = np.ones_like(quantiles[..., 0], dtype=bool)
    if variable.lower is not None:
        inside &= quantiles[..., 0] > variable.lower
    if variable.upper is not None:
        inside &= quantiles[..., -1] < variable.upper
    covered = (future.observed >= quantiles[..., 1]) & (future.observed <= quantiles[..., -2])
    assert 0.74 <= covered[inside].mean() <= 0.86


def test_a_site_with_three_weeks_gains_from_its_own_record_and_a_new_one_gets_the_pooled_forecast() -> None:
    cases = weather(days=80, sites=20, seed=2)
    cases.members["alba"][:, :, 0] += 4
    short = cases.observed.copy()
    short[:40, :, 0] = np.nan
    short[:61, :, 1] = np.nan
    past, future, now = split(replace(cases, observed=short), 61)
    expert = EmosExpert("alba")
    expert.fit(past, now)
    truth = split(cases, 61)[1].observed
    centre = expert.predict(future, np.array([0.5]))[..., 0]
    pooled = EmosExpert("alba")
    hidden = past.observed.copy()
    hidden[:, :, :2] = np.nan
    pooled.fit(replace(past, observed=hidden), now)
    without = pooled.predict(future, np.array([0.5]))[..., 0]
    own = np.abs(centre - truth)[:, 0, 0].mean()
    assert own < 0.5 * np.abs(without - truth)[:, 0, 0].mean()
    # The second site was never observed: it is forecast like a site nobody has heard of.
    stranger = replace(future, sites=(future.sites[0], replace(future.sites[1], place_id="new"), *future.sites[2:]))
    np.testing.assert_array_equal(expert.predict(stranger, LEVELS)[:, :, 1], expert.predict(future, LEVELS)[:, :, 1])
    assert np.isfinite(centre).all()


def test_what_became_known_later_changes_nothing() -> None:
    cases = weather(days=40, leads=(24, 48), seed=3)
    now = cases.issue_times[30]
    late = cases.valid_times + np.timedelta64(2, "h") > now
    corrupted = np.where(late[..., None], -999.0, cases.observed).astype(np.float32)
    answers = []
    for observed in (cases.observed, corrupted):
        expert = EmosExpert("alba")
        changed = replace(cases, observed=observed, delay_hours=2.0)
        expert.fit(changed, now)
        answers.append(expert.predict(changed.take(slice(30, 35)), LEVELS))
    np.testing.assert_array_equal(*answers)


def test_the_same_cases_give_the_same_answer_and_the_state_is_all_there_is() -> None:
    past, future, now = split(weather("wind_speed_10m", days=50, leads=(6, 12, 18), seed=4), 40)
    first, second, restored = EmosExpert("alba"), EmosExpert("alba"), EmosExpert("alba")
    first.fit(past, now)
    second.fit(past, now)
    answer = first.predict(future, LEVELS)
    assert same(answer, second.predict(future, LEVELS))
    assert same(answer, first.predict(future, LEVELS))
    restored.restore({name: np.array(values) for name, values in first.state().items()})
    assert same(answer, restored.predict(future, LEVELS))
    assert set(restored.state()) == set(first.state())


def test_a_refit_from_the_last_solution_answers_as_a_fit_from_nothing() -> None:
    cases = weather(days=60, seed=5)
    warm, cold = EmosExpert("alba"), EmosExpert("alba")
    for day in range(45, 51):
        warm.fit(cases.take(slice(0, day)), cases.issue_times[day])
    cold.fit(cases.take(slice(0, 50)), cases.issue_times[50])
    np.testing.assert_allclose(
        warm.predict(cases.take(slice(50, 52)), LEVELS), cold.predict(cases.take(slice(50, 52)), LEVELS), atol=0.02
    )
    assert traits_of(warm._common) == traits_of(cold._common)


def test_it_sleeps_where_the_source_is_missing_and_before_anything_is_known() -> None:
    cases = weather(days=40, seed=6)
    members = cases.members["alba"].copy()
    members[35, 0, 3] = np.nan
    members[36, 0, 4, :2] = np.nan
    cases = replace(cases, members={"alba": members})
    past, future, now = split(cases, 35)
    expert = EmosExpert("alba")
    expert.fit(past, now)
    quantiles = expert.predict(future, LEVELS)
    assert np.isnan(quantiles[0, 0, 3]).all()
    assert np.isfinite(quantiles).mean() == pytest.approx(1 - 1 / (5 * 12))
    assert np.isnan(expert.predict(replace(future, members={}), LEVELS)).all()
    assert expert.predict(future.take(slice(0, 0)), LEVELS).shape == (0, 1, 12, len(LEVELS))
    untaught = EmosExpert("alba")
    untaught.fit(cases.take(slice(0, 1)), cases.issue_times[0])
    assert np.isnan(untaught.predict(future, LEVELS)).all()
    turning = replace(cases, variable=find_variable("wind_direction_10m"))
    untaught.fit(turning, now)
    assert np.isnan(untaught.predict(turning, LEVELS)).all()


def test_a_deterministic_source_gets_calibrated_intervals_too() -> None:
    past, future, now = split(weather(days=150, members=1, seed=7), 90)
    expert = EmosExpert("alba")
    expert.fit(past, now)
    quantiles = expert.predict(future, LEVELS)
    covered = (future.observed >= quantiles[..., 1]) & (future.observed <= quantiles[..., -2])
    assert 0.76 <= covered.mean() <= 0.84


def test_a_recent_error_that_persists_is_taken_off() -> None:
    cases = weather(days=120, seed=8)
    rng = np.random.default_rng(8)
    drift = np.cumsum(rng.normal(size=(120, 1, 12)), axis=0)
    drifting = replace(cases, observed=(cases.observed + drift).astype(np.float32))
    told = {"error_recent:alba": (drift + 0.3 * rng.normal(size=drift.shape)).astype(np.float32)}
    losses = []
    for recent in ({}, told):
        past, future, now = split(replace(drifting, recent=recent), 100)
        expert = EmosExpert("alba")
        expert.fit(past, now)
        losses.append(quantile_loss(expert.predict(future, LEVELS), future.observed))
    assert losses[1] < 0.9 * losses[0]


def test_few_cases_share_their_leads_and_many_do_not() -> None:
    assert [len(part) for part in group_leads(730, 40, 500)] == [1] * 40
    assert [len(part) for part in group_leads(34, 1, 900)] == [1]
    assert max(len(part) for part in group_leads(77, 120, 1)) <= 24
    assert len(group_leads(77, 120, 1)) < 30
    joined = np.concatenate(group_leads(10, 50, 2))
    np.testing.assert_array_equal(joined, np.arange(50))


def test_choices_are_made_at_checkpoints_a_fifth_apart() -> None:
    assert [checkpoint(count) for count in (0, 11, 12, 13, 14, 100)] == [0, 0, 12, 12, 14, 89]
    picked = spread_out(1000, 10)
    assert len(picked) == 10
    assert picked.min() < 200
    assert picked.max() > 800
    np.testing.assert_array_equal(spread_out(3, 10), [0, 1, 2])


def test_what_a_forecast_is_worth_and_how_far_it_is_off_may_bend_with_the_season() -> None:
    # Worth 1 in winter and 0.4 in summer, off by 2 K in spring and autumn: neither is a wave of one year in the offset.
    rng = np.random.default_rng(6)
    days = np.arange(1500)
    phase = (2 * np.pi * (days + 0.5) / 365.25)[:, None, None]
    said = 5 * rng.normal(size=(len(days), 1, 1))
    middle = (0.7 + 0.3 * np.cos(phase)) * said - 1 * np.cos(2 * phase)
    cases = replace(
        weather("temperature_2m", days=len(days), sites=1),
        members={"alba": said[..., None].astype(np.float32)},
        observed=(middle + rng.normal(size=middle.shape)).astype(np.float32),
    )
    past, future, now = split(cases, 1100)
    expert = EmosExpert("alba")
    expert.fit(past, now)
    loss = quantile_loss(expert.predict(future, LEVELS), future.observed, LEVELS)
    truth = middle[1100:, ..., None] + ndtri(LEVELS)
    assert loss < 1.03 * quantile_loss(truth, future.observed, LEVELS)


def humidity(*, limits_reached: bool, days: int = 260, sites: int = 12, members: int = 40, seed: int = 1) -> Cases:
    """Relative humidity: beta distributed between its limits, or now and then at them; a source knows what it varies about."""
    rng = np.random.default_rng(seed)
    signal, certainty = rng.normal(1.0, 1.2, (days, 1, sites)), np.exp(1.8 + 0.5 * rng.normal(size=(days, 1, sites)))
    said = np.repeat((signal + 0.3 * rng.normal(size=sites))[..., None], members, axis=-1)

    def draw(logit: np.ndarray, certainty: np.ndarray) -> np.ndarray:
        if limits_reached:
            return np.clip(0.5 + 0.25 * logit + 0.2 * rng.normal(size=logit.shape), 0, 1)
        mean = 1 / (1 + np.exp(-logit))
        return rng.beta(mean * certainty, (1 - mean) * certainty)

    return replace(
        weather("relative_humidity_2m", days=days, sites=sites),
        members={"alba": (100 * draw(said, certainty[..., None])).astype(np.float32)},
        observed=(100 * draw(signal, certainty)).astype(np.float32),
    )


def chosen_and_score(cases: Cases, monkeypatch: pytest.MonkeyPatch, *allowed: str) -> tuple[str, float]:
    """The distribution chosen among some, and the quantile loss of the later half."""
    bounded = tuple(candidate for candidate in CANDIDATES["bounded"] if candidate.distribution in allowed)
    monkeypatch.setitem(CANDIDATES, "bounded", bounded)
    past, future, now = split(cases, 130)
    expert = EmosExpert("alba")
    expert.fit(past, now)
    quantiles = expert.predict(future, LEVELS)
    assert quantiles.min() >= 0
    assert quantiles.max() <= 100
    return traits_of(expert._common).candidate.distribution, quantile_loss(quantiles, future.observed, LEVELS)


def test_what_bends_towards_its_limits_is_found_to_be_beta(monkeypatch: pytest.MonkeyPatch) -> None:
    cases = humidity(limits_reached=False)
    chosen, loss = chosen_and_score(cases, monkeypatch, "normal", "logistic", "beta")
    assert chosen == "beta"
    assert loss < chosen_and_score(humidity(limits_reached=False), monkeypatch, "normal")[1]


def test_what_reaches_its_limits_is_found_to_be_censored_there(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen, loss = chosen_and_score(humidity(limits_reached=True), monkeypatch, "normal", "logistic", "beta")
    assert chosen in {"normal", "logistic"}
    monkeypatch.undo()
    assert loss < chosen_and_score(humidity(limits_reached=True), monkeypatch, "beta")[1]


def test_a_change_of_distribution_does_not_begin_from_the_coefficients_of_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    past, future, now = split(humidity(limits_reached=False, sites=4), 130)
    changed, fresh = EmosExpert("alba"), EmosExpert("alba")
    monkeypatch.setitem(CANDIDATES, "bounded", (Candidate("normal"),))
    changed.fit(past.take(slice(0, 80)), past.issue_times[80])
    normal = changed.state()
    monkeypatch.setitem(CANDIDATES, "bounded", (Candidate("beta"),))
    changed.fit(past, now)
    fresh.fit(past, now)
    assert checkpoint(80) != checkpoint(130)
    # As many coefficients of either, so that nothing but the name tells them apart.
    final = next(name for name in normal if name.endswith("final"))
    assert normal[final].shape == fresh.state()[final].shape
    np.testing.assert_allclose(changed.state()[final], fresh.state()[final], rtol=0.01, atol=0.01)
    np.testing.assert_allclose(changed.predict(future, LEVELS), fresh.predict(future, LEVELS), atol=0.05)


def test_values_at_unit_size_return_to_what_they_were() -> None:
    observed = np.array([0.0, 1.0, 4.0, 9.0])
    for name, transform in (("temperature_2m", "identity"), ("precipitation", "sqrt"), ("cloud_cover", "identity")):
        scale = Scale.of(find_variable(name), transform, observed)
        np.testing.assert_allclose(scale.backward(scale.forward(observed)), observed)
        assert Scale.restore(scale.state()) == scale
    assert Scale.of(find_variable("cloud_cover"), "identity", observed).high > 1
    assert Scale.of(find_variable("precipitation"), "sqrt", observed).low == 0


def test_a_case_unlike_all_before_is_neither_surer_nor_less_sure_than_they_were() -> None:
    past, future, now = split(weather(days=120, seed=8), 60)
    expert = EmosExpert("alba")
    # A record known so late that no memory ever held anything: what one is worth is not to be told from it.
    late = replace(past, delay_hours=24.0 * 50)
    expert.fit(late, now + np.timedelta64(50, "D"))
    seen = expert.predict(past, LEVELS)
    wild = replace(future, members={"alba": future.members["alba"] + 40 * np.arange(5, dtype=np.float32)})
    width, usual = (quantiles[..., -1] - quantiles[..., 0] for quantiles in (expert.predict(wild, LEVELS), seen))
    assert width.max() <= 1.5 * usual.max()
    assert expert.predict(future, LEVELS).std() > 0
