"""Weights told as contributions."""

from __future__ import annotations

import numpy as np
import pytest

from skyproof.science.blend_explanation import explain_weights


def test_contributions_by_hand() -> None:
    weights = np.array([[0.1, 0.3], [0.5, 0.3], [0.4, 0.4]])
    told = explain_weights(weights, ["emos:alba", "trees", "raw:alba"])
    assert told.experts == pytest.approx({"trees": 0.4, "raw:alba": 0.4, "emos:alba": 0.2})
    assert told.sources == pytest.approx({"alba": 0.6, "trees": 0.4})
    assert list(told.sources) == ["alba", "trees"]


def test_cells_without_a_blend_are_left_out() -> None:
    weights = np.array([[[0.25, np.nan]], [[0.75, np.nan]]])
    assert explain_weights(weights, ["a", "b"]).experts == pytest.approx({"b": 0.75, "a": 0.25})


@pytest.mark.parametrize(("weights", "names"), [(np.ones((2, 1)), ["a"]), (np.zeros((1, 2)), ["a"])])
def test_what_cannot_be_told_is_refused(weights: np.ndarray, names: list[str]) -> None:
    with pytest.raises(ValueError, match=r"names|nothing"):
        explain_weights(weights, names)
