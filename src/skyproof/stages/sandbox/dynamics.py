"""The atmosphere: two quasi-geostrophic layers in a channel on a beta plane, as a truncated spectral model.

Potential vorticity is carried by sines across the channel and waves along it; products are taken on a grid. All
transforms are matrix products with members in the last axis, so that numpy alone is fast. Lengths are in 1000 km, times
in days. Physics: relaxation towards a seasonal shear, land and sea that heat differently, drag at the ground, mountains,
hyperdiffusion. Equations: Vallis (2017), Atmospheric and Oceanic Fluid Dynamics, section 5.3.2 and chapter 12.

A state is a pair (eddy, mean): (N, 2K, layer, member) coefficients of sin(l y) times cos and sin(k x), and
(N, layer, member) coefficients of cos(l y) for the flow's zonal mean.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.stages.sandbox.geography import LENGTH, WIDTH, land_share, orography_km

Floats = NDArray[Any]
State = tuple[Floats, Floats]
#: 1 m/s in 1000 km per day.
METRE_PER_SECOND = 0.0864
#: Coriolis parameter at 45 degrees, per day.
_CORIOLIS = 8.64
#: Depth of a layer, km.
_LAYER_KM = 9.0
#: Uniform wind carried exactly, m/s.
_DRIFT = 18.0
_ADAMS_BASHFORTH = ((1.0,), (1.5, -0.5), (23 / 12, -16 / 12, 5 / 12))


@dataclass(frozen=True, slots=True)
class Physics:
    """What makes the planet's weather; providers believe in slightly different numbers.

    ``deformation_radius`` 1000 km; ``shear`` m/s with its seasonal share; ``relaxation_days``, ``drag_days``;
    ``land_heating`` share of the shear; ``mountains`` share of the true height; ``diffusion_days`` of the smallest wave.
    """

    deformation_radius: float = 0.45
    beta: float = 1.38
    shear: float = 37.0
    shear_season: float = 0.10
    relaxation_days: float = 4.0
    drag_days: float = 1.5
    land_heating: float = 0.16
    mountains: float = 1.0
    diffusion_days: float = 0.05


@dataclass(frozen=True, slots=True)
class Resolution:
    """Waves along (K) and across (N) the channel, grid points, step in minutes."""

    waves: int
    modes: int
    nx: int
    ny: int
    step_minutes: int


class UnstableError(ArithmeticError):
    """The integration left the range of finite numbers."""


class ChannelModel:
    """One resolution, one physics, one floating type."""

    def __init__(self, resolution: Resolution, physics: Physics, dtype: type = np.float32) -> None:
        self.resolution, self.physics, self.dtype = resolution, physics, dtype
        waves, modes = resolution.waves, resolution.modes
        self.step_days = resolution.step_minutes / 1440
        self._coupling = 1 / (2 * physics.deformation_radius**2)
        x = (np.arange(resolution.nx) + 0.5) * LENGTH / resolution.nx
        y = (np.arange(resolution.ny) + 0.5) * WIDTH / resolution.ny
        k = 2 * np.pi * np.arange(1, waves + 1) / LENGTH
        self.l = np.pi * np.arange(1, modes + 1) / WIDTH
        self.k = k
        cos, sin = np.cos(np.outer(x, k)), np.sin(np.outer(x, k))
        sin_y, cos_y = np.sin(np.outer(y, self.l)), np.cos(np.outer(y, self.l))
        self._to_x = self._array(np.hstack([cos, sin]))
        self._to_dx = self._array(np.hstack([-sin * k, cos * k]))
        self._from_x = self._array(np.vstack([np.ones((1, len(x))), 2 * cos.T, 2 * sin.T]) / len(x))
        self._sin_y, self._cos_y = self._array(sin_y), self._array(cos_y)
        self._dsin_y, self._dcos_y = self._array(cos_y * self.l), self._array(-sin_y * self.l)
        self._from_sin, self._from_cos = self._array(2 * sin_y.T / len(y)), self._array(2 * cos_y.T / len(y))
        eddy = self.l[:, None] ** 2 + np.concatenate([k, k])[None] ** 2
        self.wavenumber2 = (self._array(eddy[..., None]), self._array((self.l**2)[:, None]))
        largest = max(k[-1], self.l[-1]) ** 2
        self._damp = tuple(
            self._array(np.exp(-self.step_days / physics.diffusion_days * (a / largest) ** 3))[..., None]
            for a in self.wavenumber2
        )
        turn = k * _DRIFT * METRE_PER_SECOND * self.step_days
        self._turn = (self._array(np.cos(turn))[None, :, None, None], self._array(np.sin(turn))[None, :, None, None])
        grid_x, grid_y = np.meshgrid(x, y)
        height = _CORIOLIS * orography_km(grid_x, grid_y) * physics.mountains / _LAYER_KM
        self._mountains = self._analyse(self._array(height[..., None]))
        land = land_share(grid_x, grid_y)
        self._land = self._analyse(self._array((land - land.mean())[..., None]))

    def _array(self, values: Floats) -> Floats:
        return np.ascontiguousarray(values, self.dtype)

    def _analyse(self, grid: Floats) -> State:
        along = np.matmul(self._from_x, grid)
        members = grid.shape[-1]
        eddy = self._from_sin @ np.ascontiguousarray(along[:, 1:]).reshape(len(along), -1)
        return eddy.reshape(len(self.l), 2 * len(self.k), members), self._from_cos @ along[:, 0]

    def streamfunction(self, vorticity: State) -> State:
        """Invert potential vorticity."""
        return self._invert(vorticity[0], self._mountains[0], self.wavenumber2[0]), self._invert(
            vorticity[1], self._mountains[1], self.wavenumber2[1]
        )

    def _invert(self, q: Floats, mountains: Floats, k2: Floats) -> Floats:
        upper, lower = q[..., 0, :], q[..., 1, :] - mountains
        half_sum, half_difference = (upper + lower) * (-0.5 / k2), (upper - lower) * (-0.5 / (k2 + 2 * self._coupling))
        return np.stack([half_sum + half_difference, half_sum - half_difference], axis=-2).astype(
            self.dtype, copy=False
        )

    def vorticity(self, streamfunction: State) -> State:
        """Potential vorticity of a streamfunction: the inverse of :meth:`streamfunction`."""
        parts: list[Floats] = []
        for psi, mountains, k2 in zip(streamfunction, self._mountains, self.wavenumber2, strict=True):
            shear = self._coupling * (psi[..., 0, :] - psi[..., 1, :])
            upper = -k2 * psi[..., 0, :] - shear
            lower = -k2 * psi[..., 1, :] + shear + mountains
            parts.append(np.stack([upper, lower], axis=-2).astype(self.dtype, copy=False))
        return parts[0], parts[1]

    def equilibrium(self, day_of_year: Floats | float) -> State:
        """The thickness that heating asks for on a day of the year, scalar or (member,)."""
        winter = np.cos(2 * np.pi * (np.asarray(day_of_year, float) - 20) / 365.25)
        unit = self.physics.shear * METRE_PER_SECOND * WIDTH / np.pi
        eddy = self._land[0] * np.asarray(-2 * self.physics.land_heating * unit * winter, self.dtype)
        mean: Floats = np.zeros((len(self.l), np.size(winter)), self.dtype)
        mean[0] += np.asarray(unit * (1 + self.physics.shear_season * winter), self.dtype)
        return eddy, mean

    def _tendency(self, state: State, wanted: State) -> State:
        eddy, mean = state
        members, modes, waves2 = eddy.shape[-1], len(self.l), 2 * len(self.k)
        psi = self.streamfunction(state)
        both = np.concatenate([psi[0], eddy], axis=2).reshape(modes, waves2 * 4 * members)
        both_mean = np.concatenate([psi[1], mean], axis=1).reshape(modes, 4 * members)
        shape = (self.resolution.ny, waves2, 4 * members)
        dx = np.matmul(self._to_dx, (self._sin_y @ both).reshape(shape))
        dy = np.matmul(self._to_x, (self._dsin_y @ both).reshape(shape))
        mean_dy = self._dcos_y @ both_mean
        mean_dy[:, 2 * members :] += self.dtype(self.physics.beta)
        # The uniform drift is carried exactly by `_drift`; here the flow is seen by someone who drifts along.
        mean_dy[:, : 2 * members] += self.dtype(_DRIFT * METRE_PER_SECOND)
        dy += mean_dy[:, None]
        jacobian = dx[..., 2 * members :] * dy[..., : 2 * members] - dy[..., 2 * members :] * dx[..., : 2 * members]
        parts = self._analyse(jacobian)
        eddy_rate, mean_rate = parts[0].reshape(eddy.shape), parts[1].reshape(mean.shape)
        drag = self.dtype(1 / self.physics.drag_days)
        relaxation = self.dtype(self._coupling / self.physics.relaxation_days)
        for rate, flow, target, k2 in zip((eddy_rate, mean_rate), psi, wanted, self.wavenumber2, strict=True):
            heating = relaxation * (flow[..., 0, :] - flow[..., 1, :] - target)
            rate[..., 0, :] += heating
            rate[..., 1, :] += drag * k2 * flow[..., 1, :] - heating
        return eddy_rate, mean_rate

    def _drift(self, eddy: Floats) -> None:
        """Carry waves with the uniform wind for one step, exactly, in place."""
        waves = len(self.k)
        turned = eddy[:, :waves] * self._turn[0] - eddy[:, waves:] * self._turn[1]
        eddy[:, waves:] *= self._turn[0]
        eddy[:, waves:] += eddy[:, :waves] * self._turn[1]
        eddy[:, :waves] = turned

    def run(
        self,
        vorticity: State,
        day_of_year: Floats,
        days: float,
        *,
        every: int = 0,
        watch: Callable[[int, State], None] | None = None,
    ) -> State:
        """Integrate by third-order Adams-Bashforth.

        Args:
            vorticity: the start; not changed.
            day_of_year: scalar or (member,).
            days: how long; a whole number of steps.
            every: steps between two calls of ``watch``, which may change the state in place; first call at the start.
            watch: told the number of the call and the state.

        Raises:
            UnstableError: a value stopped being finite; take half the step.
        """
        eddy, mean = vorticity[0].copy(), vorticity[1].copy()
        steps = round(days / self.step_days)
        wanted = self.equilibrium(day_of_year)
        history: list[State] = []
        for index in range(steps + 1):
            if watch is not None and index % every == 0:
                watch(index // every, (eddy, mean))
            if index == steps:
                break
            if index % 24 == 23:
                wanted = self.equilibrium(np.asarray(day_of_year) + index * self.step_days)
            history = [self._tendency((eddy, mean), wanted), *history[:2]]
            weights = _ADAMS_BASHFORTH[len(history) - 1]
            for part, (values, damp) in enumerate(zip((eddy, mean), self._damp, strict=True)):
                for weight, rates in zip(weights, history, strict=True):
                    values += self.dtype(weight * self.step_days) * rates[part]
                values *= damp
            eddy[:, :, 1] -= self._mountains[0]
            self._drift(eddy)
            eddy[:, :, 1] += self._mountains[0]
            for rates in history[:2]:
                self._drift(rates[0])
        if not (np.isfinite(eddy).all() and np.isfinite(mean).all()):
            raise UnstableError("the sandbox planet's atmosphere left the finite numbers")
        return eddy, mean


def regrid(streamfunction: State, source: ChannelModel, target: ChannelModel) -> State:
    """A streamfunction in another truncation: shared waves are kept, others are zero."""
    modes, waves = min(len(source.l), len(target.l)), min(len(source.k), len(target.k))
    eddy = np.zeros((len(target.l), 2 * len(target.k), *streamfunction[0].shape[2:]), target.dtype)
    mean = np.zeros((len(target.l), *streamfunction[1].shape[1:]), target.dtype)
    eddy[:modes, :waves] = streamfunction[0][:modes, :waves]
    eddy[:modes, len(target.k) : len(target.k) + waves] = streamfunction[0][
        :modes, len(source.k) : len(source.k) + waves
    ]
    mean[:modes] = streamfunction[1][:modes]
    return eddy, mean


class PlaceBasis:
    """Values and derivatives of a model's fields at places."""

    def __init__(self, model: ChannelModel, x: Floats, y: Floats) -> None:
        kx, ly = np.outer(x, model.k), np.outer(y, model.l)
        cos, sin, sin_y, cos_y = np.cos(kx), np.sin(kx), np.sin(ly), np.cos(ly)
        along, slope = np.hstack([cos, sin]), np.hstack([-sin * model.k, cos * model.k])

        def pair(across: Floats, waves: Floats, mean: Floats) -> State:
            eddy = np.einsum("sn,sm->snm", across, waves).reshape(len(x), -1)
            return eddy.astype(model.dtype), mean.astype(model.dtype)

        self._value = pair(sin_y, along, cos_y)
        self._dx = pair(sin_y, slope, 0 * cos_y)
        self._dy = pair(cos_y * model.l, along, -sin_y * model.l)
        eddy_k2, mean_k2 = model.wavenumber2[0][..., 0].reshape(-1), model.wavenumber2[1][:, 0]
        self._laplace = (-self._value[0] * eddy_k2, -self._value[1] * mean_k2)

    def features(self, streamfunction: State) -> Floats:
        """What the surface feels, (feature, site, member): lower streamfunction, u, v, thickness, its advection, vorticity."""
        eddy, mean = streamfunction
        lower = (np.ascontiguousarray(eddy[:, :, 1]), np.ascontiguousarray(mean[:, 1]))
        thick = (eddy[:, :, 0] - eddy[:, :, 1], mean[:, 0] - mean[:, 1])
        u, v = -_at(self._dy, lower), _at(self._dx, lower)
        advection = -(u * _at(self._dx, thick) + v * _at(self._dy, thick))
        return np.stack([_at(self._value, lower), u, v, _at(self._value, thick), advection, _at(self._laplace, lower)])


def _at(basis: State, fields: State) -> Floats:
    eddy, mean = fields
    return np.asarray(basis[0] @ eddy.reshape(basis[0].shape[1], -1) + basis[1] @ mean)
