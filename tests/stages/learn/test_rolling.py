"""The rolling origin: nothing is seen before it arrived, and what is learned helps."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skyproof.cycle.experts import table_experts
from skyproof.domain.cases import Cases, Place, RolledForecasts
from skyproof.domain.quantiles import LEVEL_ARRAY
from skyproof.domain.variables import find_variable
from skyproof.science.scores import crps_from_quantiles
from skyproof.stages.learn.rolling import plan_blocks, roll_forecasts

_ISSUES, _LEADS, _SITES = 46, (24, 48), 3


def make_cases(*, delay_hours: float = 0.0, seed: int = 1) -> Cases:
    """Two sources, one an ensemble, with biases of their own by site, and a predictor that tells of one of them."""
    chance = np.random.default_rng(seed)
    shape = (_ISSUES, len(_LEADS), _SITES)
    truth = 10 + 5 * np.sin(np.arange(_ISSUES + 3) / 6)[:, None] + np.array([0.0, 2.0, 4.0])
    cloud = chance.random(shape).astype(np.float32)
    observed = np.stack([truth[1 : _ISSUES + 1], truth[2 : _ISSUES + 2]], axis=1) + chance.normal(0, 0.7, shape)
    alba = observed[..., None] + 1.0 + 2.0 * cloud[..., None] + chance.normal(0, 1.0, (*shape, 5))
    corvus = observed[..., None] - np.array([0.5, 1.5, 2.5])[:, None] + chance.normal(0, 1.2, (*shape, 1))
    issue_times = np.datetime64("2026-01-01T00:00:00", "s") + np.arange(_ISSUES) * np.timedelta64(86_400, "s")
    return Cases(
        find_variable("temperature_2m"),
        issue_times,
        _LEADS,
        tuple(Place(f"s{number}", 47.0 + number, 8.0, 400.0) for number in range(_SITES)),
        {"alba": alba.astype(np.float32), "corvus": corvus.astype(np.float32)},
        {"cloud_cover": cloud},
        observed.astype(np.float32),
        delay_hours=delay_hours,
    )


def roll(cases: Cases, first: int = 30, **kwargs: object) -> RolledForecasts:
    return roll_forecasts(cases, table_experts, levels=LEVEL_ARRAY, evaluate_from=cases.issue_times[first], **kwargs)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def undisturbed() -> tuple[Cases, RolledForecasts]:
    cases = make_cases(delay_hours=6.0)
    return cases, roll(cases)


@settings(max_examples=4, deadline=None, derandomize=True, database=None)
@given(issue=st.integers(31, _ISSUES - 1))
def test_observations_that_arrive_later_change_no_forecast_issued_before(
    undisturbed: tuple[Cases, RolledForecasts], issue: int
) -> None:
    cases, before = undisturbed
    known = cases.known(cases.issue_times[issue])
    corrupted = replace(cases, observed=np.where(known, cases.observed, np.float32(999)))
    after = roll(corrupted)
    upto = issue - 30 + 1
    assert before.names == after.names
    np.testing.assert_array_equal(before.quantiles[:, :upto], after.quantiles[:, :upto])


def test_forecasts_made_later_change_none_issued_before(undisturbed: tuple[Cases, RolledForecasts]) -> None:
    cases, before = undisturbed
    members = {name: values.copy() for name, values in cases.members.items()}
    for values in members.values():
        values[38:] = 50.0
    predictors = {name: values.copy() for name, values in cases.predictors.items()}
    predictors["cloud_cover"][38:] = 7.0
    after = roll(replace(cases, members=members, predictors=predictors))
    np.testing.assert_array_equal(before.quantiles[:, :8], after.quantiles[:, :8])
    assert not np.array_equal(before.quantiles[0, 8:], after.quantiles[0, 8:])


def test_the_product_beats_every_raw_source_and_climatology(undisturbed: tuple[Cases, RolledForecasts]) -> None:
    _, rolled = undisturbed
    scores = {
        name: float(np.nanmean(crps_from_quantiles(quantiles, rolled.cases.observed)))
        for name, quantiles in zip(rolled.names, rolled.quantiles, strict=True)
        if np.isfinite(quantiles).any()
    }
    assert rolled.names[0] == "skyproof"
    for baseline in ("raw:alba", "raw:corvus", "climatology"):
        assert scores["skyproof"] < 0.9 * scores[baseline]


def test_quantiles_rise_and_every_case_has_them(undisturbed: tuple[Cases, RolledForecasts]) -> None:
    _, rolled = undisturbed
    assert np.isfinite(rolled.quantiles[0]).all()
    assert (np.diff(rolled.quantiles[0], axis=-1) >= 0).all()


def test_an_interrupted_evaluation_goes_on_from_its_memory(
    undisturbed: tuple[Cases, RolledForecasts], tmp_path: object
) -> None:
    cases, before = undisturbed

    def stop(what: str, done: int, total: int) -> None:
        if done > total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        roll(cases, memory=tmp_path, progress=stop)
    after = roll(cases, memory=tmp_path)
    np.testing.assert_array_equal(before.quantiles, after.quantiles)


def test_blocks_begin_where_the_record_has_grown_and_cover_every_issue_time() -> None:
    cases = make_cases()
    blocks = plan_blocks(cases, 10, growth=0.3)
    assert blocks[0].start == 10
    assert blocks[-1].end == _ISSUES
    assert all(early.end == late.start for early, late in pairwise(blocks))
    # 10 issue times know 9 days at the shortest lead; a third more is 12 or 13.
    assert blocks[0].end in (12, 13, 14)
