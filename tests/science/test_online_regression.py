"""Regression that walks: what it knows when, and that it can be taken on from where it ended."""

from __future__ import annotations

import numpy as np

from skyproof.science.online_regression import STRENGTHS_DAYS, apply_regression, plan_walk, walk_regression

_DAY = np.timedelta64(86_400, "s")


def days(count: int) -> np.ndarray:
    return np.datetime64("2026-01-01T00:00:00", "s") + np.arange(count) * _DAY


def samples(issues: int = 40, leads: int = 3, sites: int = 4, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """A design of a constant and two terms, and what came of it: slopes that differ by site, and noise."""
    chance = np.random.default_rng(seed)
    design = np.concatenate(
        [np.ones((issues, leads, sites, 1)), chance.normal(size=(issues, leads, sites, 2))], axis=-1
    )
    slopes = np.stack([np.full(sites, 2.0), 1 + 0.1 * np.arange(sites), np.full(sites, -0.5)], axis=-1)
    return design, np.einsum("ilst,st->ils", design, slopes) + chance.normal(0, 0.3, (issues, leads, sites))


def test_one_pair_known_gives_the_mean_over_strengths_of_its_shrunken_value() -> None:
    design, target = np.ones((2, 1, 1, 1)), np.array([3.0, np.nan]).reshape(2, 1, 1)
    walked = walk_regression(design, target, plan_walk(days(2)[:, None] + _DAY, days(2)), penalty=np.ones(1))
    # With ridge s all cases give a = 3 / (1 + s), and the lead's own share of the rest is (3 - a) / (1 + s).
    first = [3 / (1 + s) for s in STRENGTHS_DAYS]
    expected = np.mean([a + (3 - a) / (1 + s) for a, s in zip(first, STRENGTHS_DAYS, strict=True)])
    assert np.isnan(walked.prediction[0]).all()
    np.testing.assert_allclose(walked.prediction[1], expected, rtol=1e-5)


def test_the_last_coefficients_predict_the_last_issue_time_as_the_walk_does() -> None:
    design, target = samples()
    walk = plan_walk(days(40)[:, None] + np.arange(1, 4) * _DAY, days(40))
    for per_site in (True, False):
        walked = walk_regression(design, target, walk, penalty=np.ones(3), per_site=per_site)
        assert walked.coefficients.shape == (3, 4 if per_site else 1, 3)
        applied = apply_regression(design[-1:], walked.coefficients)
        np.testing.assert_allclose(applied, walked.prediction[-1:], rtol=1e-5, atol=1e-6)


def test_with_a_long_record_the_coefficients_are_near_those_of_least_squares() -> None:
    design, target = samples(issues=200, leads=1)
    walk = plan_walk(days(200)[:, None] + _DAY, days(200))
    found = walk_regression(design, target, walk, penalty=np.ones(3)).coefficients[0]
    for site in range(4):
        expected, *_ = np.linalg.lstsq(design[:, 0, site], target[:, 0, site], rcond=None)
        np.testing.assert_allclose(found[site], expected, atol=0.12)


def test_what_arrives_later_changes_nothing_before() -> None:
    design, target = samples()
    walk = plan_walk(days(40)[:, None] + np.arange(1, 4) * _DAY, days(40))
    other = target.copy()
    other[20:] += 100
    before, after = (walk_regression(design, values, walk, penalty=np.ones(3)).prediction for values in (target, other))
    np.testing.assert_array_equal(before[:21], after[:21])
    assert np.abs(before[25:] - after[25:]).max() > 1


def test_nothing_known_gives_no_coefficients() -> None:
    design, target = samples(issues=3)
    walk = plan_walk(days(3)[:, None] + np.full(3, 9) * _DAY, days(3))
    walked = walk_regression(design, target, walk, penalty=np.ones(3))
    assert np.isnan(walked.prediction).all()
    assert np.isnan(walked.coefficients).all()
