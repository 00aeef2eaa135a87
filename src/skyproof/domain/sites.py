"""Places we forecast for, and who may see them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from skyproof.domain.accounts import DEFAULT_PLAN
from skyproof.domain.errors import InvalidValueError, UnknownNameError

_IDENTIFIER = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")


def check_identifier(text: str, what: str) -> str:
    """Return ``text`` if it is a safe identifier (lower case, digits, ``_ . -``; at most 64 characters)."""
    if not _IDENTIFIER.fullmatch(text):
        raise InvalidValueError(
            f"{what} {text[:70]!r} is not an identifier",
            hint="use 1 to 64 of a-z, 0-9, '_', '.', '-', beginning with a letter or digit",
        )
    return text


def find_zone(name: str) -> ZoneInfo:
    """Look an IANA time zone up by name.

    Raises:
        UnknownNameError: no such zone.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UnknownNameError(
            f"time zone {name[:60]!r} is not known", hint="use an IANA name such as Europe/Zurich, or UTC"
        ) from error


@dataclass(frozen=True, slots=True)
class Site:
    """One place. ``customer_id`` is None for a place every customer may ask about."""

    site_id: str
    name: str
    latitude: float
    longitude: float
    elevation_m: float
    timezone: str = "UTC"
    customer_id: str | None = None

    def __post_init__(self) -> None:
        check_identifier(self.site_id, "site")
        find_zone(self.timezone)
        if not (-90.0 <= self.latitude <= 90.0):
            raise InvalidValueError(f"latitude {self.latitude} of site {self.site_id} is outside -90 to 90 degrees")
        if not (-180.0 <= self.longitude <= 180.0):
            raise InvalidValueError(f"longitude {self.longitude} of site {self.site_id} is outside -180 to 180 degrees")
        if not (-500.0 <= self.elevation_m <= 9000.0):
            raise InvalidValueError(f"elevation {self.elevation_m} m of site {self.site_id} is outside -500 to 9000 m")


@dataclass(frozen=True, slots=True)
class Customer:
    """Who we deliver to. ``plan`` names its limits, see :mod:`skyproof.domain.accounts`."""

    customer_id: str
    name: str
    plan: str = DEFAULT_PLAN

    def __post_init__(self) -> None:
        check_identifier(self.customer_id, "customer")
        check_identifier(self.plan, "plan")
