"""Season and hour of an instant."""

from __future__ import annotations

import numpy as np
import pytest

from skyproof.science.calendar import day_of_year, harmonics, hour_of_day


def test_days_and_hours_by_hand() -> None:
    instants = np.array(["2025-01-01T00:00", "2025-01-02T12:00", "2024-12-31T18:00"], dtype="datetime64[s]")
    assert day_of_year(instants) == pytest.approx([0.0, 1.5, 365.75])
    assert hour_of_day(instants) == pytest.approx([0.0, 12.0, 18.0])


def test_any_unit_and_shape_of_instants_is_understood() -> None:
    instants = np.array([["1969-12-31T21", "2030-03-01T03"]], dtype="datetime64[h]")
    assert hour_of_day(instants) == pytest.approx(np.array([[21.0, 3.0]]))
    assert harmonics(instants).shape == (1, 2, 4)


def test_harmonics_of_midnight_at_new_year_are_cosines_of_zero() -> None:
    assert harmonics(np.array(["2025-01-01"], dtype="datetime64[s]")) == pytest.approx(np.array([[1.0, 0.0, 1.0, 0.0]]))
