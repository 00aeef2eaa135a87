"""What a source says between the nodes of its cover, worked out by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from skyproof.archive.between import LAPSE_RATE, cover_cycle, net_of, read_between
from skyproof.domain.cover import cover_of, node_name
from skyproof.domain.cycles import CycleBatch, SourceCycle
from skyproof.domain.sites import Site

INIT = datetime(2026, 1, 1, tzinfo=UTC)
KNOWN = INIT + timedelta(hours=6)
VARIABLES = ("temperature_2m", "wind_speed_10m")
UNITS = {"temperature_2m": "Cel", "wind_speed_10m": "m/s"}
#: South-west, south-east, north-west, north-east.
CORNERS = ((46.0, 8.0), (46.0, 10.0), (47.0, 8.0), (47.0, 10.0))
VALUES = np.array([2.0, 6.0, 10.0, 22.0])


def keep(archive, values=VALUES, heights=(None,) * 4, source="alba", quality="ok"):
    """A cycle of two leads and three members; the second lead is a degree more, each member a tenth."""
    lead, member = np.array([0.0, 1.0]), np.array([0.0, 0.1, 0.2])
    held = np.asarray(values)[None, None, None, :, None] + lead[:, None, None] + member
    held = np.repeat(held, 2, axis=1).astype(np.float32)
    names = tuple(node_name(*place, height) for place, height in zip(CORNERS, heights, strict=True))
    batch = CycleBatch(cover_of(source), (INIT,), (KNOWN,), VARIABLES, UNITS, (6, 12), names, held)
    (cycle,) = archive.cycles.append(batch, [(quality, ())], recorded_at=KNOWN)
    return cycle


def at(latitude: float, longitude: float, elevation: float = 0.0) -> Site:
    return Site("here", "", latitude, longitude, elevation)


def read(archive, cycle, *sites):
    return read_between(archive.cycles, cycle, sites, variables=VARIABLES)


def test_a_point_is_weighted_between_its_four_nodes_member_by_member(archive):
    # A quarter of the way north, half of the way east: 0.75 (2 + 6) / 2 + 0.25 (10 + 22) / 2 = 7.
    data = read(archive, keep(archive), at(46.25, 9.0))
    assert data.values.shape == (2, 2, 1, 3)
    assert data.values[0, :, 0].tolist() == [
        pytest.approx([7.0, 7.1, 7.2], abs=0.01),
        pytest.approx([8.0, 8.1, 8.2], abs=0.01),
    ]


def test_rain_is_that_of_the_nearest_node(archive):
    names = tuple(node_name(*place) for place in CORNERS)
    rain = np.array([0.0, 0.0, 0.0, 8.0], dtype=np.float32).reshape(1, 1, 1, 4, 1)
    batch = CycleBatch(
        cover_of("alba"), (INIT,), (KNOWN,), ("precipitation",), {"precipitation": "mm"}, (6,), names, rain
    )
    (cycle,) = archive.cycles.append(batch, [("ok", ())], recorded_at=KNOWN)
    places = [at(46.4, 9.9), at(46.6, 8.9), at(46.6, 9.1)]
    data = read_between(archive.cycles, cycle, places, variables=["precipitation"])
    assert data.values[0, 0, :, 0].tolist() == [0.0, 0.0, 8.0]


def test_at_a_node_its_own_values_are_given_back_exactly(archive):
    cycle = keep(archive)
    whole = archive.cycles.read(cycle, site_ids=archive.cycles.site_ids(cycle), variables=VARIABLES)
    data = read(archive, cycle, *(at(*place) for place in CORNERS))
    assert np.array_equal(data.values, whole.values)


def test_outside_the_net_nothing_is_said(archive):
    cycle = keep(archive)
    assert read(archive, cycle, at(45.9, 9.0)) is None
    both = read(archive, cycle, at(46.5, 9.0), at(46.5, 10.1))
    assert np.isfinite(both.values[:, :, 0]).all()
    assert np.isnan(both.values[:, :, 1]).all()


def test_a_missing_node_is_missed_where_it_has_weight_and_nowhere_else(archive):
    cycle = keep(archive, [2.0, 6.0, 10.0, np.nan])
    data = read(archive, cycle, at(46.5, 9.0), at(46.0, 9.0))
    assert np.isnan(data.values[0, :, 0]).all()
    assert data.values[0, 0, 1, 0] == pytest.approx(4.0)


def test_values_made_for_a_height_are_brought_to_that_of_the_place_temperature_alone(archive):
    cycle = keep(archive, heights=(100.0, 300.0, 500.0, 700.0))
    net = net_of(archive.cycles, cycle)
    assert net.ground_m(net.stencil([at(46.5, 9.0)])).tolist() == [400.0]
    level, up = read(archive, cycle, at(46.5, 9.0, 400.0)), read(archive, cycle, at(46.5, 9.0, 1400.0))
    assert level.values[0, 0, 0, 0] == pytest.approx(10.0)
    assert up.values[0, 0, 0, 0] == pytest.approx(10.0 - 1000 * LAPSE_RATE)
    assert np.array_equal(level.values[1], up.values[1])


def test_only_a_usable_cover_of_the_same_cycle_known_by_then_counts(archive):
    def own(init: datetime) -> SourceCycle:
        return SourceCycle("alba", init, KNOWN, KNOWN, "", 0, 1, 1, "", "ok")

    assert cover_cycle(archive.cycles, own(INIT), as_of=KNOWN) is None
    cycle = keep(archive)
    assert cover_cycle(archive.cycles, own(INIT), as_of=KNOWN) == cycle
    assert cover_cycle(archive.cycles, own(INIT), as_of=KNOWN - timedelta(seconds=1)) is None
    assert cover_cycle(archive.cycles, own(INIT - timedelta(days=1)), as_of=KNOWN) is None
    keep(archive, source="boreas", quality="suspect")
    assert (
        cover_cycle(archive.cycles, SourceCycle("boreas", INIT, KNOWN, KNOWN, "", 0, 1, 1, "", "ok"), as_of=KNOWN)
        is None
    )
