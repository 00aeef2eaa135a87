"""The blend against its promises: near the best expert, after changes, with sleepers, spikes and mirrored experts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtri

from skyproof.domain.errors import StoreUnavailableError
from skyproof.domain.protocols import Blend
from skyproof.domain.quantiles import LEVEL_ARRAY
from skyproof.science.online_blend import BernsteinBlend

VARIABLES, SITES, LEADS = 1, 6, 2
NORMAL = ndtri(LEVEL_ARRAY)
Step = Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]


def _loss(quantiles: np.ndarray, observed: np.ndarray) -> float:
    error = observed[..., None] - quantiles
    return float(2 * np.mean(np.maximum(LEVEL_ARRAY * error, (LEVEL_ARRAY - 1) * error)))


def _shifted(offsets: list[float], observed: np.ndarray) -> np.ndarray:
    """Experts that know the spread of standard normal weather and err by an offset."""
    return np.stack([np.zeros_like(observed)[..., None] + NORMAL + offset for offset in offsets]).astype(np.float32)


def _weather(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(VARIABLES, SITES, LEADS)).astype(np.float32)


def _play(
    step: Step, experts: int, steps: int, *, seed: int = 0, skip: int = 0
) -> tuple[np.ndarray, float, np.ndarray]:
    """Mean loss of each expert and of the blend after ``skip`` steps, and the final weights."""
    rng, blend = np.random.default_rng(seed), BernsteinBlend()
    state, losses = blend.initial_state(experts, VARIABLES, LEADS), []
    for number in range(steps):
        answers, observed = step(rng, number)
        losses.append(
            [*(_loss(answer, observed) for answer in answers), _loss(blend.combine(state, answers), observed)]
        )
        state = blend.update(state, answers, observed)
    means = np.array(losses[skip:]).mean(axis=0)
    return means[:-1], float(means[-1]), blend.weights(state, np.ones(experts, dtype=bool))[:, 0, 0]


def test_it_is_a_blend() -> None:
    blend: Blend = BernsteinBlend()
    assert blend.weights(blend.initial_state(2, 1, 1), np.array([True, True])) == pytest.approx(0.5)


def test_before_anything_was_seen_quantiles_are_averaged_by_hand() -> None:
    blend = BernsteinBlend()
    experts = np.stack([np.full((1, 1, 1, 21), 2.0), np.full((1, 1, 1, 21), 4.0)]).astype(np.float32)
    assert blend.combine(blend.initial_state(2, 1, 1), experts) == pytest.approx(3.0)


def test_one_update_by_hand_prefers_the_expert_on_the_right_side() -> None:
    blend = BernsteinBlend()
    experts = np.stack([np.full((1, 1, 1, 21), 2.0), np.full((1, 1, 1, 21), 4.0)]).astype(np.float32)
    state = blend.update(blend.initial_state(2, 1, 1), experts, np.array([[[5.0]]], dtype=np.float32))
    # At the median the blend says 3, the slope is -0.5, the gaps -1 and 1: excess losses 0.5 and -0.5 (their mean over
    # the levels around is the same), both of square 0.25, so the rate is min(0.5 / 0.5, sqrt(log 2 / 0.25)) = 1 and what
    # is added 0.5 (1 + 0.5) and -0.5 (1 - 0.5).
    assert state["excess"][0, 0, 0, :, 10] == pytest.approx([0.75, -0.25])
    assert blend.combine(state, experts)[0, 0, 0, 10] > 3.1


def test_the_state_of_another_version_is_refused() -> None:
    blend = BernsteinBlend()
    with pytest.raises(StoreUnavailableError, match="another version"):
        blend.weights({"excess": np.zeros((2, 1, 1, 21))}, np.array([True, True]))


def test_experts_of_another_shape_are_refused() -> None:
    blend = BernsteinBlend()
    state = blend.initial_state(2, 1, 1)
    with pytest.raises(ValueError, match="experts: got shape"):
        blend.combine(state, np.zeros((3, 1, 1, 1, 21), dtype=np.float32))
    with pytest.raises(ValueError, match="observed: got shape"):
        blend.update(state, np.zeros((2, 1, 1, 1, 21), dtype=np.float32), np.zeros((1, 2, 1), dtype=np.float32))


def test_held_out_scores_set_the_first_weights() -> None:
    blend = BernsteinBlend(np.array([0.5]))
    state = blend.initial_state(2, 1, 1, prior=np.array([[1.0, 2.0]]))
    # The better expert is twice as good: 2 ** 6 times the weight, but for the floor below every weight.
    assert blend.weights(state, np.array([True, True]))[:, 0, 0] == pytest.approx([64 / 65, 1 / 65], abs=2e-4)


def test_any_levels_will_do() -> None:
    levels = np.linspace(0.01, 0.99, 99)
    rng, blend = np.random.default_rng(3), BernsteinBlend(levels)
    state = blend.initial_state(2, 1, 1)
    for _ in range(20):
        observed = rng.normal(size=(1, 6, 1)).astype(np.float32)
        experts = np.stack([ndtri(levels) + np.zeros((1, 6, 1, 1)), ndtri(levels) + np.full((1, 6, 1, 1), 2.0)])
        state = blend.update(state, experts.astype(np.float32), observed)
    assert blend.weights(state, np.array([True, True]))[0] > 0.8


def test_in_a_stationary_world_the_blend_is_never_worse_than_the_best_expert_by_more_than_three_percent() -> None:
    def step(rng: np.random.Generator, _: int) -> tuple[np.ndarray, np.ndarray]:
        observed = _weather(rng)
        return _shifted([0.0, 0.7, 1.5, 2.5], observed), observed

    experts, blend, weights = _play(step, 4, 300)
    assert blend < 1.03 * experts.min()
    assert weights[0] > 0.5


def test_errors_that_cancel_are_averaged_and_the_blend_beats_every_expert() -> None:
    def step(rng: np.random.Generator, _: int) -> tuple[np.ndarray, np.ndarray]:
        truth = _weather(rng)
        answers = truth[..., None] + rng.normal(size=(5, *truth.shape, 1)) + 1.2 * NORMAL
        return answers.astype(np.float32), truth + 0.5 * _weather(rng)

    experts, blend, _ = _play(step, 5, 150)
    assert blend < 0.9 * experts.min()


def test_an_adversary_that_always_hurts_the_expert_in_front_gains_nothing() -> None:
    def step(_: np.random.Generator, number: int) -> tuple[np.ndarray, np.ndarray]:
        observed = np.full((VARIABLES, SITES, LEADS), (-1.0) ** number, dtype=np.float32)
        return np.stack([np.full((*observed.shape, 21), side) for side in (1.0, -1.0)]).astype(np.float32), observed

    experts, blend, weights = _play(step, 2, 200)
    assert blend < 0.55 * experts.min()
    assert weights == pytest.approx(0.5, abs=0.02)


def test_when_the_best_expert_changes_the_blend_follows() -> None:
    def step(rng: np.random.Generator, number: int) -> tuple[np.ndarray, np.ndarray]:
        observed = _weather(rng)
        return _shifted([2.0 * (number // 100 != best) for best in range(3)], observed), observed

    experts, blend, weights = _play(step, 3, 300)
    assert blend < 0.65 * experts.min()
    assert weights.argmax() == 2


def test_one_absurd_forecast_does_not_stop_learning() -> None:
    def step(rng: np.random.Generator, number: int) -> tuple[np.ndarray, np.ndarray]:
        observed = _weather(rng)
        answers = _shifted([0.0, 1.5, 2.5], observed)
        if number == 20:
            answers[1] += 273.0
        return answers, observed

    experts, blend, _ = _play(step, 3, 120, skip=21)
    assert blend < 1.04 * experts.min()


def test_an_expert_that_wakes_late_does_not_take_over() -> None:
    def step(rng: np.random.Generator, number: int) -> tuple[np.ndarray, np.ndarray]:
        observed = _weather(rng)
        answers = _shifted([0.0, 1.0, 3.0], observed)
        if number < 200:
            answers[2] = np.nan
        return answers, observed

    experts, blend, _ = _play(step, 3, 220, skip=200)
    assert blend < 1.15 * experts.min()


def test_an_expert_asleep_at_a_site_is_skipped_there_alone() -> None:
    blend = BernsteinBlend()
    experts = np.stack([np.full((1, 3, 1, 21), 2.0), np.full((1, 3, 1, 21), 4.0)]).astype(np.float32)
    experts[0, 0, 1], experts[:, 0, 2] = np.nan, np.nan
    combined = blend.combine(blend.initial_state(2, 1, 1), experts)
    assert combined[0, 0] == pytest.approx(3.0)
    assert combined[0, 1] == pytest.approx(4.0)
    assert np.isnan(combined[0, 2]).all()


def test_a_forecast_with_a_hole_sleeps() -> None:
    blend = BernsteinBlend()
    experts = np.stack([np.full((1, 1, 1, 21), 2.0), np.full((1, 1, 1, 21), 4.0)]).astype(np.float32)
    experts[0, ..., 7] = np.nan
    assert blend.combine(blend.initial_state(2, 1, 1), experts) == pytest.approx(4.0)


def test_nothing_observed_teaches_nothing() -> None:
    blend, rng = BernsteinBlend(), np.random.default_rng(1)
    experts = _shifted([0.0, 1.0], _weather(rng))
    state = blend.update(blend.initial_state(2, VARIABLES, LEADS), experts, _weather(rng))
    after = blend.update(state, experts, np.full((VARIABLES, SITES, LEADS), np.nan, dtype=np.float32))
    assert all(np.array_equal(state[name], after[name]) for name in state)


def test_scale_of_a_variable_does_not_matter() -> None:
    rng, blend = np.random.default_rng(2), BernsteinBlend()
    state = large = blend.initial_state(3, VARIABLES, LEADS)
    for _ in range(30):
        observed = _weather(rng)
        experts = _shifted([0.0, 1.0, 2.0], observed)
        state, large = blend.update(state, experts, observed), blend.update(large, 1024 * experts, 1024 * observed)
    awake = np.ones(3, dtype=bool)
    assert blend.weights(state, awake) == pytest.approx(blend.weights(large, awake), abs=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 2))
def test_regret_keeps_its_bound_whatever_the_experts_say(seed: int, kind: int) -> None:
    rng, blend, steps, experts = np.random.default_rng(seed), BernsteinBlend(), 60, 3
    says = np.clip(np.cumsum(0.2 * rng.normal(size=(steps, experts)), axis=0), -1, 1)
    says = (says, rng.uniform(-1, 1, (steps, experts)), rng.choice([-1.0, 1.0], (steps, experts)))[kind]
    state, losses = blend.initial_state(experts, 1, 1), []
    for number in range(steps):
        answers = np.broadcast_to(says[number][:, None, None, None, None], (experts, 1, 1, 1, 21)).astype(np.float32)
        observed = np.full((1, 1, 1), rng.choice([-1.0, 1.0]), dtype=np.float32)
        losses.append(
            [*(_loss(answer, observed) for answer in answers), _loss(blend.combine(state, answers), observed)]
        )
        state = blend.update(state, answers, observed)
    means = np.mean(losses, axis=0)
    # Losses lie within 2 of each other: the range that the bound is in units of. Two layers of aggregation, each with its
    # own regret: a constant of 1.5 instead of 1.
    assert means[-1] - means[:-1].min() <= 1.5 * 2 * np.sqrt(np.log(experts) / steps)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 0.9))
def test_whoever_sleeps_quantiles_stay_sorted_between_the_experts_and_weights_sum_to_one(
    seed: int, asleep: float
) -> None:
    rng, blend = np.random.default_rng(seed), BernsteinBlend()
    state = blend.initial_state(4, 2, 3)
    for _ in range(4):
        experts = np.sort(rng.normal(size=(4, 2, 5, 3, 21)), axis=-1).astype(np.float32)
        experts[rng.random((4, 2, 5, 3)) < asleep] = np.nan
        observed = np.where(rng.random((2, 5, 3)) < 0.3, np.nan, rng.normal(size=(2, 5, 3))).astype(np.float32)
        combined = blend.combine(state, experts)
        nobody = np.isnan(experts).all(axis=(0, 4))
        assert np.array_equal(np.isnan(combined).any(axis=-1), nobody)
        assert (np.diff(combined[~nobody], axis=-1) >= 0).all()
        spoken = np.where(np.isnan(experts), np.inf, experts).min(axis=0)
        assert (combined[~nobody] >= spoken[~nobody].min(axis=-1, keepdims=True) - 1e-5).all()
        state = blend.update(state, experts, observed)
        assert all(np.isfinite(array).all() for array in state.values())
    weights = blend.weights(state, np.array([True, False, True, True]))
    assert weights.sum(axis=0) == pytest.approx(1.0)
    assert (weights[1] == 0).all()
