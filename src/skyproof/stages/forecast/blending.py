"""What the blend had learned by an issue time: a pure function of the release and of what was known then.

From the release's own state on, each nominal issue time shows the blend the observations that arrived since the one
before, against what the experts had said at every issue time those observations verify. States and experts kept in the
archive are memo: dropped or not, the result is the same to the bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.archive.archive import Archive
from skyproof.archive.release_content import ReleaseContent
from skyproof.domain.forecasts import ForecastGrid, Release
from skyproof.domain.protocols import Blend
from skyproof.domain.times import floor_to_hours, hours, schedule
from skyproof.science.panel import heard
from skyproof.stages.forecast.axes import valid_times
from skyproof.stages.forecast.experts import Panel, ask_experts, gather_inputs

State = Mapping[str, NDArray[Any]]


def advance_blend(
    archive: Archive,
    release: Release,
    panel: Panel,
    blend: Blend,
    issue_time: datetime,
) -> State:
    """The blend's state at the last nominal issue time at or before ``issue_time``."""
    content = panel.content
    held = archive.checkpoints.newest(release.release_id, before=issue_time)
    seen_until, state = held if held is not None else (content.learned_at, content.blend_state)
    for now in _nominal(content, seen_until + timedelta(seconds=1), issue_time):
        for issued, observed in new_outcomes(archive, content.grid, _issued(content, seen_until), seen_until, now):
            experts = _remembered(archive, release, panel, issued, observed)
            state = blend.update(state, heard(experts, content.usual), observed)
        archive.checkpoints.put(release.release_id, now, state)
        seen_until = now
    return state


def new_outcomes(
    archive: Archive, grid: ForecastGrid, issued: Sequence[datetime], known_before: datetime, now: datetime
) -> Iterator[tuple[datetime, NDArray[np.float32]]]:
    """For each earlier issue time what newly arrived: (issue time, observed (variable, site, lead)), oldest first."""
    if not issued:
        return
    first = floor_to_hours(issued[0], grid.step_hours)

    def known(at: datetime) -> tuple[NDArray[np.datetime64], NDArray[np.float32]]:
        return archive.observations.grid(
            variables=grid.variables,
            site_ids=grid.site_ids,
            valid_from=first,
            valid_until=floor_to_hours(now, grid.step_hours),
            step_hours=grid.step_hours,
            as_of=at,
        )

    times, values = known(now)
    _, before = known(known_before)
    # A revision of something known before is verification's business; the blend learns from a first report.
    fresh = np.where(np.isfinite(values) & ~np.isfinite(before), values, np.nan).astype(np.float32)
    for issue_time in issued:
        wanted = valid_times(floor_to_hours(issue_time, grid.step_hours), grid.lead_hours)
        place = np.searchsorted(times, wanted)
        hit = (place < len(times)) & (times[np.minimum(place, len(times) - 1)] == wanted)
        observed = np.full((len(grid.variables), len(grid.sites), len(grid.lead_hours)), np.nan, dtype=np.float32)
        observed[:, :, hit] = fresh[:, place[hit]].swapaxes(1, 2)
        if np.isfinite(observed).any():
            yield issue_time, observed


def _nominal(content: ReleaseContent, start: datetime, end: datetime) -> list[datetime]:
    return list(schedule(start, end, content.issue_every_hours, content.issue_hour_utc))


def _issued(content: ReleaseContent, until: datetime) -> list[datetime]:
    """Nominal issue times whose leads may still be unobserved at ``until``, oldest first."""
    # Two days more than the longest lead: observations that arrive late still count.
    return _nominal(content, until - hours(max(content.grid.lead_hours) + 48), until)


def _remembered(
    archive: Archive,
    release: Release,
    panel: Panel,
    issued: datetime,
    observed: NDArray[np.float32],
) -> NDArray[np.float32]:
    """What the release's experts said then of the leads observed, as the archive keeps it; asked again where dropped."""
    content = panel.content
    leads = np.flatnonzero(np.isfinite(observed).any(axis=(0, 1)))
    held = archive.experts.read(release.release_id, issued, leads=leads)
    if held is None:
        inputs = gather_inputs(archive, content, issued)
        names, quantiles = ask_experts(panel, inputs)
        key = archive.experts.put(release.release_id, issued, names, quantiles, content.grid)
        # Read back, because the archive rounds: a memo must not differ from what it stands for.
        held = archive.experts.read_key(key, leads=leads)
    count, (variables, sites, all_leads) = len(content.expert_names), observed.shape
    experts = np.full((count, variables, sites, all_leads, held[1].shape[-1]), np.nan, dtype=np.float32)
    # Places that came after the release stand behind its own: what it learned from is what the blend learns from.
    experts[:, :, :, leads] = held[1][:count, :, :sites]
    return experts
