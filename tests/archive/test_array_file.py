"""Arrays as NetCDF4 files: packing by hand, the same bytes always, readable by xarray."""

from __future__ import annotations

import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays as array_strategy

from skyproof.archive.array_file import (
    FILL,
    FileArray,
    pack,
    packed_attributes,
    read_arrays,
    read_attributes,
    read_layout,
    read_stored,
    unpack,
    write_arrays,
    write_file,
)
from skyproof.domain.errors import IntegrityError, InvalidValueError


def sample(value: float = 1.5) -> list[FileArray]:
    packed, _ = pack(np.array([[value, np.nan], [2.0, 3.0]], dtype=np.float32), 0.5)
    return [
        FileArray(
            "lead", ("lead",), np.array([6, 12], dtype="<i4"), {"units": "hours", "standard_name": "forecast_period"}
        ),
        FileArray("site_id", ("site",), np.array(["a", "bé"], dtype=object)),
        FileArray("t", ("site", "lead"), packed, {"units": "Cel", **packed_attributes(0.5)}),
    ]


def test_packing_by_hand() -> None:
    values = np.array([0.0, 1.26, -1.24, np.nan, 3276.7, 3276.8, -4000.0, np.inf], dtype=np.float64)
    packed, saturated = pack(values, 0.1)
    assert packed.tolist() == [0, 13, -12, FILL, 32767, 32767, -32767, 32767]
    assert saturated == 3
    out = np.empty(8, dtype=np.float32)
    unpack(packed, 0.1, out)
    np.testing.assert_allclose(out, [0, 1.3, -1.2, np.nan, 3276.7, 3276.7, -3276.7, 3276.7], rtol=1e-6)


@given(
    array_strategy(np.float32, st.integers(1, 50), elements=st.floats(width=32, allow_nan=True)),
    st.sampled_from([0.01, 0.02, 0.05]),
)
def test_packing_loses_at_most_half_a_step_and_never_wraps(values: np.ndarray, resolution: float) -> None:
    packed, saturated = pack(values, resolution)
    out = np.empty(values.shape, dtype=np.float32)
    unpack(packed, resolution, out)
    assert (np.isnan(out) == np.isnan(values)).all()
    exact = values.astype(np.float64)
    limit = 32767 * resolution
    inside = np.abs(exact) <= limit
    assert np.all(np.abs(out[inside] - exact[inside]) <= resolution * 0.501)
    outside = ~inside & ~np.isnan(exact)
    np.testing.assert_allclose(out[outside], np.sign(exact[outside]) * limit, rtol=1e-6)
    assert abs(saturated - np.count_nonzero(outside)) <= np.count_nonzero(np.abs(np.abs(exact) - limit) <= resolution)


def test_sorted_values_stay_sorted_when_packed() -> None:
    values = np.sort(np.random.default_rng(1).normal(0, 200, (50, 21)).astype(np.float32), axis=-1)
    packed, _ = pack(values, 0.01)
    assert np.all(np.diff(packed.astype(int), axis=-1) >= 0)


def test_the_same_input_gives_the_same_bytes_at_any_time() -> None:
    first = write_file(sample(), attributes={"title": "x"}), write_arrays({"a": np.arange(3)}, attributes={"t": "x"})
    time.sleep(1.1)  # HDF5 would keep whole seconds, if it kept times
    assert (
        write_file(sample(), attributes={"title": "x"}),
        write_arrays({"a": np.arange(3)}, attributes={"t": "x"}),
    ) == first
    assert write_file(sample(2.5), attributes={"title": "x"}) != first[0]


def test_xarray_reads_values_units_and_dimensions(tmp_path: Path) -> None:
    path = tmp_path / "f.nc"
    path.write_bytes(write_file(sample(), attributes={"title": "x"}))
    with xarray.open_dataset(path, engine="h5netcdf") as dataset:
        assert dataset["t"].dims == ("site", "lead")
        np.testing.assert_array_equal(dataset["t"], [[1.5, np.nan], [2.0, 3.0]])
        assert dataset["t"].attrs["units"] == "Cel"
        assert dataset["site_id"].values.tolist() == ["a", "bé"]
        assert dataset.attrs["title"] == "x"


def test_a_layout_says_where_the_data_lie(tmp_path: Path) -> None:
    path = tmp_path / "f.nc"
    path.write_bytes(write_file(sample(), attributes={"title": "x"}, facts={"n": 2}))
    layout = read_layout(path)
    assert layout.facts == {"n": 2}
    assert layout.texts == {"site_id": ("a", "bé")}
    assert layout.arrays["t"].scale == 0.5
    np.testing.assert_array_equal(read_stored(path, layout.arrays["t"]), [[3, FILL], [4, 6]])
    with h5py.File(path) as file:
        assert file["t"].id.get_offset() == layout.arrays["t"].offset
        assert file["t"].chunks is None
    assert read_attributes(path) == {"title": "x"}


def test_a_damaged_file_is_an_integrity_error(tmp_path: Path) -> None:
    data = write_file(sample(), attributes={})
    (tmp_path / "text.nc").write_bytes(b"no array file at all")
    (tmp_path / "short.nc").write_bytes(data[: len(data) // 2])
    (tmp_path / "whole.nc").write_bytes(data)
    for name in ("text.nc", "short.nc", "none.nc"):
        with pytest.raises(IntegrityError, match="cannot be read"):
            read_layout(tmp_path / name)
        with pytest.raises(IntegrityError, match="cannot be read"):
            read_attributes(tmp_path / name)
    stored = read_layout(tmp_path / "whole.nc").arrays["t"]
    (tmp_path / "whole.nc").write_bytes(data[: stored.offset + 1])
    with pytest.raises(IntegrityError, match="cut short"):
        read_stored(tmp_path / "whole.nc", stored)
    with pytest.raises(IntegrityError, match="cannot be read"):
        read_arrays(b"nothing")


def test_dimensions_that_disagree_or_are_empty_are_refused() -> None:
    lead = FileArray("lead", ("lead",), np.arange(2))
    with pytest.raises(InvalidValueError, match="others have 2"):
        write_file([lead, FileArray("x", ("lead",), np.arange(3))], attributes={})
    with pytest.raises(InvalidValueError, match="empty along lead"):
        write_file([FileArray("lead", ("lead",), np.arange(0))], attributes={})
    with pytest.raises(InvalidValueError, match="1 dimensions"):
        write_file([FileArray("x", ("a", "b"), np.arange(3))], attributes={})


def test_plain_arrays_come_back_exactly() -> None:
    kept = {
        "emos:alba/loc": np.array([[0.1, np.nan], [np.inf, -0.0]]),
        "small": np.arange(4, dtype=np.uint8),
        "awake": np.array([True, False]),
        "names": np.array(["ab", "", "é"]),
        "when": np.array(["2025-01-01T06"], dtype="datetime64[s]"),
        "scalar": np.array(3.5, dtype=np.float32),
        "nothing": np.zeros((0, 3)),
    }
    arrays, attributes = read_arrays(write_arrays(kept, attributes={"a": "b"}))
    assert attributes == {"a": "b"}
    assert arrays.keys() == kept.keys()
    for name, values in kept.items():
        assert arrays[name].dtype == values.dtype
        assert arrays[name].shape == values.shape
        np.testing.assert_array_equal(arrays[name], values)
    with pytest.raises(InvalidValueError, match="has type object"):
        write_arrays({"x": np.array([None])}, attributes={})
