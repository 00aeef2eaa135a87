import numpy as np
import pytest

from skyproof.domain.units import convert
from skyproof.domain.variables import find_variable
from skyproof.stages.sources.unit_slip import find_slip, profiles


def usual(name: str, count: int = 20) -> np.ndarray:
    """Profiles of ``count`` earlier cycles of a healthy source."""
    random = np.random.default_rng(3)
    low, middle, high = {
        "temperature_2m": (2.0, 8.0, 14.0),
        "wind_speed_10m": (2.0, 4.5, 9.0),
        "pressure_msl": (1005.0, 1015.0, 1024.0),
    }[name]
    wobble = random.normal(size=(count, 1))
    if name == "wind_speed_10m":
        return np.array([low, middle, high]) * np.exp(0.1 * wobble)
    return np.array([low, middle, high]) + 2.0 * wobble


@pytest.mark.parametrize(
    ("name", "said", "truly"),
    [
        ("temperature_2m", "Cel", "K"),
        ("temperature_2m", "K", "Cel"),
        ("temperature_2m", "Cel", "[degF]"),
        ("wind_speed_10m", "m/s", "[kn_i]"),
        ("wind_speed_10m", "m/s", "km/h"),
        ("wind_speed_10m", "km/h", "m/s"),
        ("pressure_msl", "hPa", "Pa"),
        ("pressure_msl", "Pa", "hPa"),
    ],
)
def test_a_slipped_unit_is_named(name: str, said: str, truly: str) -> None:
    variable, earlier = find_variable(name), usual(name)
    numbers = convert(np.median(earlier, axis=0), variable.unit, truly)
    believed = convert(numbers, said, variable.unit)
    slip = find_slip(variable, said, believed, earlier)
    assert slip is not None
    assert slip.unit == truly
    assert f"the values look like {truly}" in slip.reason
    assert f"said was {said}" in slip.reason


@pytest.mark.parametrize("name", ["temperature_2m", "wind_speed_10m", "pressure_msl"])
def test_healthy_cycles_are_not_accused(name: str) -> None:
    variable, earlier = find_variable(name), usual(name, 60)
    assert all(find_slip(variable, variable.unit, row, earlier[:30]) is None for row in earlier[30:])


def test_kelvin_is_found_without_any_earlier_cycle() -> None:
    slip = find_slip(find_variable("temperature_2m"), "Cel", np.array([275.0, 281.0, 287.0]), np.empty((0, 3)))
    assert slip is not None
    assert slip.unit == "K"


def test_a_storm_that_leaves_the_calm_sites_calm_is_no_slip() -> None:
    variable, earlier = find_variable("wind_speed_10m"), usual("wind_speed_10m")
    assert find_slip(variable, "m/s", np.array([2.2, 8.7, 18.0]), earlier) is None


@pytest.mark.parametrize("factor", [0.4, 7.0])
def test_a_change_that_no_unit_explains_is_no_slip(factor: float) -> None:
    variable, earlier = find_variable("wind_speed_10m"), usual("wind_speed_10m")
    assert find_slip(variable, "m/s", np.median(earlier, axis=0) * factor, earlier) is None


def test_profiles_are_the_low_middle_and_high_of_each_cycle_without_what_is_missing() -> None:
    values = np.array([[*range(11), np.nan], [np.nan] * 12], dtype=np.float32)
    result = profiles(values)
    assert result[0].tolist() == [1, 5, 9]
    assert np.isnan(result[1]).all()
