"""Three imperfect providers: what each believes about the atmosphere, how it starts its forecasts, how it sees the ground."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np

from skyproof.stages.sandbox.dynamics import Physics, Resolution
from skyproof.stages.sandbox.geography import Places
from skyproof.stages.sandbox.profiles import PlanetProfile
from skyproof.stages.sandbox.surface import SurfaceView

TRUE_PHYSICS = Physics()
TRUE_RESOLUTION = Resolution(16, 12, 48, 20, 30)
_COARSE_TRUTH = Resolution(10, 8, 30, 14, 36)
#: Steps divide three hours, the distance of two samples of the surface.
_K13 = Resolution(13, 10, 40, 16, 36)
_K12 = Resolution(12, 9, 36, 14, 36)
_K8 = Resolution(8, 7, 24, 12, 45)


@dataclass(frozen=True, slots=True)
class Provider:
    """One provider.

    ``shared_error`` and ``member_error`` are the errors of what it observes, as shares of the weather's own size, the same
    for all members and apart for each; ``stirring`` is the random push members get every 6 h. Cycles start at
    ``init_hours`` UTC and are available ``latency`` later.
    """

    name: str
    number: int
    members: int
    resolution: Resolution
    physics: Physics
    shared_error: float
    member_error: float
    stirring: float
    init_hours: tuple[int, ...]
    latency: timedelta
    late_by: timedelta
    title: str


def truth_resolution(profile: PlanetProfile) -> Resolution:
    """Resolution of the planet itself."""
    return _COARSE_TRUTH if profile.coarse else TRUE_RESOLUTION


def providers(profile: PlanetProfile) -> tuple[Provider, ...]:
    """The providers of a planet."""
    fine, middle = (_K8, _K8) if profile.coarse else (_K13, _K12)
    return (
        Provider(
            "alba", 1, profile.alba_members, fine,
            replace(TRUE_PHYSICS, shear=36.5, drag_days=1.56, relaxation_days=4.2, diffusion_days=0.055, mountains=0.85),
            0.12, 0.16, 0.05, (0,), timedelta(hours=6), timedelta(minutes=40), "Alba ensemble",
        ),
        Provider(
            "boreas", 2, profile.boreas_members, middle,
            replace(
                TRUE_PHYSICS, shear=37.6, drag_days=1.43, relaxation_days=3.9, diffusion_days=0.055, mountains=0.75,
                deformation_radius=0.455,
            ),
            0.16, 0.18, 0.05, (0,), timedelta(hours=8), timedelta(minutes=55), "Boreas ensemble",
        ),
        Provider(
            "corvus", 3, 1, fine,
            replace(TRUE_PHYSICS, shear=39.0, drag_days=1.36, relaxation_days=3.6, mountains=0.8, diffusion_days=0.06),
            0.23, 0.0, 0.0, (0, 12), timedelta(hours=3), timedelta(minutes=20), "Corvus deterministic",
        ),
    )  # fmt: skip


def surface_view(provider: Provider, places: Places, *, upgraded: bool, ground_m: float | None = None) -> SurfaceView:
    """How a provider sees the ground: smoother terrain, other roughness, weaker inversions. Alba once got better at it.

    ``ground_m`` is the height towards which it smooths; the mean of the places by default.
    """
    chance = np.random.default_rng((3, provider.number))
    elevation, mean = places.elevation_m, places.elevation_m.mean() if ground_m is None else ground_m

    def smoothed(share: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        drawn = chance.standard_normal(len(elevation))
        return np.asarray(elevation + share * (0.5 * mean - 0.5 * elevation) + share * 60 * drawn)

    # Members shake the gusts (else the wind ensembles are far too sure) and a little of all that the grid cannot see.
    noise = {"temperature": 0.5, "gust": 0.85, "cloud": 0.6, "rain": 0.7}
    if provider.name == "alba":
        before = SurfaceView(smoothed(0.6), np.full(len(elevation), 0.75), 0.25, 0.85, 2.2, 0.95, 0.3, 1.0, -0.2, noise)
        after = replace(before, elevation_m=smoothed(0.35), inversion=0.6, daily_range=0.95, warmth=-0.2)
        return after if upgraded else before
    if provider.name == "boreas":
        return SurfaceView(smoothed(1.0), np.full(len(elevation), 0.65), 0.0, 1.2, 3.2, 1.08, -0.5, 1.4, -0.8, noise)
    quiet = {"temperature": 0.2, "gust": 0.5, "cloud": 0.3, "rain": 0.4}
    return SurfaceView(smoothed(0.5), 0.4 + 0.4 * places.roughness, 0.4, 0.92, 2.5, 1.0, -0.3, 1.1, -0.3, quiet)
