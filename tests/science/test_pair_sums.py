"""One pass over the quantiles keeps what whole-array expressions keep, wherever it is added."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pair_oracle import kept_of_pairs, pair_statistics, pit_counts
from scipy import stats

from skyproof.domain.quantiles import LEVEL_ARRAY
from skyproof.domain.scores import PIT_BINS, STATISTICS
from skyproof.science.pair_sums import add_pairs

NORMAL = stats.norm.ppf(LEVEL_ARRAY)
EVENTS = (0.1, 12.0)


def rounded_pairs(seed: int, dtype: type) -> tuple[np.ndarray, np.ndarray]:
    """Forecasts and observations in steps of 0.1: ties with quantiles, thresholds and zero are common."""
    rng = np.random.default_rng(seed)
    quantiles = (8 + 5 * NORMAL + rng.normal(size=(40, 25, 1))).round(1)
    observed = (8 + 6 * rng.normal(size=(40, 25))).round(1)
    quantiles[:15], observed[:15] = np.maximum(quantiles[:15] - 9, 0), np.maximum(observed[:15] - 9, 0)
    quantiles[20:22] = quantiles[20:22, :, 10:11]  # point forecasts
    observed[20, :5] = quantiles[20, :5, 0]
    quantiles[30, ::3] = np.nan
    observed[31, ::4] = np.nan
    return quantiles.astype(dtype), observed.astype(dtype)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-9), (np.float32, 2e-5)], ids=["double", "single"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_statistic_agrees_with_whole_array_expressions(seed: int, dtype: type, tolerance: float) -> None:
    quantiles, observed = rounded_pairs(seed, dtype)
    statistics, counts = kept_of_pairs(quantiles, observed, EVENTS)
    expected = pair_statistics(quantiles, observed, EVENTS)
    for place, name in enumerate(STATISTICS):
        assert_allclose(statistics[..., place], expected[..., place], rtol=1e-5, atol=tolerance, err_msg=name)
    assert_allclose(counts, pit_counts(quantiles, observed), atol=1e-4)


def test_pairs_are_added_to_what_is_there_at_their_own_leads_and_nowhere_else() -> None:
    quantiles, observed = rounded_pairs(4, np.float32)
    places = np.array([3, 4, 40])
    sums = np.ones((len(STATISTICS), 40, 50), dtype=np.float32)
    pit = np.ones((40, 50, PIT_BINS), dtype=np.float32)
    for _ in range(2):
        add_pairs(quantiles[:, :3], observed[:, :3], EVENTS, places=places, sums=sums, pit=pit)
    once, counts = kept_of_pairs(quantiles[:, :3], observed[:, :3], EVENTS)
    assert_allclose(np.moveaxis(sums[..., places], 0, -1), 1 + 2 * once, rtol=1e-5, atol=1e-5)
    assert_allclose(pit[:, places], 1 + 2 * counts, rtol=1e-5, atol=1e-5)
    others = np.setdiff1d(np.arange(50), places)
    assert_array_equal(sums[..., others], 1)
    assert_array_equal(pit[:, others], 1)


def test_a_value_of_exactly_the_threshold_is_no_event_in_either_precision() -> None:
    # In single precision 0.1 is a little more than 0.1 in double.
    for dtype in (np.float32, np.float64):
        statistics, _ = kept_of_pairs(np.full((1, 21), 0.1, dtype=dtype), np.array([0.1], dtype=dtype), EVENTS)
        found = dict(zip(STATISTICS, statistics[0].tolist(), strict=True))
        assert found["event_1"] == 0
        # The forecast says at most 0.1 with all the probability that its levels can tell: half the last level is left.
        assert found["brier_1"] == pytest.approx((LEVEL_ARRAY[0] / 2) ** 2, rel=1e-5)


def test_variables_with_one_threshold_or_none_keep_nothing_for_the_others() -> None:
    quantiles, observed = rounded_pairs(5, np.float64)
    for events in ((), (0.1,)):
        statistics, _ = kept_of_pairs(quantiles, observed, events)
        unused = [place for place, name in enumerate(STATISTICS) if name in ("brier_2", "event_2")]
        assert_array_equal(statistics[..., unused], 0)
