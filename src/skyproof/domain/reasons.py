"""Why a value is missing: a closed list, its position the code kept with each cell of a run."""

from __future__ import annotations

#: Code 0 means that the value is there. Reasons are added at the end, never renamed.
REASONS: tuple[str, ...] = ("present", "no_expert_awake")
NO_EXPERT_AWAKE = REASONS.index("no_expert_awake")
