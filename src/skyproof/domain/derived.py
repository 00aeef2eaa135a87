"""What is asked of scenarios beyond their own variables, and the answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.times import Instants


@dataclass(frozen=True, slots=True)
class DerivedQuestion:
    """A quantity by name, and what some of them need; what is None takes the quantity's own default.

    ``variable`` is what days, sums and spells are made of; ``hours`` the length of a window or spell; ``above`` or ``below`` the
    threshold of a spell, canonical unit; ``base`` and ``limit`` those of degree days, Cel; ``height_m`` of the hub;
    ``exponent`` of the wind profile.
    """

    quantity: str
    variable: str | None = None
    hours: int | None = None
    above: float | None = None
    below: float | None = None
    base: float | None = None
    limit: float | None = None
    height_m: float = 100.0
    exponent: float | None = None


@dataclass(frozen=True, slots=True)
class DerivedForecast:
    """Quantiles or probabilities, a row for each site and span of time.

    ``site_ids``, ``labels``, ``starts`` and ``ends`` have one entry per row; a label is a site's calendar day, ``total``, or
    empty. An instant has equal start and end. ``values``: (row, column) float64, NaN where missing; ``columns`` name them.
    ``facts`` say where it comes from.
    """

    run_id: str
    issue_time: datetime
    name: str
    unit: str
    columns: tuple[str, ...]
    site_ids: tuple[str, ...]
    labels: tuple[str, ...]
    starts: Instants
    ends: Instants
    values: NDArray[np.float64]
    facts: Mapping[str, object]
