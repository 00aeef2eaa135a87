"""Units: conversions by hand, round trips, refusals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyproof.domain import units
from skyproof.domain.errors import UnknownNameError


@pytest.mark.parametrize(
    ("value", "source", "target", "expected"),
    [
        (0.0, "Cel", "[degF]", 32.0),
        (-40.0, "[degF]", "Cel", -40.0),
        (273.15, "K", "Cel", 0.0),
        (10.0, "m/s", "km/h", 36.0),
        (100.0, "kn", "m/s", 51.4444),
        (1.0, "[in_i]", "mm", 25.4),
        (0.001, "m", "mm", 1.0),
        (101325.0, "Pa", "hPa", 1013.25),
        (0.5, "1", "%", 50.0),
        (np.pi, "rad", "deg", 180.0),
    ],
)
def test_known_conversions(value, source, target, expected):
    assert units.convert(np.array([value]), source, target)[0] == pytest.approx(expected, abs=1e-4)


@given(st.sampled_from(units.UNITS), st.sampled_from(units.UNITS), st.floats(-1e4, 1e4))
def test_there_and_back_is_where_we_were_or_the_units_do_not_fit(a, b, value):
    if a.dimension != b.dimension:
        with pytest.raises(UnknownNameError, match="measures"):
            units.conversion(a.code, b.code)
        return
    there = units.convert(np.array([value]), a.code, b.code)
    assert units.convert(there, b.code, a.code)[0] == pytest.approx(value, abs=1e-6)


def test_an_unknown_unit_is_refused_and_the_known_ones_are_named():
    with pytest.raises(UnknownNameError, match="furlong") as caught:
        units.find_unit("furlong")
    assert "m/s" in caught.value.hint


def test_equal_units_leave_the_array_alone_and_keep_its_type():
    values = np.array([1.0, np.nan], dtype=np.float32)
    assert units.convert(values, "K", "kelvin") is values
    assert units.convert(values, "K", "Cel").dtype == np.float32


def test_no_name_means_two_units():
    names = [name for unit in units.UNITS for name in (unit.code, *unit.aliases)]
    assert len(names) == len(set(names))
