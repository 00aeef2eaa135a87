"""What every blend must do; run it on your own.

from skyproof.testing.blend_contract import check_blend

def test_my_blend_keeps_the_contract():
    check_blend(MyBlend())
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.protocols import Blend
from skyproof.domain.quantiles import LEVEL_ARRAY

_EXPERTS, _VARIABLES, _SITES, _LEADS = 4, 2, 3, 5


def check_blend(blend: Blend, *, seed: int = 1) -> None:
    """Check a blend on random experts of whom some sleep, before and after it learned.

    Raises:
        AssertionError: what the blend does that it must not, in words.
    """
    assert isinstance(blend, Blend), f"{blend!r} lacks methods; see domain/protocols.py"
    chance = np.random.default_rng(seed)
    state = blend.initial_state(_EXPERTS, _VARIABLES, _LEADS)
    for _ in range(20):
        experts = _random_experts(chance)
        _check_combination(blend, state, experts)
        observed = chance.normal(size=experts.shape[1:4]).astype(np.float32)
        observed[chance.random(observed.shape) < 0.3] = np.nan
        before = {name: values.copy() for name, values in state.items()}
        after = blend.update(state, experts, observed)
        assert _equal(before, state), "update changed the state it was given; it must return a new one"
        assert _equal(after, blend.update(state, experts, observed)), "the same update gave two states"
        state = after
    one = _random_experts(chance)
    one[1:] = np.nan
    alone = blend.combine(state, one)
    assert np.allclose(alone, one[0], equal_nan=True, atol=1e-5), "an expert awake alone must be the blend"
    asleep = blend.combine(state, np.full_like(one, np.nan))
    assert np.isnan(asleep).all(), "where every expert sleeps the blend must be NaN"


def _check_combination(blend: Blend, state: Mapping[str, NDArray[Any]], experts: NDArray[np.float32]) -> None:
    blended = blend.combine(state, experts)
    assert blended.shape == experts.shape[1:], f"the blend has shape {blended.shape}, wanted {experts.shape[1:]}"
    awake = np.isfinite(experts[..., 0])
    assert (np.isfinite(blended[..., 0]) == awake.any(axis=0)).all(), "the blend must speak where any expert does"
    spoken = blended[awake.any(axis=0)]
    assert (np.diff(spoken, axis=-1) >= 0).all(), "blended quantiles cross"
    low, high = np.nanmin(experts), np.nanmax(experts)
    assert spoken.min() >= low - 1e-4, "the blend is below all experts"
    assert spoken.max() <= high + 1e-4, "the blend is above all experts"
    for mask in (np.ones(_EXPERTS, dtype=bool), np.arange(_EXPERTS) != 1):
        weights = blend.weights(state, mask)
        assert weights.shape == (_EXPERTS, _VARIABLES, _LEADS), f"weights have shape {weights.shape}"
        assert (weights >= 0).all(), "a weight is negative"
        assert np.allclose(weights.sum(axis=0), 1), "weights must sum to one"
        assert not weights[~mask].any(), "an expert that is away has weight"


def _random_experts(chance: np.random.Generator) -> NDArray[np.float32]:
    centre = chance.normal(size=(_EXPERTS, _VARIABLES, _SITES, _LEADS, 1))
    experts = (centre + 2 * (LEVEL_ARRAY - 0.5)).astype(np.float32)
    experts[chance.random((_EXPERTS, _VARIABLES, _SITES, _LEADS)) < 0.3] = np.nan
    return experts


def _equal(first: Mapping[str, NDArray[Any]], second: Mapping[str, NDArray[Any]]) -> bool:
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)
