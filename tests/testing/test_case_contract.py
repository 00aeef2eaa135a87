"""The contract of experts over cases lets the good pass and names what the bad do."""

from __future__ import annotations

import numpy as np
import pytest

from skyproof.stages.forecast.null_case_expert import NullCaseExpert
from skyproof.testing.case_contract import check_case_expert
from tests.stages.case_samples import load


class Past(NullCaseExpert):
    """Quantiles of what was known when it was fitted."""

    def __init__(self):
        self._known = np.empty(0, np.float32)

    def fit(self, cases, as_of):
        self._known = cases.observed[cases.known(as_of)]

    def predict(self, cases, levels):
        answer = super().predict(cases, levels)
        answer[:] = np.quantile(self._known, levels)
        return answer

    def state(self):
        return {"known": self._known}

    def restore(self, state):
        self._known = state["known"]


class Ahead(Past):
    def fit(self, cases, as_of):
        self._known = cases.observed[np.isfinite(cases.observed)]


class Peeking(Past):
    def predict(self, cases, levels):
        return super().predict(cases, levels) + np.nan_to_num(cases.observed)[..., None]


class Forgetful(Past):
    def state(self):
        return {"known": self._known[:5]}


class Crossing(Past):
    def predict(self, cases, levels):
        return super().predict(cases, levels)[..., ::-1].copy()


class Wide(Past):
    def predict(self, cases, levels):
        return super().predict(cases, levels).astype(np.float64)


@pytest.mark.parametrize("make", [NullCaseExpert, Past])
def test_good_experts_keep_the_contract(make, tmp_path):
    check_case_expert(make, load(tmp_path).cases, np.datetime64("2024-01-25", "s"))


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (Ahead, "had not arrived"),
        (Peeking, "looks at the observations"),
        (Forgetful, "restored from its state"),
        (Crossing, "cross"),
        (Wide, "float32"),
    ],
)
def test_what_an_expert_must_not_do_is_named(make, complaint, tmp_path):
    with pytest.raises(AssertionError, match=complaint):
        check_case_expert(make, load(tmp_path).cases, np.datetime64("2024-01-25", "s"))
