"""Outcomes of held-out issue times are shown to the blend when they arrived, and not before."""

from __future__ import annotations

from datetime import timedelta

import numpy as np

from skyproof.archive.archive import Archive
from skyproof.stages.learn.outcomes import gather_outcomes
from tests.stages import toy_world


def test_each_outcome_is_known_from_the_first_issue_time_that_had_it(archive: Archive) -> None:
    toy_world.build_world(archive, days=12)
    grid = toy_world.grid()
    issue_times = [toy_world.START + timedelta(days=day, hours=12) for day in range(2, 8)]
    as_of = issue_times[-1] + timedelta(days=1)
    found = gather_outcomes(archive, grid, issue_times, as_of=as_of)
    assert found.observed.shape == found.known_from.shape == (6, 3, 3, 4)
    moments = [*issue_times, as_of]
    for number, issued in enumerate(issue_times):
        for place, lead in enumerate(grid.lead_hours):
            valid = issued + timedelta(hours=lead)
            for later, moment in enumerate(moments[number + 1 :], number + 1):
                _, values = archive.observations.grid(
                    variables=grid.variables, site_ids=grid.site_ids, valid_from=valid, valid_until=valid,
                    step_hours=grid.step_hours, as_of=moment,
                )  # fmt: skip
                known = found.known_from[number, :, :, place] <= later
                np.testing.assert_array_equal(np.isfinite(values[:, 0]), known)
    np.testing.assert_array_equal(np.isfinite(found.observed), found.known_from <= len(issue_times))
