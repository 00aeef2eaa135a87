"""Thresholds: what is understood, what the column is called, and the probability of crossing them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyproof.domain.errors import InvalidValueError
from skyproof.domain.quantiles import LEVEL_ARRAY
from skyproof.domain.variables import find_variable
from skyproof.science.quantile_functions import probability_of_exceeding
from skyproof.stages.deliver.thresholds import Threshold, crossing_probability, parse_threshold, share_crossing

WARMTH, RAIN, COVER = (find_variable(name) for name in ("temperature_2m", "precipitation", "cloud_cover"))


@pytest.mark.parametrize(
    ("text", "wanted", "column"),
    [
        ("wind_gusts_10m>20", Threshold("wind_gusts_10m", True, 20.0), "wind_gusts_10m_prob_gt_20"),
        ("temperature_2m<0", Threshold("temperature_2m", False, 0.0), "temperature_2m_prob_lt_0"),
        ("temperature_2m < -0.0", Threshold("temperature_2m", False, 0.0), "temperature_2m_prob_lt_0"),
        ("temperature_2m<-2.50", Threshold("temperature_2m", False, -2.5), "temperature_2m_prob_lt_m2_5"),
        ("pressure_msl>1013.25", Threshold("pressure_msl", True, 1013.25), "pressure_msl_prob_gt_1013_25"),
    ],
)
def test_a_threshold_is_read_and_names_its_column(text, wanted, column):
    read = parse_threshold(text)
    assert (read, read.column) == (wanted, column)
    assert parse_threshold(read.text) == read


@pytest.mark.parametrize(
    "text",
    ["", ">", "temperature_2m", "temperature_2m>", "temperature_2m=5", "temperature_2m>=5", "temperature_2m>nan",
     "temperature_2m>1e3", "temperature_2m>5>6", "5<temperature_2m", "Temperature>5", "temperature_2m>٥", "x" * 70 + ">1",
     "temperature_2m>1234567", "temperature_2m>0.12345", "temperature_2m>--1"],
)  # fmt: skip
def test_what_is_no_threshold_is_refused_with_an_example(text):
    with pytest.raises(InvalidValueError, match="is not a threshold") as caught:
        parse_threshold(text)
    assert "wind_gusts_10m>20" in caught.value.hint


def test_by_hand():
    # Quantiles that are a hundred times their levels.
    quantiles = 100 * LEVEL_ARRAY[None]
    for value, above in ((50.0, 0.5), (52.5, 0.475), (90.0, 0.1), (5.0, 0.95), (1.0, 0.9875), (99.0, 0.0125)):
        assert crossing_probability(quantiles, WARMTH, above=True, value=value)[0] == pytest.approx(above)
        assert crossing_probability(quantiles, WARMTH, above=False, value=value)[0] == pytest.approx(1 - above)


def test_dry_weather_is_neither_above_nor_below_nothing():
    # Dry in half of all cases, a millimetre in the rest: the levels from 0.55 on.
    quantiles = np.where(LEVEL_ARRAY > 0.5, 1.0, 0.0)[None]
    assert crossing_probability(quantiles, RAIN, above=True, value=0.0)[0] == pytest.approx(0.5)
    assert crossing_probability(quantiles, RAIN, above=False, value=0.0)[0] == 0.0
    assert crossing_probability(quantiles, RAIN, above=False, value=1.0)[0] == pytest.approx(0.55)
    assert crossing_probability(quantiles, RAIN, above=True, value=1.0)[0] == pytest.approx(0.0125)


def test_beyond_physical_limits_the_answer_is_certain():
    quantiles = 100 * LEVEL_ARRAY[None]
    for above, value, wanted in (
        (True, -1.0, 1.0), (True, 100.0, 0.0), (True, 150.0, 0.0), (False, 0.0, 0.0), (False, -1.0, 0.0), (False, 101.0, 1.0)
    ):  # fmt: skip
        assert crossing_probability(quantiles, COVER, above=above, value=value)[0] == wanted


def test_a_missing_forecast_has_no_probability():
    missing = np.full((1, len(LEVEL_ARRAY)), np.nan)
    for above in (True, False):
        for value in (-1.0, 50.0, 101.0):
            assert np.isnan(crossing_probability(missing, COVER, above=above, value=value)[0])
    assert np.isnan(share_crossing(np.array([[1.0, np.nan]]), above=True, value=0.0)[0])


rising = st.lists(st.floats(-40, 40), min_size=21, max_size=21).map(lambda values: np.array(sorted(values)))


@given(rising, st.floats(-50, 50), st.floats(0, 20))
def test_probabilities_fall_as_the_threshold_rises_and_above_is_what_verification_scores(quantiles, value, more):
    high, low = (crossing_probability(quantiles, WARMTH, above=True, value=v) for v in (value, value + more))
    assert 0 <= low <= high <= 1
    assert high == probability_of_exceeding(quantiles, value)
    below = crossing_probability(quantiles, WARMTH, above=False, value=value)
    assert below <= crossing_probability(quantiles, WARMTH, above=False, value=value + more)
    assert below + high <= 1 + 1e-12
    if np.unique(quantiles).size == quantiles.size and quantiles[0] < value < quantiles[-1]:
        inside = np.interp(value, quantiles, LEVEL_ARRAY)  # an independent implementation where nothing is tied
        np.testing.assert_allclose([below, 1 - high], inside, atol=1e-9)


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=30), st.integers(-6, 6))
def test_the_share_of_members_is_counted(members, value):
    counted = np.array(members, dtype=float)
    assert share_crossing(counted, above=True, value=value) == sum(m > value for m in members) / len(members)
    assert share_crossing(counted, above=False, value=value) == sum(m < value for m in members) / len(members)
