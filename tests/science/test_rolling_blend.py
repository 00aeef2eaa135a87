"""The blend over a rolling period: what it knew when, whom it favours, and that no order of names or places matters."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import ndtri

from skyproof.domain.quantiles import LEVEL_ARRAY
from skyproof.science.blend_memory import empty_memory, minimise_on_simplex
from skyproof.science.blend_plan import make_plan, prior_weights
from skyproof.science.online_blend import BernsteinBlend
from skyproof.science.rolling_blend import arrival_order, blend_rolling
from tests.science.plain_blend import PlainBlend

LEVELS = np.array([0.1, 0.3, 0.5, 0.7, 0.9])
EDGES = np.concatenate([[0.0], (LEVELS[1:] + LEVELS[:-1]) / 2, [1.0]])


def _world(seed: int, *, experts: int = 4, issues: int = 40, leads: int = 3, sites: int = 5, worst: float = 1.4):
    """Normal forecasts with correlated errors, the first expert best; all calibrated. Quantiles and observations."""
    rng = np.random.default_rng(seed)
    skill = np.linspace(1.0, worst, experts)[:, None, None, None]
    shared = rng.normal(size=(1, issues, leads, sites))
    error = skill * (np.sqrt(0.8) * shared + np.sqrt(0.2) * rng.normal(size=(experts, issues, leads, sites)))
    observed = 3 * rng.normal(size=(issues, leads, sites))
    quantiles = (observed - error)[..., None] + skill[..., None] * ndtri(LEVELS)
    return quantiles.astype(np.float32), observed.astype(np.float32)


def _loss(quantiles: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Loss per issue time."""
    error = observed[..., None] - quantiles
    loss = 2 * (np.maximum(LEVELS * error, (LEVELS - 1) * error) * np.diff(EDGES)).sum(axis=-1)
    return np.asarray(np.nanmean(loss, axis=(-2, -1)))


def _at_once(issues: int, leads: int) -> np.ndarray:
    return np.repeat(np.arange(issues)[:, None] + 1, leads, axis=1)


def test_arrival_by_hand() -> None:
    issue_times = np.array(["2025-01-01T00", "2025-01-01T12", "2025-01-02T00"], dtype="datetime64[s]")
    valid_times = issue_times[:, None] + np.array([0, 6, 12, 36]) * np.timedelta64(3600, "s")
    # Known with the first issue time not before its arrival; the number of issue times where that never comes.
    assert arrival_order(issue_times, valid_times).tolist() == [[0, 1, 1, 3], [1, 2, 2, 3], [2, 3, 3, 3]]
    assert arrival_order(issue_times, valid_times, 6.5).tolist()[0] == [1, 2, 2, 3]


@pytest.mark.parametrize("scores", [None, np.array([1.0, 1.0, np.nan])])
def test_unknown_scores_and_none_are_equal_weights(scores: np.ndarray | None) -> None:
    assert prior_weights(scores, 3, 2) == pytest.approx(1 / 3)


def test_walking_a_period_is_the_online_blend_step_by_step() -> None:
    experts, observed = _world(1, issues=12, sites=1)
    arrivals = _at_once(12, 3) + np.array([0, 1, 1])
    rolled, blend = blend_rolling(experts, observed, arrivals, LEVELS), BernsteinBlend(LEVELS)
    state = blend.initial_state(4, 1, 3)
    for now in range(12):
        for earlier in range(now):
            seen = np.where(arrivals[earlier][:, None] == now, observed[earlier], np.nan)
            if np.isfinite(seen).any():
                state = blend.update(state, experts[:, earlier].swapaxes(1, 2)[:, None], seen.T[None])
        combined = blend.combine(state, experts[:, now].swapaxes(1, 2)[:, None])
        assert np.array_equal(combined[0].swapaxes(0, 1), rolled.blended[now])
        assert rolled.weights[now] == pytest.approx(blend.weights(state, np.ones(4, dtype=bool))[:, 0], abs=1e-6)


@pytest.mark.parametrize("asleep", [0.0, 0.25])
def test_walking_a_period_is_what_plain_numpy_says(asleep: float) -> None:
    experts, observed = _world(2, experts=3, issues=30, leads=3, sites=3)
    rng = np.random.default_rng(2)
    experts[rng.random(experts.shape[:-1]) < asleep] = np.nan
    experts[0] = np.where(np.isnan(experts).all(axis=0), 0.0, experts[0])
    observed[rng.random(observed.shape) < asleep] = np.nan
    arrivals = _at_once(30, 3) + np.array([0, 0, 2])
    rolled, plain = blend_rolling(experts, observed, arrivals, LEVELS), PlainBlend(make_plan(LEVELS), 3, 3, 3)
    for now in range(30):
        for earlier in range(now):
            leads = np.flatnonzero(arrivals[earlier] == now)
            if len(leads):
                plain.learn(experts[:, earlier], observed[earlier], leads)
        assert rolled.blended[now] == pytest.approx(plain.combine(experts[:, now]), abs=1e-4)
    assert rolled.memory.excess == pytest.approx(plain.excess, abs=1e-4)
    assert rolled.memory.curvature == pytest.approx(plain.curvature, rel=1e-4)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 38), st.integers(0, 3))
def test_no_forecast_knows_what_had_not_arrived(seed: int, now: int, delay: int) -> None:
    experts, observed = _world(seed)
    arrivals = _at_once(40, 3) + np.array([0, 1, 4]) + delay
    changed = np.where((arrivals > now)[..., None], -99.0, observed).astype(np.float32)
    before, after = (blend_rolling(experts, values, arrivals, LEVELS) for values in (observed, changed))
    assert np.array_equal(before.blended[: now + 1], after.blended[: now + 1])
    assert np.array_equal(before.weights[: now + 1], after.weights[: now + 1])


def test_a_period_cut_in_two_goes_on_where_it_stopped() -> None:
    experts, observed = _world(3)
    whole = blend_rolling(experts, observed, _at_once(40, 3), LEVELS)
    first = blend_rolling(experts[:, :21], observed[:21], _at_once(21, 3), LEVELS)
    second = blend_rolling(experts[:, 20:], observed[20:], _at_once(20, 3), LEVELS, memory=first.memory)
    assert np.array_equal(second.blended, whole.blended[20:])


def test_neither_the_order_of_experts_nor_that_of_sites_matters() -> None:
    experts, observed = _world(4)
    plain = blend_rolling(experts, observed, _at_once(40, 3), LEVELS)
    turned = blend_rolling(experts[::-1], observed, _at_once(40, 3), LEVELS)
    assert turned.blended == pytest.approx(plain.blended, abs=2e-3)
    assert turned.weights[:, ::-1] == pytest.approx(plain.weights, abs=1e-3)
    moved = blend_rolling(experts[:, :, :, ::-1], observed[:, :, ::-1], _at_once(40, 3), LEVELS)
    assert moved.blended[:, :, ::-1] == pytest.approx(plain.blended, abs=2e-3)


def test_an_expert_that_never_wakes_changes_nothing_but_the_caution() -> None:
    experts, observed = _world(5)
    sleeper = np.concatenate([experts, np.full_like(experts[:1], np.nan)])
    plain = _loss(blend_rolling(experts, observed, _at_once(40, 3), LEVELS).blended, observed)
    slept = _loss(blend_rolling(sleeper, observed, _at_once(40, 3), LEVELS).blended, observed)
    assert slept.mean() == pytest.approx(plain.mean(), rel=0.01)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 0.9))
def test_whoever_sleeps_quantiles_are_sorted_and_between_the_experts(seed: int, asleep: float) -> None:
    experts, observed = _world(seed, issues=15)
    rng = np.random.default_rng(seed)
    experts[rng.random(experts.shape[:-1]) < asleep] = np.nan
    observed[rng.random(observed.shape) < 0.3] = np.nan
    rolled = blend_rolling(experts, observed, _at_once(15, 3), LEVELS)
    nobody = np.isnan(experts).all(axis=(0, -1))
    assert np.array_equal(np.isnan(rolled.blended).any(axis=-1), nobody)
    spoken = rolled.blended[~nobody]
    assert (np.diff(spoken, axis=-1) >= 0).all()
    assert (spoken[:, 0] >= np.nanmin(experts[:, ~nobody, 0], axis=0) - 1e-5).all()
    assert (spoken[:, -1] <= np.nanmax(experts[:, ~nobody, -1], axis=0) + 1e-5).all()
    assert rolled.weights.sum(axis=1) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("sites", [5, 40])
def test_in_sixty_stationary_issue_times_it_is_never_worse_than_the_best_expert_by_one_percent(sites: int) -> None:
    """The experts' held-out scores are known, as they are when a release is learned."""
    for seed in range(10):
        experts, observed = _world(seed, issues=60, leads=1, sites=sites)
        scores = np.linspace(1.0, 1.4, 4)
        rolled = blend_rolling(experts, observed, _at_once(60, 1), LEVELS, prior_scores=scores)
        best = min(_loss(one, observed).mean() for one in experts)
        assert _loss(rolled.blended, observed).mean() <= 1.01 * best


def test_errors_that_cancel_are_averaged() -> None:
    rng = np.random.default_rng(6)
    observed = rng.normal(size=(80, 1, 10)).astype(np.float32)
    experts = observed + rng.normal(size=(5, 80, 1, 10))
    quantiles = (experts[..., None] + ndtri(LEVELS)).astype(np.float32)
    rolled = blend_rolling(quantiles, observed, _at_once(80, 1), LEVELS)
    assert _loss(rolled.blended, observed).mean() < 0.75 * min(_loss(one, observed).mean() for one in quantiles)


def test_a_site_whose_best_expert_is_another_gets_its_own_weights() -> None:
    rng = np.random.default_rng(7)
    observed = rng.normal(size=(150, 1, 6)).astype(np.float32)
    error = np.full((2, 6), 0.3)
    error[0, 0], error[1, 1:] = 2.0, 2.0
    centre = observed + error[:, None, None, :] * rng.normal(size=(2, 150, 1, 6))
    quantiles = (centre[..., None] + 0.5 * ndtri(LEVELS)).astype(np.float32)
    shared = empty_memory(np.full((1, 2), 0.5), make_plan(LEVELS), 0)
    own, pooled = (
        _loss(
            blend_rolling(quantiles, observed, _at_once(150, 1), LEVELS, memory=memory).blended[..., :1, :],
            observed[..., :1],
        )
        for memory in (None, shared)
    )
    assert own[100:].mean() < 0.4 * pooled[100:].mean()


@given(st.integers(0, 2**32 - 1))
def test_newtons_weights_are_the_minimum_that_a_general_solver_finds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(6, 4))
    curvature, pull = root.T @ root + 0.1 * np.eye(4), rng.normal(size=4)
    weights = np.full(4, 0.25)
    minimise_on_simplex(curvature, pull, weights)
    answer = minimize(
        lambda w: w @ curvature @ w / 2 + pull @ w,
        np.full(4, 0.25),
        jac=lambda w: curvature @ w + pull,
        bounds=[(0, 1)] * 4,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": lambda w: np.ones(4)},
        method="SLSQP",
        options={"ftol": 1e-12},
    )
    assert weights.sum() == pytest.approx(1.0)
    assert weights @ curvature @ weights / 2 + pull @ weights <= answer.fun + 1e-4


@pytest.mark.parametrize("levels", [LEVEL_ARRAY, np.linspace(0.01, 0.99, 99), np.array([0.5])])
def test_every_plan_weighs_levels_and_neighbours_to_one(levels: np.ndarray) -> None:
    plan = make_plan(levels)
    assert plan.level_weights.sum() == pytest.approx(1.0)
    assert plan.smoother.sum(axis=1) == pytest.approx(1.0)
    assert plan.candidate_prior.sum() == pytest.approx(1.0)
    assert len(plan.candidate_prior) == 1 + len(plan.rates) + len(plan.newton)


def _regrets(says: np.ndarray, observed: np.ndarray, arrivals: np.ndarray) -> np.ndarray:
    """The blend's summed loss over the issue times an expert was awake at, less that expert's: (expert,)."""
    issues, experts = says.shape
    quantiles = np.broadcast_to(says.T[:, :, None, None, None], (experts, issues, 1, 1, len(LEVELS))).astype(np.float32)
    blended = blend_rolling(quantiles, observed, arrivals, LEVELS).blended
    awake = np.isfinite(quantiles[:, :, 0, 0, 0])
    own = _loss(blended, observed)
    return np.array(
        [own[up].sum() - _loss(one[up], observed[up]).sum() for one, up in zip(quantiles, awake, strict=True)]
    )


@pytest.mark.parametrize("steps", [30, 120, 480])
@pytest.mark.parametrize("kind", ["fixed", "drifting", "adversarial", "sleeping", "delayed"])
def test_regret_grows_with_the_root_of_the_number_of_issue_times(steps: int, kind: str) -> None:
    """Against every expert, over the issue times it was awake, with losses within 2 of each other.

    The constant covers two layers of aggregation and the prior of the candidates; delayed outcomes cost the root of the
    delay more (Joulani et al. 2013, Online learning under delayed feedback, ICML).
    """
    experts, worst = 4, -np.inf
    for seed in range(4):
        rng = np.random.default_rng(seed)
        says = rng.uniform(-1, 1, (steps, experts))
        observed = rng.choice([-1.0, 1.0], steps)
        if kind == "fixed":
            says = np.tile([-0.9, -0.3, 0.3, 0.9], (steps, 1)) + 0.1 * says
            observed = rng.choice([-1.0, 1.0], steps, p=[0.3, 0.7])
        elif kind == "drifting":
            says = np.clip(np.cumsum(0.2 * rng.normal(size=(steps, experts)), axis=0), -1, 1)
        elif kind == "adversarial":
            says = np.tile([-1.0, 1.0, -0.5, 0.5], (steps, 1))
            observed = np.where((np.arange(steps) // 7) % 2, 1.0, -1.0)
        elif kind == "sleeping":
            says[rng.random(says.shape) < 0.4] = np.nan
            says[:, 0] = 0.0
        delay = 5 if kind == "delayed" else 1
        regrets = _regrets(says, observed[:, None, None].astype(np.float32), np.arange(steps)[:, None] + delay)
        worst = max(worst, regrets.max())
    assert worst <= 3 * np.sqrt(delay * steps * np.log(experts))


@pytest.mark.parametrize("scope", ["together", "one by one"])
def test_outcomes_that_arrive_late_and_together_teach_the_same(scope: str) -> None:
    experts, observed = _world(8, issues=40, leads=1)
    arrivals = _at_once(40, 1) if scope == "one by one" else np.minimum((_at_once(40, 1) + 9) // 10 * 10, 40)
    rolled = blend_rolling(experts, observed, arrivals, LEVELS)
    other = blend_rolling(experts, observed, _at_once(40, 1), LEVELS)
    # At issue time 30 both know the outcomes of all thirty before it.
    assert np.array_equal(rolled.blended[30], other.blended[30])


def test_an_expert_that_comes_late_and_is_best_is_found() -> None:
    experts, observed = _world(9, experts=5, issues=120, leads=1)
    experts = experts[::-1].copy()
    experts[4, :60] = np.nan
    rolled = blend_rolling(experts, observed, _at_once(120, 1), LEVELS)
    late = slice(90, None)
    assert rolled.weights[-1, 4, 0] > 1 / 5
    assert _loss(rolled.blended[late], observed[late]).mean() <= 1.03 * _loss(experts[4, late], observed[late]).mean()


def test_when_the_best_expert_changes_the_blend_follows() -> None:
    experts, observed = _world(10, experts=3, issues=240, leads=1, worst=2.0)
    turned = np.concatenate([experts[:, :120], experts[::-1, 120:]], axis=1)
    rolled = blend_rolling(turned, observed, _at_once(240, 1), LEVELS)
    late = slice(180, None)
    assert _loss(rolled.blended[late], observed[late]).mean() <= 1.04 * _loss(turned[2, late], observed[late]).mean()


def test_arrays_of_other_cells_are_refused() -> None:
    experts, observed = _world(11, issues=5)
    with pytest.raises(ValueError, match="observed: got shape"):
        blend_rolling(experts, observed[:, :1], _at_once(5, 3), LEVELS)
    with pytest.raises(ValueError, match="levels: got shape"):
        blend_rolling(experts, observed, _at_once(5, 3), LEVEL_ARRAY)
    memory = blend_rolling(experts[:3], observed, _at_once(5, 3), LEVELS).memory
    with pytest.raises(ValueError, match="memory: got shape"):
        blend_rolling(experts, observed, _at_once(5, 3), LEVELS, memory=memory)


@pytest.mark.parametrize(("experts", "issues", "sites"), [(1, 3, 1), (1, 3, 2), (2, 1, 2), (2, 3, 0)])
def test_the_smallest_problems_have_answers(experts: int, issues: int, sites: int) -> None:
    quantiles, observed = _world(12, experts=experts, issues=issues, sites=sites)
    rolled = blend_rolling(quantiles.astype(np.float64), observed, _at_once(issues, 3), LEVELS)
    assert rolled.blended.shape == quantiles.shape[1:]
    if experts == 1:
        assert rolled.blended == pytest.approx(quantiles[0], abs=1e-5)
    nothing = blend_rolling(quantiles, np.full_like(observed, np.nan), _at_once(issues, 3), LEVELS)
    assert nothing.weights == pytest.approx(1 / experts)
