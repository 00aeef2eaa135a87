"""Work on parts of a record at once: the compiled arithmetic within holds no lock."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

#: Fewer cells are answered sooner by one thread.
_WORTH_THREADS = 20_000


def in_threads(work: Callable[[int], Any], count: int, *, cells: int = _WORTH_THREADS) -> list[Any]:
    """``work`` of every index, in as many threads as there are cores; the arithmetic within holds no lock.

    Args:
        work: of one index.
        count: of indices.
        cells: that all are about; with few of them threads are not worth their start.
    """
    if count <= 1 or cells < _WORTH_THREADS:
        return [work(index) for index in range(count)]
    with ThreadPoolExecutor(min(os.cpu_count() or 1, count)) as pool:
        return list(pool.map(work, range(count)))
