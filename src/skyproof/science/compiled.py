"""Loops that numpy cannot say in whole arrays, compiled on first use and kept beside the source.

A compiled function sees arrays and numbers only, divides as numpy does (by zero: inf or NaN, no exception), holds no
lock while it runs, and gives the same bits each time: nothing in it runs in parallel or in another order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numba

_Function = TypeVar("_Function", bound=Callable[..., object])


def compiled(function: _Function) -> _Function:
    """The same function, compiled; as a decorator."""
    return cast(_Function, numba.njit(cache=True, nogil=True, error_model="numpy")(function))
