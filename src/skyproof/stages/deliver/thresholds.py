"""Thresholds a customer names, ``wind_gusts_10m>20``, and the probability of crossing them."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.errors import InvalidValueError
from skyproof.domain.variables import Variable
from skyproof.science.quantile_functions import probability_of_exceeding

#: Decimals of a probability as it is written.
PROBABILITY_DECIMALS = 3
_FORM = re.compile(r"([a-z0-9_]{1,60})([<>])(-?[0-9]{1,6}(?:\.[0-9]{1,4})?)")


@dataclass(frozen=True, slots=True)
class Threshold:
    """What may be crossed: ``name`` (a variable, or a day's statistic of one) above or below ``value``, in the answer's unit."""

    name: str
    above: bool
    value: float

    @property
    def text(self) -> str:
        """As it was asked, in its shortest form."""
        return f"{self.name}{'>' if self.above else '<'}{self.value:.10g}"

    @property
    def column(self) -> str:
        """The name of its column: ``wind_gusts_10m_prob_gt_20``; a minus is ``m``, a point ``_``."""
        number = f"{self.value:.10g}".replace("-", "m").replace(".", "_")
        return f"{self.name}_prob_{'gt' if self.above else 'lt'}_{number}"


def parse_threshold(text: str) -> Threshold:
    """Read ``name>number`` or ``name<number``.

    Raises:
        InvalidValueError: another form.
    """
    match = _FORM.fullmatch(text.replace(" ", ""))
    if match is None:
        raise InvalidValueError(
            f"exceedance {text[:80]!r} is not a threshold", hint="write it like wind_gusts_10m>20 or temperature_2m<0"
        )
    return Threshold(match[1], match[2] == ">", float(match[3]) + 0.0)


def crossing_probability(
    quantiles: NDArray[np.float64], variable: Variable, *, above: bool, value: float
) -> NDArray[np.float64]:
    """Probability of a value above, or below, a threshold: the one that verification scores.

    Args:
        quantiles: (..., 21), sorted, canonical unit; NaN where missing.
        variable: whose they are; beyond its physical limits the answer is certain.
        above: whether above or below is meant, both strictly.
        value: the threshold, canonical unit.

    Returns:
        (...), between 0 and 1; NaN where missing.
    """
    if above:
        found = probability_of_exceeding(quantiles, value)
        sure, never = _beneath(value, variable.lower), _reaches(value, variable.upper)
    else:
        # Below t is above -t for the mirrored values; the levels lie symmetrically around one half.
        found = probability_of_exceeding(-quantiles[..., ::-1], -value)
        sure, never = _above(value, variable.upper), variable.lower is not None and value <= variable.lower
    if sure or never:
        found = np.where(np.isnan(found), np.nan, float(sure))
    return found


def share_crossing(members: NDArray[np.float64], *, above: bool, value: float) -> NDArray[np.float64]:
    """The share of members (..., member) above, or below, a threshold; NaN where any is missing."""
    crossed = members > value if above else members < value
    return np.where(np.isnan(members).any(axis=-1), np.nan, crossed.mean(axis=-1))


def _beneath(value: float, lower: float | None) -> bool:
    return lower is not None and value < lower


def _reaches(value: float, upper: float | None) -> bool:
    return upper is not None and value >= upper


def _above(value: float, upper: float | None) -> bool:
    return upper is not None and value > upper
