"""Neighbours by hand and at the edges; replacement of missing sources by hand, against numpy, and in coverage."""

from __future__ import annotations

import numpy as np
import pytest

from skyproof.science.missing_sources import conditional_weights, deviation_covariance
from skyproof.science.neighbours import nearness, neighbour_offsets


def test_nearness_by_hand() -> None:
    # One degree along a meridian is 111.2 km; 0.5 and 2 lengths away count exp(-1/8) and exp(-2).
    places = np.array([[45.0, 7.0, 0.0], [46.0, 7.0, 0.0], [45.0, 7.0, 600.0]])
    near = nearness(places, places, length_km=222.39, length_m=300.0)
    np.testing.assert_allclose(np.diag(near), 1.0, atol=1e-5)
    assert near[0, 1] == pytest.approx(np.exp(-0.125), abs=1e-3)
    assert near[0, 2] == pytest.approx(np.exp(-2.0), abs=1e-3)
    np.testing.assert_allclose(near, near.T)


def test_a_place_without_coordinates_has_no_neighbours_and_one_without_height_has() -> None:
    places = np.array([[45.0, 7.0, np.nan], [np.nan, np.nan, 100.0], [45.0, 7.0, 900.0]])
    near = nearness(places, places, length_km=100.0, length_m=300.0)
    assert near[0, 2] == pytest.approx(1.0)
    assert (near[1] == 0).all()
    assert (near[:, 1] == 0).all()


def test_the_mean_error_around_by_hand() -> None:
    # Sums 6 of 2 and 4 of 4, counted 1 and 0.5, and one pseudo-case: (6 + 2) / (2 + 2 + 1).
    around = neighbour_offsets(
        np.array([[1.0, 0.5]]), np.array([[6.0], [4.0]]), np.array([[2.0], [4.0]]), pseudo_cases=1.0
    )
    np.testing.assert_allclose(around, [[1.6]])


def test_independent_equal_sources_are_replaced_by_the_mean_of_the_others() -> None:
    weights, left = conditional_weights(np.eye(3), np.array([True, True, False]))
    np.testing.assert_allclose(weights, [[0.5, 0.5]], atol=1e-4)
    # Its own variance and that of a mean of two.
    np.testing.assert_allclose(left, [[1.5]], atol=1e-3)


def test_a_twin_replaces_its_twin() -> None:
    covariance = np.array([[1.0, 0.99, 0.0], [0.99, 1.0, 0.0], [0.0, 0.0, 1.0]])
    weights, left = conditional_weights(covariance, np.array([True, False, True]))
    assert weights[0, 0] > 0.95
    assert left[0, 0] < 0.05


def test_what_is_said_of_a_missing_source_has_the_errors_it_admits() -> None:
    rng = np.random.default_rng(0)
    root = rng.normal(size=(4, 4))
    values = 50 * rng.normal(size=(20_000, 1)) + rng.normal(size=(20_000, 4)) @ root
    covariance = deviation_covariance(values[:10_000])
    present = np.array([True, False, True, True])
    weights, left = conditional_weights(covariance, present)
    error = values[10_000:, 1] - values[10_000:, present] @ weights[0]
    assert np.mean(np.square(error)) == pytest.approx(left[0, 0], rel=0.1)
    naive = values[10_000:, 1] - values[10_000:, present].mean(axis=1)
    assert np.mean(np.square(error)) < np.mean(np.square(naive))


def test_sources_never_seen_together_are_taken_as_alike() -> None:
    values = np.array([[1.0, 3.0, np.nan], [np.nan, 2.0, 4.0]])
    np.testing.assert_allclose(deviation_covariance(values), 2.0 * np.eye(3))
    np.testing.assert_allclose(deviation_covariance(np.full((5, 2), np.nan)), np.eye(2))
