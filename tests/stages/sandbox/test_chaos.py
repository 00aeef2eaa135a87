"""The atmosphere is chaotic and bounded: small errors grow at the pace of weather, and energy stays what it was."""

from __future__ import annotations

import numpy as np
import pytest

from skyproof.stages.sandbox import simulate
from skyproof.stages.sandbox.dynamics import ChannelModel, PlaceBasis, Resolution, State, UnstableError, regrid
from skyproof.stages.sandbox.planet import build_planet
from skyproof.stages.sandbox.profiles import find_profile
from skyproof.stages.sandbox.providers import TRUE_PHYSICS, TRUE_RESOLUTION, truth_resolution
from skyproof.stages.sandbox.simulate import day_of_year, snap

COARSE = truth_resolution(find_profile("small"))


def start(model: ChannelModel, members: int, *, seed: int = 3) -> State:
    """Members after forty days of spin-up from noise and a jet."""
    chance = np.random.default_rng(seed)
    shape = (len(model.l), 2 * len(model.k), 2, members)
    eddy = 0.2 * chance.standard_normal(shape) / model.wavenumber2[0][..., None] ** 1.5
    mean = np.zeros((len(model.l), 2, members))
    mean[0, 0] = model.equilibrium(0.0)[1][0] * 0.7
    return model.run(model.vorticity((eddy, mean)), 1.0, 40)


def size(part: np.ndarray) -> np.ndarray:
    return np.sqrt(np.square(part).sum(axis=(0, 1, 2)))


def test_states_that_differ_by_a_millionth_grow_apart_as_fast_as_weather_does():
    """On the Earth errors of the larger scales double in two or three days (Lorenz 1969, Bull. Amer. Meteor. Soc. 50, 345)."""
    model, members, days = ChannelModel(TRUE_RESOLUTION, TRUE_PHYSICS, np.float64), 3, 60
    state = start(model, members)
    psi = model.streamfunction(state)
    shaken = model.vorticity((psi[0] * (1 + 1e-6 * np.random.default_rng(1).standard_normal(psi[0].shape)), psi[1]))
    both: State = tuple(np.concatenate(pair, axis=-1) for pair in zip(state, shaken, strict=True))
    error = []
    for day in range(days):
        eddy = model.streamfunction(both)[0]
        error.append(np.exp(np.log(size(eddy[..., members:] - eddy[..., :members]) / size(eddy[..., :members])).mean()))
        both = model.run(both, day_of_year(day), 1)
    error = np.array(error)
    growing = (error > 1e-5) & (error < 0.1)
    doubling_days = np.log(2) / np.polyfit(np.flatnonzero(growing), np.log(error[growing]), 1)[0]
    assert error[0] < 2e-6
    assert 1.5 < doubling_days < 4, doubling_days
    assert error[-5:].mean() > 0.7, "after two months nothing is left of the forecast"


def test_energy_stays_bounded_over_thirteen_months():
    model = ChannelModel(COARSE, TRUE_PHYSICS)
    state, energy = start(model, 1), []
    for day in range(0, 405, 5):
        state = model.run(state, day_of_year(day), 5)
        eddy, mean = model.streamfunction(state)
        energy.append(
            (model.wavenumber2[0] * np.square(eddy).sum(axis=2)).sum(axis=(0, 1)).mean()
            + (model.wavenumber2[1] * np.square(mean).sum(axis=1)).sum(axis=0).mean()
        )
    energy = np.array(energy)
    assert energy.min() > 0.5 * np.median(energy)
    assert energy.max() < 2 * np.median(energy)
    winter, next_winter = energy[:8].mean(), energy[-8:].mean()
    assert 0.6 < next_winter / winter < 1.7, "no drift from one winter to the next"


def test_weather_stays_within_what_a_planet_like_ours_has(planet):
    temperature, wind, rain, pressure = np.moveaxis(planet.weather()[1:], 1, 0)
    assert -50 < temperature.min() < temperature.max() < 50
    assert 0 < wind.min() < wind.max() < 60
    assert 920 < pressure.min() < pressure.max() < 1075
    assert 0 <= rain.min() < rain.max() < 100


def test_most_intervals_are_dry_exactly_and_wet_ones_are_skewed(planet):
    rain = planet.weather()[1:, 2]
    wet = rain[rain > 0]
    assert 0.6 < np.mean(rain == 0) < 0.92
    assert wet.min() >= 0.1, "nothing between dry and the trace"
    assert wet.mean() > 1.2 * np.median(wet)
    assert np.isnan(planet.weather()[0, 2]).all(), "no interval precedes the first instant"


def test_a_streamfunction_and_its_vorticity_say_the_same():
    model = ChannelModel(COARSE, TRUE_PHYSICS, np.float64)
    chance = np.random.default_rng(2)
    psi = (chance.standard_normal((len(model.l), 2 * len(model.k), 2, 3)), chance.standard_normal((len(model.l), 2, 3)))
    for back, part in zip(model.streamfunction(model.vorticity(psi)), psi, strict=True):
        np.testing.assert_allclose(back, part, atol=1e-9)


def test_a_finer_grid_holds_all_of_a_coarser_one_and_half_the_step_gives_the_same_day():
    coarse, fine = (ChannelModel(r, TRUE_PHYSICS, np.float64) for r in (COARSE, TRUE_RESOLUTION))
    psi = coarse.streamfunction(start(coarse, 1))
    for back, part in zip(regrid(regrid(psi, coarse, fine), fine, coarse), psi, strict=True):
        np.testing.assert_array_equal(back, part)
    x, y = np.array([1.0, 7.0, 15.0]), np.array([2.0, 4.0, 6.0])
    there = PlaceBasis(coarse, x, y).features(psi)
    np.testing.assert_allclose(PlaceBasis(fine, x, y).features(regrid(psi, coarse, fine)), there, atol=1e-9)
    half = Resolution(COARSE.waves, COARSE.modes, COARSE.nx, COARSE.ny, COARSE.step_minutes // 2)
    finer = ChannelModel(half, TRUE_PHYSICS, np.float64)
    one, two = (model.run(model.vorticity(psi), 15.0, 1)[0] for model in (coarse, finer))
    assert size(one - two) / size(one) < 0.02


def test_derivatives_at_places_are_those_of_the_values():
    model = ChannelModel(COARSE, TRUE_PHYSICS, np.float64)
    psi = model.streamfunction(start(model, 1))
    x, y, step = np.array([3.0, 11.0]), np.array([2.5, 5.0]), 1e-5

    def streamfunction(dx: float, dy: float) -> np.ndarray:
        return PlaceBasis(model, x + dx, y + dy).features(psi)[0]

    _, u, v, *_, vorticity = PlaceBasis(model, x, y).features(psi)
    np.testing.assert_allclose(v, (streamfunction(step, 0) - streamfunction(-step, 0)) / (2 * step), rtol=1e-5)
    np.testing.assert_allclose(u, (streamfunction(0, -step) - streamfunction(0, step)) / (2 * step), rtol=1e-5)
    around = sum(streamfunction(*d) for d in ((0.01, 0), (-0.01, 0), (0, 0.01), (0, -0.01))) - 4 * streamfunction(0, 0)
    np.testing.assert_allclose(vorticity, around / 0.01**2, rtol=1e-2, atol=1e-2)


def test_an_integration_that_leaves_the_finite_numbers_says_so():
    model = ChannelModel(COARSE, TRUE_PHYSICS)
    state = start(model, 1)
    with np.errstate(all="ignore"), pytest.raises(UnstableError, match="finite"):
        model.run((state[0] * np.float32(1e4), state[1]), 1.0, 3)


def test_snapped_states_lie_on_the_grain_and_keep_their_type():
    chance = np.random.default_rng(4)
    for dtype in (np.float32, np.float64):
        eddy, mean = snap((chance.standard_normal(50).astype(dtype), chance.standard_normal(50).astype(dtype)))
        assert eddy.dtype == mean.dtype == dtype
        np.testing.assert_array_equal(eddy * 2**20, np.round(eddy * 2**20))
    again = snap((eddy, mean))
    np.testing.assert_array_equal(again[0], eddy)


def test_a_batch_too_wild_for_its_step_is_made_with_half_of_it(tiny_profile, tmp_path, monkeypatch):
    """The first attempt of every batch fails, as a jet too strong would make it; the planet comes out all the same."""
    whole, steps = simulate._integrate, []

    def picky(profile, provider, places, truth, model, state, **rest):
        steps.append(model.resolution.step_minutes)
        if len(steps) % 2:
            raise UnstableError("too wild")
        return whole(profile, provider, places, truth, model, state, **rest)

    monkeypatch.setattr(simulate, "_integrate", picky)
    built = build_planet(tmp_path, tiny_profile, seed=1)
    assert steps[1::2] == [step // 2 for step in steps[::2]]
    assert all(np.isfinite(built.cycles(provider, 0)[:, :, 1:]).all() for provider in built.providers)
