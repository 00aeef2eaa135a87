"""Outcomes of held-out issue times are shown to the blend when they arrived, and not before."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pytest

from skyproof.archive.archive import Archive
from skyproof.domain.cycles import ObservationBatch
from skyproof.domain.forecasts import ForecastGrid
from skyproof.stages.learn.outcomes import Outcomes, gather_outcomes
from tests.stages import toy_world


def test_each_outcome_is_known_from_the_first_issue_time_that_had_it(archive: Archive) -> None:
    toy_world.build_world(archive, days=12)
    grid = toy_world.grid()
    issue_times = [toy_world.START + timedelta(days=day, hours=12) for day in range(2, 8)]
    as_of = issue_times[-1] + timedelta(days=1)
    found = gather_outcomes(archive, grid, issue_times, as_of=as_of)
    assert found.observed.shape == found.known_from.shape == (6, 3, 3, 4)
    check_against_the_archive(archive, grid, found, as_of)


@pytest.mark.parametrize("seed", range(4))
def test_what_was_revised_and_withdrawn_counts_from_when_it_was_first_seen(archive: Archive, seed: int) -> None:
    grid, rng = toy_world.grid(), np.random.default_rng(seed)
    archive.sites.add(grid.sites)
    rows = 600
    start = np.datetime64(toy_world.START.replace(tzinfo=None), "s")
    valid = start + rng.integers(0, 36, rows) * np.timedelta64(6, "h")
    # Some are recorded in the same second as another, some long before and after their valid time.
    recorded = valid + rng.integers(-8, 90, rows) * np.timedelta64(1, "h")
    values = np.where(rng.random(rows) < 0.3, np.nan, rng.random(rows))
    names = rng.choice(np.array(grid.variables), rows)
    sites = rng.choice(np.array(grid.site_ids), rows)
    batch = ObservationBatch("stations", sites, names, valid, recorded, values)
    archive.observations.append(batch, np.where(rng.random(rows) < 0.2, "range", ""))
    issue_times = [toy_world.START + timedelta(days=day, hours=12) for day in range(1, 6)]
    as_of = issue_times[-1] + timedelta(days=1)
    found = gather_outcomes(archive, grid, issue_times, as_of=as_of)
    assert 0.1 < np.isfinite(found.observed).mean() < 0.9
    check_against_the_archive(archive, grid, found, as_of, withdrawn=True)


def check_against_the_archive(
    archive: Archive, grid: ForecastGrid, found: Outcomes, as_of: datetime, *, withdrawn: bool = False
) -> None:
    """Ask the archive at every later issue time, and see the same."""
    moments = [*found.issue_times, as_of]
    for number, issued in enumerate(found.issue_times):
        for place, lead in enumerate(grid.lead_hours):
            valid = issued + timedelta(hours=lead)
            ever = np.zeros((len(grid.variables), len(grid.sites)), dtype=bool)
            for later, moment in enumerate(moments[number + 1 :], number + 1):
                _, values = archive.observations.grid(
                    variables=grid.variables, site_ids=grid.site_ids, valid_from=valid, valid_until=valid,
                    step_hours=grid.step_hours, as_of=moment,
                )  # fmt: skip
                known = found.known_from[number, :, :, place] <= later
                ever |= np.isfinite(values[:, 0])
                if withdrawn:
                    # What was gone at the end was never there.
                    np.testing.assert_array_equal(ever & np.isfinite(found.observed[number, :, :, place]), known)
                else:
                    np.testing.assert_array_equal(np.isfinite(values[:, 0]), known)
            np.testing.assert_array_equal(values[:, 0], found.observed[number, :, :, place])
    np.testing.assert_array_equal(np.isfinite(found.observed), found.known_from < len(moments))
