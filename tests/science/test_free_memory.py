"""Freed memory goes back to the system."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from skyproof.science import free_memory


def resident_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) / 256


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_what_many_small_arrays_took_is_given_back() -> None:
    free_memory.give_back_memory()
    before = resident_mib()
    # Small enough to lie on the heap, where the last one keeps all before it from being given back by itself.
    small = [np.ones(2_000) for _ in range(10_000)]
    last = small[-1]
    del small
    free_memory.give_back_memory()
    assert last.sum() == 2_000
    assert resident_mib() - before < 75  # they were 150


def test_a_library_without_the_call_is_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(free_memory.ctypes, "CDLL", lambda name: object())
    free_memory.give_back_memory()
