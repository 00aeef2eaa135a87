"""What forecasts under way look like on the ground, sampled every three hours at some places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.stages.sandbox.dynamics import PlaceBasis, State
from skyproof.stages.sandbox.geography import Places
from skyproof.stages.sandbox.surface import NOISES, Normals, SurfaceView, accumulate, surface

Floats = NDArray[Any]


class SurfaceSamples:
    """Samples of all members at places.

    Args:
        basis: of the places in the model's fields.
        places: where.
        views: how the provider sees the ground before and after its upgrade.
        normals: what is usual at the places.
        chance: local noise is drawn from it.
        days: when each member began, in days since the planet's start, (member,).
        upgraded: which members began after the upgrade, (member,).
    """

    def __init__(
        self,
        basis: PlaceBasis,
        places: Places,
        views: Sequence[SurfaceView],
        normals: Normals,
        chance: np.random.Generator,
        *,
        days: Floats,
        upgraded: NDArray[np.bool_],
    ) -> None:
        self._basis, self._places, self._views, self._normals = basis, places, views, normals
        self._chance, self._days, self._upgraded = chance, days, upgraded
        self._noise: dict[str, Floats] = {name: np.zeros((len(places.x), len(days))) for name in NOISES}
        self._samples: list[Floats] = []

    def add(self, index: int, streamfunction: State) -> None:
        """Take the sample of a number, from 0 on in order."""
        shape = (len(self._places.x), len(self._days))
        for name in NOISES:
            # Local noise of members lasts about two samples, as the real one does.
            drawn = self._chance.standard_normal(shape, dtype=np.float32)
            self._noise[name] = 0.6 * self._noise[name] + 0.8 * drawn if index else drawn
        features = self._basis.features(streamfunction)
        when = self._days + index * 3 / 24
        seen = [
            surface(
                features,
                self._places,
                view,
                self._normals,
                day=np.asarray(when % 365.25 + 1),
                hour=np.asarray(when % 1 * 24),
                noise=self._noise,
            )
            for state, view in enumerate(self._views)
            if (self._upgraded == state).any()
        ]
        self._samples.append(np.where(self._upgraded, seen[-1], seen[0]).astype(np.float32))

    def values(self, members: int) -> Floats:
        """Six-hourly values of all samples, (cycle, variable, lead, site, member); ``members`` of a cycle stand together."""
        values = accumulate(np.stack(self._samples))
        lead, variable, sites, _ = values.shape
        return np.ascontiguousarray(values.reshape(lead, variable, sites, -1, members).transpose(3, 1, 0, 2, 4))
