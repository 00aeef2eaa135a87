"""Members of a run: what may happen at all its places, leads and variables together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Scenarios:
    """Equally likely members.

    ``values``: (variable, site, lead, member) float32, NaN where the run has no forecast; ``units`` one per variable.
    ``site_ids`` may name a sum over sites. ``template`` says where the dependence came from, with the digest of it; the same
    run, template and seed give the same members.
    """

    run_id: str
    issue_time: datetime
    init_time: datetime
    variables: tuple[str, ...]
    units: tuple[str, ...]
    site_ids: tuple[str, ...]
    lead_hours: tuple[int, ...]
    values: NDArray[np.float32]
    template: Mapping[str, object] = field(default_factory=dict)
    seed: str = ""

    @property
    def members(self) -> int:
        """How many."""
        return int(self.values.shape[-1])
