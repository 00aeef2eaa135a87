"""In what terms EMOS works: which distributions suit a variable, and values at about unit size.

A candidate is a distribution together with a transform: amounts of precipitation are regressed as square roots with a
censored logistic distribution (Messner et al. 2014, doi:10.1175/MWR-D-13-00271.1) or as they are with a censored shifted gamma
(Scheuerer and Hamill 2015, doi:10.1175/MWR-D-15-0061.1). What lies between two limits is described by distributions censored at
both, which give the limits themselves a probability (cloud, idle turbines), or by a beta distribution, which leans and bends
towards them without one (humidity). Which suits is found out on held-out cases.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.variables import Variable
from skyproof.science.distributional_regression import NUMBERS, Distribution
from skyproof.science.ensemble_statistics import Transform

Floats = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to describe a variable."""

    distribution: Distribution
    transform: Transform = "identity"

    @property
    def base(self) -> Distribution:
        """What the first regression takes for it: always one of location and scale."""
        return "normal" if self.distribution in {"normal", "truncated"} else "logistic"


#: By family of the variable; the first is the one taken with too few cases to compare.
CANDIDATES: dict[str, tuple[Candidate, ...]] = {
    "gaussian": (Candidate("normal"), Candidate("logistic")),
    "truncated": (
        Candidate("truncated"),
        Candidate("logistic"),
        Candidate("log_normal"),
        Candidate("normal", "sqrt"),
    ),
    "censored": (Candidate("logistic", "sqrt"), Candidate("normal", "sqrt"), Candidate("shifted_gamma")),
    "bounded": (Candidate("normal"), Candidate("logistic"), Candidate("beta")),
}
TRANSFORMS: tuple[Transform, ...] = ("identity", "sqrt")


def candidates(variable: Variable) -> tuple[Candidate, ...]:
    """The ways to describe a variable; none for a circular one."""
    return CANDIDATES.get(variable.family, ())


@dataclass(frozen=True, slots=True)
class Scale:
    """From canonical units to about unit size and back; limits in both."""

    transform: Transform
    centre: float
    size: float
    lower: float
    upper: float

    @classmethod
    def of(cls, variable: Variable, transform: Transform, observed: Floats) -> Scale:
        """Chosen from what was observed: centred, unless there is a lower limit to count from."""
        lower = -math.inf if variable.lower is None else float(variable.lower)
        upper = math.inf if variable.upper is None else float(variable.upper)
        known = observed[np.isfinite(observed)].astype(np.float64)
        values = _forward(transform, np.clip(known, lower, upper), lower)
        centre = _forward(transform, np.array(lower), lower) if lower > -math.inf else np.mean(values)
        # Rain that fell in one case of a hundred must not have all its size in that one.
        size = np.std(values) if len(values) > 1 else 1.0
        return cls(transform, float(centre), float(max(size, 1e-3)), lower, upper)

    @property
    def low(self) -> float:
        """The lower limit at unit size."""
        return -math.inf if self.lower == -math.inf else 0.0

    @property
    def high(self) -> float:
        """The upper limit at unit size."""
        return math.inf if self.upper == math.inf else float(self.forward(np.array(self.upper)))

    def forward(self, values: Floats) -> Floats:
        """Canonical values at unit size; what lies beyond a limit counts as the limit."""
        inside = np.clip(values.astype(np.float64), self.lower, self.upper)
        return np.asarray((_forward(self.transform, inside, self.lower) - self.centre) / self.size)

    def backward(self, values: Floats) -> Floats:
        """Canonical values again, within the limits."""
        plain = values * self.size + self.centre
        if self.transform == "sqrt":
            plain = self.lower + np.square(np.maximum(plain, 0.0))
        return np.asarray(np.clip(plain, self.lower, self.upper))

    def state(self) -> NDArray[np.float64]:
        """As numbers."""
        return np.array([TRANSFORMS.index(self.transform), self.centre, self.size, self.lower, self.upper])

    @classmethod
    def restore(cls, state: Floats) -> Scale:
        """From :meth:`state`."""
        return cls(TRANSFORMS[int(state[0])], *(float(number) for number in state[1:]))


def candidate_numbers(candidate: Candidate) -> tuple[int, int]:
    """A candidate as two numbers, for a state of arrays."""
    return NUMBERS[candidate.distribution], TRANSFORMS.index(candidate.transform)


def candidate_of(numbers: Floats) -> Candidate:
    """From :func:`candidate_numbers`."""
    names: tuple[Distribution, ...] = tuple(NUMBERS)
    return Candidate(names[int(numbers[0])], TRANSFORMS[int(numbers[1])])


def _forward(transform: Transform, values: Floats, lower: float) -> Floats:
    return np.sqrt(values - lower) if transform == "sqrt" else values
