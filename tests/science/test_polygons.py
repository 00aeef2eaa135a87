"""Points in areas: by hand, with holes, and against matplotlib's paths."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.path import Path

from skyproof.science.polygons import inside_rings

SQUARE = np.array([[0.0, 0.0], [4.0, 0.0], [4.0, 4.0], [0.0, 4.0]])
HOLE = SQUARE / 4 + 1.0


def inside(x: float, y: float, *rings) -> bool:
    return bool(inside_rings(np.array([x]), np.array([y]), rings)[0])


def test_by_hand():
    assert inside(2.0, 3.0, SQUARE)
    assert not inside(5.0, 3.0, SQUARE)
    assert not inside(2.0, -1.0, SQUARE)
    assert not inside(1.5, 1.5, SQUARE, HOLE)
    assert inside(3.0, 1.5, SQUARE, HOLE)
    assert inside(2.0, 3.0, np.concatenate([SQUARE, SQUARE[:1]]))  # closed or not


def test_two_squares_side_by_side_share_no_point_of_their_edge():
    beside = SQUARE + np.array([4.0, 0.0])
    for y in (0.5, 1.0, 2.0, 3.999):
        assert inside(4.0, y, SQUARE) + inside(4.0, y, beside) == 1


def test_nothing_is_in_nothing():
    assert not inside_rings(np.array([1.0, 2.0]), np.array([1.0, 2.0]), []).any()
    assert inside_rings(np.empty(0), np.empty(0), [SQUARE]).shape == (0,)


corner = st.tuples(st.integers(-20, 20), st.integers(-20, 20))


@given(st.lists(corner, min_size=3, max_size=8), st.lists(corner, min_size=1, max_size=20))
def test_matplotlib_says_the_same_off_the_edges(corners, points):
    ring = np.array(corners, dtype=float)
    at = np.array(points, dtype=float) + np.array(
        [0.3713, 0.2147]
    )  # edges between whole numbers so small meet none of these
    area = ring[:, 0] @ np.roll(ring[:, 1], -1) - ring[:, 1] @ np.roll(ring[:, 0], -1)
    if area == 0 or not _is_simple(ring):
        return  # where edges cross, matplotlib counts turns and we count edges
    np.testing.assert_array_equal(
        inside_rings(at[:, 0], at[:, 1], [ring]), Path(np.concatenate([ring, ring[:1]])).contains_points(at)
    )


def _is_simple(ring) -> bool:
    """Whether no two edges of a ring cross or touch, but neighbours at their corner."""
    count = len(ring)
    if len({tuple(corner) for corner in ring}) < count:
        return False

    def side(a, b, c) -> float:
        return np.sign((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))

    for i in range(count):
        for j in range(i + 1, count):
            a, b, c, d = ring[i], ring[(i + 1) % count], ring[j], ring[(j + 1) % count]
            if j in ((i + 1) % count, (i - 1) % count):
                continue
            if side(a, b, c) != side(a, b, d) and side(c, d, a) != side(c, d, b):
                return False
    return True
