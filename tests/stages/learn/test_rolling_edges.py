"""The rolling origin at its edges: nothing before, nothing after, one site, sources that fall silent, late observations."""

from __future__ import annotations

import numpy as np
import pytest

from skyproof.domain.cases import Cases
from skyproof.domain.errors import InvalidValueError
from skyproof.domain.quantiles import LEVEL_ARRAY
from skyproof.stages.forecast.case_baselines import CaseClimatology
from skyproof.stages.forecast.null_case_expert import NullCaseExpert
from skyproof.stages.learn.rolling import roll_forecasts
from tests.science.engine_cases import DAY
from tests.stages.prepared_cases import power_like, two_sources, without


class Calibrated(NullCaseExpert):
    """Stands for a calibrated source: its mean, a degree up or down; asleep where it is missing."""

    def __init__(self, source: str) -> None:
        self.name, self._source = f"emos:{source}", source
        self.seen: list[tuple[int, np.datetime64]] = []

    def fit(self, cases: Cases, as_of: np.datetime64) -> None:
        self.seen.append((int(cases.known(as_of).sum()), as_of))

    def predict(self, cases: Cases, levels: np.ndarray) -> np.ndarray:
        mean = cases.members[self._source].mean(axis=-1)[..., None]
        return (mean + np.linspace(-1, 1, len(levels))).astype(np.float32)


def experts(cases: Cases) -> list[NullCaseExpert]:
    return [CaseClimatology(), *map(Calibrated, cases.members)]  # type: ignore[list-item]


def roll(cases: Cases, first: int):
    return roll_forecasts(cases, experts, levels=LEVEL_ARRAY, evaluate_from=cases.issue_times[first])


@pytest.mark.parametrize(("days", "missing"), [(0, "nothing to learn from"), (12, "nothing to forecast")])
def test_an_evaluation_needs_a_past_and_a_future(days: int, missing: str) -> None:
    cases = two_sources(issues=12)
    with pytest.raises(InvalidValueError, match=missing):
        roll_forecasts(cases, experts, levels=LEVEL_ARRAY, evaluate_from=cases.issue_times[0] + days * DAY)


@pytest.mark.parametrize("first", [1, 11])
def test_the_second_issue_time_is_the_first_that_can_be_evaluated_and_the_last_the_last(first: int) -> None:
    rolled = roll(two_sources(issues=12), first)
    assert rolled.quantiles.shape[1] == 12 - first
    assert np.isfinite(rolled.quantiles[0, 1:]).all()


def test_where_all_sources_are_silent_the_product_is_what_is_usual() -> None:
    silent = slice(20, 22)
    cases = without(without(two_sources(issues=24), "alba", silent), "corvus", silent)
    rolled = roll(cases, 16)
    by_name = dict(zip(rolled.names, rolled.quantiles, strict=True))
    assert np.isnan(by_name["equal_weight"][4:6]).all()
    assert np.isfinite(by_name["equal_weight"][:4]).all()
    assert np.isfinite(by_name["skyproof"]).all()


def test_equal_weight_is_the_mean_of_the_calibrated_sources_that_speak() -> None:
    cases = without(two_sources(issues=24), "corvus", slice(20, 21))
    by_name = dict(zip((rolled := roll(cases, 16)).names, rolled.quantiles, strict=True))
    both = (by_name["emos:alba"] + by_name["emos:corvus"]) / 2
    np.testing.assert_allclose(by_name["equal_weight"][:4], both[:4], rtol=1e-5)
    np.testing.assert_array_equal(by_name["equal_weight"][4], by_name["emos:alba"][4])


def test_experts_learn_only_from_cases_whose_observation_had_arrived() -> None:
    made: list[Calibrated] = []

    def keep(cases: Cases) -> list[Calibrated]:
        made.append(Calibrated("alba"))
        return made

    cases = two_sources(issues=20, delay_hours=30)
    roll_forecasts(cases, keep, levels=LEVEL_ARRAY, evaluate_from=cases.issue_times[10])
    assert made[0].seen
    for count, as_of in made[0].seen:
        day = int((as_of - cases.issue_times[0]) / DAY)
        # Three sites; 24 h ahead and 30 h late arrive on the third day, 48 h ahead on the fourth.
        assert count == 3 * (max(day - 2, 0) + max(day - 3, 0))


def test_one_site_is_enough_and_a_bounded_quantity_without_sources_keeps_its_limits() -> None:
    assert np.isfinite(roll(two_sources(issues=24, sites=1), 16).quantiles[0]).all()
    rolled = roll(power_like(issues=24, sites=1), 16)
    assert rolled.names[0] == "skyproof"
    assert rolled.quantiles[0].min() >= 0
    assert rolled.quantiles[0].max() <= 100
