"""Arrays as CF NetCDF4 files: the same input gives the same bytes.

The files are plain HDF5 with NetCDF4 dimension scales, written with h5py alone: no library version, creation time or
host goes into them. Data lie contiguous, so that a reader learns a dataset's offset once and maps the file from then on.
Values are packed as int16 with the variable's resolution as ``scale_factor``; ``FILL`` marks what is missing.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import h5py
import numpy as np
from numpy.typing import NDArray

from skyproof.domain.errors import IntegrityError, InvalidValueError

FILL = -32768
LIMIT = 32767
_BLOCK = 1 << 18  # values packed at a time: the temporaries stay in the cache
_NO_VARIABLE = "This is a netCDF dimension but not a netCDF variable."
_LAYOUT = "skyproof_layout"
_TEXT = h5py.string_dtype("utf-8")


@dataclass(frozen=True, slots=True)
class FileArray:
    """One variable of a file. ``dims`` name its dimensions; one named like its only dimension is a coordinate."""

    name: str
    dims: tuple[str, ...]
    values: NDArray[Any]
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StoredArray:
    """Where a contiguous dataset lies in its file."""

    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    scale: float


@dataclass(frozen=True, slots=True)
class FileLayout:
    """What a reader needs to map a file: facts its writer left for it, text coordinates, and where every array lies."""

    facts: Mapping[str, Any]
    texts: Mapping[str, tuple[str, ...]]
    arrays: Mapping[str, StoredArray]


def pack(values: NDArray[np.floating[Any]], resolution: float) -> tuple[NDArray[np.int16], int]:
    """Pack values into int16, rounding to the nearest multiple of ``resolution``.

    Args:
        values: any shape, the unit of ``resolution``; NaN becomes ``FILL``.
        resolution: step of the packed integer, > 0.

    Returns:
        The packed array of the same shape, and how many values lay beyond +-32767 steps and were held at the limit.
    """
    packed = np.empty(values.shape, dtype="<i2")
    flat, target = np.ascontiguousarray(values).reshape(-1), packed.reshape(-1)
    saturated = 0
    for start in range(0, flat.size, _BLOCK):
        with np.errstate(over="ignore"):  # a quotient beyond float32 is infinite, and held at the limit like the others
            block = np.rint(flat[start : start + _BLOCK] / flat.dtype.type(resolution))
        saturated += int(np.count_nonzero(np.abs(block) > LIMIT))
        missing = np.isnan(block)
        np.clip(block, -LIMIT, LIMIT, out=block)
        block[missing] = FILL
        target[start : start + _BLOCK] = block
    return packed, saturated


def unpack(packed: NDArray[np.int16], resolution: float, out: NDArray[np.float32]) -> None:
    """Write the values of ``packed`` into ``out`` (same shape), NaN where it holds ``FILL``."""
    np.multiply(packed, np.float32(resolution), out=out, dtype=np.float32)
    missing = packed == FILL
    if missing.any():
        out[missing] = np.nan


def as_span(positions: NDArray[np.intp] | None) -> slice | NDArray[np.intp]:
    """Ascending positions as a slice where they have no gap (None: all of them): a view is cheaper than a choice."""
    if positions is None:
        return slice(None)
    if len(positions) and positions[-1] - positions[0] + 1 == len(positions):
        return slice(int(positions[0]), int(positions[-1]) + 1)
    return positions


def packed_attributes(resolution: float) -> dict[str, Any]:
    """The CF attributes that tell a reader how to unpack."""
    return {
        "scale_factor": np.float64(resolution),
        "add_offset": np.float64(0.0),
        "_FillValue": np.array([FILL], dtype="<i2"),
    }


def write_file(
    arrays: Sequence[FileArray], *, attributes: Mapping[str, Any], facts: Mapping[str, Any] | None = None
) -> bytes:
    """The bytes of a NetCDF4 file.

    One more global attribute tells our own readers where the arrays lie, with ``facts`` beside it: learning that from
    HDF5's own structures costs ten times as long, which counts when a year of cycles is read.

    Raises:
        InvalidValueError: two arrays disagree on a dimension, or one is empty.
    """
    sizes = _dimension_sizes(arrays)
    with h5py.File("unsaved", "w", driver="core", backing_store=False, block_size=1 << 20) as file:
        for name, value in attributes.items():
            file.attrs[name] = value
        datasets = {array.name: _write_array(file, array) for array in arrays}
        for name, size in sizes.items():
            if name not in datasets:
                datasets[name] = file.create_dataset(name, shape=(size,), dtype=">f4")
                datasets[name].make_scale(f"{_NO_VARIABLE}{size:10d}")
            else:
                datasets[name].make_scale(name)
        for array in arrays:
            if array.dims == (array.name,):
                continue
            for axis, dimension in enumerate(array.dims):
                datasets[array.name].dims[axis].attach_scale(datasets[dimension])
        file.attrs[_LAYOUT] = json.dumps(
            {
                "facts": dict(facts or {}),
                "texts": [name for name, dataset in datasets.items() if dataset.dtype.kind == "O"],
                "arrays": {
                    array.name: _describe(array, datasets[array.name])
                    for array in arrays
                    if array.values.dtype.kind not in "UO"
                },
            },
            sort_keys=True,
        )
        file.flush()
        return bytes(file.id.get_file_image())


def read_layout(path: Path) -> FileLayout:
    """Learn where the arrays of a file lie.

    Raises:
        IntegrityError: the file is damaged or not one of ours.
    """
    try:
        with h5py.File(path, "r") as file:
            described = json.loads(file.attrs[_LAYOUT])
            texts = {name: tuple(text.decode() for text in file[name][()]) for name in described["texts"]}
        arrays = {
            name: StoredArray(int(offset), tuple(shape), np.dtype(dtype), float(scale))
            for name, (offset, shape, dtype, scale) in described["arrays"].items()
        }
    except (OSError, KeyError, RuntimeError, ValueError, TypeError) as error:
        raise _unreadable(path.name, error) from error
    return FileLayout(described["facts"], texts, arrays)


def read_attributes(path: Path) -> dict[str, Any]:
    """The global attributes of a file, but for the layout.

    Raises:
        IntegrityError: the file is damaged.
    """
    try:
        with h5py.File(path, "r") as file:
            return {name: value for name, value in file.attrs.items() if name != _LAYOUT}
    except (OSError, KeyError, RuntimeError) as error:
        raise _unreadable(path.name, error) from error


def read_stored(path: Path, stored: StoredArray) -> NDArray[Any]:
    """A read-only mapping of one array.

    Raises:
        IntegrityError: the file is cut short.
    """
    try:
        return np.memmap(path, dtype=stored.dtype, mode="r", offset=stored.offset, shape=stored.shape)
    except (OSError, ValueError) as error:
        raise IntegrityError(
            f"the array file {path.name} is cut short or gone", hint="skyproof doctor names what is damaged"
        ) from error


def write_arrays(arrays: Mapping[str, NDArray[Any]], *, attributes: Mapping[str, Any]) -> bytes:
    """The bytes of a file of plain named arrays (any names; numbers, booleans, text, instants), kept exactly.

    Raises:
        InvalidValueError: an array of a kind we cannot keep.
    """
    # The file grows in memory by this much at a time; what it does not need is not part of it.
    block_size = max(1 << 16, sum(np.asarray(values).nbytes for values in arrays.values()) // 8)
    with h5py.File("unsaved", "w", driver="core", backing_store=False, block_size=block_size) as file:
        for name, value in attributes.items():
            file.attrs[name] = value
        for name, values in arrays.items():
            values = np.asarray(values)
            if values.dtype.kind not in "biufUM":
                raise InvalidValueError(
                    f"array {name!r} has type {values.dtype}", hint="keep numbers, text or instants"
                )
            plain = values
            if values.dtype.kind == "U":
                plain = values.astype(_TEXT)
            elif values.dtype.kind == "M":
                plain = values.astype(np.int64)
            dataset = file.create_dataset(
                quote(name, safe=""), data=plain, dtype=_TEXT if plain.dtype.kind == "O" else None
            )
            dataset.attrs["dtype"] = values.dtype.str
        file.flush()
        return bytes(file.id.get_file_image())


def read_arrays(data: bytes) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """The arrays and attributes of :func:`write_arrays`, in their first types.

    Raises:
        IntegrityError: the bytes are not such a file.
    """
    arrays: dict[str, NDArray[Any]] = {}
    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            attributes = dict(file.attrs)
            for name, dataset in file.items():
                dtype = str(dataset.attrs["dtype"])
                values = np.asarray(dataset.asstr()[()] if dataset.dtype.kind == "O" else dataset[()])
                if dtype[1] == "M":
                    values = values.view(dtype)
                arrays[unquote(name)] = values.astype(dtype, copy=False)
    except (OSError, KeyError, RuntimeError) as error:
        raise _unreadable("in memory", error) from error
    return arrays, attributes


def _dimension_sizes(arrays: Sequence[FileArray]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for array in arrays:
        if array.values.ndim != len(array.dims):
            raise InvalidValueError(f"{array.name} has {array.values.ndim} dimensions, wanted {array.dims}")
        for name, size in zip(array.dims, array.values.shape, strict=True):
            if size == 0:
                raise InvalidValueError(f"{array.name} is empty along {name}", hint="give at least one")
            if sizes.setdefault(name, size) != size:
                raise InvalidValueError(f"{array.name} has {size} along {name}, others have {sizes[name]}")
    return sizes


def _write_array(file: Any, array: FileArray) -> Any:
    if array.values.dtype.kind in "UO":
        dataset = file.create_dataset(array.name, data=array.values.astype(_TEXT), dtype=_TEXT)
    else:
        dataset = file.create_dataset(array.name, data=array.values)
    for name, value in array.attributes.items():
        dataset.attrs[name] = value
    return dataset


def _describe(array: FileArray, dataset: Any) -> tuple[int, tuple[int, ...], str, float]:
    scale = float(array.attributes.get("scale_factor", 1.0))
    return dataset.id.get_offset(), dataset.shape, dataset.dtype.str, scale


def _unreadable(name: str, error: Exception) -> IntegrityError:
    return IntegrityError(
        f"the array file {name} cannot be read: {error}", hint="skyproof doctor names what is damaged"
    )
