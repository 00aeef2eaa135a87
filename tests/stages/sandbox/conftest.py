"""Planets for the tests: the small one, built once, and a tiny one that takes half a second."""

from __future__ import annotations

from dataclasses import replace

import pytest

from skyproof.stages.sandbox.planet import Planet, build_planet
from skyproof.stages.sandbox.profiles import PlanetProfile, find_profile


@pytest.fixture(scope="session")
def planet(tmp_path_factory: pytest.TempPathFactory) -> Planet:
    """The small planet, nothing going wrong on it."""
    return build_planet(tmp_path_factory.mktemp("planets"), find_profile("small"), seed=1, events=())


@pytest.fixture(scope="session")
def tiny_profile() -> PlanetProfile:
    """Ten days at four places."""
    return replace(find_profile("small"), name="tiny", days=10, learn_days=6, places=4)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory, tiny_profile: PlanetProfile) -> Planet:
    """A tiny planet built without a break."""
    return build_planet(tmp_path_factory.mktemp("planets"), tiny_profile, seed=1)
