"""Compiling what is needed soon, in a process of its own, while something else is waited for.

The loops of learning are compiled on first use and kept beside the source, which on a fresh machine takes as long as learning a
small release. Compiling holds the interpreter, so a thread would not do.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from skyproof.cycle.experts import source_experts
from skyproof.cycle.settings import Settings
from skyproof.domain.cases import Cases, Place
from skyproof.domain.quantiles import LEVEL_ARRAY
from skyproof.domain.variables import Variable, find_variable
from skyproof.science.online_blend import BernsteinBlend

_ISSUES, _LEADS, _SITES, _MEMBERS = 40, 2, 6, 3


@contextmanager
def compiling_ahead(settings: Settings) -> Iterator[None]:
    """What learning compiles is compiled when the block ends; that it failed is no harm.

    Where settings allow one process only, it is compiled when it is needed.
    """
    if settings.workers == 1:
        yield
        return
    process = multiprocessing.get_context("spawn").Process(
        target=compile_learning, args=(settings.variables, settings.experts), daemon=True
    )
    process.start()
    try:
        yield
        process.join()
    finally:
        process.kill()


def compile_learning(variables: tuple[str, ...], kinds: tuple[str, ...]) -> dict[str, bool]:
    """Learn from a few made-up cases of each variable, so that everything used has been compiled.

    Returns:
        For each variable whether all its experts had something to say to the blend.
    """
    blend, spoke = BernsteinBlend(), {}
    for name in variables:
        cases = some_cases(find_variable(name))
        experts = source_experts(kinds)(cases)
        for expert in experts:
            expert.fit(cases, cases.issue_times[-1])
        said = np.stack([expert.predict(cases.take(slice(-1, None)), LEVEL_ARRAY)[0] for expert in experts])
        asked = said.swapaxes(1, 2)[:, None]
        state = blend.initial_state(len(experts), 1, _LEADS)
        blend.combine(state, asked)
        blend.update(state, asked, cases.observed[-1].T[None])
        spoke[name] = bool(np.isfinite(asked).all())
    return spoke


def some_cases(variable: Variable) -> Cases:
    """A few made-up cases: an ensemble and a single forecast, and what came of them, all between 1 and 2."""
    rng = np.random.default_rng(1)
    shape = (_ISSUES, _LEADS, _SITES)
    members = {
        source_id: 1 + rng.random((*shape, count), dtype=np.float32) for source_id, count in (("a", _MEMBERS), ("b", 1))
    }
    return Cases(
        variable=variable,
        issue_times=np.datetime64("2025-01-01", "s") + np.arange(_ISSUES) * np.timedelta64(1, "D"),
        lead_hours=tuple(range(6, 6 * _LEADS + 1, 6)),
        sites=tuple(Place(f"s{number}", 40.0 + number, 8.0, 100.0) for number in range(_SITES)),
        members=members,
        predictors={},
        observed=1 + rng.random(shape, dtype=np.float32),
    )
