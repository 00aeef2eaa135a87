"""Variables, sites, quantile levels and the error tree hold together."""

import numpy as np
import pytest

from skyproof.domain import errors, quantiles
from skyproof.domain.cycles import CycleBatch
from skyproof.domain.sites import Customer, Site, check_identifier, find_zone
from skyproof.domain.units import find_unit
from skyproof.domain.variables import VARIABLES, find_variable


@pytest.mark.parametrize("variable", VARIABLES, ids=lambda v: v.name)
def test_a_variable_fits_its_packing_and_its_own_limits(variable):
    assert find_variable(variable.name) is variable
    assert find_unit(variable.unit).code == variable.unit
    low, high = variable.plausible
    assert max(abs(low), abs(high)) / variable.resolution < 32767
    assert variable.lower is None or low >= variable.lower
    assert all(low <= event <= high for event in variable.events)


def test_an_unknown_variable_is_refused_and_the_known_ones_are_named():
    with pytest.raises(errors.UnknownNameError, match="soil") as caught:
        find_variable("soil_moisture")
    assert "temperature_2m" in caught.value.hint


def test_levels_rise_and_hold_the_80_percent_interval():
    assert len(quantiles.LEVELS) == 21
    assert np.all(np.diff(quantiles.LEVEL_ARRAY) > 0)
    assert quantiles.LEVELS[quantiles.INDEX_P90] - quantiles.LEVELS[quantiles.INDEX_P10] == pytest.approx(0.8)
    assert quantiles.LEVELS[quantiles.INDEX_MEDIAN] == 0.5


def test_kinds_of_errors_are_distinct_and_hints_are_said():
    def tree(root):
        return [root, *(kind for child in root.__subclasses__() for kind in tree(child))]

    kinds = [error.kind for error in tree(errors.SkyproofError)]
    assert len(kinds) == len(set(kinds))
    assert all(error.__name__ in errors.__doc__ for error in tree(errors.SkyproofError))
    assert str(errors.InputError("got 3", hint="send 2")) == "got 3; send 2"


@pytest.mark.parametrize("text", ["", "../x", "A", "a/b", "é", "a" * 65, "-a", "a b"])
def test_identifiers_that_could_mean_a_path_are_refused(text):
    with pytest.raises(errors.InvalidValueError, match="identifier"):
        check_identifier(text, "site")


@pytest.mark.parametrize(
    "change",
    [{"latitude": 91.0}, {"longitude": 200.0}, {"elevation_m": 9001.0}, {"latitude": float("nan")}, {"site_id": "?"}],
)
def test_a_place_that_cannot_be_is_refused(change):
    good = {"site_id": "a", "name": "A", "latitude": 1.0, "longitude": 2.0, "elevation_m": 3.0}
    assert Site(**good).timezone == "UTC"
    with pytest.raises(errors.InvalidValueError):
        Site(**{**good, **change})


def test_zones_are_iana_names():
    assert find_zone("Europe/Zurich").key == "Europe/Zurich"
    for name in ("Mars/Base", "../etc/passwd", "", "/etc/passwd"):
        with pytest.raises(errors.UnknownNameError, match="time zone"):
            find_zone(name)
    with pytest.raises(errors.InvalidValueError):
        Customer("No Spaces", "x")


def test_a_batch_of_the_wrong_shape_is_refused():
    with pytest.raises(errors.InvalidValueError, match="shape"):
        CycleBatch("alba", (), (), (), {}, (6,), ("a",), np.zeros((1, 1, 1, 1, 1), np.float32))
