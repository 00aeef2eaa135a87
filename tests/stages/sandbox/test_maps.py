"""The picture of the planet: a PNG, the same every time, of the instant asked for."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from matplotlib.image import imread

from skyproof.domain.errors import InvalidValueError
from skyproof.stages.sandbox.maps import planet_map


def pixels(picture, tmp_path):
    path = tmp_path / "planet.png"
    path.write_bytes(picture)
    return imread(path)


def test_the_picture_is_a_png_with_land_sea_isobars_and_stations(planet, tmp_path):
    picture = planet_map(planet)
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    assert 10_000 < len(picture) < 500_000
    shown = pixels(picture, tmp_path)[..., :3]
    assert shown.shape[1] > 1.8 * shown.shape[0]
    sea = np.all(np.abs(shown - np.array([0xDF, 0xE8, 0xEE]) / 255) < 0.01, axis=-1).mean()
    land = (shown[..., 0] > shown[..., 2] + 0.05).mean()
    assert 0.2 < sea < 0.7
    assert 0.1 < land < 0.6


def test_the_same_instant_gives_the_same_picture_and_another_another(planet):
    end = planet.profile.end
    assert planet_map(planet) == planet_map(planet, valid_time=end)
    assert planet_map(planet, valid_time=end - timedelta(days=40)) != planet_map(planet)


def test_an_instant_the_planet_does_not_have_is_refused(planet):
    for instant in (planet.profile.start - timedelta(seconds=1), planet.profile.start + timedelta(days=84)):
        with pytest.raises(InvalidValueError, match="no weather at"):
            planet_map(planet, valid_time=instant)
