"""Every expert the product asks keeps the contract of experts over cases."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from skyproof.cycle.experts import table_experts
from skyproof.testing.case_contract import check_case_expert
from tests.stages.prepared_cases import power_like, prepared, two_sources

_NAMES = [expert.name for expert in table_experts(two_sources(issues=1))]
_NAMES_OF_FEATURES = [expert.name for expert in table_experts(power_like(issues=1))]


@pytest.fixture(scope="module")
def cases():
    """Two sources; some observations never came."""
    whole = two_sources(issues=48, sites=4, delay_hours=3.0)
    observed = whole.observed.copy()
    observed[5, 0, 1], observed[7] = np.nan, np.nan
    return prepared(replace(whole, observed=observed))


class Together:
    """An expert and those of the same cases, which some lean on: fitted, kept and restored as one."""

    def __init__(self, name, cases):
        self.name, self._experts = name, {expert.name: expert for expert in table_experts(cases)}

    def fit(self, cases, as_of):
        self._experts[self.name].fit(cases, as_of)

    def predict(self, cases, levels):
        return self._experts[self.name].predict(cases, levels)

    def state(self):
        return {f"{name}|{key}": array for name, own in self._experts.items() for key, array in own.state().items()}

    def restore(self, state):
        for name, expert in self._experts.items():
            expert.restore({key.removeprefix(f"{name}|"): state[key] for key in state if key.startswith(f"{name}|")})


@pytest.mark.parametrize("name", _NAMES)
def test_an_expert_keeps_the_contract(name, cases):
    def make():
        return Together(name, cases)

    check_case_expert(make, cases, cases.issue_times[44])


@pytest.mark.parametrize("name", _NAMES_OF_FEATURES)
def test_an_expert_without_a_source_keeps_the_contract(name):
    told = prepared(power_like(issues=48, sites=4))

    def make():
        return next(expert for expert in table_experts(told) if expert.name == name)

    check_case_expert(make, told, told.issue_times[44])


def test_experts_have_names_of_their_own():
    assert len(set(_NAMES)) == len(_NAMES)
    assert not any(":" in name for name in _NAMES_OF_FEATURES)
