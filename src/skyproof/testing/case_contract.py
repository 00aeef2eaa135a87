"""What every expert over cases must do; run it on your own with cases it should answer.

from skyproof.testing.case_contract import check_case_expert

def test_my_expert_keeps_the_contract():
    check_case_expert(MyExpert, cases, as_of)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.cases import Cases
from skyproof.domain.protocols import CaseExpert

_LEVELS = np.array([0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95])


def check_case_expert(make: Callable[[], CaseExpert], cases: Cases, as_of: np.datetime64) -> None:
    """Check an expert: form, determinism, state, that it never looks ahead, and that it sleeps where sources are gone.

    Args:
        make: makes a fresh expert.
        cases: what it learns from and is asked about; some must be issued after ``as_of``.
        as_of: when it learns.

    Raises:
        AssertionError: what the expert does that it must not, in words.
    """
    expert = make()
    assert isinstance(expert, CaseExpert), f"{expert!r} lacks methods; see domain/protocols.py"
    assert expert.name, "an expert needs a name"
    expert.fit(cases, as_of)
    answer = expert.predict(cases, _LEVELS)
    _check_form(answer, cases)
    _check_same(answer, expert.predict(cases, _LEVELS), "asked twice, the expert answers differently")
    again = make()
    again.fit(cases, as_of)
    _check_same(answer, again.predict(cases, _LEVELS), "fitted again on the same cases, the expert answers differently")
    restored = make()
    restored.restore({name: np.array(values) for name, values in expert.state().items()})
    _check_same(answer, restored.predict(cases, _LEVELS), "restored from its state, the expert answers differently")
    nothing = np.full_like(cases.observed, np.nan)
    blind = expert.predict(replace(cases, observed=nothing), _LEVELS)
    _check_same(answer, blind, "the expert looks at the observations of what it is asked")
    early = make()
    # What is missing stays missing: an observation that had time to arrive and did not would be learned with good right.
    unseen = np.isfinite(cases.observed) & ~cases.known(as_of)
    early.fit(replace(cases, observed=np.where(unseen, np.float32(1e6), cases.observed)), as_of)
    _check_same(answer, early.predict(cases, _LEVELS), "the expert learns from observations that had not arrived")
    gone = {name: np.full_like(values, np.nan) for name, values in cases.members.items()}
    _check_form(expert.predict(replace(cases, members=gone), _LEVELS), cases)


def _check_form(answer: NDArray[np.float32], cases: Cases) -> None:
    wanted = (*cases.observed.shape, len(_LEVELS))
    assert answer.shape == wanted, f"quantiles have shape {answer.shape}, wanted {wanted}"
    assert answer.dtype == np.float32, "quantiles must be float32"
    known = np.isfinite(answer)
    whole = known.all(axis=-1)
    assert (whole | ~known.any(axis=-1)).all(), "a case must have all quantiles or none"
    assert not np.isinf(answer).any(), "a quantile is infinite"
    assert (np.diff(answer[whole], axis=-1) >= 0).all(), "quantiles cross"


def _check_same(first: NDArray[np.float32], second: NDArray[np.float32], complaint: str) -> None:
    assert np.array_equal(first, second, equal_nan=True), complaint
