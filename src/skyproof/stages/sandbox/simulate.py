"""The heavy work, as pure functions a worker process can run: truth, analyses, forecasts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.stages.sandbox.dynamics import ChannelModel, PlaceBasis, State, UnstableError, regrid
from skyproof.stages.sandbox.geography import Places, cover_places
from skyproof.stages.sandbox.profiles import PlanetProfile
from skyproof.stages.sandbox.providers import TRUE_PHYSICS, Provider, surface_view, truth_resolution
from skyproof.stages.sandbox.samples import SurfaceSamples
from skyproof.stages.sandbox.surface import NOISES, VARIABLES, Normals, SurfaceView, accumulate, surface

Floats = NDArray[Any]
#: Rounding of states: without it rounding errors of different processors grow into different planets within weeks.
_GRAIN = 2.0**-20
_SPIN_UP_DAYS = 40
#: Cycles of so many last days are kept at the nodes of the cover: what the newest runs are made from.
COVER_DAYS = 3
#: Members of one forecast batch: matrix products of 20 to 40 columns are the fastest per member.
_BATCH = 32
#: Day on which Alba's post-processing of the ground is upgraded, as a share of the days before the first release.
_UPGRADE_SHARE = 0.55


@dataclass(frozen=True, slots=True)
class Truth:
    """``features``: (3-hourly, 6, site); ``eddy``, ``mean``: streamfunction every 12 h, last axis time."""

    features: Floats
    eddy: Floats
    mean: Floats


def snap(state: State) -> State:
    """A state rounded to the grain."""
    return (np.round(state[0] / _GRAIN) * _GRAIN).astype(state[0].dtype), (np.round(state[1] / _GRAIN) * _GRAIN).astype(
        state[1].dtype
    )


def day_of_year(day: Floats | float) -> Floats:
    """Day of the year of a day since the planet's start."""
    return np.asarray(np.asarray(day, float) % 365.25 + 1)


def simulate_truth(profile: PlanetProfile, places: Places, seed: int) -> Iterator[tuple[int, Truth | None]]:
    """Run the planet; yields the days done, and with the last one the result."""
    model = ChannelModel(truth_resolution(profile), TRUE_PHYSICS, np.float64)
    basis = PlaceBasis(model, places.x, places.y)
    chance = np.random.default_rng((seed, 1))
    start = (
        0.2 * chance.standard_normal((len(model.l), 2 * len(model.k), 2, 1)) / model.wavenumber2[0][..., None] ** 1.5
    )
    mean = np.zeros((len(model.l), 2, 1))
    mean[0, 0] = model.equilibrium(0.0)[1][0] * 0.7
    state = snap(_run_day(model, snap(model.vorticity((start, mean))), -_SPIN_UP_DAYS, days=_SPIN_UP_DAYS))
    features: list[Floats] = []
    eddies: list[Floats] = []
    means: list[Floats] = []
    total = profile.days + profile.last_lead_hours // 24 + 2
    every = round(3 / 24 / model.step_days)
    for day in range(total):

        def look(index: int, vorticity: State) -> None:
            if index == 8:
                return
            psi = model.streamfunction(vorticity)
            features.append(basis.features(psi)[..., 0].astype(np.float32))
            if index % 4 == 0:
                eddies.append(psi[0][..., 0].astype(np.float32))
                means.append(psi[1][..., 0].astype(np.float32))

        state = snap(model.run(state, day_of_year(day), 1, every=every, watch=look))
        yield day + 1, None
    yield total, Truth(np.stack(features), np.stack(eddies, axis=-1), np.stack(means, axis=-1))


def _run_day(model: ChannelModel, state: State, day: float, *, days: float) -> State:
    return model.run(state, day_of_year(day), days)


def simulate_analyses(profile: PlanetProfile, provider: Provider, truth: Truth, seed: int) -> State:
    """Starting states every 12 h, (N, 2K, layer, member, time) and (N, layer, member, time): the provider's own model, pulled
    towards an observed truth with errors shared by all members and errors of each.
    """
    source = ChannelModel(truth_resolution(profile), TRUE_PHYSICS)
    model = ChannelModel(provider.resolution, provider.physics)
    chance = np.random.default_rng((seed, 10 + provider.number))
    size = weather_size(source, model, truth)
    gain = tuple(0.75 * np.exp(-k2 / 6.0)[..., None] + 0.08 for k2 in model.wavenumber2)
    count = 2 * profile.days
    guess: State | None = None
    eddies, means = [], []
    for index in range(count):
        seen = regrid((truth.eddy[..., index, None], truth.mean[..., index, None]), source, model)
        observed = []
        for part, spread in zip(seen, size, strict=True):
            shared = provider.shared_error * chance.standard_normal(part.shape)
            apart = provider.member_error * chance.standard_normal((*part.shape[:-1], provider.members))
            observed.append((part + spread * (shared + apart)).astype(np.float32))
        if guess is None:
            state: State = (observed[0], observed[1])
        else:
            state = (
                (guess[0] + gain[0] * (observed[0] - guess[0])).astype(np.float32),
                (guess[1] + gain[1] * (observed[1] - guess[1])).astype(np.float32),
            )
        state = snap(state)
        eddies.append(state[0])
        means.append(state[1])
        if index < count - 1:
            guess = model.streamfunction(model.run(model.vorticity(state), day_of_year(index / 2), 0.5))
    return np.stack(eddies, axis=-1), np.stack(means, axis=-1)


def weather_size(source: ChannelModel, model: ChannelModel, truth: Truth) -> State:
    """Standard deviation in time of every coefficient, in the provider's truncation."""
    return regrid((truth.eddy.std(axis=-1)[..., None], truth.mean.std(axis=-1)[..., None]), source, model)


def make_normals(truth: Truth) -> Normals:
    """What is usual on this planet."""
    return Normals(
        streamfunction=truth.features[:, 0].mean(axis=0),
        thickness=truth.features[:, 3].mean(axis=0),
        thickness_sd=float(truth.features[:, 3].std(axis=0).mean()),
        advection_sd=float(truth.features[:, 4].std(axis=0).mean()),
        vorticity_sd=float(truth.features[:, 5].std(axis=0).mean()),
    )


def true_weather(places: Places, truth: Truth, seed: int) -> Floats:
    """What happens at the places: (6-hourly, variable, site) float32, local noise that lasts some hours included."""
    count, sites = len(truth.features), len(places.x)
    noise = {name: _local_noise(count, sites, hours_, (seed, 20 + k)) for k, (name, hours_) in enumerate(
        zip(NOISES, (9, 6, 5, 4), strict=True)
    )}  # fmt: skip
    view = SurfaceView(places.elevation_m, places.roughness)
    hour = np.arange(count) * 3.0
    samples = surface(
        truth.features.transpose(1, 2, 0),
        places,
        view,
        make_normals(truth),
        day=day_of_year(hour / 24),
        hour=hour % 24,
        noise=noise,
    )
    return accumulate(samples.transpose(2, 0, 1)).astype(np.float32)


def _local_noise(count: int, sites: int, memory_hours: float, seed: tuple[int, int]) -> Floats:
    drawn = np.random.default_rng(seed).standard_normal((count, sites))
    keep = np.exp(-3 / memory_hours)
    for index in range(1, count):
        drawn[index] = keep * drawn[index - 1] + np.sqrt(1 - keep * keep) * drawn[index]
    return np.asarray(drawn.T)


def simulate_forecasts(
    profile: PlanetProfile,
    provider: Provider,
    places: Places,
    truth: Truth,
    analyses: State,
    *,
    first: int,
    seed: int,
) -> tuple[Floats, Floats]:
    """Forecasts of some consecutive cycles, and those of the last days at the nodes of the cover.

    Args:
        profile: the planet.
        provider: whose.
        places: where.
        truth: for what is usual.
        analyses: starting states of these cycles, last axis cycle.
        first: number of the first of these cycles in the provider's sequence.
        seed: the planet's.

    Returns:
        Both (cycle, variable, lead, site, member) float32; the second of the last of the cycles only, of none in most parts.
    """
    cycles = analyses[0].shape[-1]
    per_batch = max(_BATCH // provider.members, 1)
    parts, covered = [], []
    for begin in range(0, cycles, per_batch):
        chosen = slice(begin, min(begin + per_batch, cycles))
        start: State = tuple(_flat(part[..., chosen]) for part in analyses)  # type: ignore[assignment]
        at_places, at_nodes = _forecast_batch(profile, provider, places, truth, start, first=first + begin, seed=seed)
        parts.append(at_places)
        covered.append(at_nodes)
    return np.concatenate(parts), np.concatenate(covered)


def _flat(part: Floats) -> Floats:
    """(..., member, cycle) to (..., cycle x member)."""
    swapped = np.swapaxes(part, -1, -2)
    return np.ascontiguousarray(swapped.reshape(*swapped.shape[:-2], -1))


def _forecast_batch(
    profile: PlanetProfile, provider: Provider, places: Places, truth: Truth, start: State, *, first: int, seed: int
) -> tuple[Floats, Floats]:
    resolution = provider.resolution
    for _ in range(3):
        try:
            model = ChannelModel(resolution, provider.physics)
            return _integrate(profile, provider, places, truth, model, start, first=first, seed=seed)
        except UnstableError:
            # A jet too strong for the step: halve it and begin the batch again.
            half = resolution.step_minutes // 2
            resolution = type(resolution)(resolution.waves, resolution.modes, resolution.nx, resolution.ny, half)
    raise UnstableError(f"forecasts of {provider.name} stay unstable at a step of {resolution.step_minutes} minutes")


def _integrate(
    profile: PlanetProfile,
    provider: Provider,
    places: Places,
    truth: Truth,
    model: ChannelModel,
    start: State,
    *,
    first: int,
    seed: int,
) -> tuple[Floats, Floats]:
    source = ChannelModel(truth_resolution(profile), TRUE_PHYSICS)
    size, normals = weather_size(source, model, truth), make_normals(truth)
    push = tuple(
        provider.stirring * s * np.exp(-k2 / 9.0)[..., None] for s, k2 in zip(size, model.wavenumber2, strict=True)
    )
    rest = model.vorticity((np.zeros_like(start[0]), np.zeros_like(start[1])))
    columns, members = start[0].shape[-1], provider.members
    day = np.repeat(init_days(provider, first, columns // members), members)
    upgraded = day >= _UPGRADE_SHARE * profile.learn_days
    chance = np.random.default_rng((seed, 30 + provider.number, first))
    views = [surface_view(provider, places, upgraded=bool(state)) for state in (False, True)]
    basis = PlaceBasis(model, places.x, places.y)
    samples = SurfaceSamples(basis, places, views, normals, chance, days=day, upgraded=upgraded)
    covered = day >= profile.days - COVER_DAYS
    at_nodes: SurfaceSamples | None = None
    if covered.any():
        usual = _usual_at_nodes(source, truth, normals)
        ground = float(places.elevation_m.mean())
        views = [
            surface_view(provider, cover_places(), upgraded=bool(state), ground_m=ground) for state in (False, True)
        ]
        # Noise of their own, so that what is said at the places stays what it was.
        apart = np.random.default_rng((seed, 70 + provider.number, first))
        basis = PlaceBasis(model, cover_places().x, cover_places().y)
        at_nodes = SurfaceSamples(
            basis, cover_places(), views, usual, apart, days=day[covered], upgraded=upgraded[covered]
        )

    def look(index: int, vorticity: State) -> None:
        streamfunction = model.streamfunction(vorticity)
        samples.add(index, streamfunction)
        if at_nodes is not None:
            at_nodes.add(index, (streamfunction[0][..., covered], streamfunction[1][..., covered]))
        if provider.stirring and index % 2 == 0:
            pushed = tuple(
                (spread * chance.standard_normal(part.shape, dtype=np.float32)).astype(np.float32)
                for spread, part in zip(push, vorticity, strict=True)
            )
            stirred = model.vorticity((pushed[0], pushed[1]))
            for part, extra, zero in zip(vorticity, stirred, rest, strict=True):
                part += extra - zero

    every = round(3 / 24 / model.step_days)
    model.run(model.vorticity(start), day_of_year(day), profile.last_lead_hours / 24, every=every, watch=look)
    if at_nodes is None:
        shape = (0, len(VARIABLES), len(profile.lead_hours), len(cover_places().x), members)
        return samples.values(members), np.empty(shape, dtype=np.float32)
    return samples.values(members), at_nodes.values(members)


def _usual_at_nodes(source: ChannelModel, truth: Truth, normals: Normals) -> Normals:
    """What is usual at the nodes of the cover."""
    basis = PlaceBasis(source, cover_places().x, cover_places().y)
    means = (truth.eddy.mean(axis=-1)[..., None], truth.mean.mean(axis=-1)[..., None])
    usual = basis.features(means)[..., 0]
    return replace(normals, streamfunction=usual[0], thickness=usual[3])


def init_days(provider: Provider, first: int, count: int) -> Floats:
    """Days since the planet's start at which cycles begin."""
    per_day = len(provider.init_hours)
    number = np.arange(first, first + count)
    return number // per_day + np.array(provider.init_hours)[number % per_day] / 24
