"""Well-known text: what is understood, and that nothing whatever makes the reader stumble."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyproof.domain.errors import InvalidValueError
from skyproof.stages.deliver.wkt import LONGEST, parse_wkt


@pytest.mark.parametrize(
    ("text", "kind", "parts", "seconds"),
    [
        ("POINT(8.54 47.38)", "POINT", [[[8.54, 47.38]]], None),
        (" point ( -8.5 +47 ) ", "POINT", [[[-8.5, 47.0]]], None),
        ("POINT Z(8 47 410)", "POINT", [[[8.0, 47.0]]], None),
        ("POINTZ(8 47 410)", "POINT", [[[8.0, 47.0]]], None),
        ("MULTIPOINT((8 47),(9 48))", "MULTIPOINT", [[[8.0, 47.0]], [[9.0, 48.0]]], None),
        ("MULTIPOINT(8 47,9 48)", "MULTIPOINT", [[[8.0, 47.0], [9.0, 48.0]]], None),
        ("LINESTRINGM(8 47 10,9 48 2e1)", "LINESTRING", [[[8.0, 47.0], [9.0, 48.0]]], [10.0, 20.0]),
        ("LINESTRING ZM(8 47 1 10,9 48 2 20)", "LINESTRING", [[[8.0, 47.0], [9.0, 48.0]]], [10.0, 20.0]),
        ("POLYGON((0 0,1 0,1 1),(0.1 0.1,0.2 0.1,0.2 0.2))", "POLYGON",
         [[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]], [[0.1, 0.1], [0.2, 0.1], [0.2, 0.2]]], None),
    ],
)  # fmt: skip
def test_a_geometry_is_read(text, kind, parts, seconds):
    read = parse_wkt(text)
    assert (read.kind, [part.tolist() for part in read.parts]) == (kind, parts)
    assert (None if read.seconds is None else read.seconds.tolist()) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "POINT", "POINT()", "POINT(8)", "POINT(8 47", "POINT(8 47)(9 48)", "POINT(8 47,9 48)", "CIRCLE(8 47)", "POINT(٨ 47)",
     "POINT(181 0)", "POINT(0 91)", "POINT(0x1 2)", "POINT(1_0 2)", "LINESTRINGM(8 47)", "POLYGON((0 0,1 1))", "POINT(8 1e99)",
     "GEOMETRYCOLLECTION(POINT(8 47))", "POINT(" + "8" * 50 + " 47)", "P" * (LONGEST + 1)],
)  # fmt: skip
def test_what_is_none_is_refused(text):
    with pytest.raises(InvalidValueError):
        parse_wkt(text)


@given(st.text(alphabet="POINTLYGMZpolygn(),. 0123456789eE+-", max_size=60) | st.text(max_size=30))
def test_no_text_whatever_makes_the_reader_stumble(text):
    try:
        read = parse_wkt(text)
    except InvalidValueError:
        return
    assert all(np.isfinite(part).all() for part in read.parts)
