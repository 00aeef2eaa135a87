"""Portfolios: several places of a customer taken together with weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from skyproof.domain.errors import InvalidValueError

Aggregate = Literal["sum", "mean"]
MOST_PORTFOLIO_SITES = 1000
_LARGEST_WEIGHT = 1e9


@dataclass(frozen=True, slots=True)
class Portfolio:
    """A weighted sum or mean over sites. ``members``: site id to weight, in the order given."""

    portfolio_id: str
    customer_id: str
    name: str
    aggregate: Aggregate
    members: Mapping[str, float]
    created_at: datetime

    def __post_init__(self) -> None:
        weights = tuple(self.members.values())
        if not 1 <= len(weights) <= MOST_PORTFOLIO_SITES:
            raise InvalidValueError(
                f"a portfolio of {len(weights)} sites is impossible", hint=f"give 1 to {MOST_PORTFOLIO_SITES}"
            )
        if not all(math.isfinite(weight) and 0 < abs(weight) <= _LARGEST_WEIGHT for weight in weights):
            raise InvalidValueError("a weight is zero, no number, or beyond 1e9", hint="leave out sites without weight")
        if self.aggregate == "mean" and min(weights) < 0:
            raise InvalidValueError("a mean has a negative weight", hint="use aggregate sum for differences")

    @property
    def factors(self) -> tuple[float, ...]:
        """What each site's members are multiplied with: its weight, or its share of all weights for a mean."""
        total = sum(self.members.values()) if self.aggregate == "mean" else 1.0
        return tuple(weight / total for weight in self.members.values())
