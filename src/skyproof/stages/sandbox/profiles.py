"""Sizes of the planet."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from skyproof.domain.errors import UnknownNameError

START = datetime(2025, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class PlanetProfile:
    """How much planet to build.

    ``days`` of cycles from :data:`START`; ``learn_days`` of them before the first release; members of the two ensembles;
    the longest source lead in hours; ``horizon_hours`` of the product; ``tail_days`` held out when learning.
    """

    name: str
    days: int
    learn_days: int
    places: int
    alba_members: int
    boreas_members: int
    last_lead_hours: int
    horizon_hours: int
    tail_days: int
    coarse: bool = False

    @property
    def start(self) -> datetime:
        """First init time."""
        return START

    @property
    def learn_until(self) -> datetime:
        """When the first release is learned: the noon issue time."""
        return START + timedelta(days=self.learn_days, hours=12)

    @property
    def end(self) -> datetime:
        """The planet's present: the last issue time."""
        return START + timedelta(days=self.days - 1, hours=12)

    @property
    def lead_hours(self) -> tuple[int, ...]:
        """Leads of every provider."""
        return tuple(range(0, self.last_lead_hours + 1, 6))


PROFILES = (
    PlanetProfile("small", 84, 64, 10, 4, 3, 72, 48, 20, coarse=True),
    PlanetProfile("demo", 430, 340, 64, 12, 8, 144, 120, 60),
    PlanetProfile("full", 548, 430, 64, 20, 10, 144, 120, 60),
)


def find_profile(name: str) -> PlanetProfile:
    """The profile of that name.

    Raises:
        UnknownNameError: no such profile.
    """
    for profile in PROFILES:
        if profile.name == name:
            return profile
    raise UnknownNameError(
        f"planet profile {name[:40]!r} is not known", hint=f"use one of {', '.join(p.name for p in PROFILES)}"
    )
