"""The net of nodes, and names that say where they lie."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyproof.domain.cover import Cover, cover_of, node_name, node_of
from skyproof.domain.errors import InvalidValueError
from skyproof.domain.sites import check_identifier


def test_nodes_stand_every_spacing_edges_included():
    nodes = Cover(46.0, 6.0, 47.0, 7.5, 0.5).nodes
    assert [(node.latitude, node.longitude) for node in nodes] == [
        (lat, lon) for lat in (46.0, 46.5, 47.0) for lon in (6.0, 6.5, 7.0, 7.5)
    ]


def test_a_cover_may_cross_the_date_line_and_go_around():
    assert [node.longitude for node in Cover(0.0, 179.0, 1.0, -179.0, 1.0).nodes[:3]] == [179.0, -180.0, -179.0]
    around = [node.longitude for node in Cover(0.0, -180.0, 30.0, 180.0, 30.0).nodes[:12]]
    assert around == [-180.0, -150.0, -120.0, -90.0, -60.0, -30.0, 0.0, 30.0, 60.0, 90.0, 120.0, 150.0]


@pytest.mark.parametrize(
    "wrong",
    [
        (47.0, 6.0, 46.0, 7.0, 0.5),
        (-90.0, -180.0, 90.0, 180.0, 0.5),
        (46.0, 6.0, 47.0, 7.0, 0.0),
        (46.0, 6.0, 47.0, 7.0, 2.0),
    ],
)
def test_what_is_no_net_is_refused(wrong):
    with pytest.raises(InvalidValueError):
        Cover(*wrong)


@given(st.floats(-90, 90), st.floats(-180, 180), st.none() | st.floats(-400, 8000))
def test_a_name_says_where_its_node_lies_and_is_a_sites_name(latitude, longitude, elevation):
    name = check_identifier(node_name(latitude, longitude, elevation), "node")
    node = node_of(name)
    assert node is not None
    # Six significant digits: a metre of latitude, ten of longitude.
    assert node.latitude == pytest.approx(latitude, abs=6e-4)
    assert node.longitude == pytest.approx(longitude, abs=6e-4)
    assert math.isnan(node.elevation_m) if elevation is None else node.elevation_m == pytest.approx(elevation, abs=0.51)


def test_other_names_are_no_nodes_and_no_source_is_called_like_a_cover():
    assert node_of("zurich") is None
    assert node_of("node_far_away") is None
    with pytest.raises(InvalidValueError):
        check_identifier(cover_of("alba"), "source")
