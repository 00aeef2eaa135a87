"""Site memories by hand, against ridge regression of every past, and as prequential."""

from __future__ import annotations

import numpy as np
import pytest

from skyproof.science.ensemble_statistics import ensemble_statistics
from skyproof.science.site_memory import EventTimes, MemoryTraits, SiteMemory, remember


def times(issues: int, leads: int = 1, *, lead_days: float = 1.0, until: float | None = None) -> EventTimes:
    issued = np.arange(float(issues))
    known = (issued[:, None] + lead_days * np.arange(1, leads + 1)).reshape(-1)
    return EventTimes(issued, known, issued[-1] if until is None else until)


def test_an_offset_by_hand() -> None:
    # Two pseudo-cases at zero; errors of 3 each day, known after a day: 0, 3/3, 6/4, 9/5.
    errors, ones = np.full((1, 4), 3.0), np.ones((1, 4, 1))
    told, memory = remember(errors, ones, np.full((1, 4), 10.0), times(4, until=4.0), MemoryTraits(np.inf, (2.0,)))
    np.testing.assert_allclose(told.correction[0], [0, 1, 1.5, 1.8], rtol=1e-6)
    np.testing.assert_allclose(told.leverage[0], [1 / 2, 1 / 3, 1 / 4, 1 / 5], rtol=1e-6)
    assert memory.gram[0, 0, 0] == 4
    assert memory.at == 4.0


def test_old_errors_fade_by_half_in_a_half_life() -> None:
    errors = np.array([[4.0, np.nan, np.nan]])
    told, memory = remember(errors, np.ones((1, 3, 1)), np.ones((1, 3)) * 9, times(3), MemoryTraits(1.0, (1.0,)))
    # Known at day 1 with weight 1: 4 / 2; at day 2 with weight one half: 2 / 1.5.
    np.testing.assert_allclose(told.correction[0], [0, 2, 2 / 1.5], rtol=1e-6)
    assert memory.cross[0, 0] == pytest.approx(2.0)


def test_every_correction_is_the_ridge_regression_of_what_was_known() -> None:
    rng, pseudo, life = np.random.default_rng(0), np.array([2.0, 5.0]), 7.0
    issues, leads, sites = 25, 2, 3
    when = times(issues, leads, lead_days=1.5)
    features = np.stack([np.ones((sites, issues * leads)), rng.normal(size=(sites, issues * leads))], axis=-1)
    errors = features @ [0.5, 0.3] + 0.1 * rng.normal(size=(sites, issues * leads))
    errors[rng.random(errors.shape) < 0.1] = np.nan
    told, _ = remember(errors, features, np.full(errors.shape, 9.0), when, MemoryTraits(life, tuple(pseudo)))
    for site in range(sites):
        for event in range(issues * leads):
            now = when.issued[event // leads]
            past = (when.known <= now) & np.isfinite(errors[site])
            weight = 0.5 ** ((now - when.known[past]) / life)
            x = features[site][past]
            inverse = np.linalg.inv(x.T * weight @ x + np.diag(pseudo))
            slopes = inverse @ (x.T * weight @ errors[site][past])
            f = features[site, event]
            assert told.correction[site, event] == pytest.approx(f @ slopes, abs=1e-5)
            assert told.leverage[site, event] == pytest.approx(f @ inverse @ f, rel=1e-4)


def test_going_on_from_a_memory_is_as_going_through_all_at_once_whatever_the_threads() -> None:
    rng = np.random.default_rng(1)
    errors, features = rng.normal(size=(40, 30)), np.ones((40, 30, 1))
    scale, traits, when = np.ones((40, 30)), MemoryTraits(5.0, (3.0,)), times(30, until=30.0)
    whole, memory = remember(errors, features, scale, when, traits)
    _, half = remember(errors[:, :15], features[:, :15], scale[:, :15], times(15, until=15.0), traits)
    rest = EventTimes(when.issued[15:], when.known[15:], 30.0)
    later, end = remember(errors[:, 15:], features[:, 15:], scale[:, 15:], rest, traits, memory=half, threads=3)
    np.testing.assert_allclose(later.correction, whole.correction[:, 15:], rtol=1e-5)
    np.testing.assert_allclose(later.log_scale, whole.log_scale[:, 15:], atol=1e-5)
    np.testing.assert_allclose(end.gram, memory.gram)
    assert half.gram[0, 0, 0] > 1


def test_a_site_whose_errors_are_twice_as_large_is_told_apart() -> None:
    rng = np.random.default_rng(2)
    errors = rng.normal(size=(2, 400)) * np.array([[1.0], [2.0]])
    told, _ = remember(errors, np.ones((2, 400, 1)), np.ones((2, 400)), times(400), MemoryTraits(1e6, (50.0,), 10.0))
    np.testing.assert_allclose(np.exp(told.log_scale[:, -1]), [1.0, 1.95], atol=0.15)


def test_one_broken_report_moves_a_site_by_three_scales_at_most() -> None:
    errors = np.array([[1e6, np.nan]])
    told, _ = remember(errors, np.ones((1, 2, 1)), np.ones((1, 2)), times(2), MemoryTraits(np.inf, (2.0,)))
    assert told.correction[0, 1] == pytest.approx(1.0)


def test_a_missing_feature_is_neither_learned_from_nor_corrected() -> None:
    features = np.ones((1, 3, 1))
    features[0, 1] = np.nan
    told, memory = remember(
        np.ones((1, 3)), features, np.ones((1, 3)), times(3, until=3.0), MemoryTraits(np.inf, (1.0,))
    )
    assert np.isnan(told.correction[0, 1])
    assert np.isnan(told.log_scale[0, 1])
    assert memory.gram[0, 0, 0] == 2
    assert SiteMemory.empty(1, 1, 0.0).count[0] == 0


def test_ensemble_statistics_agree_with_numpy_and_skip_what_did_not_arrive() -> None:
    members = np.random.default_rng(3).gamma(0.5, 2.0, size=(4, 5, 3, 8)).astype(np.float32)
    members[0, 0, 0, :3] = np.nan
    members[1, 1, 1] = np.nan
    members[2, 2, 2, 1:] = np.nan
    mean, spread, wet = ensemble_statistics(members)
    some = np.isfinite(members).any(axis=-1)
    np.testing.assert_allclose(mean[some], np.nanmean(members[some], axis=-1), rtol=1e-5)
    several = np.isfinite(members).sum(axis=-1) > 1
    np.testing.assert_allclose(spread[several], np.nanstd(members[several], axis=-1, ddof=1), rtol=1e-5)
    assert np.isnan(mean[1, 1, 1])
    assert spread[2, 2, 2] == 0
    assert wet[3, 0, 0] == np.mean(members[3, 0, 0] > 0.05)
    root = ensemble_statistics(members, transform="sqrt", lower=0.0)[0]
    np.testing.assert_allclose(root[some], np.nanmean(np.sqrt(members[some]), axis=-1), rtol=1e-5)


def test_pressure_keeps_its_digits() -> None:
    members = np.array([[1013.0, 1013.25, 1012.75]], dtype=np.float32)
    mean, spread, _ = ensemble_statistics(members)
    assert mean[0] == np.float32(1013.0)
    assert spread[0] == pytest.approx(0.25, rel=1e-6)
