"""Loops that numpy cannot say in whole arrays, compiled on first use and kept beside the source.

A compiled function sees arrays and numbers only, divides as numpy does (by zero: inf or NaN, no exception), holds no
lock while it runs, and gives the same bits each time: nothing in it runs in parallel or in another order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

_Function = TypeVar("_Function", bound=Callable[..., object])


def compiled(function: _Function) -> _Function:
    """The same function, compiled; as a decorator."""
    return cast(_Function, numba.njit(cache=True, nogil=True, error_model="numpy")(function))


def plain_array(values: NDArray[Any]) -> NDArray[np.float32]:
    """The same array if it is contiguous float32 and may be written, else a copy: compiled code tells them apart."""
    return np.require(values, dtype=np.float32, requirements=["C", "W"])


def check_shape(name: str, got: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    """Compiled code does not look where it reads, so every array is measured at the door.

    Raises:
        ValueError: the shapes differ.
    """
    if got != wanted:
        raise ValueError(f"{name}: got shape {got}, wanted {wanted}; give arrays of the same cells")
